"""Peers and their environments: python benchmarks/peers/setup.py FAMILY ... [--venvs ~/.cache/privsynth-peers]

Each family of peers (`dpmm`, `smartnoise`, ...) has one script, run_FAMILY.py, and one list of pinned packages,
FAMILY.txt, which is installed into a virtual environment of its own outside the repository. A list is whole (`pip
freeze`), so that nothing else comes along: torchvision, say, which mostlyai-engine names and does not use here, and
which does not load beside a torch without CUDA. A family without a list runs in the environment of this package.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENVS = Path.home() / ".cache" / "privsynth-peers"
PEERS = (
    "dpmm-aim", "dpmm-mst", "dpmm-privbayes", "smartnoise-mst", "smartnoise-dpctgan", "mostlyai-argn", "mbi-aim",
    "mbi-mst", "sdv-ctgan", "sdv-tvae",
)  # fmt: skip
WITHOUT_PRIVACY = frozenset({"sdv-ctgan", "sdv-tvae"})  # a reference, the same at every epsilon


def family(peer: str) -> str:
    """`dpmm-aim` -> `dpmm`."""
    return peer.rsplit("-", 1)[0]


def command(peer: str, venvs: Path) -> list[str]:
    """What runs this peer, up to its script and method's own arguments; makes its environment if need be."""
    return [str(python_of(family(peer), venvs)), str(HERE / f"run_{family(peer)}.py")]


def python_of(name: str, venvs: Path) -> Path:
    """The interpreter of a family's environment, made afresh where its list of packages has changed."""
    wanted = HERE / f"{name}.txt"
    if not wanted.exists():
        return Path(sys.executable)
    folder = venvs.expanduser() / name
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", wanted], check=True)
        stamp.write_text(wanted.read_text())
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("family", nargs="+", choices=sorted({family(peer) for peer in PEERS}))
    parser.add_argument("--venvs", type=Path, default=VENVS)
    arguments = parser.parse_args()
    for name in arguments.family:
        print(python_of(name, arguments.venvs))


if __name__ == "__main__":
    main()
