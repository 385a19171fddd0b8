"""Compiled kernels index without bounds. In numba's checked mode they have them: the small cases must hold there, too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CASES = ["tests/trainers/test_population.py", "tests/audit/test_kernels.py"]
LONG = [f"{CASES[0]}::test_samples_of_every_size[9001]"]
BEYOND = """
import kernels_in_order
import numpy as np
from privsynth.audit.kernels import vote
from privsynth.marginals.gibbs import Layout
rows, scale = np.zeros((3, 2), np.int32), np.int32(10)
for beyond in (
    lambda: Layout.of((3, 4), [(0, 1)]).count(np.array([[0, 400_000]], np.int32)),
    lambda: vote(rows, rows, np.full(3, 10_000_000, np.int32), 3, scale),
):
    try:
        beyond()
    except IndexError:
        print("told")
"""


def checked(folder: Path, *arguments: str) -> str:
    """What a new interpreter says in which kernels are compiled with bounds, into a folder of their own."""
    mode = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(folder), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=600, env=os.environ | mode, cwd=ROOT
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_mode_sees_a_code_beyond_its_table(tmp_path: Path) -> None:
    assert checked(tmp_path, "-c", BEYOND).split() == ["told", "told"]


@pytest.mark.slow
def test_no_kernel_leaves_its_arrays(tmp_path: Path) -> None:
    skipped = [f"--deselect={case}" for case in LONG]
    said = checked(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "kernels_in_order", *CASES, *skipped)
    passed = re.search(r"(\d+) passed", said)
    assert passed and int(passed[1]) > 25, said[-500:]
    assert list(tmp_path.rglob("*.nbi")), "kernels were compiled anew"
