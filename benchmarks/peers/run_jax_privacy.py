"""Lower bounds by jax_privacy.auditing (2.0.0) on given scores: PYTHON run_jax_privacy.py CASES.npz, for benchmarks/epsilon.py.

CASES.npz holds for each case NAME the arrays NAME/in and NAME/out, scores with and without the canary, and NAME/at, thresholds
fixed beforehand. Where NAME/in and NAME/out have one row for each of many audits, only bounds by many runs are computed. Prints
one line of JSON: {case: bounds}. Runs in jax_privacy's own environment; imports nothing else.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from jax_privacy import auditing

SIGNIFICANCE, DELTA = 0.05, 1e-5


def main() -> None:
    cases = np.load(sys.argv[1])
    names = sorted({name.rpartition("/")[0] for name in cases.files})
    found = {}
    for name in names:
        inside, outside = cases[f"{name}/in"], cases[f"{name}/out"]
        found[name] = many(inside, outside) if inside.ndim == 2 else bounds(inside, outside, cases[f"{name}/at"])
    print(json.dumps(found))


def many(inside: np.ndarray, outside: np.ndarray) -> dict[str, list[float]]:
    """Bounds by many runs of each audit."""
    auditors = [auditing.CanaryScoreAuditor(*pair) for pair in zip(inside, outside, strict=True)]
    return {
        "clopper_pearson": [float(a.epsilon_clopper_pearson(SIGNIFICANCE, DELTA, one_sided=False)) for a in auditors],
        "gdp": [float(a.epsilon_from_gdp(SIGNIFICANCE, DELTA)) for a in auditors],
    }


def bounds(inside: np.ndarray, outside: np.ndarray, at: np.ndarray) -> dict[str, object]:
    """Its bounds over all thresholds, at each given one, and the thresholds that it takes for all."""
    auditor = auditing.CanaryScoreAuditor(inside, outside)
    given = [auditing.Explicit(float(threshold)) for threshold in at]
    both = {"one_sided": False}
    return {
        "one_run": float(auditor.epsilon_one_run(SIGNIFICANCE, DELTA)),
        "one_run_fdp": float(auditor.epsilon_one_run_fdp(SIGNIFICANCE, DELTA)),
        "clopper_pearson": float(auditor.epsilon_clopper_pearson(SIGNIFICANCE, DELTA, **both)),
        "gdp": float(auditor.epsilon_from_gdp(SIGNIFICANCE, DELTA)),
        "thresholds": auditor._thresholds.tolist(),
        "at": [
            [
                float(auditor.epsilon_one_run(SIGNIFICANCE, DELTA, threshold_strategy=explicit)),
                float(auditor.epsilon_one_run_fdp(SIGNIFICANCE, DELTA, threshold_strategy=explicit)),
                float(auditor.epsilon_clopper_pearson(SIGNIFICANCE, DELTA, threshold_strategy=explicit, **both)),
            ]
            for explicit in given
        ],
    }


if __name__ == "__main__":
    main()
