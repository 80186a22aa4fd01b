"""Rows of four fields to find anomalies in: connections, chest X-rays, circuit boards, series.

Each gives rows to fit on, all normal, rows to score, and which of those are anomalies; beside them
the same rows as plain numbers, for detectors that take nothing else.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits

from lowerbound.data.download import data_folders
from lowerbound.data.published import first_place
from lowerbound.data.windows import Windows
from lowerbound.errors import DataError

Array = np.ndarray[Any, Any]

CONNECTIONS, XRAYS = "kddcup.data_10_percent.gz", "pneumoniamnist_rebuilt.npz"
BOARDS, SERIES = "deeppcb_3groups.tar", "nab.tar.xz"

FITTED_CONNECTIONS, SCORED_CONNECTIONS = 5_000, 100_000
TEXT_COLUMNS = (1, 2, 3)  # protocol, service, state of the connection
TILE, SHRINK = 16, 2  # pixels of a tile's side, after boards are made half as large
FITTED_TILES, SCORED_TILES = 10_000, 20_000
DEFECT = 50  # pixels of a marked defect in a tile that make it one; tiles with fewer are left out
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
    table = pd.read_csv(_place(CONNECTIONS), header=None)
    odd = (table.pop(41) != "normal.").to_numpy()
    return table.rename(columns=lambda i: f"c{i}"), odd


def xrays(seed: int) -> Field:
    """Chest X-rays of 28 x 28 pixels: those without pneumonia to fit on, the test part to score."""
    with np.load(_place(XRAYS)) as arrays:
        normal = arrays["train_images"][arrays["train_labels"].ravel() == 0]
        return pictures(normal, arrays["test_images"], arrays["test_labels"].ravel().astype(int))


@dataclass(frozen=True)
class Board:
    """A printed circuit board, its template and its defects, (H, W) in 0..255, half size."""

    template: Array
    picture: Array
    boxes: Array

    @property
    def defect(self) -> Array:
        """Which pixels are marked, (H, W)."""
        marked = np.zeros(self.picture.shape, dtype=bool)
        for left, top, right, bottom in self.boxes // SHRINK:
            marked[top : bottom + 1, left : right + 1] = True
        return marked

    @property
    def pair(self) -> Array:
        """(2, H, W): as it should be, and as it is."""
        return np.stack((self.template, self.picture))


def boards(seed: int) -> Field:
    """Tiles of two groups of boards without a defect to fit on, tiles of a third group to score.

    A tile has two channels, the template and the picture: normal is what agrees with its template.
    """
    random = np.random.default_rng(seed)
    training = [t for t, y in _tiles(False) if y == 0]
    test = [(t, y) for t, y in _tiles(True) if y >= 0]
    odd = [i for i, (_, y) in enumerate(test) if y == 1]
    usual = [i for i, (_, y) in enumerate(test) if y == 0]
    chosen = [*odd, *random.choice(usual, SCORED_TILES - len(odd), replace=False)]
    fitted = random.choice(len(training), FITTED_TILES, replace=False)
    return pictures(
        np.stack([training[i] for i in fitted]),
        np.stack([test[i][0] for i in chosen]),
        np.array([test[i][1] for i in chosen]),
    )


def tiles(board: Array) -> Array:
    """(C, H, W) cut into (tiles, C, TILE, TILE), row by row."""
    channels, height, width = board.shape
    cut = board.reshape(channels, height // TILE, TILE, width // TILE, TILE)
    return cut.transpose(1, 3, 0, 2, 4).reshape(-1, channels, TILE, TILE)


def _tiles(held_out: bool) -> Iterator[tuple[Array, int]]:
    """Every tile with 1 for a defect, 0 for none, -1 for too little of one."""
    for board in all_boards(held_out):
        marked = tiles(board.defect[None]).sum((1, 2, 3)) * SHRINK**2
        for tile, pixels in zip(tiles(board.pair), marked, strict=True):
            yield tile, 1 if pixels >= DEFECT else 0 if pixels == 0 else -1


@cache
def all_boards(held_out: bool) -> tuple[Board, ...]:
    """The boards of the third group, or those of the other two."""
    found = []
    with tarfile.open(_place(BOARDS)) as archive:
        files = {m.name: m for m in archive.getmembers() if m.isfile()}
        for name in sorted(files):
            if name.endswith("_test.jpg") and name.startswith(HELD_OUT_BOARDS) == held_out:
                group, folder, file = name.split("/")
                words = _read(archive, f"{group}/{folder}_not/{file[:-9]}.txt").decode().split()
                boxes = np.array(words, dtype=int).reshape(-1, 5)[:, :4]
                template = _grey(_read(archive, name.replace("_test", "_temp")))
                found.append(Board(template, _grey(_read(archive, name)), boxes))
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
    with tarfile.open(_place(SERIES)) as archive:
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


def _place(file: str) -> str:
    found = first_place(data_folders(), (file,))
    if found is None:
        raise DataError(f"the data set {file} is missing: put it into the folder LOWERBOUND_DATA")
    return str(found)
