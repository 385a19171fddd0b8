"""Compiled kernels index without bounds. In numba's checked mode they have them: the small cases must hold there, too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CASES = ["tests/trainers/test_population.py", "tests/audit/test_kernels.py"]
LONG = [f"{CASES[0]}::test_samples_of_every_size[9001]"]
BEYOND = """
import numpy as np
from privsynth.trainers.gibbs import Layout
layout = Layout.of((3, 4), [(0, 1)])
try:
    layout.count(np.array([[0, 400_000]], np.int32))
except IndexError:
    print("told")
"""


def checked(folder: Path, *arguments: str) -> str:
    """What a new interpreter says in which kernels are compiled with bounds, into a folder of their own."""
    mode = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=600, env=os.environ | mode, cwd=ROOT
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_mode_sees_a_code_beyond_its_table(tmp_path: Path) -> None:
    assert checked(tmp_path, "-c", BEYOND).strip() == "told"


@pytest.mark.slow
def test_no_kernel_leaves_its_arrays(tmp_path: Path) -> None:
    skipped = [f"--deselect={case}" for case in LONG]
    said = checked(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CASES, *skipped)
    passed = re.search(r"(\d+) passed", said)
    assert passed and int(passed[1]) > 25, said[-500:]
    assert list(tmp_path.rglob("*.nbi")), "kernels were compiled anew"
