"""Every bad table gets one clear message, exit code 2, no traceback, nothing written, no private value shown."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from table_files import csv, parquet

Make = Callable[..., pd.DataFrame]


def with_line(frame: pd.DataFrame, number: int, change: Callable[[bytes], bytes]) -> bytes:
    lines = csv(frame).split(b"\n")
    lines[number - 1] = change(lines[number - 1])
    return b"\n".join(lines)


# name -> (bytes of a table whose every identifier and ward is a canary, what is said)
BAD: dict[str, tuple[Callable[[pd.DataFrame], bytes], str]] = {
    "picture": (lambda t: b"\x89PNG\r\n\x1a\n" + bytes(99), "is a PNG picture"),
    "bytes": (lambda t: bytes(range(128, 256)), "is not UTF-8 text"),
    "json": (lambda t: t.to_json(orient="records").encode(), "is JSON"),
    "json lines": (lambda t: t.to_json(orient="records", lines=True).encode(), "is JSON"),
    "zip": (lambda t: b"PK\x03\x04" + bytes(99), "is a zip archive"),
    "broken parquet": (lambda t: parquet(t)[:900], "is not a readable Parquet file"),
    "start of a parquet": (lambda t: b"PAR1", "is not a readable Parquet file"),
    "garbage gz": (lambda t: b"\x1f\x8b" + b"garbage" * 20, "cannot be read"),
    "half a gz": (lambda t: gzip.compress(csv(t))[:-200], "cannot be read"),
    "start of a gz": (lambda t: gzip.compress(csv(t))[:11], "cannot be read"),
    "damaged gz": (lambda t: gzip.compress(csv(t))[:200] + b"\xff" * 60 + gzip.compress(csv(t))[260:], "cannot be read"),
    "empty gz": (lambda t: gzip.compress(b""), "is not a CSV file with a header line"),
    "empty": (lambda t: b"", "the file is empty"),
    "blank": (lambda t: b"\n\n\n", "is not a CSV file with a header line"),
    "header alone": (lambda t: csv(t[:0]), "has a header but no rows"),
    "header without line end": (lambda t: csv(t[:0]).strip(), "has a header but no rows"),
    "parquet without rows": (lambda t: parquet(t[:0]), "has a header but no rows"),
    "one row": (lambda t: csv(t[:1]), "has fewer than 50 rows"),
    "49 rows": (lambda t: csv(t[:49]), "has fewer than 50 rows"),
    "column missing": (lambda t: csv(t.drop(columns="age")), "column 'age' of the policy is missing"),
    "column too many": (lambda t: csv(t.assign(income="CANARYx")), "column 'income' is not declared"),
    "typo in a header": (lambda t: csv(t.rename(columns={"ward": "wards"})), "column 'wards' is not declared"),
    "saved index": (lambda t: t.to_csv().encode(), "column 1 has no name"),
    "comma at every end but the header's": (lambda t: csv(t).replace(b"\n", b",\n").replace(b",\n", b"\n", 1),
                                            "line 2 ends with a comma, and the header does not; 300 such lines"),
    "column twice": (lambda t: csv(t).replace(b"ward", b"sex", 1), "column names repeat: columns 3, 4"),
    "no header": (lambda t: csv(t, header=False), "none of the policy's columns is in it"),
    "no header, equal cells": (lambda t: csv(t.assign(name=t["visit"]), header=False), "column names repeat: columns 1, 2"),
    "no header, a name by chance": (lambda t: csv(t.assign(ward="age"), header=False), "column 'visit' of the policy is missing"),
    "semicolons": (lambda t: csv(t, sep=";"), "the header holds no comma, but 8 semicolons"),
    "tabs": (lambda t: csv(t, sep="\t"), "the header holds no comma, but 8 tabs"),
    "latin 1": (lambda t: with_line(t, 9, lambda s: s.replace(b"CANARY", b"CANARY\xe9")), "is not UTF-8 text"),
    "latin 1 header": (lambda t: csv(t).replace(b"ward", b"w\xe4rd", 1), "is not UTF-8 text"),
    "utf 16": (lambda t: csv(t).decode().encode("utf-16"), "begins with the byte order mark of UTF-16"),
    "utf 16 without a mark": (lambda t: csv(t).decode().encode("utf-16-le"), "has NUL bytes in its header"),
    "old macintosh": (lambda t: csv(t).replace(b"\n", b"\r"), "has no header line that can be read"),
    "endless line": (lambda t: b"CANARY" * 60_000, "has no header line that can be read"),
    "too many fields": (lambda t: with_line(t, 8, lambda s: s + b",CANARY"), "line 8 has 10 fields where the header has 9"),
    "too few fields": (lambda t: with_line(t, 200, lambda s: s[: s.rindex(b",")]), "line 200 has 8 fields where the header has 9"),
    "open quote": (lambda t: csv(t).replace(b"CANARYn7,", b'"CANARYn7,'), "line 9: a quoted value opens that is still open"),
    "words for integers": (lambda t: csv(t.assign(age="CANARY")), "column 'age': is declared as integer, but none"),
    "words for numbers": (lambda t: csv(t.assign(weight="CANARY")), "column 'weight': is declared as number, but none"),
    "words for dates": (lambda t: csv(t.assign(admitted="CANARY")), "column 'admitted': is declared as date, but none"),
    "another format of dates": (lambda t: csv(t.assign(admitted="31.12.2019")), "column 'admitted': is declared as date, but none"),
    "other categories": (lambda t: csv(t.assign(sex="CANARY")), "column 'sex': is declared as category, but none"),
    "nothing but missing": (lambda t: csv(t.assign(age="")), "column 'age': has no value at all"),
    "nothing but tokens": (lambda t: csv(t.assign(sex=" ? ")), "column 'sex': has no value at all"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def plan_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One calibration for all of these tests: they are about tables."""
    monkeypatch.setattr("privsynth.pipeline.make_plan", _plan)


PLANS: dict[str, Any] = {}


def _plan(policy: Any) -> Any:
    from privsynth.planning import make_plan

    if policy.sha256 not in PLANS:
        PLANS[policy.sha256] = make_plan(policy)
    return PLANS[policy.sha256]


@pytest.fixture
def table(clinic_table: Make) -> pd.DataFrame:
    return clinic_table(ward=[f"CANARYw{i % 9}" for i in range(300)])


@pytest.mark.parametrize("case", BAD)
def test_bad_tables(
    case: str, table: pd.DataFrame, tmp_path: Path, clinic_policy: Callable[..., Path], command: Callable[..., Any]
) -> None:
    make, expected = BAD[case]
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "table.csv").write_bytes(make(table))
    said = command("run", clinic_policy(), "--data", tmp_path / "table.csv", "--out", folder / "out")
    assert said.code == 2, said.all
    assert expected in said.err and "hint:" in said.err and said.out == ""
    assert "CANARY" not in said.all and "Traceback" not in said.all
    assert len(said.err) < 2000 and said.err.count("error:") <= 10
    assert list(folder.iterdir()) == [], "nothing is written, no staging folder is left"


@pytest.mark.parametrize("case", ["picture", "no header", "too many fields", "words for integers"])
def test_bad_tables_in_a_process_of_their_own(
    case: str, table: pd.DataFrame, tmp_path: Path, clinic_policy: Callable[..., Path], shell: Callable[..., Any]
) -> None:
    make, expected = BAD[case]
    (tmp_path / "work").mkdir()
    (tmp_path / "table.csv").write_bytes(make(table))
    said = shell("run", clinic_policy(), "--data", tmp_path / "table.csv", "--out", "out", cwd=tmp_path / "work")
    assert said.code == 2 and expected in said.err and "CANARY" not in said.all and "Traceback" not in said.all
    assert list((tmp_path / "work").iterdir()) == []


def test_all_bad_columns_are_named_at_once(
    table: pd.DataFrame, tmp_path: Path, clinic_policy: Callable[..., Path], command: Callable[..., Any]
) -> None:
    (tmp_path / "t.csv").write_bytes(csv(table.assign(age="CANARY", weight="", sex="CANARY", admitted="CANARY")))
    said = command("fit", clinic_policy(), "--data", tmp_path / "t.csv", "--out", tmp_path / "model")
    assert said.code == 2 and not (tmp_path / "model").exists() and "CANARY" not in said.all
    assert [name for name in ("age", "weight", "sex", "admitted") if f"column '{name}'" in said.err] == [
        "age", "weight", "sex", "admitted",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "costs"), [("picture", 0), ("no header", 0), ("column missing", 0), ("words for integers", 3)]
)
def test_what_a_bad_table_costs(
    case: str,
    costs: float,
    table: pd.DataFrame,
    tmp_path: Path,
    clinic_policy: Callable[..., Path],
    command: Callable[..., Any],
) -> None:
    """Nothing as long as no row was looked at; a refusal for what stands in the rows is an answer about them."""
    (tmp_path / "t.csv").write_bytes(BAD[case][0](table))
    assert command("run", clinic_policy(), "--data", tmp_path / "t.csv", "--out", tmp_path / "out").code == 2
    said = command("ledger", "show", "--json")
    assert json.loads(said.out)["totals"]["clinic"]["epsilon"] == pytest.approx(costs, abs=0.05)


def test_a_bad_policy_comes_first(
    tmp_path: Path, clinic_policy: Callable[..., Path], command: Callable[..., Any], shell: Callable[..., Any]
) -> None:
    policy = clinic_policy(("epsilon: 3.0", "epsilom: 3.0"), ("[0, 110]", "[110, 0]"))
    for call in (command, shell):
        said = call("run", policy, "--data", tmp_path / "nowhere.csv", "--out", tmp_path / "out")
        assert said.code == 2 and "did you mean `epsilon`?" in said.err and "bounds must rise" in said.err
        assert "nowhere" not in said.err and "Traceback" not in said.err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("path", "expected"), [("nowhere.csv", "no such file"), (".", "is a folder")]
)  # fmt: skip
def test_no_file(
    path: str, expected: str, tmp_path: Path, clinic_policy: Callable[..., Path], command: Callable[..., Any]
) -> None:
    said = command("run", clinic_policy(), "--data", tmp_path / path, "--out", tmp_path / "out")
    assert said.code == 2 and expected in said.err and not (tmp_path / "out").exists()


def test_wrong_arguments(command: Callable[..., Any], clinic_policy: Callable[..., Path]) -> None:
    for arguments in (
        [],
        ["run"],
        ["run", clinic_policy()],
        ["runn"],
        ["check", clinic_policy(), "--epsilon", "much"],
        ["sample", "m", "-n", "x", "--out", "f"],
    ):
        said = command(*arguments)
        assert said.code == 2 and "Traceback" not in said.all, arguments


@pytest.mark.parametrize("epsilon", ["0", "-1", "nan", "inf", "101"])
def test_wrong_epsilon(epsilon: str, command: Callable[..., Any], clinic_policy: Callable[..., Path]) -> None:
    said = command("check", clinic_policy(), "--epsilon", epsilon)
    assert said.code == 2 and "command line: " in said.err
