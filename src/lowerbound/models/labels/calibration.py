"""Probabilities of classes that can be trusted: one temperature, found by hiding labels in turn."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import FOLDS, UNKNOWN, fewest_labels, label_folds
from lowerbound.errors import OptionError

MOST_LABELS = 1_000  # that are hidden in turn where nobody says how many folds
TEMPERATURES = torch.logspace(-1, 1.3, 231, dtype=torch.float64)
LIKELY = 0.5  # standard deviation of log T before any label is seen


class Fold(NamedTuple):
    """A further fit.

    Attributes:
        training: its rows, some of their labels hidden.
        hidden: the rows whose labels are hidden there, with their labels.
    """

    training: Dataset
    hidden: Dataset


def folds_of(dataset: Dataset, folds: int | None, *, quick: bool) -> list[Fold]:
    """The further fits that calibrate a classifier; none leaves its probabilities as they come.

    Args:
        dataset: rows, some of which have a label.
        folds: in so many parts labels are hidden, one part at a time; None: where fits are quick
            and each part has a label of every class.
        quick: whether nothing limits the time of a fit.

    Raises:
        OptionError: a class has one label only, which cannot be hidden.
    """
    label = dataset.label
    if label is None:
        return []
    if folds is None:
        few = int((label >= 0).sum()) <= MOST_LABELS and fewest_labels(label) >= FOLDS
        folds = FOLDS if quick and dataset.schema.data_kind.fits_quickly and few else 0
    if not folds:
        return []
    found = [_fold(dataset, label, hidden) for hidden in label_folds(label, folds)]
    if not found:
        raise OptionError(
            "folds hides labels in turn; a class has one label only, which cannot be hidden: label "
            "one more row of it, or leave folds at 0"
        )
    return found


def _fold(dataset: Dataset, label: Tensor, hidden: Tensor) -> Fold:
    left = label.clone()
    left[hidden] = UNKNOWN
    return Fold(replace(dataset, label=left), dataset.subset(hidden))


def best_temperature(logits: Tensor, label: Tensor) -> float:
    r"""The likeliest temperature, given labels that were not trained on.

    .. math:: T = \arg\max_T\; \sum_n \log p_T(y_n) - (\log T)^2 / (2 \cdot 0.5^2)

    The prior of log T has its mean at 0, which few labels hardly change.

    Args:
        logits: of such rows, (rows, classes).
        label: theirs, (rows,).
    """
    nats = [F.cross_entropy(logits.double() / t, label, reduction="sum") for t in TEMPERATURES]
    unlikely = (TEMPERATURES.log() / LIKELY).square() / 2
    return float(TEMPERATURES[(torch.stack(nats) + unlikely).argmin()])
