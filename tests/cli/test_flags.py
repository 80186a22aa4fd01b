"""Flags follow from a Request's fields, and mistakes are named with the nearest right word."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pytest
import torch

from lowerbound.applications.common.form import REQUIRED, answer, entries
from lowerbound.cli.flags import LARGEST_SEED, command_parser, parse
from lowerbound.config import RenamedWarning, option
from lowerbound.errors import OptionError


@dataclass(frozen=True)
class Training:
    epochs: int | None = option(None, "passes over the data")
    learning_rate: float = option(1e-3, "of Adam", formerly="my_pace")
    seed: int = option(0, "of everything")


@dataclass(frozen=True)
class Request:
    data: str = option(REQUIRED, "a table", positional=True)
    output: str = option(REQUIRED, "where to", short="-o", metavar="OUT")
    shape: Literal["round", "square"] = option("round", "which")
    tags: tuple[str, ...] = option((), "any number of these")
    quiet: bool = option(False, "say less", formerly="hushed")
    training: Training = field(default_factory=Training)
    seed: int = option(0, "of the draws")


def made(line: str) -> Request:
    typed = parse("work", "do it", entries(Request), line.split())
    return answer(Request, typed.answers)


def test_defaults_are_the_dataclasses_own() -> None:
    assert made("d.csv -o out") == Request("d.csv", "out")


@pytest.mark.parametrize("given", ["--my-pace 0.1", "--my-pace=0.1"])
def test_an_old_flag_works_and_the_new_one_is_said(given: str) -> None:
    with pytest.warns(RenamedWarning, match="--my-pace is now called --learning-rate; the old"):
        request = made(f"d.csv {given} -o out")
    assert request.training.learning_rate == 0.1
    with pytest.warns(RenamedWarning, match="--hushed is now called --quiet"):
        assert made("d.csv -o out --hushed").quiet


@pytest.mark.parametrize("seed", [0, LARGEST_SEED])
def test_the_ends_of_the_seeds_are_seeds(seed: int) -> None:
    found = made(f"d.csv -o out --seed {seed}")
    assert (found.seed, found.training.seed) == (seed, seed)
    np.random.default_rng(seed)
    torch.manual_seed(seed)


def test_an_old_flag_is_in_no_help_and_not_suggested() -> None:
    assert "hushed" not in command_parser("work", "", entries(Request)).format_help()
    with pytest.raises(OptionError, match="did you mean --shape"):
        made("d.csv -o out --hushe")


def test_every_field_has_its_flag_nested_ones_too() -> None:
    line = "d.csv --output out --shape square --tags a --tags b --quiet"
    line += " --epochs 3 --learning-rate 0.1 --seed 7"
    expected = Request("d.csv", "out", "square", ("a", "b"), True, Training(3, 0.1, 7), 7)
    assert made(line) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("d -o o --epoch 3", "unknown option --epoch; did you mean --epochs"),
        ("d -o o --lerning-rate=3", "did you mean --learning-rate"),
        ("d -o o --zzzzz", "unknown option --zzzzz; see lowerbound work --help"),
        ("d -o o e", "'e' is one word too many"),
        ("d -o o --epochs few", "--epochs takes a whole number, not 'few'"),
        ("d -o o --shape squre", "did you mean 'square'"),
        ("d -o o --seed -1", "--seed"),
        ("d -o o --seed x", "--seed takes a whole number"),
        (f"d -o o --seed {LARGEST_SEED + 1}", "from 0 to 4,294,967,295, not 4294967296"),
        ("d -o o --seed 123456789012345678901", "from 0 to 4,294,967,295"),
        ("d -o", "-o/--output needs a value after it; see lowerbound work --help"),
        ("d", r"^missing: -o/--output \(where to\); see lowerbound work --help$"),
        ("", r"missing: DATA \(a table\), -o/--output \(where to\)"),
    ],
)
def test_mistakes_are_named(line: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        made(line)


def test_help_lists_every_flag_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        made("--help")
    shown = capsys.readouterr().out
    assert shown.startswith("usage: lowerbound work DATA -o OUT [options]\n")
    for word in ("--epochs N", "default: 0.001", "round|square", "--json", "--seed", "training:"):
        assert word in shown
