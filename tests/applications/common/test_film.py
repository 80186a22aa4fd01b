"""What a film and a sheet of predicted frames show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lowerbound.applications.common.drawings import MARGIN
from lowerbound.applications.common.film import (
    FrameFiles,
    sheet_of_frames,
    some_windows,
    windows_of,
    write_film,
)
from lowerbound.data import load
from lowerbound.inference.frames import PredictedFrames

SIDE = 60  # pixels, so that nothing is enlarged


def predicted(windows: int) -> PredictedFrames:
    """Three frames of context and four after it, each of one grey: truth at .1, .2, ..., .7,
    reconstructions .05 higher, predictions 0 and draws 1."""
    grey = torch.arange(1, 8) / 10
    truth = grey[None, :, None, None, None].expand(windows, 7, 1, SIDE, SIDE)
    mean = torch.zeros(windows, 4, 1, SIDE, SIDE)
    number = torch.arange(windows)
    return PredictedFrames(number, 2 * number, truth, truth + 0.05, mean, 1 + mean[None])


def test_a_sheet_has_a_row_for_each_kind_and_a_column_for_each_frame() -> None:
    found = predicted(1)
    sheet = sheet_of_frames(found)
    lines = greys_of_sheet(sheet, 4)
    expected = {
        "truth": [0.4, 0.5, 0.6, 0.7],
        "reconstruction": [0.45, 0.55, 0.65, 0.75],
        "prediction": [0.0] * 4,
        "a draw": [1.0] * 4,
        "last frame": [0.3] * 4,
        "4 x error": [1.0] * 4,
    }
    assert np.allclose(lines, list(expected.values()), atol=0.01)
    every = greys_of_sheet(sheet_of_frames(found, every=2), 2)
    assert np.allclose(every[0], [0.5, 0.7], atol=0.01)


def greys_of_sheet(sheet: Image.Image, columns: int) -> list[list[float]]:
    """The grey in the middle of each picture of a sheet with six rows."""
    values = np.asarray(sheet.convert("L"), dtype=float) / 255
    step = SIDE + MARGIN
    return [
        [
            float(values[sheet.height - row * step + SIDE // 2, sheet.width - column * step + 20])
            for column in range(columns, 0, -1)
        ]
        for row in range(6, 0, -1)
    ]


def test_a_film_has_a_frame_for_each_time(tmp_path: Path) -> None:
    write_film(tmp_path / "film.gif", predicted(2), 5.0)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 7
        assert film.info["duration"] == 200


def test_windows_are_some_of_all_in_order() -> None:
    some = some_windows(9, 4).tolist()
    assert some == sorted(set(some))
    assert len(some) == 4
    assert some_windows(9, 20).tolist() == list(range(9))


def test_a_film_shows_its_windows_however_they_come_in_parts(tmp_path: Path) -> None:
    found, shown = predicted(9), some_windows(9, 3)
    outputs = [str(tmp_path / name) for name in ("whole.png", "parts.png")]
    for output, size in zip(outputs, (9, 2), strict=True):
        with FrameFiles([output], load(np.zeros((2, SIDE, SIDE), np.uint8)).schema, shown) as files:
            for part in torch.arange(9).split(size):
                files.add(windows_of(found, part))
        assert files.write_films(5.0) == (output,)
    whole, parts = (Path(output).read_bytes() for output in outputs)
    assert whole == parts
    write_film(tmp_path / "direct.png", windows_of(found, shown), 5.0)
    assert (tmp_path / "direct.png").read_bytes() == whole
