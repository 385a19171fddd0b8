"""Realistic evidence: twenty columns of hospital encounters, every kind of verdict, sentinel figures in the audit.

Nothing here comes from data: all figures are constants or follow from a formula.
"""

from __future__ import annotations

import math

from scipy.stats import norm

from privsynth import evidence as ev

# Figures that only the internal version may show. They are unusual on purpose, so that a test can search for them.
SENTINELS = {
    "value": 0.04317, "low": 0.03129, "high": 0.05713, "baseline": 0.01937, "smallest": 0.04171, "control": 0.87139,
    "rows_read": 101771, "units": 71519, "held_out": 14303, "group": 0.07193, "tvd3": 0.03391, "copies": 0.47193,
    "auc": 0.51739, "strong": 0.83719, "apart": 0.61937, "mean": 16.0271,
}  # fmt: skip

_NAMES = [
    ("encounter_id", "id", "direct_identifier", "drop", ""),
    ("patient_nbr", "id", "direct_identifier", "regenerate", "invented numbers"),
    ("name", "text", "direct_identifier", "regenerate", "invented names"),
    ("race", "category", "quasi_identifier", "keep", "5 categories (public)"),
    ("gender", "category", "quasi_identifier", "keep", "3 categories (public)"),
    ("age", "category", "quasi_identifier", "keep", "10 ordered categories (public)"),
    ("zip3", "category", "quasi_identifier", "keep", "categories measured; rare ones are merged into __other__"),
    ("admitted", "date", "attribute", "keep", "1999-01-01 to 2008-12-31 (public)"),
    ("discharged", "date", "attribute", "keep", "1999-01-01 to 2008-12-31 (public)"),
    ("admission_type", "category", "attribute", "keep", "8 categories (public)"),
    ("time_in_hospital", "integer", "attribute", "keep", "1 to 14 (public)"),
    ("medical_specialty", "category", "attribute", "keep", "categories measured; rare ones are merged into __other__"),
    ("num_lab_procedures", "integer", "attribute", "keep", "0 to 150 (public)"),
    ("num_procedures", "integer", "attribute", "keep", "0 to 6 (public)"),
    ("num_medications", "integer", "attribute", "keep", "0 to 100 (public)"),
    ("charge", "number", "attribute", "keep", "bounds measured"),
    ("diag_1", "category", "sensitive", "keep", "grouped by icd9-chapters.csv (public)"),
    ("insulin", "category", "sensitive", "keep", "4 categories (public)"),
    ("diabetesMed", "category", "sensitive", "keep", "2 categories (public)"),
    ("readmitted", "category", "target", "keep", "3 categories (public)"),
]
_LABELS = {
    "race": ["Caucasian", "AfricanAmerican", "Hispanic", "Asian", "Other", "missing"],
    "gender": ["Female", "Male", "Unknown/Invalid"],
    "age": [f"[{a}-{a + 10})" for a in range(0, 100, 10)],
    "readmitted": ["NO", ">30", "<30"],
    "diabetesMed": ["Yes", "No"],
    "insulin": ["No", "Steady", "Down", "Up"],
}

_RULES = ["admitted <= discharged", "num_procedures >= 0", "diabetesMed = No implies insulin = No"]
_REASONS = {
    "release": ["Every attack stayed below the threshold fixed in the policy."],
    "release_with_conditions": [
        "Every attack that had power stayed below the threshold fixed in the policy.",
        "The query-count shadow attack had no power on this table. Release to the named recipient only.",
    ],
    "do_not_release": ["The inference attack on diag_1 passed its threshold."],
}


def evidence(verdict: str = "release_with_conditions") -> ev.Evidence:
    """The internal version."""
    return ev.Evidence(
        visibility="internal",
        verdict=verdict,
        reasons=_REASONS[verdict],
        conditions=["Release only to a recipient who has agreed."] if verdict == "release_with_conditions" else [],
        dataset=_dataset(),
        privacy=_privacy(),
        trainer=ev.TrainerFacts(
            name="marginals",
            options={"sweeps": 30, "pairs": "all", "population": "public rows"},
            notes=["DP-SGD was not used: by public facts (rows, columns, ε) marginals alone do better here."],
        ),
        audit=_audit(failing=verdict == "do_not_release"),
        utility=_utility(),
        handling=ev.Handling(
            rows_read=SENTINELS["rows_read"],
            units=SENTINELS["units"],
            rows_trained=78118,
            rows_held_out=SENTINELS["held_out"],
            rows_over_bound=3917,
            unexpected={"num_medications": 4, "admission_type": 11},
            notes=["“?” was read as missing in 7 columns."],
        ),
        report=ev.ReportMeta(
            frameworks=[
                "hipaa-expert-determination",
                "hipaa-safe-harbor",
                "gdpr-recital-26",
                "nist-sp-800-226",
                "iso-iec-27559",
                "sr-26-2",
            ],
            recipient="Research partner X",
            approver="J. Doe",
            rows_released=80000,
            formats=["csv", "parquet"],
        ),
        seconds={"read": 1.3, "fit": 41.7, "sample": 12.9, "audit": 133.1, "utility": 18.4},
        provenance=ev.Provenance(
            privsynth="0.1.0",
            python="3.11.9",
            packages={"numpy": "2.4.1", "dp-accounting": "0.6.0", "torch": "2.9.0"},
            policy_sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            created="2026-11-25T00:40:12Z",
            platform="Linux x86_64",
            ledger_head="60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
            synthetic_sha256="fd61a03af4f77d870fc21e05e7e80678095c92d808cfb3b5c279ee04c74aca13",
        ),
    )


def _dataset() -> ev.Dataset:
    columns = [ev.ColumnFacts(name=n, kind=k, role=r, release=d, domain=t) for n, k, r, d, t in _NAMES]
    return ev.Dataset(
        id="hospital-readmissions",
        description="Inpatient encounters of diabetic patients in 130 US hospitals, 1999-2008",
        rows=101766,
        columns=columns,
        constraints=_RULES,
    )


def _privacy(epsilon: float = 3.0) -> ev.Privacy:
    mu = 0.91  # a Gaussian curve that is close to ε = 3 at δ = 1e-6

    def most(fpr: float) -> float:
        return float(norm.cdf(norm.ppf(fpr) + mu))

    rates = [10 ** (-4 + 4 * i / 80) for i in range(81)]
    rates[-1] = 1.0
    return ev.Privacy(
        epsilon=epsilon, delta=1e-6, unit="patient_nbr", max_rows=4,
        composition="privacy loss distributions (dp-accounting PLD), add or remove",
        mechanisms=[
            ev.MechanismRecord(name="unit numbers", event="ApproximateDP(epsilon=0, delta=2.3e-13)", share=0.0,
                               epsilon_alone=1e-5, purpose="Which rows belong together."),
            ev.MechanismRecord(name="row count", event="Laplace(noise_multiplier=64)", share=0.01, epsilon_alone=0.016,
                               purpose="How many rows, so that shares can be computed."),
            ev.MechanismRecord(name="open categories", event="Gaussian(noise_multiplier=21.4)", share=0.06,
                               epsilon_alone=0.22, purpose="Which specialties are frequent enough to be named."),
            ev.MechanismRecord(name="range of charge", event="Exponential(epsilon=0.1)", share=0.03, epsilon_alone=0.1,
                               purpose="Between which bounds charges lie."),
            ev.MechanismRecord(name="fine histograms", event="DiscreteGaussian(noise_multiplier=4.8)", share=0.10,
                               epsilon_alone=0.98, purpose="The shape of each column by itself."),
            ev.MechanismRecord(name="pairs and triples", event="Gaussian(noise_multiplier=1.25)", share=0.80,
                               epsilon_alone=2.71, purpose="How columns depend on each other: 171 pairs and 40 triples."),
        ],
        risk=ev.Risk(
            max_tpr={"0.001": most(0.001), "0.01": most(0.01), "0.1": most(0.1)},
            advantage=2 * float(norm.cdf(mu / 2)) - 1,
            attribute_inference={"0.1": most(0.1), "0.5": most(0.5)},
            roc=[(0.0, 0.0)] + [(x, most(x) if x < 1 else 1.0) for x in rates],
        ),
    )  # fmt: skip


def _curve(lift: float) -> list[tuple[float, float]]:
    rates = [i / 400 for i in range(1, 401)]
    return [(x, min(1.0, float(norm.cdf(norm.ppf(x) + lift)))) if x < 1 else (1.0, 1.0) for x in rates]


def _audit(failing: bool) -> ev.Audit:
    leak = (0.112, 0.083, 0.141, 0.0, 0.2) if failing else (0.022, 0.003, 0.041, 0.0, 0.2)
    s = SENTINELS
    tpr, rate = "TPR at 1 % FPR", "success rate, members minus non-members"

    def finding(attack: str, family: str, statistic: str, numbers: tuple, limit: float | None, verdict: str, **more):
        value, low, high, baseline, smallest = numbers
        more = {"why": "A reason.", "assumes": "An attacker who has the table.", **more}
        return ev.Finding(attack=attack, family=family, statistic=statistic, value=value, low=low, high=high,
                          baseline=baseline, threshold=limit, verdict=verdict, power=0.9, level=0.975,
                          smallest_leak=None if verdict == "no_power" else smallest, **more)  # fmt: skip

    marks = (s["value"], s["low"], s["high"], s["baseline"], s["smallest"])
    findings = [
        finding("membership: closest record", "membership", tpr, (0.012, 0.007, 0.019, 0.01, 0.09), 0.05, "diagnostic",
                roc=_curve(0.06), meaning="How near the closest synthetic row is. Misses many leaks; it can fail a "
                "release but never pass one."),
        finding("membership: density ratio", "membership", tpr, marks, 0.06, "pass", roc=_curve(0.22),
                auc=(s["auc"], 0.502, 0.531),
                meaning="Whether members lie where the synthetic table is too dense (DOMIAS)."),
        finding("membership: query counts", "membership", tpr, (0.02, 0.0, 0.21, 0.01, 0.11), 0.05, "no_power", question="queries",
                meaning="Shadow models on the most exposed records. Too few were trained to tell anything."),
        finding("canaries: lower bound on ε", "membership", "ε, 95 % lower bound", (0.84, 0.31, 1.42, 0.0, 0.3), 3.0,
                "pass", meaning="Planted records are guessed in a copy of the pipeline. A bound above the claim would "
                "refute the proof."),
        finding("singling out: predicates", "singling_out", rate, (0.021, 0.004, 0.038, 0.0, 0.15),
                0.09, "pass", meaning="Predicates from the synthetic table that hold for one person alone."),
        finding("linkability: split records", "linkability", rate, (0.013, -0.006, 0.031, 0.0, 0.25),
                0.09, "pass", meaning="Two halves of a person's columns linked through the table."),
        finding("inference: diag_1", "inference", rate, leak, 0.09,
                "fail" if failing else "pass",
                meaning="Guessing the diagnosis of a known person, better than for people who were not in the data."),
    ]  # fmt: skip
    controls = [
        ev.Control(attack=f.attack, kind=kind, share=0.4 if kind == "positive" else None, value=value, low=max(0.0, value - 0.03),
                   high=value + 0.03, expected=expected, ok=f.verdict != "no_power" or kind == "negative")
        for f in findings
        for kind, value, expected in (("positive", s["control"], "found"), ("negative", 0.011, "nothing"))
    ]  # fmt: skip
    risks = [
        ("prosecutor, highest", 1.0, 1.0, "1 over the smallest class: someone is unique on the quasi-identifiers."),
        ("marketer, mean", 0.061, 0.066, "Share of people that matching would get right on average."),
        ("replicated uniques", 0.031, 0.034, "Unique real rows that also occur in the synthetic table."),
        ("exact copies", s["copies"], 0.468, "Synthetic rows equal to a training row; baseline: to a held-out row."),
    ]
    return ev.Audit(
        findings=findings, controls=controls, verdict="fail" if failing else "pass", targets=2000,
        false_alarms=0.1,
        identifier_risk=[ev.IdentifierRisk(name=n, value=v, baseline=b, meaning=m) for n, v, b, m in risks],
        not_tested=["Reconstruction of whole rows from several releases", "Timing of the run"],
    )  # fmt: skip


def _shares(n: int, shift: float) -> list[float]:
    raw = [math.exp(-(((i - n / 3 - shift) / (n / 3 + 1)) ** 2)) + 0.02 for i in range(n)]
    return [v / sum(raw) for v in raw]


def _columns() -> list[ev.ColumnUtility]:
    out = []
    for index, (name, kind, _, release, _) in enumerate(_NAMES):
        if release != "keep":
            continue
        bins = [f"{10 * i}" for i in range(31 if index % 2 else 15)]
        if kind == "date":
            bins = [f"{1999 + i // 4}-{3 * (i % 4) + 1:02d}" for i in range(40)]
        labels = _LABELS.get(name) or (bins if kind != "category" else [f"group {i + 1}" for i in range(12)])
        real, noisy = _shares(len(labels), 0.0), _shares(len(labels), 0.1)
        for reference, called, tvd in ((real, "real", 0.0113), (noisy, "noisy histogram", 0.0071)):
            out.append(ev.ColumnUtility(name=name, kind=kind, tvd=tvd + index / 5000, labels=labels,
                                        synthetic=_shares(len(labels), 0.25), reference=reference,
                                        reference_name=called))  # fmt: skip
    return out


def _number(name: str, real: float, made: float, margin: float, noise: bool = True) -> ev.NumberUtility:
    """A column without missing values: its total is of 1,000 rows."""
    return ev.NumberUtility(
        name=name, real_mean=real, mean=made, mean_low=made - margin, mean_high=made + margin, real_total=1000 * real,
        total=1000 * made, total_low=1000 * (made - margin), total_high=1000 * (made + margin), noise=noise,
    )  # fmt: skip


def _utility() -> ev.Utility:
    names = [n for n, _, _, release, _ in _NAMES if release == "keep"]
    size = range(len(names))

    def matrix(lift: float) -> list[list[float]]:
        return [[1.0 if i == j else math.sin(3 * i + 3 * j + i * j + lift) * 0.9 / (1 + abs(i - j) / 3) for j in size]
                for i in size]  # fmt: skip

    return ev.Utility(
        tvd1=0.0092, tvd2=0.0187, tvd3=SENTINELS["tvd3"], tstr_auc=0.667, trtr_auc=0.687, target="readmitted",
        column_shapes=0.981, column_pair_trends=0.957, tvd1_noisy=0.0066, columns=_columns(),
        correlations={"columns": names, "synthetic": matrix(0.12), "reference": matrix(0.0)},
        groups=[
            ev.GroupUtility(group="gender = Female", rows_real=53454, tvd1=0.0108),
            ev.GroupUtility(group="gender = Male", rows_real=46231, tvd1=0.0117),
            ev.GroupUtility(group="race = Asian", rows_real=641, tvd1=SENTINELS["group"]),
            ev.GroupUtility(group="age = [80-90)", rows_real=17197, tvd1=0.0155),
        ],
        retention=ev.Retention(strong=3, kept=2, median=0.953, worst=0.41, pairs=[
            ev.PairUtility(pair=("insulin", "diabetesMed"), real=SENTINELS["strong"], synthetic=0.343),
            ev.PairUtility(pair=("medical_specialty", "diag_1"), real=0.402, synthetic=0.383),
            ev.PairUtility(pair=("time_in_hospital", "num_medications"), real=0.465, synthetic=0.481),
        ]),
        separation=ev.Separation(area=SENTINELS["apart"], low=0.609, high=0.63, floor=0.5031, floor_low=0.492,
                                 floor_high=0.514, rows=5000, floor_rows=5000),
        numbers=[
            _number("time_in_hospital", 4.396, 4.41, 0.03), _number("num_medications", SENTINELS["mean"], 15.82, 0.09),
            _number("charge", 18_411.07, 17_930.5, 402.0), _number("num_procedures", 0.0, 0.0, 0.0, noise=False),
        ],
        rules=[ev.RuleCheck(rule=rule, broken=0) for rule in _RULES],
    )  # fmt: skip


if __name__ == "__main__":  # python tests/report/example.py FOLDER draws both faces, to be looked at
    import sys
    from pathlib import Path

    from privsynth.report import report

    folder = Path(sys.argv[1])
    report(evidence(), folder / "internal.html")
    report(evidence("release").public(), folder / "public.html")
    report(evidence("do_not_release"), folder / "stopped.html")
