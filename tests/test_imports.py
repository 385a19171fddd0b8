"""The rules of the house: who may import what, who may open private rows, how long a function may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "privsynth"
FILES = sorted(PACKAGE.rglob("*.py"))


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after a statement."""
    code = f"import sys\n{statement}\nprint('\\n'.join(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines())


@pytest.mark.parametrize(
    "modules",
    [
        "policy",
        "privacy.events",
        "privacy.accountant",
        "privacy.risk",
        "privacy.ledger",
        "policy.plan",
        "trainers",
        "errors",
        "evidence",
    ],
)
def test_light_rooms_import_no_torch(modules: str) -> None:
    found = loaded_by(f"import privsynth.{modules}")
    assert f"privsynth.{modules}" in found
    assert not found & {"torch", "opacus", "sdv", "altair", "faker", "sklearn"}


def test_help_and_check_stay_light(clinic_text: str, tmp_path: Path) -> None:
    start = (
        "from privsynth.cli import main\nsys.argv = ['privsynth', '--help']\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code"
    )
    found = loaded_by(start)
    assert "typer" in found and not found & {"torch", "pandas", "numpy", "pyarrow", "scipy", "sqlalchemy", "pydantic"}
    (tmp_path / "p.yaml").write_text(clinic_text)
    found = loaded_by(start.replace("'--help'", f"'check', {str(tmp_path / 'p.yaml')!r}, '--json'"))
    assert "numpy" in found and not found & {"torch", "opacus", "sdv", "altair", "faker", "pyarrow"}


def test_importing_privsynth_is_light() -> None:
    assert not loaded_by("import privsynth") & {"torch", "pandas", "numpy"}
    assert "privsynth.pipeline" in loaded_by("from privsynth import Policy, run, Synthesizer, audit, report")


def imports(path: Path) -> Iterator[str]:
    """privsynth modules that a file imports when it runs (what type checkers alone see does not count)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    seen = {id(inner) for block in typing for inner in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in seen:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path.name} imports relatively"
            if node.module == "privsynth":
                yield from (f"privsynth.{alias.name}" for alias in node.names)
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def rooms(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("privsynth.")}


def test_the_report_is_a_function_of_evidence() -> None:
    paths = sorted((PACKAGE / "report").glob("*.py"))
    assert len(paths) > 3
    for path in paths:
        assert rooms(path) <= {"policy", "evidence", "errors", "report"}, path.name
        assert not {"time", "random", "secrets", "uuid", "socket", "urllib.request"} & set(imports(path)), (
            f"{path.name}: no clock, no chance"
        )
    assert rooms(PACKAGE / "release.py") <= {"policy", "evidence", "errors", "report"}


def test_evidence_and_errors_stand_alone() -> None:
    assert rooms(PACKAGE / "evidence.py") == set() == rooms(PACKAGE / "errors.py")


def test_charts_come_from_the_report_alone() -> None:
    for path in FILES:
        if path.parent.name != "report":
            assert not {"altair", "vl_convert"} & {name.split(".")[0] for name in imports(path)}, path


MAY_OPEN = {"table.py", "codec.py", "assess.py"}  # assess.py hands them to audit and utility
ROOMS_THAT_OPEN = {"privacy", "trainers", "audit", "utility"}


def test_who_opens_private_rows() -> None:
    openers = set()
    for path in FILES:
        names = {n.id for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Name)}
        attributes = {
            n.attr for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Attribute)
        }
        if "open_rows" in names or attributes & {"_open", "_PrivateTable__rows"}:
            openers.add(str(path.relative_to(PACKAGE)))
    assert "assess.py" in openers, "the search finds what is there"
    strangers = {name for name in openers if name not in MAY_OPEN and name.split("/")[0] not in ROOMS_THAT_OPEN}
    assert strangers == set()


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(place, lines of the body without the docstring)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if body:
                yield (
                    f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}",
                    (body[-1].end_lineno or 0) - body[0].lineno + 1,
                )


def test_no_function_is_longer_than_sixty_lines() -> None:
    lengths = {place: length for path in FILES for place, length in functions(path)}
    assert len(lengths) > 300 and {place: n for place, n in lengths.items() if n > 60} == {}


def test_the_pipeline_fits_on_a_page() -> None:
    assert len((PACKAGE / "pipeline.py").read_text(encoding="utf-8").splitlines()) <= 160


def test_policy_errors_are_all_of_one_kind() -> None:
    """Nobody in the policy room raises anything else on purpose, but for validators, whose ValueError pydantic collects."""
    for path in (PACKAGE / "policy").glob("*.py"):
        raised = {
            ast.unparse(n.exc.func)
            for n in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(n, ast.Raise) and isinstance(n.exc, ast.Call)
        }
        assert raised <= {"PolicyError", "ValueError", "InputError", "Refused"}, path.name
