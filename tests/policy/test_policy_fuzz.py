"""Whatever is done to a policy, it loads or says what is wrong: nothing but PolicyError comes out."""

from __future__ import annotations

import copy
import datetime
import math
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privsynth.errors import PolicyError
from privsynth.policy import Policy

ODD: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    10**20,
    10**400,
    0.5,
    -0.5,
    math.nan,
    math.inf,
    -math.inf,
    1e308,
    5e-324,
    "",
    " ",
    "private",
    "row",
    "clip",
    "\0x",
    "é€",
    "x" * 500,
    [],
    [[]],
    {},
    {"a": {}},
    [None],
    [1, 2],
    [1.5, "x"],
    ["a", "<=", "b"],
    {"name": []},
    "2020-01-01",
    b"bytes",
    "category",
    "date",
    "integer",
    "number",
    "text",
    "id",
    "drop",
    "regenerate",
    "keep",
    "target",
    "direct_identifier",
    "boolean",
    "datetime",
    "time",
    "duration",
    "07:45",
    "PT2H",
    "2 days",
    "%d-%b-%y",
    "%",
    "Europe/Berlin",
    "de",
    ["07:45", "PT2H"],
    ["2020-01-01", "2020-02-30"],
    [datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 7, 45)],
    [datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)],
    [-9, "-9", "?"],
    {"below": "<1", "above": ["9+"]},
    {"thousands": ",", "decimal": ","},
]
KINDS = """\
  smokes: {kind: boolean, categories: ["no", "yes"], missing: [-8, "?"]}
  came: {kind: datetime, bounds: [2015-01-01, "2015-12-31"], format: "%d. %b %y %H:%M", timezone: UTC, cuts: [2015-03-01],
    spikes: [2015-07-01 12:00:00]}
  woke: {kind: time, format: "%H:%M", bounds: ["06:00", "22:00"], cuts: ["12:00"]}
  waited: {kind: duration, format: iso, bounds: ["-PT1H", "3 days"], spikes: ["PT2H"], missing: []}
  paid: {kind: number, bounds: [-20, 20000], decimals: 2, censored: {below: "<1", above: ["9999+"]}, cuts: [0, 0.5],
    number: {decimal: ",", thousands: ".", currency: "€", parentheses: true, percent: false}}
"""
FIXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def mutate(content: Any, place: tuple[Any, ...], how: str, odd: Any) -> None:
    holder, odd = content, copy.deepcopy(odd)  # a list that is put in twice could come to hold itself
    for key in place[:-1]:
        holder = holder[key]
    if how == "delete":
        del holder[place[-1]]
    elif how == "rename" and isinstance(holder, dict):
        holder[f"{place[-1]}x" if not isinstance(odd, str) else odd] = holder.pop(place[-1])
    else:
        holder[place[-1]] = odd


def try_it(text: str) -> None:
    try:
        policy = Policy.from_text(text, "p.yaml")
    except PolicyError as error:
        assert error.problems and all(p.place.startswith("p.yaml") and p.rule for p in error.problems)
        assert error.exit_code == 2
    else:
        assert policy.with_changes().model == policy.model, "what is valid stays valid"


@FIXED
@given(st.data())
def test_mutations(clinic_text: str, data: st.DataObject) -> None:
    text = clinic_text.replace("constraints:", KINDS + "constraints:")
    Policy.from_text(text)
    content = yaml.safe_load(text)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places(content)[1:] or [("privsynth",)]))
        mutate(
            content, place, data.draw(st.sampled_from(["delete", "rename", "replace"])), data.draw(st.sampled_from(ODD))
        )
        if not content:
            break
    try_it(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


@FIXED
@given(st.data())
def test_broken_text(clinic_text: str, data: st.DataObject) -> None:
    """Characters cut out, or put in anywhere."""
    start = data.draw(st.integers(0, len(clinic_text)))
    stop = data.draw(st.integers(start, min(start + 40, len(clinic_text))))
    piece = data.draw(
        st.sampled_from(
            ["", ":", "- ", "{", "]", '"', "&a ", "*a", "!!int ", "? ", "\n", "#", "|", "%", "\t", "<<: ", "1e999"]
        )
    )
    try_it(clinic_text[:start] + piece + clinic_text[stop:])


@FIXED
@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    try_it(text)
