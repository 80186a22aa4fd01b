"""Rows of four fields to find anomalies in: connections, chest X-rays, circuit boards, series.

Each gives rows to fit on, all normal, rows to score, and which of those are anomalies; beside them
the same rows as plain numbers, for detectors that take nothing else.
"""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits

from lowerbound.data.catalog import data_folders, first_place
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import DataError

Array = np.ndarray[Any, Any]

CONNECTIONS, XRAYS = "kddcup.data_10_percent.gz", "pneumoniamnist_rebuilt.npz"
BOARDS, SERIES = "deeppcb_3groups.tar", "nab.tar.xz"

FITTED_CONNECTIONS, SCORED_CONNECTIONS = 5_000, 100_000
TEXT_COLUMNS = (1, 2, 3)  # protocol, service, state of the connection
TILE, SHRINK = 16, 2  # pixels of a tile's side, after boards are made half as large
FITTED_TILES, SCORED_TILES = 10_000, 10_000
HELD_OUT_BOARDS = "group90100"
WINDOW = 32
PROBATION = 0.15  # of a series, from its start, in which it is normal: the part NAB lets one fit on


@dataclass(frozen=True)
class Field:
    """Rows as our detector takes them, rows as numbers, and what is odd.

    Attributes:
        training, test: rows to fit on and to score.
        plain_training, plain_test: the same as matrices.
        y: 1 for an anomaly, of each row that is scored.
    """

    training: Any
    test: Any
    plain_training: Array
    plain_test: Array
    y: Array


def digits(digit: int, seed: int) -> Field:
    """70 % of one class to fit on; its other rows and all other classes to score."""
    data = load_digits()
    random = np.random.default_rng(seed)
    own = random.permutation(np.flatnonzero(data.target == digit))
    cut = round(0.7 * len(own))
    test = np.concatenate((own[cut:], np.flatnonzero(data.target != digit)))
    x = data.images / 16
    return pictures(x[own[:cut]], x[test], (data.target[test] != digit).astype(int))


def pictures(training: Array, test: Array, y: Array) -> Field:
    plain = [part.reshape(len(part), -1).astype(np.float64) for part in (training, test)]
    return Field(training, test, plain[0], plain[1], y)


def connections(seed: int) -> Field:
    """KDD 1999, ten per cent: normal connections to fit on, others and attacks to score."""
    table, odd = _connections()
    random = np.random.default_rng(seed)
    fitted = random.choice(np.flatnonzero(~odd), FITTED_CONNECTIONS, replace=False)
    others = np.setdiff1d(np.arange(len(table)), fitted)
    scored = random.choice(others, SCORED_CONNECTIONS, replace=False)
    dummies = pd.get_dummies(table, columns=[f"c{i}" for i in TEXT_COLUMNS]).to_numpy(np.float64)
    return Field(
        table.iloc[fitted].reset_index(drop=True),
        table.iloc[scored].reset_index(drop=True),
        dummies[fitted],
        dummies[scored],
        odd[scored].astype(int),
    )


@cache
def _connections() -> tuple[pd.DataFrame, Array]:
    table = pd.read_csv(archive_path(CONNECTIONS), header=None)
    odd = (table.pop(41) != "normal.").to_numpy()
    return table.rename(columns=lambda i: f"c{i}"), odd


def xrays(seed: int) -> Field:
    """Chest X-rays of 28 x 28 pixels: those without pneumonia to fit on, the test part to score."""
    with np.load(archive_path(XRAYS)) as arrays:
        normal = arrays["train_images"][arrays["train_labels"].ravel() == 0]
        return pictures(normal, arrays["test_images"], arrays["test_labels"].ravel().astype(int))


@dataclass(frozen=True)
class Board:
    """A printed circuit board and where its defects are marked; half size.

    Attributes:
        pair: (2, H, W) in 0..255, the template and the picture: as it should be, and as it is.
        boxes: (defects, 4): left, top, right, bottom; they leave room around a defect.
    """

    pair: Array
    boxes: Array

    @property
    def marked(self) -> Array:
        """Which pixels are inside a box, (H, W)."""
        inside = np.zeros(self.pair.shape[1:], dtype=bool)
        for left, top, right, bottom in self.boxes:
            inside[top : bottom + 1, left : right + 1] = True
        return inside

    def defects(self) -> Array:
        """The tile around the middle of each box, (defects, 2, TILE, TILE)."""
        corners = (self.boxes[:, :2] + self.boxes[:, 2:] - TILE) // 2
        highest = self.pair.shape[1] - TILE
        return np.stack(
            [
                self.pair[:, top : top + TILE, left : left + TILE]
                for left, top in corners.clip(0, highest)
            ]
        )

    def sound(self) -> Array:
        """The tiles that no box touches, (tiles, 2, TILE, TILE)."""
        return tiles(self.pair)[tiles(self.marked[None]).sum((1, 2, 3)) == 0]


def boards(seed: int) -> Field:
    """Tiles of two groups of boards without a defect to fit on, tiles of a third group to score.

    A tile has two channels, the template and the picture: normal is what agrees with its template.
    """
    random = np.random.default_rng(seed)
    sound = np.concatenate([board.sound() for board in all_boards(False)])
    others = np.concatenate([board.sound() for board in all_boards(True)])
    defects = np.concatenate([board.defects() for board in all_boards(True)])
    fitted = random.choice(len(sound), FITTED_TILES, replace=False)
    scored = random.choice(len(others), SCORED_TILES, replace=False)
    y = np.repeat((0, 1), (SCORED_TILES, len(defects)))
    return pictures(sound[fitted], np.concatenate((others[scored], defects)), y)


def tiles(board: Array) -> Array:
    """(C, H, W) cut into (tiles, C, TILE, TILE), row by row."""
    channels, height, width = board.shape
    cut = board.reshape(channels, height // TILE, TILE, width // TILE, TILE)
    return cut.transpose(1, 3, 0, 2, 4).reshape(-1, channels, TILE, TILE)


@cache
def all_boards(held_out: bool) -> tuple[Board, ...]:
    """The boards of the third group, or those of the other two."""
    found = []
    with tarfile.open(archive_path(BOARDS)) as archive:
        files = {m.name: m for m in archive.getmembers() if m.isfile()}
        for name in sorted(files):
            if name.endswith("_test.jpg") and name.startswith(HELD_OUT_BOARDS) == held_out:
                group, folder, file = name.split("/")
                words = _read(archive, f"{group}/{folder}_not/{file[:-9]}.txt").decode().split()
                boxes = np.array(words, dtype=int).reshape(-1, 5)[:, :4] // SHRINK
                template = _grey(_read(archive, name.replace("_test", "_temp")))
                found.append(Board(np.stack((template, _grey(_read(archive, name)))), boxes))
    return tuple(found)


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def _grey(content: bytes) -> Array:
    picture = Image.open(io.BytesIO(content)).convert("L")
    size = (picture.width // SHRINK, picture.height // SHRINK)
    return np.asarray(picture.resize(size, Image.Resampling.BOX))


def series_names() -> tuple[str, ...]:
    """The series of NAB with an anomaly after the part that is fitted on."""
    return tuple(sorted(name for name, windows in _marked().items() if windows))


def _marked() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_archive()["labels/combined_windows.json"])
    return found


@cache
def _archive() -> dict[str, bytes]:
    """The files of NAB by name: a packed archive is slow to go through for each."""
    with tarfile.open(archive_path(SERIES)) as archive:
        return {m.name: _read(archive, m.name) for m in archive.getmembers() if m.isfile()}


def series(name: str) -> tuple[Field, Windows, int]:
    """Windows of the first 15 % to fit on, windows of the rest to score point by point.

    Returns:
        The field, ``y`` of points and not of windows; how it was cut; and the points of the rest.
    """
    frame = pd.read_csv(io.BytesIO(_archive()[f"data/{name}"]), parse_dates=["timestamp"])
    odd = np.zeros(len(frame), dtype=int)
    for start, end in _marked()[name]:
        odd |= frame["timestamp"].between(pd.Timestamp(start), pd.Timestamp(end)).to_numpy(int)
    cut = round(PROBATION * len(frame))
    windows = Windows(length=WINDOW)
    training, test = (
        windows.frame(part.reset_index(drop=True))
        for part in (frame[["value"]].iloc[:cut], frame[["value"]].iloc[cut:])
    )
    plain = [part.to_numpy(np.float64) for part in (training, test)]
    return Field(plain[0], plain[1], plain[0], plain[1], odd[cut:]), windows, len(frame) - cut


def file_of(field: str) -> str | None:
    """The archive that a field is read from; None: it comes with scikit-learn."""
    return {"connections": CONNECTIONS, "xrays": XRAYS, "boards": BOARDS, "series": SERIES}.get(
        field
    )


def archive_path(file: str) -> Path:
    """An archive in the folder LOWERBOUND_DATA.

    Raises:
        DataError: it is not there.
    """
    found = first_place(data_folders(), (file,))
    if found is None:
        raise DataError(f"the data set {file} is missing: put it into the folder LOWERBOUND_DATA")
    return found
