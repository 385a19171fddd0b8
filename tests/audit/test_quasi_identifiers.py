"""Risk on quasi-identifiers on tables small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from privsynth.audit.quasi_identifiers import identifier_risk
from privsynth.audit.scene import prepare
from privsynth.audit.tables import AuditTables


def frame(rows: list[tuple[str, float, str]]) -> pd.DataFrame:
    sex, age, ill = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "sex": pd.Categorical(sex, categories=["F", "M"]),
            "age": np.array(age, float),
            "ill": pd.Categorical(ill, categories=["y", "n"]),
        }
    )


TRAIN = frame([("F", 30, "y"), ("F", 30, "n"), ("M", 30, "y"), ("M", np.nan, "n")])
HOLDOUT = frame([("F", 30, "y"), ("M", 40, "y"), ("M", 50, "y"), ("F", 60, "n")])
SYNTHETIC = frame([("M", 30, "y"), ("M", 30, "y"), ("F", 30, "n"), ("F", 30, "y"), ("M", np.nan, "n"), ("F", 20, "y")])
ROLES = {"sex": "quasi_identifier", "age": "quasi_identifier", "ill": "sensitive"}


def risks(roles: dict[str, str]) -> dict[str, tuple[float | None, float | None]]:
    tables = AuditTables(SYNTHETIC, TRAIN, HOLDOUT, None, None, roles)
    rng = np.random.default_rng(0)
    return {r.name: (r.value, r.baseline) for r in identifier_risk(tables, prepare(tables, "quick", rng), rng)}


def test_by_hand() -> None:
    found = risks(ROLES)
    assert found["prosecutor risk of the real data"][0] == 1.0  # M 30 and M missing are alone
    assert found["marketer risk of the real data"][0] == pytest.approx(3 / 4)
    assert found["sample uniques"][0] == pytest.approx(2 / 4)
    assert found["journalist risk of the release"][0] == 1.0
    assert found["k-map of the release"][0] == 1.0
    assert found["cells of 1 to 10"] == (1.0, 1.0)
    assert found["replicated uniques"] == (1.0, pytest.approx(1 / 4))  # of the holdout only F 30 is in the release
    assert found["DiSCO: ill"] == (pytest.approx(2 / 4), 0.0)  # M 30 -> y, M missing -> n
    assert found["exact copies"] == (1.0, pytest.approx(1 / 4))
    assert found["synthetic rows that equal a real record"] == (pytest.approx(5 / 6), pytest.approx(1 / 6))


def test_only_copies_without_quasi_identifiers() -> None:
    assert set(risks({})) == {"exact copies", "synthetic rows that equal a real record", "near copies"}
