from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lowerbound import durable
from lowerbound.errors import ModelFolderError
from lowerbound.training import checkpoint as files
from lowerbound.training.checkpoint import Checkpoint, joined


def state(number: int) -> Checkpoint:
    """A checkpoint whose parts all say ``number``."""
    tensors = joined({"model": {"w": torch.full((50,), float(number))}, "random": {}})
    return Checkpoint(tensors, {"updates": number, "nested": {"x": [number, None]}})


def number_in(folder: Path) -> int | None:
    """Which state is there; the parts have to agree."""
    found = files.load(folder)
    if found is None:
        return None
    (number,) = set(found.part("model")["w"].tolist())
    assert found.values == state(int(number)).values
    return int(number)


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    assert files.load(tmp_path) is None
    for number in (1, 2, 3):
        files.save(tmp_path, state(number))
        assert number_in(tmp_path) == number
    assert len(list((tmp_path / "checkpoint").iterdir())) == 2  # no older generation stays


class Killed(BaseException):
    """The process is gone: nothing after it runs that would tidy up."""


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("at", range(12))
def test_a_stop_at_any_step_leaves_the_old_state_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int, at: int
) -> None:
    if before:
        files.save(tmp_path, state(before))
    steps = 0

    def stops(function: Callable[..., Any]) -> Callable[..., Any]:
        def stopping(*arguments: Any, **keywords: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps > at:
                raise Killed
            return function(*arguments, **keywords)

        return stopping

    with monkeypatch.context() as patched:
        for owner, name in [(os, "replace"), (os, "fsync"), (Path, "unlink"), (Path, "write_text")]:
            patched.setattr(owner, name, stops(getattr(owner, name)))
        patched.setattr(durable, "sha256", stops(durable.sha256))
        try:
            files.save(tmp_path, state(2))
            assert steps <= at
        except Killed:
            pass
    assert number_in(tmp_path) in ({before, 2} if before else {None, 2})
    files.save(tmp_path, state(3))
    assert number_in(tmp_path) == 3
    assert len(list((tmp_path / "checkpoint").iterdir())) == 2


@pytest.mark.parametrize("failing", range(4))
def test_a_full_disk_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    files.save(tmp_path, state(1))
    calls = 0

    def full(path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == failing + 1:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(durable, "sync", full)
    with pytest.raises(OSError, match="No space left"):
        files.save(tmp_path, state(2))
    assert number_in(tmp_path) == (1 if failing < 3 else 2)
    assert len(list((tmp_path / "checkpoint").iterdir())) == 2


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    files.save(tmp_path, state(1))
    (tensors,) = (tmp_path / "checkpoint").glob("*.safetensors")
    whole = tensors.read_bytes()
    for content in (whole[:-1], whole[:-1] + b"x", b""):
        tensors.write_bytes(content)
        with pytest.raises(ModelFolderError, match=f"{tensors.name} is missing or damaged"):
            files.load(tmp_path)
    tensors.unlink()
    with pytest.raises(ModelFolderError, match=tensors.name):
        files.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_state_is_named(tmp_path: Path, text: str) -> None:
    files.save(tmp_path, state(1))
    (tmp_path / "checkpoint" / "state.json").write_text(text)
    with pytest.raises(ModelFolderError, match=r"state\.json is missing or damaged"):
        files.load(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    files.save(tmp_path, state(1))
    path = tmp_path / "checkpoint" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(ModelFolderError, match="format 99"):
        files.load(tmp_path)
