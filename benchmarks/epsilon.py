"""epsilon bounded from below: python benchmarks/epsilon.py [--part bounds coverage power canaries gradients] [--jax PYTHON]

bounds: of the Gaussian mechanism at epsilon = 1, 2, 4, 8, delta 1e-5, from one run with many canaries and from many runs, beside
those of jax_privacy 2.0.0 on the same scores. PYTHON: an interpreter of an environment of its own in which jax_privacy is
installed (`pip install jax_privacy==2.0.0`); without one its columns are left out. coverage: how often bounds lie above the truth,
of 1,000 seeded audits each. power: how often noise that is too small is found. canaries: mu measured beside mu claimed, for every
mechanism of the measuring stage. gradients: the same for DP-SGD. Each part writes its own section of results/epsilon.md.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import re
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy.special import ndtri

from privsynth.audit.canaries import Measured, audit_measuring
from privsynth.audit.epsilon import gaussian_epsilon, one_run, one_run_epsilon, one_run_mu
from privsynth.audit.planted import canary, kinds_of, neighbours
from privsynth.audit.worlds import epsilon_at, two_worlds, upper_rates
from privsynth.planning import make_plan
from privsynth.policy import Policy
from privsynth.privacy.accountant import gaussian_mu
from privsynth.simulate.loans import finance
from privsynth.simulate.patients import hospital

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "epsilon.md"
PARTS = ("bounds", "coverage", "power", "canaries", "gradients")
EPSILONS, DELTA, CONFIDENCE = (1.0, 2.0, 4.0, 8.0), 1e-5, 0.95
SIZES = (1_000, 10_000)  # canaries of one run, or runs of each world
AUDITS, COVERED = 1_000, 300
ROWS, PEOPLE = 2_000, 500  # of real and invented tables: noise does not depend on how many there are
BOUNDS = (
    "one run, any mechanism", "one run, mu-GDP", "many runs, any mechanism", "many runs, mu-GDP",
    "many runs, mu-GDP, threshold stated",
)  # fmt: skip
CANARIES = (
    "policy", "canary", "mechanism", "distance", "noise", "mu claimed", "mu measured", "measured / claimed", "at least",
    "epsilon at least", "broken",
)  # fmt: skip
MEASURED = (
    "`demo-hospital`: 500 invented patients, 4 chains of 250 answers in each world; `credit-default`: the first 2,000 rows, 4 "
    "chains of 100; policies of `policies/`. distance: of exact answers, in units of the stated sensitivity. noise: measured over "
    "stated deviation. mu measured: gap over spread along the canary, with its standard error. at least: lower bound of the game; "
    "all bounds of one canary hold together with 95 %."
)
GRADIENTS = (
    "500 invented loan applications; all of the trainer's budget on 20 steps of DP-SGD, everybody in each of them; 2,000 answers "
    "of each step in each world. mu measured of `vae`, and of runs with it: by the game, since its gradients vary with latent "
    "noise. epsilon at least: what the lower bound on mu means at delta = 1e-5."
)
ABSOLUTE = (
    "`epsilon_from_gdp` of jax_privacy takes the absolute value of Phi^-1(1 - fpr) - Phi^-1(fnr) at upper ends of both rates. "
    "Where that is negative, the upper ends allow everything, and its absolute value bounds nothing: hence figures above the "
    "truth. privsynth counts it as 0."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", default=list(PARTS))
    parser.add_argument("--jax", type=Path, help="a Python in whose environment jax_privacy is installed")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    arguments = parser.parse_args()
    for part in arguments.part:
        start = time.time()
        made = {"bounds": bounds, "coverage": coverage, "power": power, "canaries": canaries, "gradients": gradients}
        lines = made[part](arguments.jax if part in ("bounds", "coverage") else arguments.data)
        write(part, [*lines, "", f"({time.time() - start:.0f} s on a shared core)"])


def write(part: str, lines: list[str]) -> None:
    """Puts a part's section in place of the one that is there."""
    there = RESULTS.read_text() if RESULTS.exists() else ""
    sections = dict(re.findall(r"^## (\w+)\n\n(.*?)\n(?=## |\Z)", there, re.MULTILINE | re.DOTALL))
    sections[part] = "\n".join(lines) + "\n"
    head = (
        "Made by `python benchmarks/epsilon.py --jax PYTHON`, a part at a time; what each bound proves: "
        "docs/design/epsilon-from-below.md.\n\n"
    )
    order = [name for name in PARTS if name in sections]
    RESULTS.write_text(head + "\n".join(f"## {name}\n\n{sections[name]}" for name in order))
    print("\n".join(lines), flush=True)


# --- bounds -----------------------------------------------------------------------------------------------------------


def scores_of_one_run(mu: float, m: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(scores, coins): the Gaussian mechanism on m canaries that do not touch each other."""
    rng = np.random.default_rng(seed)
    included = rng.random(m) < 0.5
    return rng.normal(size=m) + mu * included, included


def scores_of_worlds(mu: float, runs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihood ratios of the Gaussian mechanism, without the canary and with it."""
    rng = np.random.default_rng(seed)
    return mu * rng.normal(size=runs) - mu**2 / 2, mu * rng.normal(size=runs) + mu**2 / 2


def bounds(jax: Path | None) -> list[str]:
    cases = {}
    for epsilon in EPSILONS:
        mu = gaussian_mu(epsilon, DELTA)
        for size in SIZES:
            cases[f"one/{epsilon:g}/{size}"] = scores_of_one_run(mu, size, 1)
            cases[f"many/{epsilon:g}/{size}"] = scores_of_worlds(mu, size, 1)
    theirs = by_jax(jax, cases) if jax else {}
    lines = [
        "Lower bounds on epsilon at delta = 1e-5 and 95 % confidence of the Gaussian mechanism, one seeded audit a cell: "
        "privsynth / jax_privacy 2.0.0, each with its own choice of thresholds. Those of privsynth are fixed beforehand; those of "
        'jax_privacy are corners of the convex hull of the curve of the very scores, and its one run guesses "in" alone.',
        "", f"| epsilon | scores | {' | '.join(BOUNDS)} |", f"|---|---|{'---|' * len(BOUNDS)}",
    ]  # fmt: skip
    for epsilon in EPSILONS:
        for size in SIZES:
            one, many = f"one/{epsilon:g}/{size}", f"many/{epsilon:g}/{size}"
            single, worlds = one_run(*cases[one], DELTA), two_worlds(*cases[many], DELTA)
            stated = two_worlds(*cases[many], DELTA, threshold=0.0).epsilon_of_mu
            them = theirs.get(one, {}), theirs.get(many, {})
            lines.append(
                f"| {epsilon:g} | {size:,} | {beside(single.epsilon, them[0].get('one_run'))} | "
                f"{beside(single.epsilon_of_mu, them[0].get('one_run_fdp'))} | "
                f"{beside(worlds.epsilon, them[1].get('clopper_pearson'))} | "
                f"{beside(worlds.epsilon_of_mu, them[1].get('gdp'))} | {stated:.3f} |"
            )
    if theirs:
        off = {name: differences(*cases[name], found) for name, found in theirs.items()}
        largest = {what: max(each[what] for each in off.values()) for what in next(iter(off.values()))}
        lines += [
            "", "Largest differences at the same guesses, five thresholds a case, and for mu-GDP over many runs at all thresholds "
            f"of jax_privacy with its absolute value: {', '.join(f'{what} {most:.1e}' for what, most in largest.items())}.",
            "", ABSOLUTE,
        ]  # fmt: skip
    return lines


def beside(ours: float, theirs: float | None) -> str:
    return f"{ours:.3f}" if theirs is None else f"{ours:.3f} / {theirs:.3f}"


def split(name: str, one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(scores without the canary, with it)"""
    return (one[~other], one[other]) if name.startswith("one") else (one, other)


def thresholds(without: np.ndarray, with_canary: np.ndarray) -> np.ndarray:
    return np.quantile(np.concatenate([without, with_canary]), [0.3, 0.5, 0.8, 0.95, 0.99])


def by_jax(python: Path, cases: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, dict]:
    arrays = {}
    for name, case in cases.items():
        without, with_canary = split(name, *case)
        arrays |= {f"{name}/in": with_canary, f"{name}/out": without, f"{name}/at": thresholds(without, with_canary)}
    return called(python, arrays)


def called(python: Path, arrays: dict[str, np.ndarray]) -> dict[str, dict]:
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "cases.npz", **arrays)
        command = [str(python), str(HERE / "peers" / "run_jax_privacy.py"), str(Path(folder) / "cases.npz")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def differences(one: np.ndarray, other: np.ndarray, theirs: dict) -> dict[str, float]:
    """Largest differences of each bound where both make the same guesses. jax_privacy counts a score at a threshold as above."""
    without, with_canary = split("one" if other.dtype == bool else "many", one, other)
    m, found = len(without) + len(with_canary), {"one run": 0.0, "one run, mu-GDP": 0.0, "many runs": 0.0}
    for threshold, (epsilon, by_mu, worlds) in zip(thresholds(without, with_canary), theirs["at"], strict=True):
        right = int((with_canary >= threshold).sum())
        guesses = right + int((without >= threshold).sum())
        rates = upper_rates(without, with_canary, np.nextafter([threshold], -np.inf), 1 - CONFIDENCE)
        ours = (
            one_run_epsilon(m, guesses, right, DELTA), gaussian_epsilon(one_run_mu(m, guesses, right), DELTA),
            float(epsilon_at(*rates, DELTA)[0]),
        )  # fmt: skip
        for name, mine, his in zip(found, ours, (epsilon, by_mu, worlds), strict=True):
            found[name] = max(found[name], abs(mine - his))
    every = np.nextafter(np.array(theirs["thresholds"]), -np.inf)
    fpr, fnr = upper_rates(without, with_canary, every, (1 - CONFIDENCE) / len(every))
    told = np.maximum(fpr, fnr) < 1 - DELTA
    mu = float(np.abs(-ndtri(fpr[told]) - ndtri(fnr[told])).max())
    return found | {"many runs, mu-GDP": abs(gaussian_epsilon(mu, DELTA) - theirs["gdp"])}


# --- coverage ---------------------------------------------------------------------------------------------------------


def coverage(jax: Path | None) -> list[str]:
    names = BOUNDS + (("jax_privacy: many runs, any mechanism", "jax_privacy: many runs, mu-GDP") if jax else ())
    lines = [
        f"Share of {AUDITS:,} seeded audits whose bound lies at or below the truth, of a Gaussian mechanism; promised: 95 %. In "
        f"brackets: the mean bound, as epsilon at delta = 1e-5. One run: {COVERED} canaries; many runs: {COVERED} in each world.",
        "", f"| epsilon | {' | '.join(names)} |", f"|---|{'---|' * len(names)}",
    ]  # fmt: skip
    for epsilon in EPSILONS:
        mu = gaussian_mu(epsilon, DELTA)
        found, cases = [], [scores_of_worlds(mu, COVERED, seed) for seed in range(AUDITS)]
        for seed, case in enumerate(cases):
            single = one_run(*scores_of_one_run(mu, COVERED, seed), DELTA)
            worlds, stated = two_worlds(*case, DELTA), two_worlds(*case, DELTA, threshold=0.0)
            found.append(
                (single.epsilon, single.epsilon_of_mu, worlds.epsilon, worlds.epsilon_of_mu, stated.epsilon_of_mu)
            )
        every = [np.array(column) for column in zip(*found, strict=True)]
        if jax:
            out, inside = (np.array([case[world] for case in cases]) for world in (0, 1))
            theirs = called(jax, {"many/in": inside, "many/out": out})["many"]
            every += [np.array(theirs[name]) for name in ("clopper_pearson", "gdp")]
        cells = (f"{100 * (column <= epsilon).mean():.1f} % ({column.mean():.2f})" for column in every)
        lines.append(f"| {epsilon:g} | {' | '.join(cells)} |")
    return lines


# --- power ------------------------------------------------------------------------------------------------------------


def power(_: Path) -> list[str]:
    """How often the game calls a Gaussian mechanism broken whose noise is smaller than stated."""
    lines = [
        f"Share of {AUDITS:,} seeded audits in which the lower bound on mu (threshold 0, 95 %) is above the claim, by how many "
        "times the noise is too small, runs in each world, and the epsilon claimed at delta = 1e-5. Once: a sound mechanism.",
        "", "| runs in each world | noise too small by | " + " | ".join(f"epsilon = {e:g}" for e in EPSILONS) + " |",
        "|---|---|" + "---|" * len(EPSILONS),
    ]  # fmt: skip
    for runs in (50, 100, 300, 1000, 3000):
        for factor in (1.0, 1.5, 2.0):
            cells = (f"{100 * caught(gaussian_mu(epsilon, DELTA), factor, runs):.1f} %" for epsilon in EPSILONS)
            lines.append(f"| {runs:,} | {factor:g} | {' | '.join(cells)} |")
    return lines


def caught(claimed: float, factor: float, runs: int) -> float:
    rng, found = np.random.default_rng(runs), 0
    for _ in range(AUDITS):
        noise = claimed / factor * rng.normal(size=(2, runs))
        found += two_worlds(noise[0] - claimed**2 / 2, noise[1] + claimed**2 / 2, DELTA, threshold=0.0).mu > claimed
    return found / AUDITS


# --- canaries ---------------------------------------------------------------------------------------------------------


def canaries(data: Path) -> list[str]:
    """Every kind of canary on invented patients, and one on a real table."""
    lines = [MEASURED, "", f"| {' | '.join(CANARIES)} |", "|---" * len(CANARIES) + "|"]
    policy = changed("demo-hospital", {})
    frame = written(hospital(PEOPLE))
    for kind in kinds_of(policy):
        lines += heard("demo-hospital", policy, frame, kind, 4, 250)
    credit = pd.read_csv(data / "credit_default.csv.gz", dtype=str, keep_default_na=False, nrows=ROWS)
    policy = changed("credit-default", {"dataset": {"rows": ROWS}, "trainer": {"name": "marginals"}})
    return lines + heard("credit-default", policy, credit, "rare", 4, 100)


def gradients(_: Path) -> list[str]:
    """DP-SGD alone, with every unit in every step: one fit, whose steps each answer often."""
    lines = [GRADIENTS, "", f"| {' | '.join(CANARIES)} |", "|---" * len(CANARIES) + "|"]
    frame = written(finance(PEOPLE))
    for trainer in ("ctgan", "vae"):
        for epsilon in (4.0, 8.0):
            options = {"anchor": 0, "steps": 20, "hidden": 8, "latent": 4, "sampling_rate": 1.0, "max_grad_norm": 0.1}
            changes = {
                "dataset": {"rows": PEOPLE}, "budget": {"epsilon": epsilon, "delta": DELTA},
                "trainer": {"name": trainer, "options": options},
            }  # fmt: skip
            policy = changed("demo-finance", changes)
            lines += heard(f"demo-finance, {trainer}, epsilon = {epsilon:g}", policy, frame, "extreme", 1, 2000)
    return lines


def changed(name: str, changes: dict[str, dict]) -> Policy:
    """A policy of `policies/` with some keys of its sections changed."""
    document = yaml.safe_load((HERE.parent / "policies" / f"{name}.yaml").read_text())
    for section, keys in changes.items():
        document[section] = (document.get(section) or {}) | keys
    return Policy.from_text(yaml.safe_dump(document, sort_keys=False))


def written(frame: pd.DataFrame) -> pd.DataFrame:
    """A table as it is read from a CSV: all text."""
    return pd.read_csv(io.StringIO(frame.to_csv(index=False)), dtype=str, keep_default_na=False)


def heard(name: str, policy: Policy, frame: pd.DataFrame, kind: str, chains: int, draws: int) -> list[str]:
    start, plan = time.time(), make_plan(policy)
    found = audit_measuring(policy, plan, neighbours(policy, frame, canary(policy, frame, kind)), chains, draws)
    lines = [row(name, kind, measured) for measured in found]
    print(*lines, f"{time.time() - start:.0f} s", sep="\n", flush=True)
    return lines


def row(policy: str, kind: str, found: Measured) -> str:
    def shown(value: float, digits: int) -> str:
        return "" if math.isnan(value) else f"{value:.{digits}f}"

    cells = (
        policy, kind, found.name, shown(found.distance, 4), shown(found.noise, 4), f"{found.claimed:.3f}",
        f"{found.mu:.3f} ± {found.error:.3f}", f"{found.mu / found.claimed:.3f}", f"{found.worlds.mu:.3f}",
        f"{found.worlds.epsilon_of_mu:.2f}", "yes" if found.broken else "no",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
