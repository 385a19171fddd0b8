"""Files with changed, missing and additional bytes: each is rows or one InputError, and ends no process but its own."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import made
import pyarrow as pa
import pytest
from forked import WRONG, outcomes
from formats_help import declared, texts_of
from made import MADE, TABLE

from privsynth.errors import InputError
from privsynth.table.formats import apart
from privsynth.table.raw import RawTable
from privsynth.table.reader import read_table

MUTANTS = 200
READ, REFUSED = 0, 1


def mutants(whole: bytes, count: int, rng: random.Random) -> list[bytes]:
    """Bytes flipped, cut off, cut out, doubled; half of the changes near the ends, where formats keep what they are."""
    found = []
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            span = rng.choice([len(data), len(data), min(len(data), 400)])
            place = rng.randrange(span) if rng.random() < 0.6 else len(data) - 1 - rng.randrange(span)
            kind = rng.random()
            if kind < 0.7:
                data[place] = rng.choice([rng.randrange(256), 0, 255, data[place] ^ (1 << rng.randrange(8))])
            elif kind < 0.8:
                del data[place:]
            elif kind < 0.9:
                del data[place : place + rng.randint(1, 9)]
            else:
                data[place:place] = data[place : place + rng.randint(1, 64)]
            if not data:
                break
        found.append(bytes(data))
    return found


def answered(path: Path, module: str) -> int:
    """As the child of `apart` answers. Its answer is read as the parent does it, and all cells become text."""
    out = io.BytesIO()
    request = {"ask": "read", "module": module, "path": str(path), "dataset": declared().model_dump(mode="json")}
    apart.respond(request, out)
    line, _, rest = out.getvalue().partition(b"\n")
    answer = json.loads(line)
    if "problems" in answer:
        return REFUSED
    texts_of(RawTable(pa.ipc.open_stream(rest).read_all()))
    return READ


def here(source: str | Path, encoding: str) -> int:
    """As `read_table`, for formats that are read in this process."""
    try:
        texts_of(read_table(source, declared(table="t", encoding=encoding)))
    except InputError:
        return REFUSED
    return READ


def told(kind: str, found: list[int]) -> None:
    crashes = sum(code < 0 for code in found)
    print(f"\n{kind}: {found.count(READ)} read, {found.count(REFUSED)} refused, {crashes} ended their process")
    assert WRONG not in found and min(found.count(READ), found.count(REFUSED)) > 0


APART = {kind: how for kind, how in MADE.items() if how[0] != "parquet"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*APART, "xls"])
def test_a_damaged_file_of_a_format_read_apart(kind: str, tmp_path: Path) -> None:
    """A library may crash on it, since that ends the child alone, and is told as a refusal (`test_formats.py`)."""
    module = APART[kind][0] if kind in APART else "workbook"
    if kind in APART:
        APART[kind][1](tmp_path / "t", TABLE)
    else:
        (tmp_path / "t").write_bytes(made.XLS)
    damaged = mutants((tmp_path / "t").read_bytes(), MUTANTS, random.Random(kind))

    def work(number: int) -> int:
        (tmp_path / "d").write_bytes(damaged[number])
        return answered(tmp_path / "d", module)

    assert answered(tmp_path / "t", module) == READ  # here, so that no child has to import its library
    told(kind, outcomes(MUTANTS, work))


CSV = "a,b\n" + '"x, ""y""",2\n3,ä\n' * 9
WRITE: dict[str, Callable[[Path], object]] = {
    "csv": lambda path: path.write_text(CSV, encoding="utf-8"),
    "csv.gz": lambda path: path.write_bytes(gzip.compress(CSV.encode())),
    "utf-16": lambda path: path.write_bytes(CSV.encode("utf-16")),
    "gb18030": lambda path: path.write_bytes(CSV.encode("gb18030")),
    "sqlite": lambda path: made.sqlite(path, TABLE),
    "folder": lambda path: made.parquet(path, TABLE),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITE)
def test_a_damaged_file_of_a_format_read_here(kind: str, tmp_path: Path) -> None:
    WRITE[kind](tmp_path / "t")
    target = tmp_path / "d" / "k=1" / "b.parquet" if kind == "folder" else tmp_path / "d"
    if kind == "folder":
        target.parent.mkdir(parents=True)
        made.parquet(target.with_name("a.parquet"), TABLE)
    source = f"sqlite:///{target}" if kind == "sqlite" else tmp_path / "d"
    encoding = kind if kind in ("utf-16", "gb18030") else "utf-8"
    damaged = mutants((tmp_path / "t").read_bytes(), MUTANTS, random.Random(kind))

    def work(number: int) -> int:
        target.write_bytes(damaged[number])
        return here(source, encoding)

    target.write_bytes((tmp_path / "t").read_bytes())
    assert here(source, encoding) == READ  # here, so that no child has to import its library
    found = outcomes(MUTANTS, work)
    told(kind, found)
    assert min(found) >= 0, "no crash in this process"
