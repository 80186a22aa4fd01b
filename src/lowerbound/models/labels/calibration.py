"""Calibrated class probabilities: one temperature, found by fits with labels hidden."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import FOLDS, UNKNOWN, fewest_labels, label_folds
from lowerbound.errors import OptionError

MOST_LABELS = 1_000  # with more labels, the default is no calibration
TEMPERATURES = torch.logspace(-1, 1.3, 231, dtype=torch.float64)
LIKELY = 0.5  # standard deviation of the prior of log T


class Fold(NamedTuple):
    """A further fit.

    Attributes:
        training: its rows, with some labels hidden.
        hidden: the rows whose labels are hidden in this fit, with these labels.
    """

    training: Dataset
    hidden: Dataset


def folds_of(dataset: Dataset, folds: int | None, *, quick: bool) -> list[Fold]:
    """The further fits that calibrate a classifier; an empty list: no calibration.

    Args:
        dataset: rows, some of which have a label.
        folds: number of parts that the labels are split into, each hidden in one fit; None: a
            default if fits are quick and each part has a label of every class, else no fits.
        quick: whether fits run without a time limit.

    Raises:
        OptionError: a class has only one label, which cannot be hidden.
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
    r"""The likeliest temperature given labels that the fit did not see.

    .. math:: T = \arg\max_T\; \sum_n \log p_T(y_n) - (\log T)^2 / (2 \cdot 0.5^2)

    The prior of log T has mean 0, so a few labels change T little.

    Args:
        logits: of the rows with these labels, (rows, classes).
        label: the labels, (rows,).
    """
    nats = [F.cross_entropy(logits.double() / t, label, reduction="sum") for t in TEMPERATURES]
    unlikely = (TEMPERATURES.log() / LIKELY).square() / 2
    return float(TEMPERATURES[(torch.stack(nats) + unlikely).argmin()])
