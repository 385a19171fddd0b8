"""The rules of the house: who may import what, who may touch private rows, how long a function may be."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "privsynth"
FILES = sorted(PACKAGE.rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


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
        "privacy.plan",
        "ledger.ledger",
        "planning",
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
    assert not loaded_by("import privsynth.trainers") & {"torch", "pandas", "numpy"}
    assert "privsynth.pipeline" in loaded_by("from privsynth import Policy, run, Synthesizer, audit, report")


def imports(path: Path) -> Iterator[str]:
    """Everything that a file imports: when it is loaded, later inside of a function, or for the type checker alone."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path.name} imports relatively"
            yield node.module
            if node.module.startswith("privsynth"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def rooms(path: Path) -> set[str]:
    """Rooms that a file imports: packages and single modules below `privsynth`."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("privsynth.")}


# --- the order of rooms -----------------------------------------------------------------------------------------------

ORDER = [
    {"errors", "evidence", "frameworks", "progress", "parallel", "loading"},  # the ground
    {"privacy"},
    {"ledger", "policy"},  # neither knows the other
    {"table"},
    {"encoding"},
    {"marginals"},
    {"trainers"},
    {"sampling", "planning"},
    {"audit", "utility", "assess", "simulate", "doctor"},
    {"report", "release"},
    {"pipeline"},
    {"cli", "demo"},
]
BESIDE = {
    ("assess", "audit"),
    ("assess", "utility"),
    ("release", "report"),
    ("cli", "demo"),
}  # in one line of the order
ONLY_HERE = {"ledger": {"ledger", "pipeline", "cli", "assess"}}  # who may import a room


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def modules_of(path: Path) -> set[str]:
    """The modules of this package that a file imports, with the packages that are loaded on the way to them."""
    found = set()
    for name in imports(path):
        while name not in MODULES and name:
            name = name.rpartition(".")[0]
        while name:
            found.add(name)
            name = name.rpartition(".")[0]
    return found & set(MODULES)


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other."""
    reached = {name: set(to) for name, to in arrows.items()}
    grows = True
    while grows:
        longer = {name: to.union(*(reached[other] for other in to)) for name, to in reached.items()}
        grows, reached = longer != reached, longer
    return sorted(
        {tuple(sorted(other for other in to if name in reached[other])) for name, to in reached.items() if name in to}
    )


def test_no_module_reaches_itself() -> None:
    """Type-only and late imports and parent packages count; a package's own __init__ is loaded before its modules anyway."""
    parents = {
        name: {name.rsplit(".", n)[0] for n in range(1, name.count(".") + 1)} | {"privsynth"} for name in MODULES
    }
    arrows = {name: modules_of(path) - parents[name] - {name} for name, path in MODULES.items()}
    arrows["privsynth"] = set()  # the front door names what it opens late
    assert len(arrows) > 90 and circles(arrows) == []
    arrows["privsynth.policy.load"].add("privsynth.trainers")
    assert len(circles(arrows)) == 1, "a circle would be found"


def test_rooms_import_from_below_alone(capsys: pytest.CaptureFixture[str]) -> None:
    height = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}
    wrong = set()
    for path in FILES:
        room = room_of(path)
        if room == "__init__":
            continue
        for other in rooms(path) & set(height) - {room}:
            if height[other] >= height[room] and (room, other) not in BESIDE:
                wrong.add(f"{path.relative_to(PACKAGE)} imports {other}")
            if room not in ONLY_HERE.get(other, {room}):
                wrong.add(f"{path.relative_to(PACKAGE)} imports {other}, which is for {sorted(ONLY_HERE[other])}")
    assert {room_of(path) for path in FILES} - {"__init__"} == set(height)
    with capsys.disabled():
        print("\nrooms, lowest first: " + " < ".join(", ".join(sorted(floor)) for floor in ORDER))
    assert wrong == set()


def test_the_report_is_a_function_of_evidence() -> None:
    paths = sorted((PACKAGE / "report").glob("*.py"))
    assert len(paths) > 3
    for path in paths:
        assert rooms(path) <= {"evidence", "errors", "frameworks", "report"}, path.name
        assert not {"time", "random", "secrets", "uuid", "socket", "urllib.request"} & set(imports(path)), (
            f"{path.name}: no clock, no chance"
        )
    assert rooms(PACKAGE / "release.py") <= {"evidence", "errors", "report", "sampling"}


def test_evidence_and_errors_stand_alone() -> None:
    assert rooms(PACKAGE / "evidence.py") == set() == rooms(PACKAGE / "errors.py")


def test_charts_come_from_the_report_alone() -> None:
    for path in FILES:
        if path.parent.name != "report":
            assert not {"altair", "vl_convert"} & {name.split(".")[0] for name in imports(path)}, path


# --- the fence: who may touch private rows ------------------------------------------------------------------------------

# A name, and the only files that may speak it: as a name, an attribute, an import, or text for `getattr`.
GATES = {
    "_FENCED": {"table/private.py"},
    "open_rows": {"table/private.py", "assess.py"},
    "finish_learning": {"ledger/ledger.py", "pipeline.py"},
}
STEPS = {"query", "answer", "joining"}  # steps of a mechanism that see rows
OF_DATABASES = {"ledger/database.py", "policy/formats.py", "table/formats/database.py"}  # there a query is one in SQL
PRIVACY = {str(path.relative_to(PACKAGE)) for path in FILES if path.is_relative_to(PACKAGE / "privacy")}
HOMES = {name for name in PRIVACY if name.startswith("privacy/mechanisms/")}  # of mechanisms


@cache
def texts(tree: ast.Module) -> set[str]:
    """Strings that a call is given, such as `getattr`: the last part of dotted names."""
    given = [argument for n in ast.walk(tree) if isinstance(n, ast.Call) for argument in n.args]
    return {a.value.rpartition(".")[2] for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)}


@cache
def attributes(tree: ast.Module) -> set[str]:
    return {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}


@cache
def spoken(tree: ast.Module) -> set[str]:
    """Every name in a file, as whatever it stands there."""
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    imported = {n.name.rpartition(".")[2] for n in ast.walk(tree) if isinstance(n, ast.alias)}
    defined = {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    return names | imported | defined | attributes(tree) | texts(tree)


@cache
def bases(tree: ast.Module) -> dict[str, set[str]]:
    """Every class in a file, inner ones too, with the names of its bases, whatever they were imported as."""
    meant = {n.asname: n.name for n in ast.walk(tree) if isinstance(n, ast.alias) and n.asname}
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            plain = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
            names = {base.id if isinstance(base, ast.Name) else getattr(base, "attr", "") for base in plain}
            found.setdefault(node.name, set()).update(meant.get(name, name) for name in names)
    return found


def mechanism_classes(trees: dict[str, ast.Module]) -> set[tuple[str, str]]:
    """(file, class) of all that derives from Mechanism, by however many steps."""
    classes = {(file, name): found for file, tree in trees.items() for name, found in bases(tree).items()}
    derived, grown = {"Mechanism"}, set[str]()
    while derived != grown:
        grown = derived
        derived = grown | {name for (_, name), found in classes.items() if found & grown}
    return {(file, name) for (file, name), found in classes.items() if found & derived}


def trespassers(trees: dict[str, ast.Module]) -> set[str]:
    """Files that touch private rows and may not, and by what."""
    found = set()
    for file, tree in trees.items():
        found |= {f"{file}: {name}" for name, homes in GATES.items() if file not in homes and name in spoken(tree)}
        if file not in PRIVACY | {"table/private.py"} | OF_DATABASES:
            found |= {f"{file}: .{name}" for name in (attributes(tree) | texts(tree)) & STEPS}
    return found | {f"{file}: class {name}" for file, name in mechanism_classes(trees) if file not in HOMES}


def package() -> dict[str, ast.Module]:
    return {str(path.relative_to(PACKAGE)): tree_of(path) for path in FILES}


def test_who_touches_private_rows() -> None:
    assert trespassers(package()) == set()


def test_the_search_finds_what_is_there() -> None:
    trees = package()
    for name, homes in GATES.items():
        assert {file for file, tree in trees.items() if name in spoken(tree)} == homes
    steps = {name: {file for file, tree in trees.items() if name in attributes(tree)} for name in STEPS}
    assert "table/private.py" in steps["answer"]
    assert "privacy/mechanisms/dpsgd.py" in steps["query"] & steps["joining"]
    found = mechanism_classes(trees)
    assert {file for file, _ in found} == HOMES - {"privacy/mechanisms/__init__.py", "privacy/mechanisms/base.py"}
    assert {"Counts", "RowCount", "OpenCategories", "DPSGD"} <= {name for _, name in found}


ROGUES = {
    "from privsynth.table.private import open_rows as peek": "trainers/new.py: open_rows",
    "import privsynth.table.private as t\nt._FENCED[x]": "trainers/new.py: _FENCED",
    "getattr(t, '_FENCED')": "trainers/new.py: _FENCED",
    "import_module('privsynth.table.private.open_rows')": "trainers/new.py: open_rows",
    "run.finish_learning()": "trainers/new.py: finish_learning",
    "mechanism.query(rows)": "trainers/new.py: .query",
    "look = mechanism.answer": "trainers/new.py: .answer",
    "getattr(mechanism, 'query')(rows)": "trainers/new.py: .query",
    "dpsgd.joining(rows, r)": "trainers/new.py: .joining",
    "class Mine(Mechanism[int, int, int]): ...": "trainers/new.py: class Mine",
    "class Mine(base.Mechanism): ...": "trainers/new.py: class Mine",
    "class Mine(counts.Counts): ...": "trainers/new.py: class Mine",
    "class Mine(OpenCategories): ...": "trainers/new.py: class Mine",
    "from x import DPSGD as D\ndef f():\n    class Mine(D): ...": "trainers/new.py: class Mine",
    "class One(RowCount): ...\nclass Mine(One): ...": "trainers/new.py: class Mine",
}


@pytest.mark.parametrize("source", list(ROGUES))
def test_a_rogue_module_is_found(source: str) -> None:
    assert ROGUES[source] in trespassers(package() | {"trainers/new.py": ast.parse(source)})


def test_every_mechanism_is_listed_and_every_listed_one_is_a_mechanism() -> None:
    from privsynth.privacy.mechanisms import MECHANISMS
    from privsynth.privacy.mechanisms.base import Mechanism

    whole = set()
    for file, name in mechanism_classes(package()):
        module = "privsynth." + file.removesuffix(".py").replace("/", ".")
        kind = getattr(import_module(module), name)  # an inner class is not found: it has no place in the list
        assert issubclass(kind, Mechanism)
        if not inspect.isabstract(kind):
            whole.add(f"{module}.{name}")
    assert whole == set(MECHANISMS) and len(whole) >= 7


def test_encoders_are_the_five() -> None:
    from privsynth.table.private import ENCODERS

    names = ("domain.Domain", "histograms.Scales", "codec.Codec", "codec.Groups", "readable.Readability")
    assert {f"privsynth.encoding.{name}" for name in names} == ENCODERS
    for place in ENCODERS:
        module, _, name = place.rpartition(".")
        kind = getattr(import_module(module), name)
        assert f"{kind.__module__}.{kind.__qualname__}" == place and callable(kind.encode)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(place, lines of the body without the docstring)."""
    for node in ast.walk(tree_of(path)):
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
    """Nobody in the policy room raises anything else on purpose, but for validators, whose ValueError pydantic collects,
    and what a file catches itself."""
    for path in (PACKAGE / "policy").glob("*.py"):
        nodes = list(ast.walk(tree_of(path)))
        raised = {ast.unparse(n.exc.func) for n in nodes if isinstance(n, ast.Raise) and isinstance(n.exc, ast.Call)}
        caught = {ast.unparse(n.type) for n in nodes if isinstance(n, ast.ExceptHandler) and n.type is not None}
        own = {name for name in raised & caught if name.startswith("_")}
        assert raised - own <= {"PolicyError", "ValueError", "InputError", "Refused"}, path.name
