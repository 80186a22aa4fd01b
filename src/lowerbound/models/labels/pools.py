"""A label whose q(y | x) may be a pool, which is fitted before the other parts.

A pool is classical predictors of a label beside the network of q(y | x).

Fits with labels hidden in turn, and the temperature of class probabilities that they find.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.classical.boosted_trees import StoredFit
from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import UNKNOWN, label_folds
from lowerbound.models.base import Model
from lowerbound.models.labels.labeled import LabeledParts, LabeledVariationalAutoencoder
from lowerbound.networks.inputs import Columns
from lowerbound.networks.processor import in_precision
from lowerbound.trace import Batch

if TYPE_CHECKING:
    from lowerbound.models.parts import ModelParts

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


ROWS_AT_ONCE = 1_024  # rows in one pass of the labeler
CONSTANT = 1e-9  # standard deviation below which a value is constant


class MemberPool(StoredFit):
    """Predictors of a label, fitted to the labeled rows, and their weights.

    It stays on the processor and in float64, so that a device and a precision change no number.

    Args:
        features: F, numbers of a row that the members see.
        further: how many of these, the last ones, members of older files do not see.

    Attributes:
        weights: of the network and each member, (1 + members,); (0,) before the fit.
    """

    weights: Tensor

    def __init__(self, features: int, further: int = 0) -> None:
        super().__init__()
        self.features, self.further = features, further
        self.register_load_state_dict_pre_hook(_with_defaults)  # type: ignore[no-untyped-call]
        self.register_state_dict_post_hook(_unless_empty)  # type: ignore[no-untyped-call]

    @property
    def fitted(self) -> bool:
        """Whether it has members beside the network."""
        return bool(self.weights.shape[0])

    def sees(self, count: int) -> bool:
        """Whether members may see so many numbers."""
        return count in (self.features, self.features - self.further)

    @abstractmethod
    def empty(self) -> Self:
        """A pool of the same sizes before its fit."""

    @abstractmethod
    def fits(self, state_dict: Mapping[str, Tensor], prefix: str) -> bool:
        """Whether stored members are of these sizes.

        Args:
            state_dict, prefix: the stored tensors, those of the members among them.
        """

    def flaw(self, state_dict: Mapping[str, Tensor], prefix: str) -> str:
        wrong = self.fitted and not self.fits(state_dict, prefix)
        return "weights: members of another model" if wrong else ""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return self


def of_columns(state_dict: Mapping[str, Tensor], prefix: str, features: int) -> bool:
    """Whether stored trees split so many features, and no other."""
    feature = state_dict.get(f"{prefix}feature")
    return feature is not None and bool(((feature >= 0) & (feature < features)).all())


def _with_defaults(pool: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """A stored model without members gives an empty pool."""
    assert isinstance(pool, MemberPool)
    if f"{prefix}weights" not in state:
        state.update({prefix + name: value for name, value in pool.empty().named_buffers()})


def _unless_empty(pool: nn.Module, state: dict[str, Tensor], prefix: str, metadata: Any) -> None:
    """An empty pool stores nothing, so that models without members are stored as ever."""
    assert isinstance(pool, MemberPool)
    if not pool.fitted:
        for name, _ in pool.named_buffers():
            state.pop(prefix + name, None)


class PooledLabel(LabeledVariationalAutoencoder):
    """A model whose q(y | x) may be a pool of a network and classical members.

    Args:
        around, label_dim, feature_dim: the parts around the labeler; see the base class.
        pool: the members beside the network, for rows with columns; None: there are none.
    """

    pool: MemberPool | None

    def __init__(
        self, around: LabeledParts, *, label_dim: int, feature_dim: int, pool: MemberPool | None
    ) -> None:
        super().__init__(*around, label_dim=label_dim, feature_dim=feature_dim)
        self.pool = pool
        self.label_first = pool is not None

    @staticmethod
    def pooled_features(parts: ModelParts) -> tuple[int, int] | None:
        """Numbers of a row that a pool sees, and how many of them, the last, older files lack;
        None: rows of this kind have no pool."""
        if not (parts.schema.columns and parts.schema.data_kind.fits_quickly):
            return None
        if isinstance(parts.inputs, Columns):
            further = parts.inputs.original.count
            return parts.inputs.linear + further, further
        return math.prod(parts.input_shape), 0

    def start(self, dataset: Dataset) -> None:
        """Start from marginals, with an empty pool."""
        super().start(dataset)
        if self.pool is not None:
            self.pool = self.pool.empty()

    @property
    def label_is_fitted(self) -> bool:
        """Whether the pool is, so that training learns the other parts alone."""
        return self.pool is not None and self.pool.fitted

    def take_label(self, other: Model) -> None:
        """Take the labeler of another fit, with its input; training keeps both."""
        assert isinstance(other, PooledLabel)
        self.labeler.load_state_dict(other.labeler.state_dict())
        if self.inputs is not None and other.inputs is not None:
            self.inputs.load_state_dict(other.inputs.state_dict())
        for value in [*self.labeler.parameters(), *self.input_parameters()]:
            value.requires_grad_(False)

    @abstractmethod
    def label_answers(self, batch: Batch) -> Tensor:
        """What the network says of q(y | x), (batch, numbers)."""

    @torch.no_grad()
    def fold_answers(self, rows: Dataset) -> Tensor:
        """What the network says of each row, (rows, numbers), float64."""
        model = in_precision(self, rows.x.dtype)
        return model._of_rows(rows, model.label_answers)

    @torch.no_grad()
    def labeled_rows(self, dataset: Dataset, folds: Sequence[Fold]) -> dict[str, Any]:
        """The fields of ``LabeledRows`` besides the labels."""
        # as in scoring: trees split between values that float32 does not resolve
        model = in_precision(self, dataset.x.dtype)
        every = model._of_rows(dataset, lambda batch: model._values(model.seen(batch))).numpy()
        known = np.flatnonzero(dataset.labeled.numpy())
        scale = every.std(0)
        return {
            "x": every[known],
            "shift": every.mean(0),
            "scale": np.where(scale > CONSTANT, scale, 1.0),
            "folds": [np.searchsorted(known, fold.places.cpu().numpy()) for fold in folds],
        }

    def _of_rows(self, rows: Dataset, answer: Callable[[Batch], Tensor]) -> Tensor:
        """What ``answer`` gives for every row, float64, on the processor."""
        like, parts = next(self.labeler.parameters()), []
        for index in torch.arange(len(rows), device=rows.x.device).split(ROWS_AT_ONCE):
            batch = rows.batch(index).on(like.device).to(like.dtype)
            parts.append(answer(batch).double().cpu())
        return torch.cat(parts)

    def _values(self, seen: Tensor) -> Tensor:
        """What the pool sees of the encoder's input, (rows, features)."""
        if isinstance(self.inputs, Columns):
            values, _, _ = self.inputs.split(seen)
            return torch.cat((values, self.inputs.in_original_units(seen)), 1)
        return seen.flatten(1)
