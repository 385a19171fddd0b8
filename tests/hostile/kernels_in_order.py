"""A pytest plugin for numba's checked mode: parallel loops run in order, since an error in another thread is not told."""

from typing import Any

import numba

_njit = numba.njit


def _in_order(*given: Any, parallel: bool = False, **options: Any) -> Any:
    return _njit(*given, **options)


numba.njit = _in_order
