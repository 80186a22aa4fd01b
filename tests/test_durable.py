from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lowerbound import durable
from lowerbound.applications.common import files
from lowerbound.errors import OptionError

QUIET: dict[str, Any] = {"capture_output": True, "text": True, "check": True}


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


def test_permissions_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "secret.txt"
    durable.write_text(path, "old")
    usual = path.stat().st_mode
    path.chmod(0o600)
    durable.write_text(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    durable.write_tensors(path, {"a": torch.ones(2)})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (tmp_path / "plain.txt").write_text("x")
    assert (tmp_path / "plain.txt").stat().st_mode == usual


def test_no_link_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim, path = tmp_path / "victim", tmp_path / "a.txt"
    victim.write_text("precious")
    monkeypatch.setattr(durable.secrets, "token_hex", lambda count: "known")
    durable.unfinished(path).symlink_to(victim)
    with pytest.raises(FileExistsError):
        durable.write_text(path, "new")
    assert victim.read_text() == "precious"
    path.symlink_to(victim)
    monkeypatch.undo()
    durable.write_text(path, "new")
    assert (victim.read_text(), path.read_text()) == ("precious", "new")


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], **QUIET)
    own = f"{durable.machine()}1b2c3"
    gone = f".a[1].txt.{int(ended.stdout)}"
    left = tmp_path / f"{gone}.{own}.part"
    abandoned = tmp_path / f"{gone}.{other_machine()}1b2c4.part"
    elsewhere = tmp_path / f"{gone}.{other_machine()}1b2c3.part"
    other, mine = (
        tmp_path / f".b.txt.1.{own}.part",
        tmp_path / f".a[1].txt.{os.getpid()}.{own}.part",
    )
    for path in (left, abandoned, elsewhere, other, mine):
        path.write_text("half")
    os.utime(abandoned, (0, 0))
    durable.write_text(tmp_path / "a[1].txt", "new")
    assert not left.exists()
    assert not abandoned.exists()
    assert elsewhere.exists()  # its process is another machine's
    assert other.exists()
    assert mine.exists()


def other_machine() -> str:
    return "000" if durable.machine() != "000" else "111"


def test_the_folder_of_a_faster_process_stays(tmp_path: Path) -> None:
    place = tmp_path / "made"
    with durable.new_folder(place, keep=True) as slow:
        (slow / "a").write_text("slow")
        with durable.new_folder(place, keep=True) as fast:
            (fast / "a").write_text("fast")
        inode = place.stat().st_ino
    assert place.stat().st_ino == inode
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    with durable.new_folder(place) as again:
        (again / "a").write_text("again")
    assert (place / "a").read_text() == "again"


def test_long_names_are_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 125)
    durable.write_text(path, "new")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_pipes_and_devices_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OptionError, match="pipe is a pipe or a device"):
        durable.write_text(tmp_path / "pipe", "new")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


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


def test_a_place_is_tried_without_a_trace(tmp_path: Path) -> None:
    durable.check_place(tmp_path / "new")
    durable.check_place(tmp_path / "a" / "b" / "new")
    durable.check_place(tmp_path)
    (tmp_path / "file").write_text("mine")
    durable.check_place(tmp_path / "file")
    with pytest.raises(NotADirectoryError) as caught:
        durable.check_place(tmp_path / "file" / "a" / "new")
    assert caught.value.filename == str(tmp_path / "file" / "a" / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_only_a_named_output_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.csv"
    link.symlink_to(Path("there", "x.csv"))  # relative to the link
    for content in ("first", "second"):  # at first it leads nowhere
        files.write_text(link, content)
        assert link.is_symlink()
        assert (tmp_path / "there" / "x.csv").read_text() == content
    assert len(list(tmp_path.rglob("*"))) == 3
    durable.check_place(link)


def test_a_folder_is_filled_where_its_link_leads(tmp_path: Path) -> None:
    link, there = tmp_path / "link", tmp_path / "there" / "out"
    link.symlink_to(there)

    def write(folder: Path) -> list[str]:
        (folder / "a").write_text("content")
        return [str(folder / "a")]

    for _ in range(2):  # at first it leads nowhere
        assert files.fill_folder(link, write) == (str(link / "a"),)
        assert link.is_symlink()
        assert [path.name for path in there.iterdir()] == ["a"]


@pytest.mark.parametrize("way", ["replacing", "write_text", "write_bytes"])
def test_a_file_that_is_still_read_is_not_replaced(tmp_path: Path, way: str) -> None:
    path, asked = tmp_path / "a.txt", list[Path]()
    path.write_text("read here")

    def stays(file: Path) -> None:
        asked.append(file)
        raise OptionError(f"{file} is read")

    def write(file: Path) -> None:
        if way == "replacing":
            with durable.replacing(file) as temporary:
                temporary.write_text("new")
        elif way == "write_text":
            durable.write_text(file, "new")
        else:
            durable.write_bytes(file, b"new")

    with durable.guarded_by(stays):
        with pytest.raises(OptionError, match="is read"):
            write(path)
        write(tmp_path / "b.txt")  # nothing is there
    assert (asked, path.read_text()) == ([path], "read here")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.txt", "b.txt"]
    write(path)
    assert path.read_text() == "new"
