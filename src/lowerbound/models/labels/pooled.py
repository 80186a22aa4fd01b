"""A label whose q(y | x) may be a pool, which is fitted before the other parts."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.models.base import Model
from lowerbound.models.labels.calibration import Fold
from lowerbound.models.labels.labeled import LabeledParts, LabeledVariationalAutoencoder
from lowerbound.models.labels.member_pool import MemberPool
from lowerbound.networks.inputs import Columns
from lowerbound.networks.processor.precision import in_precision
from lowerbound.trace import Batch

if TYPE_CHECKING:  # a name for annotations
    from lowerbound.models.parts import ModelParts

ROWS_AT_ONCE = 1_024  # rows in one pass of the labeler
CONSTANT = 1e-9  # standard deviation below which a value is constant


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
