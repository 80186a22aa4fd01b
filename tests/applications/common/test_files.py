"""A new folder of files is complete or absent; in an old one files are replaced."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from lowerbound.applications.common.files import check_apart, fill_folder
from lowerbound.errors import DataError, OptionError


def written(place: Path, words: str = "new") -> tuple[str, ...]:
    for name in ("a.txt", "b/c.txt"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(words)
    return tuple(str(place / name) for name in ("a.txt", "b/c.txt"))


def inside(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_a_new_folder(tmp_path: Path) -> None:
    names = fill_folder(tmp_path / "deep" / "out", written)
    assert names == tuple(str(tmp_path / "deep" / "out" / name) for name in ("a.txt", "b/c.txt"))
    assert inside(tmp_path) == {"deep/out/a.txt": "new", "deep/out/b/c.txt": "new"}


def test_an_old_folder_keeps_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.warns(UserWarning, match=r"also holds 1 files from before, such as mine\.txt"):
        fill_folder(tmp_path, written)
    assert inside(tmp_path) == {"a.txt": "new", "b/c.txt": "new", "mine.txt": "kept"}
    (tmp_path / "mine.txt").unlink()
    fill_folder(tmp_path, written)  # all are replaced, so nothing is said


def test_a_whole_folder_is_swapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, replace, seen = tmp_path / "out", os.replace, list[dict[str, str]]()
    fill_folder(folder, partial(written, words="old"), whole=True)

    def watched(source: Path, target: Path, **places: int) -> None:
        replace(source, target, **places)
        seen.append(inside(folder))

    monkeypatch.setattr("os.replace", watched)
    fill_folder(folder, written, note=False, whole=True)
    old, new = ({"a.txt": words, "b/c.txt": words} for words in ("old", "new"))
    assert seen[-1] == new
    assert all(each in (old, {}, new) for each in seen)  # never files of both
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_whole_folder_comes_back_if_it_cannot_be_swapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, replace = tmp_path / "out", os.replace
    fill_folder(folder, partial(written, words="old"), whole=True)
    calls = iter([None, OSError(28, "full")])

    def fails_once(source: Path, target: Path, **places: int) -> None:
        if error := next(calls, None):
            raise error
        replace(source, target, **places)

    monkeypatch.setattr("os.replace", fails_once)
    with pytest.raises(OSError, match="full"):
        fill_folder(folder, written, whole=True)
    assert inside(tmp_path) == {"out/a.txt": "old", "out/b/c.txt": "old"}


def test_a_whole_folder_with_files_of_others_is_not_swapped(tmp_path: Path) -> None:
    written(tmp_path, "old")
    (tmp_path / "b" / "mine.txt").write_text("kept")
    with pytest.raises(DataError, match=r"holds other files, such as b.mine\.txt; choose another"):
        fill_folder(tmp_path, written, note=False, whole=True)
    assert inside(tmp_path) == {"a.txt": "old", "b/c.txt": "old", "b/mine.txt": "kept"}


@pytest.mark.parametrize("failure", [OSError(28, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("old", [False, True])
def test_a_failure_leaves_nothing(tmp_path: Path, failure: BaseException, old: bool) -> None:
    folder = tmp_path / "out"
    if old:
        folder.mkdir()
        (folder / "a.txt").write_text("old")

    def fail(place: Path) -> tuple[str, ...]:
        written(place)
        raise failure

    with pytest.raises(type(failure)) as found:
        fill_folder(folder, fail)
    assert inside(tmp_path) == ({"out/a.txt": "old"} if old else {})
    assert not isinstance(found.value, OSError) or found.value.filename == str(folder)


def test_results_do_not_replace_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "cats").mkdir(parents=True)
    (tmp_path / "data" / "a.csv").write_text("")
    monkeypatch.chdir(tmp_path)
    for place in (
        "data",
        "data/",
        "./data/../data",
        "data/cats",
        "data/new",
        str(tmp_path / "data"),
    ):
        with pytest.raises(OptionError, match="lies in the folder of the data, data"):
            check_apart(Path(place), "data")
    for place, data in (
        ("out", "data"),
        (".", "data"),
        ("data/w.png", "data"),
        ("x", "data/a.csv"),
        ("data/b.csv", "data/a.csv"),
    ):
        check_apart(Path(place), data)
    with pytest.raises(OptionError, match="is the data itself"):
        check_apart(Path("./data/a.csv"), "data/a.csv")
