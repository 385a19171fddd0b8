"""NIST's excerpts of the American Community Survey, with and without rules: python benchmarks/nist.py [--table ma national]

`auto` learns the 24 columns of one excerpt and gives as many rows as it has; delta = 1e-5. Policies are those of
../shared/bench/nist; with rules, `constraints` state what NIST's dictionary and SDNist's checks print, and two CSVs are put
beside them: the density of each PUMA, the sector of each industry. Figures:
    k-marginal     0 to 1000: mean over pairs of columns of (2 - L1 distance) * 500, within each PUMA; PUMA and INDP are left
                   out, AGEP, PINCP, POVPIP, PWGTP and WGTP are in 20 bins of equal shares of real rows. After SDNist's formula
                   (../shared/bench/nist/README.md), but with bins of our own, so some points off its report
    broken         rows of 1,000 that break one of SDNist's rules, which have no row of the real table
    broken_stated  rows of 1,000 that break those or one more that the policy with rules states
Each run adds a row to results/nist.jsonl, and runs that stand there are not repeated; results/nist.md is written from all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from runs import HERE, SHARED, Row, Runs, circumstances, in_own_process, peak_mb

RUNS = Runs(HERE / "results" / "nist.jsonl", key=("table", "rules", "epsilon", "repeat", "note"), earlier={"note": ""})
TABLES = {"ma": "ma2019", "national": "national2019"}
FIGURES = ("k_marginal", "broken", "broken_stated")
NUMBERS = ("AGEP", "PINCP", "POVPIP", "PWGTP", "WGTP")
BINS = 20
NOT_SCORED = {"PUMA", "INDP"}
WORKING = ("MSP", "PINCP", "PINCP_DECILE", "EDU", "DPHY", "DREM")  # known of everybody above 15
SECTORS = (  # upper ends of the ranges of codes in INDP that the Census Bureau gives to one sector, INDP_CAT 0 to 18
    290, 490, 690, 770, 3990, 4590, 5790, 6390, 6780, 7190, 7790, 7890, 8290, 8470, 8690, 9290, 9590, 9870, 9920,
)  # fmt: skip
RULES = """
- {inequality: [NOC, "<", NPF], note: a family is larger than its number of children}
- {when: {AGEP: "<15"}, then: {DVET: missing, MSP: missing, PINCP: missing, INDP: missing}, note: asked from 15 on}
- {when: {AGEP: ">15"}, then: {MSP: present, PINCP: present, EDU: present, DPHY: present, DREM: present}}
- {when: {EDU: "12"}, then: {AGEP: ">=15"}, note: no doctorates of children}
- {when: {EDU: ["5", "6", "7", "8", "9", "10", "11", "12"]}, then: {AGEP: ">=5"}, note: no diplomas of toddlers}
- {when: {AGEP: "<3"}, then: {EDU: missing}, note: asked from 3 on}
- {when: {AGEP: "<5"}, then: {DPHY: missing, DREM: missing}, note: asked from 5 on}
- {when: {HOUSING_TYPE: ["2", "3"]}, then: {OWN_RENT: "0", NPF: missing, NOC: missing, WGTP: 0}, note: group quarters}
- {when: {HOUSING_TYPE: "1"}, then: {OWN_RENT: ["1", "2"], NOC: present, WGTP: ">0"}, note: housing units}
- {when: {HOUSING_TYPE: "2"}, then: {POVPIP: missing}, note: no poverty status in institutions}
- {together: [PINCP, PINCP_DECILE]}
- {when: {NOC: ">0"}, then: {NPF: present}, note: a child of one's own makes a family}
- {when: {MSP: "1"}, then: {NPF: present}, note: a spouse who is present makes a family}
- {combinations: [PUMA, DENSITY], file: puma_density.csv, note: as the Census Bureau prints them}
- {combinations: [INDP, INDP_CAT], file: indp_cat.csv, note: ranges of industry codes}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", nargs="+", default=["ma"], choices=TABLES)
    parser.add_argument("--rules", nargs="+", default=["none", "stated"], choices=["none", "stated"])
    parser.add_argument("--epsilon", nargs="+", type=float, default=[1.0, 10.0])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--note", default="", help="a word on the package or the machine, kept with each run")
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--splits", help=argparse.SUPPRESS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(json.loads(asked.one), asked.shared)))
        return
    jobs = (
        {"table": table, "rules": rules, "epsilon": epsilon, "repeat": repeat, "note": asked.note}
        for repeat in range(asked.repeats) for table in asked.table for epsilon in asked.epsilon for rules in asked.rules
    )  # fmt: skip
    for job in RUNS.missing(jobs):
        RUNS.add(in_own_process(__file__, job, asked.shared, HERE) | circumstances(asked.note))
        write()
    write()


def one(job: Row, shared: Path) -> Row:
    """Trains, samples and compares once."""
    from privsynth import Policy, fit

    name = TABLES[job["table"]]
    source = shared.parent / "data" / f"nist_{name}.csv.gz"
    real = pd.read_csv(source, dtype=str, keep_default_na=False)
    public = yaml.safe_load((shared / "nist" / f"{name}.all.yaml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        policy = Policy.load(written(public, job, Path(folder)))
        start = time.process_time()
        synthesizer = fit(policy, real, ledger="sqlite://")
        fitted = time.process_time()
        made = synthesizer.sample(len(real))
    seconds = {"fit_s": fitted - start, "sample_s": time.process_time() - fitted}
    assert not any(breaks(real).values()), "a row of the real table breaks a rule"
    made = made.astype(object).where(made.notna(), "N").astype(str)  # columns without missing values come as numbers
    figures = {"k_marginal": k_marginal(real, made), **broken(made, public)}
    return job | {k: round(v, 1) for k, v in (figures | seconds).items()} | {"peak_mb": peak_mb()}


def written(public: dict[str, Any], job: Row, folder: Path) -> Path:
    """The policy of a run in a file, with the CSVs that it names beside it."""
    policy = public | {"budget": public["budget"] | {"epsilon": job["epsilon"]}}
    if job["rules"] == "stated":
        policy["constraints"] = yaml.safe_load(RULES)
    densities, sectors = pairs_of(public)
    (folder / "puma_density.csv").write_text("PUMA,DENSITY\n" + "".join(f"{a},{b}\n" for a, b in densities))
    (folder / "indp_cat.csv").write_text("INDP,INDP_CAT\n,\n" + "".join(f"{a},{b}\n" for a, b in sectors))
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")
    return path


def pairs_of(public: dict[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """((PUMA, its density), (industry, its sector)): the policy lists densities in the order of PUMAs."""
    listed = {name: column.get("categories", []) for name, column in public["columns"].items()}
    densities = list(zip(listed["PUMA"], listed["DENSITY"], strict=True))
    return densities, [(code, str(int(np.searchsorted(SECTORS, int(code))))) for code in listed["INDP"]]


# --- rules, read off a table of text ----------------------------------------------------------------------------------


def breaks(table: pd.DataFrame) -> dict[str, Any]:
    """{rule: number of rows that break it}"""
    return {name: int(rows.sum()) for name, rows in sdnist(table).items()}


def sdnist(table: pd.DataFrame) -> dict[str, Any]:
    """{rule: (rows,) True where it is broken}, as SDNist prints them."""
    number = {name: pd.to_numeric(table[name], errors="coerce") for name in ("AGEP", "EDU", "NOC", "NPF", "OWN_RENT")}
    age, there = number["AGEP"], lambda name: ~lacking(table, name)
    grouped = table["HOUSING_TYPE"] != "1"
    asked_from_15 = ("DVET", "MSP", "PINCP", "PINCP_DECILE", "INDP", "INDP_CAT")
    return {
        **{f"{name} of a child": (age < 15) & there(name) for name in asked_from_15},
        **{f"{name} of a toddler": (age < 5) & there(name) for name in ("DPHY", "DREM")},
        **{f"no {name} above 15": (age > 15) & lacking(table, name) for name in WORKING},
        "doctorate of a child": (age < 15) & (number["EDU"] == 12),
        "diploma of a toddler": (age < 5) & (number["EDU"] >= 5),
        "schooling of an infant": (age < 3) & there("EDU"),
        "industry without sector": lacking(table, "INDP") != lacking(table, "INDP_CAT"),
        "children but no parent": number["NOC"] >= number["NPF"],
        "family in group quarters": grouped & (there("NOC") | there("NPF")),
        "group quarters owned": grouped & (number["OWN_RENT"] > 0),
        "house without NOC": ~grouped & lacking(table, "NOC"),
        "house neither owned nor rented": ~grouped & (number["OWN_RENT"] == 0),
    }


def further(table: pd.DataFrame, public: dict[str, Any]) -> dict[str, Any]:
    """What the policy states besides."""
    weight = pd.to_numeric(table["WGTP"])
    densities, sectors = pairs_of(public)
    return {
        "density of another PUMA": ~_pairs(table, "PUMA", "DENSITY").isin(densities),
        "another sector": ~_pairs(table, "INDP", "INDP_CAT").isin([*sectors, ("N", "N")]),
        "weight of group quarters": (table["HOUSING_TYPE"] == "1") == (weight == 0),
        "poverty in institutions": (table["HOUSING_TYPE"] == "2") & ~lacking(table, "POVPIP"),
        "income without decile": lacking(table, "PINCP") != lacking(table, "PINCP_DECILE"),
        "child but no family": (pd.to_numeric(table["NOC"], errors="coerce") > 0) & lacking(table, "NPF"),
        "spouse but no family": (table["MSP"] == "1") & lacking(table, "NPF"),
    }


def lacking(table: pd.DataFrame, name: str) -> Any:
    return table[name].isna() | table[name].isin(["N", ""])


def _pairs(table: pd.DataFrame, a: str, b: str) -> pd.Series[Any]:
    return pd.Series(list(zip(table[a].fillna("N"), table[b].fillna("N"), strict=True)), table.index)


def broken(made: pd.DataFrame, public: dict[str, Any]) -> dict[str, float]:
    own = np.any(list(sdnist(made).values()), axis=0)
    more = own | np.any(list(further(made, public).values()), axis=0)
    return {"broken": 1000 * float(own.mean()), "broken_stated": 1000 * float(more.mean())}


# --- k-marginal -------------------------------------------------------------------------------------------------------


def k_marginal(real: pd.DataFrame, made: pd.DataFrame) -> float:
    """Within a PUMA each distance is at most 2, that of tables without a row in common; PUMAs weigh as many as rows they have."""
    columns = [name for name in real if name not in NOT_SCORED]
    one, two = binned(real, real), binned(made, real)
    places = one["PUMA"].value_counts(normalize=True)
    distances = []
    for a, b in combinations(columns, 2):
        here, there = (t.groupby(["PUMA", a, b]).size() / len(t) for t in (one, two))
        apart = here.subtract(there, fill_value=0).abs().groupby(level=0).sum()
        distances.append(float(np.minimum(apart.reindex(places.index), 2 * places).sum()))
    return (2 - statistics.fmean(distances)) * 500


def binned(table: pd.DataFrame, real: pd.DataFrame) -> pd.DataFrame:
    """As text, numbers by the quantiles of the real ones."""
    found = table.fillna("N").astype(str).replace("", "N")
    for name in NUMBERS:
        ends = pd.to_numeric(real[name], errors="coerce").dropna().quantile(np.linspace(0, 1, BINS + 1)).unique()
        values = pd.to_numeric(found[name], errors="coerce")
        place = np.clip(np.searchsorted(ends, values, "right"), 1, len(ends) - 1)
        found[name] = np.where(values.isna(), "N", place.astype(str))
    return found


def write() -> None:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in RUNS:
        groups.setdefault((row["table"], row["epsilon"], row["rules"], row["note"]), []).append(row)
    lines = [
        "Made by `python benchmarks/nist.py --table ma national`; medians over repeats. *k-marginal*: 0 to 1000, more is better,",
        "by a scorer of this repository that is within some points of SDNist's own. *Broken*: rows of 1,000 that break one of",
        "SDNist's rules, and those or one more that the policy with rules states (real rows: 0 of SDNist's). Best published DP",
        "scores by SDNist: 717 and 876 for MA, 847 and 781 for National, at epsilon 1 and 10. Seconds of one processor.", "",
        "| table | epsilon | rules | code | runs | k-marginal | broken | broken of all stated | fit s | sample s | peak MB |",
        "|" + "---|" * 11,
    ]  # fmt: skip
    for (table, epsilon, rules, note), runs in sorted(groups.items()):
        middle = {k: statistics.median(row[k] for row in runs) for k in (*FIGURES, "fit_s", "sample_s", "peak_mb")}
        code = f"{note} ({runs[-1]['commit']})" if note else runs[-1]["commit"]
        cells = [table, f"{epsilon:g}", rules, code, str(len(runs)), *(f"{middle[k]:.1f}" for k in FIGURES)]
        cells += [f"{middle[k]:.0f}" for k in ("fit_s", "sample_s", "peak_mb")]
        lines.append("| " + " | ".join(cells) + " |")
    (HERE / "results" / "nist.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
