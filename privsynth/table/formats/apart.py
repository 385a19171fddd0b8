"""Reads a file in a process of its own, for formats whose libraries are written in C or Rust.

A damaged or hostile file can crash such a library, let it print what it read, or make it ask for more memory than there is.
Then the child ends, and this process says so in one message. The child gets the file's name and how it is written on its
standard input, and answers on its standard output with one line of JSON and, for a table, an Arrow stream. Nothing is
written to a disk, and what a library prints goes nowhere.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from privsynth.errors import InputError, Problem
from privsynth.policy.model import DatasetSpec
from privsynth.table import limits
from privsynth.table.raw import RawTable

BATCH = 1 << 16  # rows that are handed over together
LEAST_MEMORY = 1 << 30  # bytes that a child may always use: its libraries alone take some hundred million
_START = "import sys; sys.path[:] = sys.argv[1:]; from privsynth.table.formats.apart import serve; serve()"
_QUIET = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def header(module: str, path: Path, dataset: DatasetSpec) -> list[str]:
    """`header` of the module, in a child."""
    with _child("header", module, path, dataset) as (answer, _):
        return [str(name) for name in answer["names"]]


def read(module: str, path: Path, dataset: DatasetSpec) -> RawTable:
    """`read` of the module, in a child."""
    with _child("read", module, path, dataset) as (answer, rest):
        try:
            frame = pa.ipc.open_stream(rest).read_all()
        except (pa.ArrowException, OSError):
            raise _ended(path) from None
        types = {name: pa.type_for_alias(kind) for name, kind in answer["types"].items()}
        return RawTable(frame, answer["labels"], typed=answer["typed"], types=types, notes=tuple(answer["notes"]))


@contextmanager
def _child(ask: str, module: str, path: Path, dataset: DatasetSpec) -> Iterator[tuple[dict[str, Any], IO[bytes]]]:
    """(its answer, what follows it). Raises InputError for whatever goes wrong within the child."""
    request: dict[str, Any] = {
        "ask": ask,
        "module": module,
        "path": str(path),
        "dataset": dataset.model_dump(mode="json"),
    }
    request["memory"] = max(limits.memory() // 2, LEAST_MEMORY)
    process = subprocess.Popen(
        [sys.executable, "-c", _START, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env={**os.environ, **_QUIET},
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        with process.stdin as stdin:
            stdin.write(json.dumps(request).encode())
        line = process.stdout.readline()
        answer = json.loads(line) if line.endswith(b"\n") else {}
        if "problems" in answer:
            raise InputError([Problem(*problem) for problem in answer["problems"]])
        if not answer:
            raise _ended(path)
        yield answer, process.stdout
    except BrokenPipeError:
        raise _ended(path) from None
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _ended(path: Path) -> InputError:
    rule = "cannot be read: it is damaged, or it needs more memory than half of what this machine has"
    return InputError(Problem(str(path), rule, "check the file, or save the table as CSV or Parquet"))


def serve() -> None:
    """The whole life of a child."""
    request = json.loads(sys.stdin.buffer.read())
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not mix with the answer
    _limit(int(request["memory"]))
    respond(request, out)
    out.flush()
    os._exit(0)  # a damaged library need not clean up


def _limit(memory: int) -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (memory if most == resource.RLIM_INFINITY else min(memory, most), most))


def respond(request: dict[str, Any], out: IO[bytes] | io.BytesIO) -> None:
    """Answers one request. An error that is not InputError leaves no more than its kind behind."""
    path = Path(request["path"])
    try:
        module = import_module(f"privsynth.table.formats.{request['module']}")
        found = getattr(module, request["ask"])(path, DatasetSpec(**request["dataset"]))
    except InputError as error:
        _say(out, {"problems": [[p.place, p.rule, p.hint] for p in error.problems]})
    except MemoryError:
        _say(out, {"problems": [[p.place, p.rule, p.hint] for p in _ended(path).problems]})
    except BaseException as error:  # a panic of Rust is no Exception
        rule = f"cannot be read ({type(error).__name__}): it is damaged, or of a kind that is not known"
        _say(out, {"problems": [[str(path), rule, "check the file, or save the table as CSV or Parquet"]]})
    else:
        if isinstance(found, list):
            _say(out, {"names": found})
            return
        types = {name: str(kind) for name, kind in found.types.items()}
        _say(out, {"labels": found.labels, "typed": found.typed, "types": types, "notes": found.notes})
        with pa.ipc.new_stream(out, found.frame.schema) as stream:
            stream.write_table(found.frame, max_chunksize=BATCH)


def _say(out: IO[bytes] | io.BytesIO, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer).encode() + b"\n")
