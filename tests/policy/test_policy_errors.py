# ruff: noqa: E501
"""Every rule of the language: what is said, on which line, of which key, with which hint; all mistakes at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from privsynth.errors import PolicyError, Problem
from privsynth.policy import Policy


def problems(text: str, folder: Path | None = None) -> list[Problem]:
    with pytest.raises(PolicyError) as error:
        Policy.from_text(text, "p.yaml", folder)
    return error.value.problems


def line_of(text: str, piece: str) -> int:
    assert text.count(piece) == 1, piece
    return text[: text.index(piece)].count("\n") + 1


# (what is replaced, by what, the key that is named, what the rule says, what the hint says)
CASES: dict[str, tuple[str, str, str, str, str]] = {
    "unknown key": ("unit: row", "unit: row\nepsilom: 3", "epsilom", "unknown key `epsilom`", "known here: privsynth, "),
    "unknown key nested": ("  rows: 300", "  rowz: 300", "dataset.rowz", "unknown key `rowz`", "did you mean `rows`?"),
    "unknown key of the budget": ("  delta: 1.0e-6", "  delta: 1.0e-6\n  detla: 1", "budget.detla", "unknown key", "`delta`"),
    "unknown key of a column": ("bounds: [0, 110]", "bounds: [0, 110], bonds: 1", "columns.age.bonds", "unknown key", "`bounds`"),
    "unknown key of the risk": ("  epsilon: 3.0", "  risk: {fpr: 0.01, max_trp: 0.1}", "budget.risk.max_trp", "unknown key", "`max_tpr`"),
    "unknown key of a constraint": ('{inequality: [admitted, "<=", discharged]}', "{unequal: [a, b]}", "constraints[1].unequal", "unknown key", "inequality"),
    "unknown key of the unit": ("unit: row", "unit: {column: visit, max_row: 4}", "unit.max_row", "unknown key", "`max_rows`"),
    "missing key": ("  delta: 1.0e-6\n", "", "budget.delta", "key `delta` is missing", "add it"),
    "missing kind": ("age: {kind: integer, bounds: [0, 110]}", "age: {bounds: [0, 110]}", "columns.age.kind", "`kind` is missing", "add it"),
    "other version": ("privsynth: 1", "privsynth: 2", "privsynth", "version 2 of the policy language", "reads version 1"),
    "undeclared unit": ("unit: row", "unit: {column: vist, max_rows: 4}", "unit.column", "column 'vist' is not declared", "did you mean 'visit'?"),
    "kept unit": ("unit: row", "unit: {column: ward, max_rows: 4}", "columns.ward.release", "'ward' names the people to protect", "release: regenerate"),
    "unit is no word": ("unit: row", "unit: rows", "unit", "the unit is `row`, or a column", "unit: {column: NAME"),
    "max_rows of zero": ("unit: row", "unit: {column: visit, max_rows: 0}", "unit.max_rows", "greater than or equal to 1", ""),
    "reversed bounds": ("bounds: [0, 110]", "bounds: [110, 0]", "columns.age.bounds", "bounds must rise", ""),
    "equal bounds": ("bounds: [0, 110]", "bounds: [5, 5]", "columns.age.bounds", "bounds must rise", ""),
    "reversed dates": ("discharged: {kind: date, bounds: [2015-01-01, 2024-12-31]}", "discharged: {kind: date, bounds: [2024-12-31, 2015-01-01]}", "columns.discharged.bounds", "bounds must rise", ""),
    "one bound": ("bounds: [0, 110]", "bounds: [0]", "columns.age.bounds", "bounds are two numbers", "[low, high]"),
    "three bounds": ("bounds: [0, 110]", "bounds: [0, 50, 110]", "columns.age.bounds", "bounds are two numbers", "[low, high]"),
    "bounds of another word": ("bounds: [0, 110]", "bounds: public", "columns.age.bounds", "the word `private`", "[low, high]"),
    "missing bounds": ("age: {kind: integer, bounds: [0, 110]}", "age: {kind: integer}", "columns.age", "state `bounds: [low, high]`", ""),
    "private dates": ("discharged: {kind: date, bounds: [2015-01-01, 2024-12-31]}", "discharged: {kind: date, bounds: private}", "columns.discharged", "private bounds of dates", ""),
    "numbers for dates": ("discharged: {kind: date, bounds: [2015-01-01, 2024-12-31]}", "discharged: {kind: date, bounds: [2015, 2024]}", "columns.discharged", "must be dates", ""),
    "dates for numbers": ("bounds: [0, 110]", "bounds: [2015-01-01, 2024-12-31]", "columns.age", "must be numbers", ""),
    "mixed bounds": ("bounds: [0, 110]", "bounds: [0, 2024-12-31]", "columns.age.bounds", "of one type", ""),
    "fraction for integer": ("bounds: [0, 110]", "bounds: [0.5, 110]", "columns.age", "whole numbers", ""),
    "nan bound": ("bounds: [0, 300]", "bounds: [.nan, 300]", "columns.weight.bounds", "finite", ""),
    "inf bound": ("bounds: [0, 300]", "bounds: [0, .inf]", "columns.weight.bounds", "finite", ""),
    "truth values as bounds": ("bounds: [0, 110]", "bounds: [no, yes]", "columns.age.bounds", "truth value", ""),
    "bounds too wide to count": ("bounds: [0, 300], decimals: 1", "bounds: [0, 1.0e+30], decimals: 1", "columns.weight.bounds", "too wide", ""),
    "more decimals than digits": ("bounds: [0, 300], decimals: 1", "bounds: [0, 1.0e+12], decimals: 6", "columns.weight", "too wide for numbers of 6 decimals", ""),
    "endless bound": ("bounds: [0, 110]", f"bounds: [0, {10**400}]", "columns.age.bounds", "too wide", ""),
    "endless rows": ("  rows: 300", f"  rows: {10**400}", "dataset.rows", "", ""),
    "endless epsilon": ("epsilon: 3.0", f"epsilon: {10**400}", "budget.epsilon", "valid number", ""),
    "half an inequality": ('[admitted, "<=", discharged]', '[admitted, "<="]', "constraints[1].inequality", "a column, a sign and a column", "inequality: ["),
    "nan epsilon": ("epsilon: 3.0", "epsilon: .nan", "budget.epsilon", "finite number", ""),
    "inf epsilon": ("epsilon: 3.0", "epsilon: .inf", "budget.epsilon", "finite number", ""),
    "epsilon of zero": ("epsilon: 3.0", "epsilon: 0", "budget.epsilon", "greater than 0", ""),
    "truth value for epsilon": ("epsilon: 3.0", "epsilon: yes", "budget.epsilon", "truth value", ""),
    "huge epsilon": ("epsilon: 3.0", "epsilon: 1000", "budget", "above 100", ""),
    "nan delta": ("delta: 1.0e-6", "delta: .nan", "budget.delta", "finite number", ""),
    "delta of 1/rows": ("delta: 1.0e-6", "delta: 0.00334", "budget.delta", "not below 1/rows = 0.0033", "write at most 3.3e-04"),
    "nan threshold": ("trainer:", "thresholds: {singling_out: .nan}\ntrainer:", "thresholds.singling_out", "", ""),
    "nan holdout": ("holdout: 0.2", "holdout: .nan", "audit.holdout", "", ""),
    "nan option": ("sweeps: 4", "sweeps: .nan", "trainer.options.sweeps", "", ""),
    "nan category": ("[F, M]", "[F, .nan]", "columns.sex.categories[2]", "no finite number", ""),
    "nan risk": ("  epsilon: 3.0", "  risk: {fpr: .nan, max_tpr: 0.1}", "budget.risk.fpr", "", ""),
    "risk below chance": ("  epsilon: 3.0", "  risk: {fpr: 0.1, max_tpr: 0.05}", "budget.risk", "guessing alone", ""),
    "epsilon and risk": ("  epsilon: 3.0", "  epsilon: 3.0\n  risk: {fpr: 0.01, max_tpr: 0.1}", "budget", "either epsilon or risk", ""),
    "neither": ("  epsilon: 3.0\n", "", "budget", "either epsilon or risk", ""),
    "lifetime too small": ("delta: 1.0e-6", "delta: 1.0e-6\n  lifetime: {epsilon: 1.0, delta: 1.0e-5}", "budget", "must fit into the lifetime", ""),
    "truth values as categories": ('categories: ["yes", "no"]', "categories: [yes, no]", "columns.ill.categories[1]", "put it in quotes", ""),
    "nothing as category": ("[F, M]", "[F, null]", "columns.sex.categories[2]", "put it in quotes", ""),
    "date as category": ("[F, M]", "[F, 2020-01-01]", "columns.sex.categories[2]", "put it in quotes", ""),
    "category twice": ("[F, M]", "[F, M, F]", "columns.sex.categories", "a category is listed twice", ""),
    "no category": ("[F, M]", "[]", "columns.sex.categories", "at least one category", ""),
    "categories of another word": ("[F, M]", "public", "columns.sex.categories", "the word `private`", "categories: [a, b]"),
    "no categories": (", categories: [F, M]}", "}", "columns.sex", "`categories: private` (measured)", ""),
    "grouping and categories": ("categories: private", "categories: [a], grouping: icd9-chapters.csv", "columns.ward", "already names the groups", ""),
    "clip categories": ("categories: [F, M]", "categories: [F, M], unexpected: clip", "columns.sex", "`clip` means nothing", ""),
    "kept identifier": ("ward: {kind: category, ", "ward: {kind: category, role: direct_identifier, ", "columns.ward", "a direct identifier must not leave", ""),
    "kept id": ("visit: {kind: id, role: direct_identifier, release: drop}", "visit: {kind: id}", "columns.visit", "kind id cannot be kept", ""),
    "kept text": ("release: regenerate, generator: name", "release: keep", "columns.name", "kind text cannot be kept", ""),
    "regenerated category": ("categories: [F, M]", "categories: [F, M], release: regenerate", "columns.sex", "only kinds id and text can be regenerated", ""),
    "key of another kind": ("bounds: [0, 110]", "bounds: [0, 110], decimals: 2", "columns.age", "`decimals` does not belong to kind integer", ""),
    "two targets": ("ward: {kind: category, ", "ward: {kind: category, role: target, ", "columns.ill.role", "two targets: 'ward' and 'ill'", "keep one"),
    "target not kept": ('role: target, categories: ["yes", "no"]', 'role: target, release: drop', "columns.ill.role", "target 'ill' is not kept", "another role"),
    "unknown kind": ("kind: integer", "kind: int", "columns.age.kind", "'int'", ""),
    "unknown role": ("role: quasi_identifier", "role: quasi", "columns.sex.role", "'quasi'", ""),
    "unknown generator": ("generator: name", "generator: surname", "columns.name.generator", "'surname'", ""),
    "column name of our own": ("  ward:", "  __ward__:", "columns", "privsynth's own", ""),
    "self comparison": ('[admitted, "<=", discharged]', '[age, "<=", age]', "constraints[1].inequality", "compared with itself", "two columns"),
    "category in a constraint": ('[admitted, "<=", discharged]', '[sex, "<=", age]', "constraints[1].inequality", "only numbers, dates and moments", "integer, number or date"),
    "date against number": ('[admitted, "<=", discharged]', '[age, "<=", discharged]', "constraints[1].inequality", "a column of kind integer cannot be compared with one of kind date", "two columns of one kind"),
    "unknown sign": ('"<=", discharged', '"=", discharged', "constraints[1].inequality[2]", "'='", ""),
    "unknown trainer": ("{name: marginals, options: {sweeps: 4}}", "{name: gan}", "trainer.name", "no trainer 'gan'", "ctgan, vae, autoregressive, marginals, auto"),
    "unknown option": ("{sweeps: 4}", "{sweps: 4}", "trainer.options.sweps", "unknown option `sweps`", "did you mean `sweeps`? options of marginals"),
    "option out of range": ("{sweeps: 4}", "{sweeps: 1}", "trainer.options.sweeps", "1: should be greater than or equal to 4", ""),
    "truth value for an option": ("{sweeps: 4}", "{sweeps: yes}", "trainer.options.sweeps", "as a truth value, not as a valid number", ""),
    "text for an option": ("{sweeps: 4}", '{sweeps: "40"}', "trainer.options.sweeps", "as text, not as a valid number", ""),
    "option of a network": ("{name: marginals, options: {sweeps: 4}}", "{name: auto, options: {steps: 4}}", "trainer.options.steps", "`auto` takes no `steps`", "name a trainer to set this"),
    "unknown framework": ("[gdpr-recital-26]", "[gdpr]", "report.frameworks[1]", "no framework 'gdpr'", "gdpr-recital-26"),
    "unknown format": ("formats: [csv]", "formats: [xls]", "release.formats[1]", "'xls'", ""),
    "no format": ("formats: [csv]", "formats: []", "release.formats", "", ""),
    "rows of zero": ("  rows: 300", "  rows: 0", "dataset.rows", "greater than or equal to 1", ""),
    "truth value for rows": ("  rows: 300", "  rows: yes", "dataset.rows", "truth value", ""),
    "id with a slash": ("id: clinic", "id: ../clinic", "dataset.id", "", ""),
    "no grouping file": ("categories: private", "grouping: nowhere.csv", "columns.ward.grouping", "nowhere.csv: no such grouping file", "icd9-chapters.csv"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_rule(clinic_text: str, case: str) -> None:
    old, new, key, rule, hint = CASES[case]
    assert clinic_text.count(old) == 1, "the case replaces one place"
    text = clinic_text.replace(old, new)
    found = problems(text)
    place = f": {key}"
    ours = [p for p in found if p.place.endswith(place)]
    assert len(ours) == 1, [str(p) for p in found]
    also = {p.rule for p in found} - {
        ours[0].rule
    }  # a misspelt key that must stand is missing, too; each item is named
    assert all("is missing" in other or "put it in quotes" in other for other in also), [str(p) for p in found]
    assert rule in ours[0].rule and hint in ours[0].hint
    file, line = ours[0].place.split(":")[:2]
    keys = [part.split("[")[0] for part in key.split(".")]
    here = text.splitlines()[int(line) - 1]
    assert file == "p.yaml" and int(line) == line_of_key(text, keys), here


def line_of_key(text: str, keys: list[str]) -> int:
    """Where the last of the keys that stands in the text stands; columns have a line each."""
    if keys[0] == "columns" and len(keys) > 1:
        return line_of(text, f"  {keys[1]}:")
    start = line_of(text, f"\n{keys[0]}:" if keys[0] != "privsynth" else "privsynth:") + (keys[0] != "privsynth")
    for number, line in enumerate(text.splitlines()[start - 1 :], start):
        if number > start and not line.startswith((" ", "#")):
            break
        if len(keys) > 1 and f"{keys[-1]}:" in line:
            return number
    inner = [
        n for n, line in enumerate(text.splitlines()[start:], start + 1) if len(keys) > 1 and f"  {keys[1]}:" in line
    ]
    return inner[0] if inner else start


def test_all_mistakes_of_the_shape_at_once(clinic_text: str) -> None:
    text = (
        clinic_text.replace("rows: 300", "rowz: 300").replace("[0, 110]", "[110, 0]").replace("epsilon: 3.0", "epsilon: .nan")
        .replace("[F, M]", "[F, F]").replace("release: drop", "release: keep").replace("effort: quick", "effort: quickly")
    )  # fmt: skip
    found = problems(text)
    places = {p.place.split(": ")[1] for p in found}
    assert places == {
        "dataset.rowz", "columns.age.bounds", "budget.epsilon", "columns.sex.categories", "columns.visit", "audit.effort",
    }  # fmt: skip
    assert [p.place for p in found if "age" in p.place] == [f"p.yaml:{line_of(text, '  age:')}: columns.age.bounds"]
    both = next(p for p in found if p.place.endswith("columns.visit"))
    assert "kind id cannot be kept" in both.rule and "a direct identifier must not leave" in both.rule


def test_all_mistakes_of_meaning_at_once(clinic_text: str, tmp_path: Path) -> None:
    text = (
        clinic_text.replace("delta: 1.0e-6", "delta: 0.01").replace("unit: row", "unit: {column: nobody, max_rows: 2}")
        .replace("ward: {kind: category, ", "ward: {kind: category, role: target, ").replace("[gdpr-recital-26]", "[iso, gdpr]")
        .replace('[admitted, "<=", discharged]', '[sex, "<", age]').replace("name: marginals", "name: mst")
        .replace("[F, M]", "[F, M]").replace("categories: private", "grouping: gone.csv")
    )  # fmt: skip
    places = sorted(p.place.split(": ", 1)[1] for p in problems(text, tmp_path))
    assert places == sorted([
        "budget.delta", "unit.column", "columns.ill.role", "report.frameworks[1]", "report.frameworks[2]",
        "constraints[1].inequality", "trainer.name", "columns.ward.grouping",
    ])  # fmt: skip


def test_lines_are_right_far_down(clinic_text: str) -> None:
    text = clinic_text + "\n# a remark\n\nseed: many\n"
    (problem,) = problems(text)
    assert problem.place == f"p.yaml:{len(text.splitlines())}: seed" and "'many'" in problem.rule


def constraints(clinic_text: str, *rules: str) -> str:
    lines = "\n".join(f"  - {{inequality: [{rule}]}}" for rule in rules)
    text = clinic_text.replace('  - {inequality: [admitted, "<=", discharged]}', lines)
    return text.replace("  ill:", "  a: {kind: integer, bounds: [0, 9]}\n  b: {kind: integer, bounds: [0, 9]}\n  ill:")


@pytest.mark.parametrize(
    "rules",
    [
        ('a, "<=", b', 'b, "<=", a'),
        ('a, "<", b', 'a, ">", b'),
        ('a, "<=", b', 'b, "<=", age', 'a, ">", age'),
        ('a, "<=", b', 'a, "<=", age', 'b, "<=", a'),  # two larger sides of one column must not hide the cycle
        ('a, "<=", age', 'a, "<=", b', 'age, "<=", a'),
    ],
)
def test_cycles_of_constraints(clinic_text: str, rules: tuple[str, ...]) -> None:
    found = problems(constraints(clinic_text, *rules))
    assert {p.rule for p in found} == {"the constraints form a cycle"}
    assert all(".inequality" in p.place and "remove one of them" in p.hint for p in found)


@pytest.mark.parametrize(
    "rules", [('a, "<=", b', 'b, "<=", age'), ('a, "<=", b', 'a, "<=", age'), ('a, "<=", age', 'b, "<=", age'), ('a, "<", b', 'a, "<=", b')]
)  # fmt: skip
def test_constraints_without_a_cycle(clinic_text: str, rules: tuple[str, ...]) -> None:
    assert len(Policy.from_text(constraints(clinic_text, *rules)).model.constraints) == len(rules)


def test_constraint_on_a_dropped_column(clinic_text: str) -> None:
    text = clinic_text.replace("discharged: {kind: date, ", "discharged: {kind: date, release: drop, ")
    (problem,) = problems(text)
    assert "not kept" in problem.rule and problem.place.endswith("constraints[1].inequality")


def test_key_twice_names_both_lines(clinic_text: str) -> None:
    text = clinic_text.replace("  ill:", "  age: {kind: integer, bounds: [0, 1]}\n  ill:")
    problem = problems(text)[0]
    lines = [number for number, line in enumerate(text.splitlines(), 1) if line.startswith("  age:")]
    assert problem.place == f"p.yaml:{lines[1]}"
    assert problem.rule == f"key 'columns.age' appears twice, first on line {lines[0]}"


def test_one_column_is_not_a_table() -> None:
    text = "privsynth: 1\ndataset: {id: x}\nunit: row\nbudget: {epsilon: 1, delta: 1.0e-6}\ncolumns:\n  a: {kind: integer, bounds: [0, 1]}\n"
    (problem,) = problems(text)
    assert problem.place == "p.yaml:5: columns" and "fewer than two columns are kept" in problem.rule


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- list\n", "this is not a policy"),
        ("just words", "this is not a policy"),
        ("", "this is not a policy"),
        ("# a remark alone\n", "this is not a policy"),
        ("a: [1, 2\nb: 3", "not valid YAML"),
        ("a: b: c", "not valid YAML"),
        ("a: 1\n\tb: 2", "not valid YAML"),
        ("a: 2020-13-45", "not valid YAML"),
        ("a: &x [*x]", "not valid YAML"),
        ("a: *nowhere", "not valid YAML"),
        ("a: !!python/object:os.system x", "not valid YAML"),
        ('a: !!int ""', "is missing"),
        ('a: !!float ""', "not valid YAML"),
        ("a: !!timestamp x", "not valid YAML"),
        ("a: !!bool maybe", "not valid YAML"),
        ("a: 1\n---\nb: 2", "not valid YAML"),
        ("{}", "is missing"),
    ],
)
def test_texts_that_are_no_policy(text: str, said: str) -> None:
    assert any(said in p.rule for p in problems(text))


def test_not_yaml_names_the_line(clinic_text: str) -> None:
    text = clinic_text.replace("unit: row", "unit: row: column")
    assert problems(text)[0].place == f"p.yaml:{line_of(text, 'unit: row: column')}"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "not a policy"), (b"\x89PNG\r\n\x1a\n\x00\xff", "UTF-8"), (b"\xff\xfep\x00r\x00", "UTF-8"), (b"a: \x00", "YAML")],
)  # fmt: skip
def test_files_that_are_no_policy(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(content)
    with pytest.raises(PolicyError, match=said) as error:
        Policy.load(path)
    assert error.value.problems[0].place.startswith(str(path)) and error.value.problems[0].hint


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"nowhere\.yaml: no such policy file"):
        Policy.load(tmp_path / "nowhere.yaml")
    with pytest.raises(PolicyError, match="cannot be read"):
        Policy.load(tmp_path)


def test_numbers_as_categories_are_text_as_written(clinic_text: str) -> None:
    """YAML would read 010 as eight and 1_0 as ten; a post code is neither."""
    policy = Policy.from_text(clinic_text.replace("[F, M]", "[1, 2.5, -3, 010, 0x10, 1_0, 12:30, 08901]"))
    assert policy.model.columns["sex"].categories == ["1", "2.5", "-3", "010", "0x10", "1_0", "12:30", "08901"]


def test_numbers_as_column_names_are_text_as_written(clinic_text: str) -> None:
    policy = Policy.from_text(clinic_text.replace("  ward:", "  010:").replace("  sex:", "  yes:"))
    assert {"010", "yes"} <= set(policy.model.columns)


def test_byte_order_mark_and_windows_lines(tmp_path: Path, clinic_text: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + clinic_text.replace("\n", "\r\n").encode())
    assert Policy.load(path).model.dataset.id == "clinic"


class TestGroupingFiles:
    @staticmethod
    def policy(clinic_text: str, tmp_path: Path, content: str | bytes) -> str:
        path = tmp_path / "groups.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return clinic_text.replace("categories: private", "grouping: groups.csv")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "starts with the header `code,group`"),
            ("key,group\na,b\n", "starts with the header `code,group`"),
            ("code,group\n", "does not have a code and a group"),
            ("code,group\na,b\nc\n", "does not have a code and a group"),
            ("code,group\na,b\nc,\n", "does not have a code and a group"),
            ("code,group\na,b,c\n", "does not have a code and a group"),
            (b"code,group\n\xff,\xfe\n", "UTF-8"),
        ],
    )
    def test_malformed(self, clinic_text: str, tmp_path: Path, content: str | bytes, said: str) -> None:
        text = self.policy(clinic_text, tmp_path, content)
        (problem,) = problems(text, tmp_path)
        assert problem.place == f"p.yaml:{line_of(text, '  ward:')}: columns.ward.grouping"
        assert problem.rule.startswith("groups.csv: ") and said in problem.rule and problem.hint

    def test_a_folder_of_that_name(self, clinic_text: str, tmp_path: Path) -> None:
        (tmp_path / "groups.csv").mkdir()
        (problem,) = problems(clinic_text.replace("categories: private", "grouping: groups.csv"), tmp_path)
        assert "is not a regular file" in problem.rule

    def test_first_line_that_fits_wins(self, clinic_text: str, tmp_path: Path) -> None:
        text = self.policy(clinic_text, tmp_path, "code,group\n250.01,exact\n249-250,range\nV*,letters\nV1,never\n")
        group = Policy.from_text(text, "p.yaml", tmp_path).groupings["ward"]
        assert group.groups == ["exact", "range", "letters", "never"]
        asked = ["250.01", "250.02", "249", "251", "V1", "V", "x", ""]
        assert [group(code) for code in asked] == ["exact", "range", "range", None, "letters", "letters", None, None]
