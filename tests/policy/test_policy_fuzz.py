"""Whatever is done to a policy, it loads or says what is wrong: nothing but PolicyError comes out."""

from __future__ import annotations

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
]
FIXED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def mutate(content: Any, place: tuple[Any, ...], how: str, odd: Any) -> None:
    holder = content
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
    content = yaml.safe_load(clinic_text)
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
