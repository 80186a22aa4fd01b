"""--resume of commands that draw rows or compress pictures: only what is left is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lowerbound.applications.common import drawn_parts
from lowerbound.applications.compression import photographs, picture_files
from lowerbound.cli import main
from lowerbound.data.pictures.folders import read_whole
from lowerbound.errors import DataError
from lowerbound.inference import prior_draws
from lowerbound.inference.prior_draws import PriorDraws
from lowerbound.inference.table_draws import BLOCK
from lowerbound.inference.tables import TableDraws

ROWS = str(2 * BLOCK + 100)  # three parts


class Stops:
    """Counts the calls of a function, and interrupts one of them."""

    def __init__(self, work: Callable[..., Any], fails: int = 0) -> None:
        self.work, self.fails, self.calls = work, fails, 0

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        self.calls += 1
        if self.calls == self.fails:
            raise KeyboardInterrupt
        return self.work(*arguments, **keywords)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn_parts, "PART", BLOCK)
    monkeypatch.setattr(prior_draws, "MEMORY", 20 * prior_draws.BYTES_PER_VALUE * 30)


def stopping(
    monkeypatch: pytest.MonkeyPatch, place: Any, name: str, fails: int = 0
) -> Callable[[], int]:
    """Interrupt one call of ``place.name``; the number of calls so far."""
    work = getattr(place, name)
    stops = Stops(getattr(work, "work", work), fails)

    def call(*arguments: Any, **keywords: Any) -> Any:
        return stops(*arguments, **keywords)

    call.work = stops.work  # type: ignore[attr-defined]
    monkeypatch.setattr(place, name, call)
    return lambda: stops.calls


def contents(path: Path) -> dict[str, bytes]:
    """The bytes of a file, or of the files of a folder."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(each.relative_to(path)): each.read_bytes() for each in path.rglob("*.*")}


def resumed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    outputs: tuple[Path, Path],
    work: tuple[Any, str],
    done: str,
) -> None:
    """Check that a run which is interrupted in its third part goes on with that part."""
    whole, parts = outputs
    assert main([*words, "-o", str(whole)]) == 0
    capsys.readouterr()
    stopping(monkeypatch, *work, fails=3)
    assert main([*words, "-o", str(parts)]) == 130
    said = capsys.readouterr().err
    assert f"lowerbound: interrupted; {done} are done and kept in" in said
    assert "--resume" in said
    kept = parts.with_name(f"{parts.name}.unfinished")
    assert len(list(kept.glob("*.safetensors"))) == 2
    calls = stopping(monkeypatch, *work)
    assert main([*words, "-o", str(parts), "--resume"]) == 0
    assert calls() == 1
    assert contents(parts) == contents(whole)
    assert not kept.exists()


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("name", ["{}.csv", "{}.parquet"])
@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("synthesize", ()),
        ("synthesize", ("--given", "age=40")),
        ("sample", ("--given", "age=40")),
    ],
)
def test_rows_of_a_table(
    table_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    flags: tuple[str, ...],
    name: str,
) -> None:
    outputs = (tmp_path / name.format("whole"), tmp_path / name.format("parts"))
    words = [command, str(table_model), "-n", ROWS, *flags]
    resumed(monkeypatch, capsys, words, outputs, (TableDraws, "values"), "2,048 rows")


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("name", ["{}.npz", "{}"])
def test_pictures(
    picture_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    outputs = (tmp_path / name.format("whole"), tmp_path / name.format("parts"))
    words = ["sample", str(picture_model), "-n", "50"]
    resumed(monkeypatch, capsys, words, outputs, (PriorDraws, "parts"), "40 rows")


@pytest.fixture
def photographs_folder(tmp_path: Path) -> Path:
    """Three smooth pictures, one of them in a folder of its own."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photographs"
    (folder / "more").mkdir(parents=True)
    for place in ("a.png", "b.png", "more/c.png"):
        waves = rng.normal(size=(4, 4, 3)).repeat(12, 0).repeat(12, 1).cumsum(0)
        Image.fromarray((128 + 12 * waves).clip(0, 255).astype(np.uint8)).save(folder / place)
    return folder


@pytest.mark.slow
def test_compressed_pictures(
    photographs_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outputs = (tmp_path / "whole", tmp_path / "parts")
    words = ["compress", str(photographs_folder)]
    resumed(monkeypatch, capsys, words, outputs, (photographs, "write_smaller"), "2 pictures")


@pytest.mark.slow
def test_a_changed_picture_in_a_folder_below_is_noticed(
    photographs_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["compress", str(photographs_folder), "-o", str(tmp_path / "out")]
    stopping(monkeypatch, photographs, "write_smaller", fails=3)
    assert main(words) == 130
    Image.new("RGB", (50, 50)).save(photographs_folder / "more" / "c.png")
    assert main([*words, "--resume"]) == 2
    assert "belongs to a run that differs in pictures" in capsys.readouterr().err


@pytest.mark.slow
def test_what_was_done_before_a_broken_picture_is_used_without_it(
    photographs_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also if the output is spelled with a slash at its end, and then without."""
    (photographs_folder / "more" / "c.png").write_text("no picture")
    words = ["compress", str(photographs_folder), "-o"]
    assert main([*words, f"{tmp_path}/out/"]) == 2
    kept = tmp_path / "out.unfinished"
    assert f"2 pictures are done and kept in {kept}" in capsys.readouterr().err
    calls = stopping(monkeypatch, photographs, "write_smaller")
    assert main([*words, f"{tmp_path}/out", "--resume", "--on-error", "skip"]) == 0
    assert calls() == 0
    assert sorted(contents(tmp_path / "out")) == ["a.lbz", "b.lbz"]
    assert not kept.exists()


@pytest.mark.slow
def test_a_picture_that_can_be_read_again_gets_no_file_of_another(
    photographs_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["compress", str(photographs_folder), "-o"]
    assert main([*words, str(tmp_path / "whole")]) == 0

    def unreadable(path: Path, channels: int) -> Any:
        if path.name == "a.png":
            raise DataError("its disk does not answer")
        return read_whole(path, channels)

    with monkeypatch.context() as patch:
        patch.setattr(picture_files, "read_whole", unreadable)
        stopping(patch, photographs, "write_smaller", fails=2)
        assert main([*words, str(tmp_path / "parts"), "--on-error", "skip"]) == 130
    assert "1 picture is done and kept in" in capsys.readouterr().err
    calls = stopping(monkeypatch, photographs, "write_smaller")
    assert main([*words, str(tmp_path / "parts"), "--resume"]) == 0
    assert calls() == 2
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_only_work_in_parts_is_resumed(
    picture_model: Path,
    pictures: Path,
    photographs_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = photographs_folder / "a.png"
    assert main(["compress", str(one), "-o", str(tmp_path / "a.lbz"), "--resume"]) == 2
    assert "read as a whole: leave --resume out" in capsys.readouterr().err
    words = ["compress", str(picture_model), str(pictures), "-o", str(tmp_path / "b.lbz")]
    assert main([*words, "--resume"]) == 2
    assert "--resume is for pictures by a transform coder" in capsys.readouterr().err
