"""A form asks every field once, and its answers make the dataclass again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from lowerbound.applications.common.form import REQUIRED, answer, entries
from lowerbound.config import option
from lowerbound.errors import DataError, OptionError


@dataclass(frozen=True)
class Inner:
    rate: float = option(0.5, "how fast")
    kind: Literal["slow", "fast"] = option("slow", "which")
    rest: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outer:
    model: str = option(REQUIRED, "model folder", positional=True, metavar="MODEL")
    number: int | None = option(None, "how many", short="-n")
    loud: bool = option(False, "shout")
    names: tuple[str, ...] = option((), "who")
    inner: Inner = field(default_factory=Inner)


def test_every_field_that_a_word_can_answer_is_asked() -> None:
    asked = {entry.path: entry for entry in entries(Outer)}
    assert list(asked) == [
        ("model",),
        ("number",),
        ("loud",),
        ("names",),
        ("inner", "rate"),
        ("inner", "kind"),
    ]
    assert asked["model",].required
    assert asked["model",].called == "MODEL"
    assert asked["number",].kind is int
    assert asked["names",].many
    assert asked["inner", "kind"].choices == ("slow", "fast")


def test_answers_fill_the_dataclass_and_the_rest_keeps_its_defaults() -> None:
    made = answer(Outer, {("model",): "m", ("inner", "rate"): 2, ("names",): ("a", "b")})
    assert made == Outer("m", names=("a", "b"), inner=Inner(rate=2.0))


def test_a_missing_answer_is_named() -> None:
    with pytest.raises(DataError, match="MODEL is missing: model folder"):
        answer(Outer, {})


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        (("number",), "7", 7),
        (("inner", "rate"), "1e-3", 1e-3),
        (("inner", "kind"), "fast", "fast"),
        (("loud",), "yes", True),
    ],
)
def test_words_become_values(path: tuple[str, ...], text: str, value: object) -> None:
    (entry,) = [entry for entry in entries(Outer) if entry.path == path]
    assert entry.parse(text) == value


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        (("number",), "many", "--number takes a whole number, not 'many'"),
        (("inner", "rate"), "x", "--rate takes a number, not 'x'"),
        (("inner", "kind"), "fats", "'fats'; did you mean 'fast'"),
        (("loud",), "perhaps", "--loud takes true or false"),
    ],
)
def test_words_that_make_no_sense_are_refused(
    path: tuple[str, ...], text: str, message: str
) -> None:
    (entry,) = [entry for entry in entries(Outer) if entry.path == path]
    with pytest.raises(OptionError, match=message):
        entry.parse(text)


def test_a_switch_that_is_on_is_turned_off_by_name() -> None:
    @dataclass(frozen=True)
    class On:
        light: bool = option(True, "on unless said otherwise")

    (entry,) = entries(On)
    assert entry.flag == "--no-light"
