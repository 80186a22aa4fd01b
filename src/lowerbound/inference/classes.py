"""Class probabilities of rows, and their calibration."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.inference.passes import Progress, collected
from lowerbound.models import Classifies, Model, require
from lowerbound.networks.processor.precision import in_precision

ROWS = 1_024  # rows in a batch
BINS = 15


@dataclass(frozen=True)
class ClassCalibration:
    """Calibration and accuracy of class probabilities.

    Attributes:
        error: expected calibration error: the mean over the rows of |accuracy - confidence|, in
            ``BINS`` bins of confidence (Guo et al. 2017).
        accuracy: share of the rows whose likeliest class is the true one.
        nats: mean -log p of the true class.
    """

    error: float
    accuracy: float
    nats: float


def class_logits(model: Model, dataset: Dataset, progress: Progress | None = None) -> Tensor:
    """Logits of q(y | x) before the temperature, (rows, classes), float64.

    Args:
        model: one with classes.
        dataset: the rows.
        progress: called with (rows done, rows) after each batch.

    Raises:
        UnsupportedError: the model has no classes; the message names models that have.
    """
    model = in_precision(model, dataset.x.dtype)
    classifier = require(model, Classifies, "choose a class")
    (logits,) = collected(
        model,
        dataset,
        ROWS,
        lambda _, batch: [classifier.class_logits(batch).double()],
        progress=progress,
    )
    return logits


def class_probabilities(model: Model, dataset: Dataset, progress: Progress | None = None) -> Tensor:
    """q(y | x) of every row, (rows, classes), float64; rows sum to one.

    Args:
        model, dataset, progress: as for ``class_logits``.

    Raises:
        UnsupportedError: as ``class_logits``.
    """
    classifier = require(model, Classifies, "choose a class")
    return torch.softmax(classifier.tempered(class_logits(model, dataset, progress)), -1)


def calibration(probability: Tensor, label: Tensor) -> ClassCalibration:
    """Calibration of probabilities (rows, classes) given the true classes, (rows,)."""
    tally = CalibrationTally()
    tally.add(probability, label)
    return tally.result()


class CalibrationTally:
    """Calibration and accuracy of class probabilities over several parts of the rows.

    Attributes:
        rows: number of rows so far.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._gap = torch.zeros(BINS, dtype=torch.float64)
        self._right = self._nats = 0.0

    def add(self, probability: Tensor, label: Tensor) -> None:
        """Add probabilities (rows, classes) and the true classes, (rows,)."""
        confidence, chosen = probability.max(1)
        right = (chosen == label).double()
        place = (confidence * BINS).long().clamp_max(BINS - 1)
        self._gap.index_add_(0, place, right - confidence.double())
        true = probability.gather(1, label.unsqueeze(1)).clamp_min(1e-12)
        self._right += float(right.sum())
        self._nats -= float(torch.log(true).sum())
        self.rows += len(label)

    def result(self) -> ClassCalibration:
        """The calibration on all rows so far."""
        error = float(self._gap.abs().sum() / self.rows)
        return ClassCalibration(error, self._right / self.rows, self._nats / self.rows)


def information(probability: Tensor) -> Tensor:
    r"""H(y | x) of each row in nats, (rows,): the expected information of its label.

    The most informative rows to label are those with the largest entropy of q(y | x).
    """
    bits: Tensor = torch.special.entr(probability)
    return bits.sum(1)
