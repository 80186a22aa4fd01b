from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lowerbound import durable


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for text in ("first", "second, ü"):
        durable.write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_until_the_block_ends_the_old_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    durable.write_text(path, "old")
    with durable.replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent  # a rename is atomic within one file system only
    assert path.read_text() == "new"


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    durable.write_text(path, "old")

    def fail_halfway() -> None:
        with durable.replacing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_content_is_on_the_disk_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    sync, replace = durable.sync, durable.os.replace
    monkeypatch.setattr(durable, "sync", lambda path: (calls.append("sync"), sync(path)))
    monkeypatch.setattr(
        durable.os, "replace", lambda old, new: (calls.append("rename"), replace(old, new))
    )
    durable.write_text(tmp_path / "a.txt", "x")
    assert calls == ["sync", "rename", "sync"]


def test_tensors_that_share_memory_are_written_apart(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "whole": whole,
        "same": whole,
        "row": whole[1],
        "turned": whole.T,
        "one": whole.sum(),
    }
    durable.write_tensors(tmp_path / "t.safetensors", tensors)
    found = load_file(tmp_path / "t.safetensors")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], value) for name, value in tensors.items())


def test_a_write_that_fails_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        durable.write_tensors(tmp_path / "missing" / "t.safetensors", {"a": torch.ones(2)})
    assert caught.value.errno in (errno.EIO, errno.ENOENT)


def test_the_hash_is_that_of_the_content(tmp_path: Path) -> None:
    durable.write_text(tmp_path / "a.txt", "content")
    assert durable.sha256(tmp_path / "a.txt") == hashlib.sha256(b"content").hexdigest()
