"""Rows of which few keep their labels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from _label_tables import classified
from _speech import Said, spoken
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from lowerbound.data.audio.clips import Clips
from lowerbound.data.audio.kind import SHOWN, SIZE, spectrogram
from lowerbound.data.catalog import data_folders
from lowerbound.errors import DataError

Array = np.ndarray[Any, Any]

TEST = 0.3
XRAYS = "pneumoniamnist_rebuilt.npz"
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


@dataclass(frozen=True)
class Rows:
    """Training rows, which of them keep their label, and test rows.

    Attributes:
        x, y: training rows (a frame, a matrix or pictures) and their classes, hidden or not.
        labeled: row numbers.
        test_x, test_y: rows that nothing is fitted on.
    """

    x: Any
    y: Array
    labeled: Array
    test_x: Any
    test_y: Array

    @property
    def given(self) -> Array:
        """The classes, -1 where they are hidden."""
        shown = np.full(len(self.y), -1)
        shown[self.labeled] = self.y[self.labeled]
        return shown

    @property
    def complete(self) -> bool:
        """Whether every row keeps its label."""
        return len(self.labeled) == len(self.y)

    @property
    def labeled_x(self) -> Any:
        """The rows that keep their label."""
        return taken(self.x, self.labeled)


def digits(labels: int, draw: int) -> Rows:
    """scikit-learn's digits, 30 % for the test, ``labels`` of the rest labeled; both stratified."""
    found = load_digits()
    return drawn(found.images.astype(np.uint8), found.target, labels, draw)


def small_table(name: str, share: float, draw: int) -> Rows:
    """A table, 30 % for the test, a share of the rest labeled (two of each class at least)."""
    x, y = classified(name)
    return drawn(x, y, round(share * (1 - TEST) * len(y)), draw)


def mnist(labels: int, draw: int, train: tuple[Array, Array], test: tuple[Array, Array]) -> Rows:
    """MNIST's own parts, equally many labels of each class."""
    rng = np.random.default_rng(draw)
    x, y = train
    each = [rng.choice(np.flatnonzero(y == c), labels // 10, replace=False) for c in range(10)]
    return Rows(x, y, np.sort(np.concatenate(each)), *test)


def pneumonia(share: float, draw: int) -> Rows:
    """Chest X-rays of 28 x 28, their own test part; a share of the others labeled."""
    place = next((p for folder in data_folders() if (p := folder / XRAYS).exists()), None)
    if place is None:
        raise DataError(f"the data set pneumonia is missing: no {XRAYS}")
    parts = np.load(place)
    x = np.concatenate([parts["train_images"], parts["val_images"]])
    y = np.concatenate([parts["train_labels"], parts["val_labels"]]).ravel()
    labeled = some(y, round(share * len(y)), draw)
    return Rows(x, y, labeled, parts["test_images"], parts["test_labels"].ravel())


def spoken_digits(share: float, draw: int) -> Rows:
    """Spectrograms of the digits of four speakers, a share labeled; tested on the two others."""
    pairs = list(combinations(SPEAKERS, 2))
    unheard = pairs[np.random.default_rng(draw).integers(len(pairs))]
    heard = spoken(lambda said: said.speaker not in unheard)
    test = spoken(lambda said: said.speaker in unheard)
    length = round(float(np.quantile(heard.lengths, SHOWN)))
    y = np.array([Said.of(name).digit for name in heard.names])
    return Rows(
        spectrograms(heard, length),
        y,
        some(y, round(share * len(y)), draw),
        spectrograms(test, length),
        np.array([Said.of(name).digit for name in test.names]),
    )


def spectrograms(clips: Clips, length: int) -> Array:
    """Of each clip one, as ``load(folder, spectrograms=True)`` makes them."""
    return np.stack([spectrogram(clip, clips.rate, length, SIZE) for clip in clips.samples])


def some(y: Array, count: int, draw: int) -> Array:
    """So many rows, stratified."""
    index = np.arange(len(y))
    found, _ = train_test_split(index, train_size=count, stratify=y, random_state=draw)
    return np.sort(found)


def drawn(x: Any, y: Array, labels: int, draw: int) -> Rows:
    """Both parts and the labeled rows, stratified, by the number of the draw."""
    index = np.arange(len(y))
    rows, test = train_test_split(index, test_size=TEST, stratify=y, random_state=draw)
    labeled = np.arange(len(rows))
    if labels < len(rows):
        labeled = train_test_split(labeled, train_size=labels, stratify=y[rows], random_state=draw)[
            0
        ]
        labeled = np.sort(_with_two_of_each(labeled, y[rows]))
    return Rows(taken(x, rows), y[rows], labeled, taken(x, test), y[test])


def _with_two_of_each(labeled: Array, y: Array) -> Array:
    """The same and, of a class with fewer than two rows among them, the first others."""
    for c in np.unique(y):
        lacking = 2 - int((y[labeled] == c).sum())
        if lacking > 0:
            others = np.setdiff1d(np.flatnonzero(y == c), labeled)
            labeled = np.concatenate([labeled, others[:lacking]])
    return labeled


def taken(x: Any, rows: Array) -> Any:
    """Rows of a frame or an array."""
    return x.iloc[rows].reset_index(drop=True) if hasattr(x, "iloc") else x[rows]
