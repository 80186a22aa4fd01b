"""Fits with labels hidden in turn, and the temperature of class probabilities that they find."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import UNKNOWN, label_folds

TEMPERATURES = torch.logspace(-1, 1.3, 231, dtype=torch.float64)
LIKELY = 0.5  # standard deviation of the prior of log T


class Fold(NamedTuple):
    """A further fit.

    Attributes:
        training: its rows, with some labels hidden.
        hidden: the rows whose labels are hidden in this fit, with these labels.
        places: row numbers of these, (hidden rows,).
    """

    training: Dataset
    hidden: Dataset
    places: Tensor


def folds_of(dataset: Dataset, folds: int) -> list[Fold] | None:
    """The further fits that weigh and calibrate q(y | x); None: none.

    Args:
        dataset: rows, some of which have a class or a regression target.
        folds: number of parts that the labels are split into, each hidden in one fit; 0: none.
            Parts are fewer if labels are, and there is no part if a class has one label only.
    """
    if not folds:
        return None
    label = dataset.label
    if label is None:  # regression targets are split like labels of one class
        label = torch.where(dataset.labeled, 0, UNKNOWN)
    parts = label_folds(label, folds)
    return [Fold(dataset.hiding(hidden), dataset.subset(hidden), hidden) for hidden in parts]


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
