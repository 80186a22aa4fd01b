"""Classifiers beside ours: those of scikit-learn, and our own without the rows that have no label.

Their settings are chosen for each data set on draws that are not reported, as ours were: a part of
the training rows stands in for the test rows, which are not read.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from _few_labels import TEST, Rows, taken
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC

from lowerbound import SemiSupervisedVAE

Settings = Mapping[str, Any]
CHOOSING = (1_000, 1_001, 1_002)  # draws
MOST_TRAINING, MOST_HELD = 10_000, 2_000  # rows of a draw for choosing, so that MNIST takes minutes
SURE = 0.9  # probability from which self-training believes


@dataclass(frozen=True)
class Learner:
    """A classifier of scikit-learn, and the settings that are tried.

    Attributes:
        make: the settings -> a classifier.
        unlabeled: whether it learns from rows without a label too, whose class is then -1.
        most: of the rows that it learns from, because it takes hours with more; 0: all.
    """

    make: Callable[..., Any]
    settings: tuple[Settings, ...] = ({},)
    unlabeled: bool = False
    most: int = 0


def grid(**options: tuple[Any, ...]) -> tuple[Settings, ...]:
    """Every combination of the options."""
    return tuple(dict(zip(options, values, strict=True)) for values in product(*options.values()))


def logistic(C: float) -> Any:
    return LogisticRegression(C=C, max_iter=2_000)


def boosting(leaf: int, rate: float) -> Any:
    return HistGradientBoostingClassifier(
        min_samples_leaf=leaf, learning_rate=rate, early_stopping=False, random_state=0
    )


def self_training(base: str, C: float) -> Any:
    bases = {"SVC": SVC(C=C, probability=True, random_state=0), "logistic": logistic(C)}
    return SelfTrainingClassifier(bases[base], threshold=SURE)


def label_spreading(neighbors: int, alpha: float) -> Any:
    return LabelSpreading(kernel="knn", n_neighbors=neighbors, alpha=alpha)


LEARNERS: dict[str, Learner] = {
    "majority class": Learner(lambda: DummyClassifier(strategy="most_frequent")),
    "logistic regression": Learner(logistic, grid(C=(0.01, 0.1, 1.0, 10.0, 100.0))),
    "SVC": Learner(SVC, grid(C=(0.1, 1.0, 10.0, 100.0), gamma=("scale", "auto"))),
    "boosting": Learner(boosting, grid(leaf=(1, 5, 20), rate=(0.05, 0.2))),
    "label spreading": Learner(
        label_spreading, grid(neighbors=(3, 7, 15), alpha=(0.1, 0.2, 0.5)), unlabeled=True
    ),
    "self-training": Learner(
        self_training, grid(base=("SVC", "logistic"), C=(1.0, 10.0)), unlabeled=True, most=10_000
    ),
}
ALONE, BY_ITSELF = "own classifier, labeled rows alone", "own classifier, self-training"


def choice(draw: Callable[[int], Rows]) -> dict[str, dict[str, Any]]:
    """By learner the settings of the highest mean accuracy on draws that are not reported.

    Args:
        draw: the number of a draw -> its rows.
    """
    draws = [numbers(validation(draw(number), number)) for number in CHOOSING]
    found = {}
    for name, learner in LEARNERS.items():
        if learner.unlabeled and draws[0].complete:
            continue
        tried = [
            float(np.mean([accuracy_of(learner, settings, rows) for rows in draws]))
            for settings in learner.settings
        ]
        best = int(np.argmax(tried))
        found[name] = {
            "settings": dict(learner.settings[best]),
            "accuracy for choosing": tried[best],
            "tried": len(tried),
        }
    return found


def accuracies(rows: Rows, chosen: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Test accuracy of each learner with its chosen settings."""
    ready = numbers(rows)
    return {
        name: accuracy_of(LEARNERS[name], each["settings"], ready) for name, each in chosen.items()
    }


def accuracy_of(learner: Learner, settings: Settings, rows: Rows) -> float:
    x, y = _learned_from(learner, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence, and of rows that no label reaches
        return float(learner.make(**settings).fit(x, y).score(rows.test_x, rows.test_y))


def _learned_from(learner: Learner, rows: Rows) -> tuple[Any, Any]:
    """The rows that a learner gets, the labeled ones first where it does not get all."""
    if not learner.unlabeled:
        return rows.labeled_x, rows.y[rows.labeled]
    if not 0 < learner.most < len(rows.y):
        return rows.x, rows.given
    others = np.setdiff1d(np.arange(len(rows.y)), rows.labeled)
    kept = np.concatenate([rows.labeled, others])[: learner.most]
    return taken(rows.x, kept), rows.given[kept]


def validation(rows: Rows, draw: int) -> Rows:
    """The same with training rows in the place of the test rows: unlabeled ones if there are any,
    else labeled ones. Of many training rows only some are kept."""
    random = np.random.default_rng(draw)
    pool = np.setdiff1d(np.arange(len(rows.y)), rows.labeled)
    labeled = random.permutation(rows.labeled)
    if len(pool):
        held, others = np.split(random.permutation(pool), [min(MOST_HELD, round(TEST * len(pool)))])
    else:
        held, labeled = np.split(labeled, [round(TEST * len(labeled))])
        others = pool
    kept = np.concatenate([labeled, others[: max(0, MOST_TRAINING - len(labeled))]])
    places = np.arange(len(labeled))
    return Rows(taken(rows.x, kept), rows.y[kept], places, taken(rows.x, held), rows.y[held])


def numbers(rows: Rows) -> Rows:
    """Pictures as values from 0 to 1; tables standardized, gaps filled, an indicator per level."""
    if hasattr(rows.x, "iloc"):
        prepare = _columns(rows.x).fit(rows.x)
        x, test = prepare.transform(rows.x), prepare.transform(rows.test_x)
    else:
        x, test = (part.reshape(len(part), -1) / rows.x.max() for part in (rows.x, rows.test_x))
    return Rows(x, rows.y, rows.labeled, test, rows.test_y)


def own(rows: Rows, draw: int, settings: Settings) -> dict[str, float]:
    """Our classifier with the same settings, from the labeled rows alone, and then also from the
    rows of which that one is sure, by its own answers."""
    # which the classifier does not see; and accuracy needs no calibration
    supervised = {**settings, "stacked": False, "features": None, "folds": 0, "random_state": draw}
    alone = SemiSupervisedVAE(**supervised).fit(rows.labeled_x, rows.y[rows.labeled])
    by_itself = SemiSupervisedVAE(**supervised).fit(*self_taught(alone, rows))
    return {ALONE: accuracy(alone, rows), BY_ITSELF: accuracy(by_itself, rows)}


def self_taught(alone: SemiSupervisedVAE, rows: Rows) -> tuple[Any, Any]:
    """The labeled rows, and those of which a classifier is sure, with its answers for labels."""
    probability = alone.predict_proba(rows.x)
    answers = alone.classes_[probability.argmax(1)]
    answers[rows.labeled] = rows.y[rows.labeled]
    kept = probability.max(1) > SURE
    kept[rows.labeled] = True
    return taken(rows.x, kept), answers[kept]


def accuracy(model: SemiSupervisedVAE, rows: Rows) -> float:
    return float((model.predict(rows.test_x) == rows.test_y).mean())


def _columns(frame: Any) -> Any:
    numbers = [c for c in frame.columns if pd.api.types.is_numeric_dtype(frame[c])]
    others = [c for c in frame.columns if c not in numbers]
    filled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    levels = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer([("numbers", filled, numbers), ("levels", levels, others)])
