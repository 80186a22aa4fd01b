"""No link inside a closed folder is followed, whoever puts it there and whenever."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lowerbound import durable, untrusted
from lowerbound.errors import ModelFolderError
from lowerbound.untrusted import folders

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need a permission there")


@pytest.fixture(params=[True, False], ids=["by descriptor", "by name"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file in it, and a link to a folder and to a file outside."""
    if not request.param:
        monkeypatch.setattr(folders, "BY_DESCRIPTOR", False)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.json").write_text("{}")
    (tmp_path / "m" / "own").mkdir(parents=True)
    (tmp_path / "m" / "own" / "a.json").write_text("{}")
    (tmp_path / "m" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "m" / "a.json").symlink_to(tmp_path / "outside" / "a.json")
    return tmp_path / "m"


BEHIND: dict[str, Callable[[Path], object]] = {
    "read": lambda m: untrusted.text(m / "link" / "a.json", ModelFolderError),
    "hash": lambda m: durable.sha256(m / "link" / "a.json"),
    "write text": lambda m: durable.write_text(m / "link" / "a.json", "new"),
    "write tensors": lambda m: durable.write_tensors(m / "link" / "a", {"a": torch.ones(1)}),
    "make": lambda m: folders.make(m / "link" / "new" / "newer"),
    "remove": lambda m: folders.remove(m / "link" / "a.json"),
    "remove a tree": lambda m: folders.remove_tree(m / "link" / "deeper"),
    "replace": lambda m: folders.replace(m / "own" / "a.json", m / "link" / "a.json"),
    "read a link": lambda m: untrusted.text(m / "a.json", ModelFolderError),
}


@pytest.mark.parametrize("act", BEHIND.values(), ids=BEHIND)
def test_nothing_behind_a_link_is_touched(act: Callable[[Path], object], place: Path) -> None:
    outside = place.parent / "outside"
    (outside / "deeper").mkdir()
    with folders.closed(place, look=False):  # as if the link came after the look
        with pytest.raises(ModelFolderError, match=r"(link|a\.json) is a link, and links inside"):
            act(place)
        folders.remove_tree(place / "own" / "none")
    assert sorted(path.name for path in outside.iterdir()) == ["a.json", "deeper"]
    assert (outside / "a.json").read_text() == "{}"
    act(place)  # the user's own links are followed


def test_a_link_itself_is_removed_and_not_its_content(place: Path) -> None:
    if not folders.BY_DESCRIPTOR:
        pytest.skip("there it is refused")
    with folders.closed(place, look=False):
        folders.remove_tree(place / "link")
        folders.remove(place / "a.json")
        durable.write_text(place / "own" / "b.json", "new")
    assert (place.parent / "outside" / "a.json").read_text() == "{}"
    assert not (place / "a.json").is_symlink()


def test_a_closed_folder_works_as_any(place: Path) -> None:
    (place / "a.json").unlink()
    (place / "link").unlink()
    with folders.closed(place):
        folders.make(place / "deep" / "deeper")
        durable.write_text(place / "deep" / "deeper" / "a.txt", "new")
        durable.write_tensors(place / "deep" / "a.safetensors", {"a": torch.ones(1)})
        assert untrusted.text(place / "deep" / "deeper" / "a.txt", ModelFolderError) == "new"
        folders.replace(place / "deep" / "deeper" / "a.txt", place / "own" / "b.txt")
        folders.remove(place / "own" / "a.json")
        folders.remove(place / "own" / "a.json")
        folders.remove_tree(place / "deep")
        with pytest.raises(FileNotFoundError) as missing:
            untrusted.text(place / "none", ModelFolderError)
    assert missing.value.filename == str(place / "none")
    assert [path.name for path in place.rglob("*")] == ["own", "b.txt"]


def test_a_link_is_found_at_any_depth(place: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"m/a\.json is a link"), folders.closed(place):
        pass
    (place / "a.json").unlink()
    (place / "link").rename(place / "own" / "deep")
    with pytest.raises(ModelFolderError, match="m/own/deep is a link"):
        folders.check(place)


def test_the_named_folder_may_be_a_link(place: Path) -> None:
    named = place.parent / "named"
    named.symlink_to(place / "own")
    with folders.closed(named):
        durable.write_text(named / "a.json", "new")
    assert (place / "own" / "a.json").read_text() == "new"


def test_nothing_is_written_through_a_hard_link(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "precious").write_text("keep")
    os.link(tmp_path / "precious", tmp_path / "m" / "a.json")
    with folders.closed(tmp_path / "m"):
        durable.write_text(tmp_path / "m" / "a.json", "new")
    assert (tmp_path / "precious").read_text() == "keep"


def test_a_link_put_in_between_gets_no_content(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "precious").write_text("keep")
    with folders.closed(tmp_path / "m"), durable._created(tmp_path / "m" / "a") as (made, handle):
        made.unlink()
        made.symlink_to(tmp_path / "precious")  # whoever owns the folder can do that at any time
        os.write(handle, b"new")
        os.close(handle)
        made.unlink()
        made.write_text("x")
    assert (tmp_path / "precious").read_text() == "keep"


def test_levels_of_closed_folders() -> None:
    with folders.closed(Path("m"), look=False), folders.closed(Path("m/prior"), look=False):
        root = folders._root(os.path.abspath("m/prior/a"))
    assert root == os.path.abspath("m")  # nobody named the inner one
