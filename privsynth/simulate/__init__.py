"""Demo tables from small causal models: no row is about a person, and every dependence in them is known.

    hospital(patients, seed)        several visits per patient            policies/demo-hospital.yaml
    finance(applications, seed)     one loan application per person       policies/demo-finance.yaml
    write_demo(kind, out, size)     the same, as the CSV that a policy reads

and tables whose dependence has a known order, which show what a trainer can reproduce (`structure.py`):

    parities(n, seed, ways)    latent_classes(n, seed, classes)    sequence(n, seed)

The causal graphs are in `patients.py` and `loans.py`. The same seed gives the same table; it is the seed of invented
data and has nothing to do with the noise of a release, which takes no seed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from privsynth.errors import InputError, Problem
from privsynth.simulate.loans import finance
from privsynth.simulate.patients import hospital
from privsynth.simulate.structure import latent_classes, parities, sequence

Kind = Literal["hospital", "finance"]
DEMO_SIZES: dict[str, int] = {
    "hospital": 10_000,
    "finance": 12_000,
}  # what `make demo` makes; finance: also declared in its policy

__all__ = ["DEMO_SIZES", "Kind", "finance", "hospital", "latent_classes", "parities", "sequence", "write_demo"]


def write_demo(kind: Kind, out: Path | str, size: int | None = None, seed: int = 0) -> Path:
    """Writes a demo table as CSV (ISO dates, an empty cell for missing) and returns its path.

    size: patients (hospital) or applications (finance); by default what the demo policies expect.
    """
    if kind not in get_args(Kind):
        raise InputError(Problem("demo", f"there is no demo named {kind!r}", "name hospital or finance"))
    make = hospital if kind == "hospital" else finance
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    make(DEMO_SIZES[kind] if size is None else size, seed).to_csv(out, index=False, date_format="%Y-%m-%d")
    return out
