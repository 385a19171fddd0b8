"""CSV files beside a policy: read whole, from its folder or below it, or from those that ship with privsynth."""

from __future__ import annotations

import csv
import hashlib
import io
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from privsynth.errors import PolicyError, Problem
from privsynth.policy.column import CONTROL

SHIPPED = Path(__file__).parent / "groupings"
MAX_BYTES = 50_000_000
MAX_LINES = 1_000_000


class Lines(NamedTuple):
    """header: trimmed. rows: trimmed cells of each line that is not blank. sha256: of the file's bytes."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sha256: str


def lines_of(name: str, beside: Path | None, what: str) -> Lines:
    """Raises PolicyError if there is no such file there, or if it is no CSV. what: the word for it in messages."""
    content = _bytes_of(name, beside, what)
    try:
        text = content.decode("utf-8-sig")
        lines = list(islice(csv.reader(io.StringIO(text, newline=""), strict=True), MAX_LINES + 2))
    except (UnicodeDecodeError, csv.Error):
        raise PolicyError(Problem(name, "cannot be read as a CSV in UTF-8", "save it as UTF-8 CSV")) from None
    header, *rest = lines or [[]]
    if len(rest) > MAX_LINES:
        raise PolicyError(Problem(name, f"has more than {MAX_LINES:,} lines", "join codes by a prefix or a range"))
    if CONTROL.search(text):
        hint = "leave it out: no cell that holds one can be read"
        raise PolicyError(Problem(name, "holds a control character", hint))
    rows = tuple(tuple(cell.strip() for cell in line) for line in rest if line)
    return Lines(tuple(cell.strip() for cell in header), rows, hashlib.sha256(content).hexdigest())


def _bytes_of(name: str, beside: Path | None, what: str) -> bytes:
    """The bytes of a file, whose name must not lead out of the policy's folder."""
    if not _is_plain(name):
        rule = f"a {what} is a file in the policy's folder or below it"
        hint = "copy it there; name it without `..`, leading `/`, drive or backslash"
        raise PolicyError(Problem(repr(name), rule, hint))
    for folder in (beside, SHIPPED):
        try:
            if folder is not None and ((place := folder / name).exists() or place.is_symlink()):
                return _read(name, place, folder, what)
        except (OSError, ValueError, RuntimeError):  # no permission, a name too long or not text, a cycle of links
            raise PolicyError(Problem(name, "cannot be read", "check the file and its permissions")) from None
    shipped = ", ".join(sorted(p.name for p in SHIPPED.glob("*.csv")))
    raise PolicyError(
        Problem(name, f"no such {what} file beside the policy", f"put it there, or name one of: {shipped}")
    )


def _is_plain(name: str) -> bool:
    path, windows = PurePosixPath(name), PureWindowsPath(name)
    leads_out = path.is_absolute() or ".." in path.parts or windows.drive or "\\" in name
    return bool(name) and name.isprintable() and not leads_out


def _read(name: str, place: Path, folder: Path, what: str) -> bytes:
    """Raises PolicyError for a link that leads out of the folder, for what is no regular file, and for a huge file."""
    real = place.resolve(strict=True)
    if not real.is_relative_to(folder.resolve()):
        rule = "is a link that leads out of the policy's folder"
        raise PolicyError(Problem(name, rule, f"copy the {what} into the policy's folder"))
    if not real.is_file():  # to open a pipe would wait for its other end
        raise PolicyError(Problem(name, "is not a regular file", "name a CSV file"))
    with real.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        rule = f"is larger than {MAX_BYTES:,} bytes"
        raise PolicyError(Problem(name, rule, "join codes by a prefix or a range, such as `V*` or `001-139`"))
    return content
