"""Commands that are killed, or whose disk is full, at each step that they take in files.

What they write is then absent, as before, or whole; the same command run again completes it, and a
fit that is resumed has the weights of one that was never stopped.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from lowerbound import durable
from lowerbound.cli import main
from lowerbound.errors import ModelFolderError
from lowerbound.fitting import folder as model_folder
from tests.hostile.commands import COMMANDS, FIT, PRIOR, prepare

STEPS = (
    *((os, name) for name in ("replace", "fsync", "open", "mkdir")),
    *((Path, name) for name in ("write_text", "unlink", "rmdir")),
)
# a fit takes seconds, so by default only some of its steps fail
some_steps = pytest.mark.parametrize("apart", [13, pytest.param(3, marks=pytest.mark.long)])


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


@dataclass
class Fault:
    """Fails the step of a number, and with a kill every later one.

    Attributes:
        at: number of the step.
        full: the disk is full; otherwise the process is killed.
    """

    at: int
    full: bool
    taken: int = 0

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        for owner, name in STEPS:
            patch.setattr(owner, name, self._failing(getattr(owner, name)))
        patch.setattr(durable, "_runs", lambda process: False)  # what is left is of a dead one

    def _failing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **keywords: Any) -> Any:
            self.taken += 1
            if self.full and self.taken == self.at:
                raise OSError(errno.ENOSPC, "No space left on device", "disk")
            if not self.full and self.taken >= self.at:
                raise Killed
            return function(*arguments, **keywords)

        return step


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, and a model of it."""
    folder = tmp_path_factory.mktemp("crash")
    prepare(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("full", [False, True], ids=["killed", "full disk"])
@pytest.mark.parametrize("exists", [False, True], ids=["new", "over an old one"])
@pytest.mark.parametrize("command", COMMANDS)
def test_files_are_absent_old_or_whole(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    exists: bool,
    full: bool,
) -> None:
    if command == "compress":
        pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")
    words, name = COMMANDS[command]
    work = tmp_path / "work"
    shutil.copytree(place, work)
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "states"))
    assert main(words) == 0
    expected = Path(name).read_bytes()
    for at in range(1, 200):
        Path(name).unlink()
        if exists:
            Path(name).write_bytes(b"old")
        fault = Fault(at, full)
        code = _run(fault, monkeypatch, words)
        found = Path(name).read_bytes() if Path(name).exists() else None
        assert found in ((b"old" if exists else None), expected), at
        if fault.taken < at:
            assert code == 0
            break
        assert main(words) == 0
        assert Path(name).read_bytes() == expected
        assert not [path for path in work.iterdir() if path.name.endswith(".part")] or not full
    else:
        raise AssertionError("the command never ended")
    assert at > 3


@pytest.mark.slow
@some_steps
@pytest.mark.parametrize("full", [False, True], ids=["killed", "full disk"])
def test_a_fit_is_resumed_as_if_never_stopped(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool, apart: int
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "states"))
    shutil.copy(place / "gaps.csv", "gaps.csv")
    words = [*FIT, "--updates", "6"]
    assert main(words) == 0
    expected = _weights(Path("m.lb"))
    shutil.rmtree("m.lb")
    for at in range(1, 2_000, apart):
        fault = Fault(at, full)
        _run(fault, monkeypatch, words)
        assert _absent_or_whole(Path("m.lb")), at
        if fault.taken < at:
            break
        again = (
            [*words, "--resume"] if Path("m.lb").exists() and any(Path("m.lb").iterdir()) else words
        )
        assert main(again) == 0, at
        assert _equal(_weights(Path("m.lb")), expected), at
        shutil.rmtree("m.lb")
    assert at > 20


@pytest.mark.slow
@some_steps
@pytest.mark.parametrize("full", [False, True], ids=["killed", "full disk"])
def test_a_prior_is_resumed_as_if_never_stopped(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool, apart: int
) -> None:
    """The model has its old prior or the new one, and the training goes on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "states"))
    shutil.copy(place / "gaps.csv", "gaps.csv")
    words = [*PRIOR, "--updates", "6"]
    shutil.copytree(place / "2.lb", "2.lb")
    old = _weights(Path("2.lb"))
    assert main(words) == 0
    expected = _weights(Path("2.lb"))
    assert not _equal(old, expected)
    for at in range(1, 2_000, apart):
        shutil.rmtree("2.lb")
        shutil.copytree(place / "2.lb", "2.lb")
        fault = Fault(at, full)
        _run(fault, monkeypatch, words)
        found = _weights(Path("2.lb"))
        assert _equal(found, old) or _equal(found, expected), at
        if fault.taken < at:
            break
        if not _equal(found, expected):
            assert 0 in (main([*words, "--resume"]), main(words)), at
            assert _equal(_weights(Path("2.lb")), expected), at
    assert at > 20


@pytest.mark.slow
@pytest.mark.parametrize("full", [False, True], ids=["killed", "full disk"])
def test_a_new_folder_of_pictures_is_absent_or_whole(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["sample", str(place / "0.lb"), "-n", "5", "-o", "out"]
    assert main(words) == 0
    expected = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    assert len(expected) == 6
    for at in range(1, 200):
        shutil.rmtree("out")
        fault = Fault(at, full)
        _run(fault, monkeypatch, words)
        found = {path.name: path.read_bytes() for path in Path("out").glob("*")}
        assert found in ({}, expected), at
        assert found or not Path("out").exists(), at
        if fault.taken < at:
            break
        assert main(words) == 0
        assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == expected
        assert not full or [path.name for path in tmp_path.iterdir()] == ["out"]
    assert at > 20


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return model_folder.read(folder).model.state_dict()


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def _absent_or_whole(folder: Path) -> bool:
    """Whether there is no model, or one that can be read."""
    try:
        model_folder.read(folder)
    except ModelFolderError as error:
        return "there is no model folder" in str(error) or "resume" in str(error)
    return True


def _run(fault: Fault, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> int | None:
    """The exit code of a command under a fault; None: it was killed."""
    with monkeypatch.context() as patch:
        fault.patch(patch)
        try:
            return main(words)
        except Killed:
            return None
