"""What a launcher starts again goes on with the run of this launch, and with no older one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lowerbound import processes
from lowerbound.applications.common.form import entries
from lowerbound.applications.fit.fit import started_again
from lowerbound.applications.fit.requests import FitRequest
from lowerbound.fitting.manifest import CHECKPOINT

LAUNCH = 1_000_000.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An unfinished run, at a second start of the processes of a launch."""
    monkeypatch.setattr(processes, "restarts", lambda: 1)
    monkeypatch.setenv(processes.LAUNCHED, str(LAUNCH))
    (tmp_path / CHECKPOINT).mkdir()
    (tmp_path / CHECKPOINT / "state.json").write_text("{}")
    return tmp_path


def written(folder: Path, seconds: float) -> None:
    os.utime(folder / CHECKPOINT / "state.json", (seconds, seconds))


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_checkpoint_of_this_launch_goes_on(folder: Path, overwrite: bool) -> None:
    written(folder, LAUNCH + 60)
    again = started_again(folder, FitRequest("digits", str(folder), overwrite=overwrite))
    assert again.resume
    assert not again.overwrite


def test_the_run_that_is_to_be_overwritten_does_not(folder: Path) -> None:
    written(folder, LAUNCH - 60)
    request = FitRequest("digits", str(folder), overwrite=True)
    assert started_again(folder, request) is request
    older = FitRequest("digits", str(folder), resume=True)
    assert started_again(folder, older).resume


def test_every_option_that_names_a_file_is_known_as_one() -> None:
    """A request of somebody else opens none of them, and writes none."""
    named = {entry.name for entry in entries(FitRequest) if entry.names_file}
    assert named == {"output", "columns", "public_schema", "start", "features", "cache"}
