"""A new application shows up on the command line by itself, with all that comes with that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lowerbound.applications import APPLICATIONS, Listing
from tests.cli.conftest import Run

TOY = "tests.cli.toy_application"


@pytest.fixture(autouse=True)
def toy() -> Iterator[None]:
    APPLICATIONS.register("toy")(Listing(TOY, f"{TOY}.ToyRequest", "count latent units"))
    yield
    del APPLICATIONS._parts["toy"]


def test_it_is_listed_explained_and_run(run: Run, conditional_model: Path) -> None:
    assert re.search(r"^  toy +count latent units$", run("--help").out, re.MULTILINE)
    assert "usage: lowerbound toy MODEL [options]" in run("toy", "--help").out
    done = run("toy", conditional_model, "-t", 3)
    assert (done.code, done.out, done.err) == (0, "6 units\n", "counting\n")
    assert run("toy", conditional_model, "--json").object == {"command": "toy", "units": 2}


def test_its_mistakes_are_explained(run: Run, conditional_model: Path) -> None:
    assert "did you mean --times" in run("toy", conditional_model, "--tims", "3").err
    assert "there is no model folder" in run("toy", "nowhere").err
    assert "did you mean: lowerbound toy" in run("toys").err


def test_ends_become_exit_codes(run: Run, conditional_model: Path) -> None:
    done = run("toy", conditional_model, "--end", "interrupted", "--json")
    assert (done.code, done.object["error"]) == (130, "interrupted")
    done = run("toy", conditional_model, "--end", "out of memory")
    assert done.code == 2
    assert "the memory is full" in done.err
    with pytest.raises(RuntimeError):  # a defect keeps its trace
        run("toy", conditional_model, "--end", "broken")


def test_the_version_and_the_list_need_no_command(run: Run) -> None:
    assert run("--version").out.startswith("lowerbound ")
    assert run().out == run("--help").out
    assert run().code == 0
