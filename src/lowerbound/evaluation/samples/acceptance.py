"""Share of samples that a classifier of the real rows accepts.

A sample is accepted if the classifier is at least as confident of it as of all but the least 5 %
of unseen real rows. A model that makes only one class well can still reach a high rate, so the
result includes the shares of the classes among accepted samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lowerbound.classical.linear_regression import small_fit
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.evaluation.latent_features import labelled
from lowerbound.inference.estimate import Estimate, Skipped

PERCENTILE = 5.0
FEWEST = 10  # rows per class; with fewer, the classifier's confidence has no meaning


@dataclass(frozen=True)
class Acceptance:
    """The share of samples that a classifier accepts.

    Attributes:
        count: samples classified.
        rate: share accepted, with its binomial standard error.
        shares: share of each class among the accepted, in the order of the class indices; 0 for a
            class that the classifier has not seen.
        threshold: confidence required of a sample.
        judge_accuracy: accuracy of the classifier on unseen real rows.
    """

    count: int
    rate: Estimate
    shares: tuple[float, ...]
    threshold: float
    judge_accuracy: float

    @property
    def least_share(self) -> float:
        """Share of the rarest class among the accepted."""
        return min(self.shares)


@dataclass(frozen=True)
class RealismClassifier:
    """A classifier of real rows, and its confidence threshold.

    Attributes:
        classifier: with ``predict_proba``, fitted.
        threshold: 5th percentile of its confidence on unseen real rows.
        accuracy: accuracy on these rows.
        classes: number of classes of the data, some of which the classifier may not have seen; 0:
            as many as it has seen.
    """

    classifier: Any
    threshold: float
    accuracy: float
    classes: int = 0

    def accept(self, x: Tensor) -> Acceptance:
        """The acceptance of samples in model units, (count, *event)."""
        probabilities = self.classifier.predict_proba(_flat(x))
        accepted = probabilities.max(1) >= self.threshold
        chosen = probabilities.argmax(1)[accepted]
        counts = np.bincount(chosen, minlength=probabilities.shape[1])
        if self.classes:
            counts = np.bincount(self.classifier.classes_, counts, self.classes)
        rate = float(accepted.mean())
        return Acceptance(
            count=len(x),
            rate=Estimate(rate, math.sqrt(rate * (1 - rate) / len(x))),
            shares=tuple(float(share) for share in counts / max(int(counts.sum()), 1)),
            threshold=self.threshold,
            judge_accuracy=self.accuracy,
        )


def fit_realism_classifier(
    training: Dataset, held_out: Dataset, *, classifier: Any = None, seed: int = 0
) -> RealismClassifier | Skipped:
    """A classifier that learns from ``training`` and sets its threshold on ``held_out``.

    Args:
        training: labeled rows; at most 5,000 are used.
        held_out: other labeled rows.
        classifier: an object with ``fit`` and ``predict_proba`` as in scikit-learn; None: a network
            with one layer of 100 units. Rates by different classifiers do not compare.
        seed: seed of the rows used and the fit.
    """
    if training.label is None or held_out.label is None:
        return Skipped("the data has no labels, so no classifier can be fitted")
    x, y = labelled(_flat(real_rows(training)), training.label.cpu().numpy(), seed)
    new_x, new_y = labelled(_flat(real_rows(held_out)), held_out.label.cpu().numpy(), seed)
    counts = np.unique(y, return_counts=True)[1]
    if len(counts) < 2 or counts.min() < FEWEST or not len(new_y):
        return Skipped(f"a classifier needs two classes of at least {FEWEST} rows each")
    classifier = _default_classifier(seed) if classifier is None else classifier
    with small_fit():
        classifier.fit(x, y)
    probabilities = classifier.predict_proba(new_x)
    found = np.asarray(classifier.classes_)[probabilities.argmax(1)]
    threshold = float(np.percentile(probabilities.max(1), PERCENTILE))
    accuracy = float((found == new_y).mean())
    return RealismClassifier(classifier, threshold, accuracy, len(training.schema.class_names))


def real_rows(dataset: Dataset) -> Tensor:
    """The rows in the form of a decoder's mean: grey values, even if bits are drawn from them."""
    if dataset.schema.binarize == "dynamic":
        return dataset.schema.units(dataset.x)
    return dataset.all().filled


def _default_classifier(seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # few passes at a high rate: more passes raise confidence and not accuracy
    network = MLPClassifier(
        (100,), alpha=0.01, learning_rate_init=3e-3, max_iter=60, random_state=seed
    )
    return make_pipeline(StandardScaler(), network)


def _flat(x: Tensor) -> Array:
    flat: Array = x.detach().cpu().flatten(1).float().numpy()
    return flat
