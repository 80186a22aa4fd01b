"""Rows of which few keep their labels, and what scikit-learn makes of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from _mixed_tables import table
from _speech import Said, spoken
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC

from lowerbound.data.audio.clips import Clips
from lowerbound.data.audio.spectrograms import SHOWN, SIZE, spectrogram
from lowerbound.data.catalog.download import data_folders
from lowerbound.errors import DataError

Array = np.ndarray[Any, Any]

TEST = 0.3
TABLE_ROWS = 3_000  # of a table at most, a fixed random sample
XRAYS = "pneumoniamnist_rebuilt.npz"
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
TABLES = ("breast_cancer", "wine", "german", "credit")


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
    def labeled_x(self) -> Any:
        """The rows that keep their label."""
        return taken(self.x, self.labeled)


def digits(labels: int, draw: int) -> Rows:
    """scikit-learn's digits, 30 % for the test, ``labels`` of the rest labeled; both stratified."""
    found = load_digits()
    return drawn(found.images.astype(np.uint8), found.target, labels, draw)


def small_table(name: str, share: float, draw: int) -> Rows:
    """A table, 30 % for the test, a share of the rest labeled (two of each class at least)."""
    if name in ("breast_cancer", "wine"):
        found = {"breast_cancer": load_breast_cancer, "wine": load_wine}[name](as_frame=True)
        x, y = found.data, found.target.to_numpy()
    else:
        frame = table(name, TABLE_ROWS).frame
        x, y = frame.iloc[:, :-1], pd.factorize(frame.iloc[:, -1], sort=True)[0]
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


def baselines(rows: Rows) -> dict[str, float]:
    """Test accuracy of scikit-learn's, on pictures from 0 to 1 and on standardized tables."""
    if hasattr(rows.x, "iloc"):
        prepare = _columns(rows.x).fit(rows.x)
        x, test = prepare.transform(rows.x), prepare.transform(rows.test_x)
    else:
        x, test = (part.reshape(len(part), -1) / rows.x.max() for part in (rows.x, rows.test_x))
    known, y = x[rows.labeled], rows.y[rows.labeled]
    svc = {"C": 10, "probability": True, "random_state": 0}
    found = {
        "SVC": SVC(C=10).fit(known, y),
        "logistic regression": LogisticRegression(max_iter=2_000).fit(known, y),
    }
    if len(known) < len(x):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found["label spreading"] = LabelSpreading(kernel="knn", n_neighbors=7, alpha=0.2).fit(
                x, rows.given
            )
            found["self-training (SVC)"] = SelfTrainingClassifier(SVC(**svc)).fit(x, rows.given)
    return {name: float(model.score(test, rows.test_y)) for name, model in found.items()}


def _columns(frame: Any) -> Any:
    numbers = [c for c in frame.columns if pd.api.types.is_numeric_dtype(frame[c])]
    others = [c for c in frame.columns if c not in numbers]
    levels = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_pipeline(
        ColumnTransformer([("numbers", StandardScaler(), numbers), ("levels", levels, others)])
    )
