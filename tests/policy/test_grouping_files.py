"""Grouping files: which files a policy may name, what is refused in them, which group a code gets, what the hash covers."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from privsynth.errors import PolicyError, Problem
from privsynth.policy import Policy, beside
from privsynth.policy.grouping import Grouping, load_grouping

GROUPS = "code,group\nA*,first\nB,second\n"


def grouped(text: str, name: str = "groups.csv") -> str:
    """The small policy with a grouping of wards."""
    return text.replace("categories: private", f"grouping: '{name}'")


def refusal(text: str, folder: Path | None) -> Problem:
    with pytest.raises(PolicyError) as error:
        Policy.from_text(text, "p.yaml", folder)
    (problem,) = error.value.problems
    assert problem.place.endswith(": columns.ward.grouping") and problem.hint and problem.rule.isprintable()
    return problem


# --- which file -------------------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """(the policy's folder, a grouping outside of it)."""
    inside = tmp_path / "inside"
    inside.mkdir()
    outside = tmp_path / "secret.csv"
    outside.write_text(GROUPS)
    return inside, outside


@pytest.mark.parametrize(
    "name",
    ["../secret.csv", "{outside}", "sub/../../secret.csv", "..", "..\\secret.csv", "C:secret.csv", "C:/secret.csv", "/dev/stdin",
     "\\\\host\\share.csv", "sub\\groups.csv", "//secret.csv"],
)  # fmt: skip
def test_names_that_lead_out_of_the_folder(clinic_text: str, folders: tuple[Path, Path], name: str) -> None:
    inside, outside = folders
    (inside / "sub").mkdir()
    problem = refusal(grouped(clinic_text, name.format(outside=outside)), inside)
    assert "in the policy's folder or below it" in problem.rule and "copy it there" in problem.hint


@pytest.mark.parametrize("to_folder", [False, True])
def test_links_that_lead_out_of_the_folder(clinic_text: str, folders: tuple[Path, Path], to_folder: bool) -> None:
    inside, outside = folders
    (inside / "link").symlink_to(outside.parent if to_folder else outside)
    problem = refusal(grouped(clinic_text, "link/secret.csv" if to_folder else "link"), inside)
    assert "a link that leads out of the policy's folder" in problem.rule


def test_files_below_and_links_that_stay_inside(clinic_text: str, folders: tuple[Path, Path]) -> None:
    inside, _ = folders
    (inside / "sub").mkdir()
    (inside / "sub" / "groups.csv").write_text(GROUPS)
    (inside / "link.csv").symlink_to("sub/groups.csv")
    for name in ("sub/groups.csv", "link.csv", "./sub/groups.csv"):
        assert Policy.from_text(grouped(clinic_text, name), folder=inside).groupings["ward"]("A1") == "first"
    assert Policy.from_text(grouped(clinic_text, "icd9-chapters.csv"), folder=inside).groupings["ward"].groups


def test_what_is_no_regular_file_does_not_hang(clinic_text: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "dangling").symlink_to("nothing")
    start = time.monotonic()
    for name, rule in (("pipe", "regular file"), ("folder", "regular file"), ("circle", "read"), ("dangling", "read")):
        assert rule in refusal(grouped(clinic_text, name), tmp_path).rule
    assert time.monotonic() - start < 5
    assert "cannot be read" in refusal(grouped(clinic_text, "x" * 5000), tmp_path).rule


def test_size_is_capped(clinic_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "groups.csv"
    with path.open("wb") as file:
        file.truncate(10**12)  # holes: it takes no space on the disk
    assert "larger than 50,000,000 bytes" in refusal(grouped(clinic_text), tmp_path).rule
    path.write_text(GROUPS)
    monkeypatch.setattr(beside, "MAX_LINES", 1)
    assert "more than 1 lines" in refusal(grouped(clinic_text), tmp_path).rule
    monkeypatch.setattr(beside, "MAX_LINES", 2)
    assert Policy.from_text(grouped(clinic_text), folder=tmp_path)


# --- what stands in it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("code,group\nA\0,x\n", "control character"), ("code,group\nA,x\x1b[31m\n", "control character"),
        ('code,group\n"A,x\n', "as a CSV"), ('code,group\n"A"B,x\n', "as a CSV"), ("code,group\nA," + "x" * 200_000, "as a CSV"),
    ],
)  # fmt: skip
def test_malformed(clinic_text: str, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "groups.csv").write_text(content)
    assert said in refusal(grouped(clinic_text), tmp_path).rule


# --- which group ------------------------------------------------------------------------------------------------------


def by_reading(rules: tuple[tuple[str, str], ...], code: str) -> str | None:
    """The rule of the documents, line by line."""
    whole = code.split(".")[0] if code.replace(".", "", 1).isascii() and code.replace(".", "", 1).isdigit() else ""
    whole = "" if code.startswith(".") or code.endswith(".") else whole
    for pattern, group in rules:
        low, _, high = pattern.partition("-")
        within = bool(whole and low.isdigit() and high.isdigit()) and int(low) <= int(whole) <= int(high)
        if pattern == code or (pattern.endswith("*") and code.startswith(pattern[:-1])) or within:
            return group
    return None


def test_the_first_line_that_matches_wins() -> None:
    patterns = ["V*", "12", "001-010", "V1*", "5-20", "*1", "15-12", "7", "3-3", "V12", "1*", "18-30", "20-25", "30"]
    codes = [
        *map(str, range(35)),
        "V",
        "V1",
        "V12",
        "v",
        "",
        "*",
        "V*",
        "*1",
        "007",
        "12.5",
        "12.",
        ".5",
        "5-20",
        "1.2.3",
    ]
    for turn in range(len(patterns)):
        rotated = [*patterns[turn:], *patterns[:turn]]
        for some in (rotated, rotated[::-1], rotated[:4]):
            rules = tuple((pattern, f"group {i}") for i, pattern in enumerate(some))
            group = Grouping(rules)
            assert [group(code) for code in codes] == [by_reading(rules, code) for code in codes]
            assert Grouping((*rules, ("*", "rest")))("anything") == "rest"


@pytest.mark.parametrize("code", ["5\n", "5.1\n", "٥", "5.٥", "⁵", "+5", "5e0", "5" * 16, " 5"])
def test_only_plain_numbers_lie_in_a_range(code: str) -> None:
    assert Grouping((("1-999999999999999", "number"),))(code) is None
    assert Grouping((("١-٩", "number"),))("5") is None


def test_many_lines_are_looked_up_and_not_searched() -> None:
    """100,000 codes in 100,000 lines of every kind: searching would take an hour."""
    n = 100_000
    rules = [("exact" + str(i), "e") for i in range(n)] + [(f"{2 * i:06}-{2 * i:06}", "r") for i in range(n)]
    group = Grouping((*rules, *((f"p{i}*", "p") for i in range(n))))
    start = time.monotonic()
    found = [group(code) for i in range(n) for code in (f"exact{i}", str(2 * i), str(2 * i + 1), f"p{i}")]
    assert found == ["e", "r", None, "p"] * n and time.monotonic() - start < 60


# --- the hash ---------------------------------------------------------------------------------------------------------


def test_the_hash_covers_grouping_files(clinic_text: str, tmp_path: Path) -> None:
    text = grouped(clinic_text).replace("[F, M]", "[F, M]")
    path = tmp_path / "groups.csv"

    def hashed(content: str, policy: str = text) -> str:
        path.write_bytes(content.encode())
        return Policy.from_text(policy, folder=tmp_path).sha256

    known = hashed(GROUPS)
    assert hashed(GROUPS) == known
    changed = [GROUPS.replace("second", "Second"), GROUPS + "\n", GROUPS.replace("\n", "\r\n"), "\ufeff" + GROUPS]
    assert len({known, *map(hashed, changed), hashed(GROUPS, text + "\n")}) == 6
    assert Policy.from_text(text, folder=tmp_path) != Policy.from_text(
        text.replace("groups", "other"), folder=with_a_copy(path)
    )
    path.write_text(GROUPS)
    policy = Policy.from_text(text, folder=tmp_path)
    path.write_text(changed[0])
    assert policy != Policy.from_text(text, folder=tmp_path), "equality goes by the hash"


def with_a_copy(path: Path) -> Path:
    """The folder, after a copy of the grouping was put into it."""
    (path.parent / "other.csv").write_bytes(path.read_bytes())
    return path.parent


def test_the_hash_of_a_shipped_grouping_and_of_none(
    clinic_text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Policy.from_text(clinic_text).sha256 == hashlib.sha256(clinic_text.encode()).hexdigest()
    text = grouped(clinic_text, "icd9-chapters.csv")
    shipped = Policy.from_text(text)
    assert shipped.sha256 != hashlib.sha256(text.encode()).hexdigest()
    content = (beside.SHIPPED / "icd9-chapters.csv").read_bytes()
    assert load_grouping("icd9-chapters.csv", None).sha256 == hashlib.sha256(content).hexdigest()
    (tmp_path / "icd9-chapters.csv").write_bytes(content + b"zz,other\n")
    monkeypatch.setattr(beside, "SHIPPED", tmp_path)
    assert Policy.from_text(text).sha256 != shipped.sha256
    assert shipped.with_changes(epsilon=1.0).sha256 != Policy.from_text(text).with_changes(epsilon=1.0).sha256
