"""Short helps show what most people need; the rest, and the lists of parts, are one word away."""

from __future__ import annotations

import re

import pytest

from lowerbound.applications import APPLICATIONS, load
from lowerbound.applications.common.form import Entry, entries
from lowerbound.cli.flags import FEW
from tests.cli.conftest import Run

FLAG = re.compile(r"^  (?:-\w(?: \S+)?, )?(--[a-z-]+)", re.MULTILINE)
OF_EVERY_COMMAND = {"--help", "--json", "--seed", "--memory", "--keep-formulas", "--verbose"}


def own(command: str) -> list[Entry]:
    """The entries with a flag that the command has for itself."""
    form = entries(load(command).request)
    return [entry for entry in form if not entry.positional and entry.name != "seed"]


@pytest.mark.parametrize("command", APPLICATIONS)
def test_help_all_shows_every_option(run: Run, command: str) -> None:
    shown = set(FLAG.findall(run(*command.split(), "--help-all").out))
    assert shown == OF_EVERY_COMMAND | {entry.flag for entry in own(command)}


@pytest.mark.parametrize("command", APPLICATIONS)
def test_help_shows_few_options(run: Run, command: str) -> None:
    done = run(*command.split(), "--help")
    shown, form = set(FLAG.findall(done.out)) - OF_EVERY_COMMAND, own(command)
    if len(form) <= FEW:
        assert shown == {entry.flag for entry in form}
        assert "--help-all" not in done.out
    else:
        assert shown == {entry.flag for entry in form if entry.common or entry.required}
        assert 4 <= len(shown) <= FEW
        rest = f"lowerbound {command} --help-all shows all {len(form)} options of this command."
        assert done.out.splitlines()[-1] == rest


def test_the_help_of_a_fit_is_what_a_first_fit_needs(run: Run) -> None:
    shown = set(FLAG.findall(run("fit", "--help").out)) - OF_EVERY_COMMAND
    assert shown == {
        *("--output", "--label", "--model", "--latent-dim", "--epochs", "--minutes", "--compare"),
        *("--test", "--resume", "--overwrite", "--image-size", "--conditional"),
    }


@pytest.mark.parametrize("words", [("fit",), ("control", "train"), ("control",), ()])
def test_help_is_a_word_too(run: Run, words: tuple[str, ...]) -> None:
    done = run("help", *words)
    assert (done.code, done.out) == (0, run(*words, "--help").out)
    assert done.out.startswith("usage: lowerbound ")


def test_help_of_no_command_says_what_was_meant(run: Run) -> None:
    done = run("help", "train")
    assert (done.code, done.err) == (
        2,
        "lowerbound: unknown command 'train'; did you mean: lowerbound fit?\n",
    )


def test_a_command_after_which_nothing_follows_says_what_it_needs(run: Run) -> None:
    assert run("fit").err == (
        "lowerbound: missing: DATA (a folder of pictures or of .wav files, a .csv, .xlsx, "
        ".parquet, .npz or .npy file, or a named set such as digits), -o/--output (model folder "
        "to write); see lowerbound fit --help\n"
    )
