"""A regression target as a latent: known for some rows, inferred for the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import FOLDS
from lowerbound.distributions.point import Point
from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.errors import OptionError
from lowerbound.models.base import MODELS
from lowerbound.models.labels.calibration import Fold, folds_of
from lowerbound.models.labels.labeled import LabeledParts, LabelOptions, refuse_tabular
from lowerbound.models.labels.pools import PooledLabel
from lowerbound.models.labels.regressor import RegressorPool, fit_pool
from lowerbound.models.labels.ridge_start import LEAST, LabeledRows, start_from_ridge
from lowerbound.networks.base import Encoder, Network
from lowerbound.networks.mlp import GatedResidual
from lowerbound.trace import Batch

if TYPE_CHECKING:  # names for annotations
    from lowerbound.data.schema import Schema
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts


@dataclass(frozen=True)
class SemiSupervisedRegressionOptions(LabelOptions):
    """Options of the regressor, besides those of every label."""

    regressor: str | None = option(
        None, "network of q(y | x): strided convolutions of pictures, else the encoder's"
    )
    regressor_options: Mapping[str, Any] = field(default_factory=dict)
    line: bool = option(True, "of rows of numbers: ridge regression beside the regressor")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_tabular(self.regressor, "regressor")

    def regressing(self, network: Network, shape: tuple[int, ...], linear: int) -> Encoder:
        """A network from rows of that shape to two heads of q(y | x). ``network`` is the model's.
        For flat rows, a line may use the first ``linear`` numbers."""
        bent = self.labeling(network, shape, 2, self.regressor, self.regressor_options)
        return GatedResidual(bent, linear) if self.line and len(shape) == 1 else bent


@MODELS.register("semi_supervised_regression")
class SemiSupervisedRegression(PooledLabel):
    """The label is a standardized number, y ~ N(0, 1), with a Gaussian q(y | x).

    Args:
        regressor: (rows, *inputs.shape) -> (rows, 2), two heads of q(y | x).
        around, feature_dim: the other parts; see ``LabeledVariationalAutoencoder``.
        pool: classical regressors beside the network, for rows with columns; None: there are none.
    """

    title: ClassVar[str] = "semi-supervised regression"
    Options: ClassVar[type[Any]] = SemiSupervisedRegressionOptions
    objective: ClassVar[str] = "semi_supervised_regression"
    is_regression: ClassVar[bool] = True
    pool: RegressorPool | None
    origin: Tensor

    def __init__(
        self,
        regressor: nn.Module,
        around: LabeledParts,
        *,
        feature_dim: int = 0,
        pool: RegressorPool | None = None,
    ) -> None:
        super().__init__(around, label_dim=1, feature_dim=feature_dim, pool=pool)
        self.regressor = regressor
        self.register_buffer("origin", torch.zeros(1, 1, 1), persistent=False)

    @classmethod
    def check(cls, schema: Schema, options: ModelOptions) -> None:
        if schema.target is None:
            raise OptionError(
                f"{options.model} predicts a number, and the data has none: name its column with "
                "--label, or give y"
            )
        super().check(schema, options)

    @classmethod
    def build(cls, parts: ModelParts) -> SemiSupervisedRegression:
        sizes, features = parts.own(SemiSupervisedRegressionOptions), cls.pooled_features(parts)
        linear = getattr(parts.inputs, "linear", math.prod(parts.input_shape))
        return cls(
            sizes.regressing(parts.network, parts.input_shape, linear),
            cls.around_label(parts, sizes, 1),
            feature_dim=sizes.below(parts.latent_dim),
            pool=None if features is None else RegressorPool(*features),
        )

    def start(self, dataset: Dataset) -> None:
        """Start from marginals, and the regressor from ridge regression if it has a line."""
        super().start(dataset)
        start_from_ridge(self, dataset)

    def folds(self, dataset: Dataset, folds: int | None) -> list[Fold] | None:
        """Further fits with some labels hidden, which weigh and calibrate q(y | x)."""
        if self.pool is None:
            if folds:
                raise OptionError(
                    "folds weighs the regressors of rows with columns, and these rows have none: "
                    "leave folds out"
                )
            return None
        labels = int(dataset.labeled.sum())
        if labels >= LEAST:
            return folds_of(dataset, FOLDS if folds is None else folds)
        if folds:
            raise OptionError(
                f"folds hides labels in turn, and {labels} are too few: label {LEAST} rows at "
                "least, or leave folds out"
            )
        return None

    def calibrate(self, dataset: Dataset, folds: Sequence[Fold], answers: Sequence[Tensor]) -> str:
        """Fit the pool, with the deviation that the errors at hidden labels have."""
        assert self.pool is not None
        assert dataset.target is not None
        known = dataset.target.double().cpu()[dataset.labeled].numpy()
        rows = LabeledRows(**self.labeled_rows(dataset, folds), label=known)
        return fit_pool(self.pool, rows, torch.cat(list(answers))).sentence(self.pool)

    @property
    def labeler(self) -> nn.Module:
        return self.regressor

    def label_posterior(self, batch: Batch) -> Distribution:
        return self.target_posterior(batch)

    def target_posterior(self, batch: Batch, labeler: nn.Module | None = None) -> Distribution:
        """q(y | x), batch shape (1, batch); of ``labeler`` alone if it is given."""
        seen = self.seen(batch)
        alone: Distribution = self.heads((labeler or self.regressor)(seen, None).unsqueeze(0))
        if labeler is not None or self.pool is None or not self.pool.fitted:
            return alone
        said = self.pool(torch.cat((alone.mean, alone.stddev), -1)[0], self._values(seen))
        return diagonal_normal(*said.unsqueeze(0).split(1, -1))

    def label_answers(self, batch: Batch) -> Tensor:
        said = self.target_posterior(batch)
        return torch.cat((said.mean, said.stddev), -1)[0]

    def label_prior(self) -> Distribution:
        return diagonal_normal(self.origin, torch.ones_like(self.origin))

    def certain(self, label: Tensor) -> Distribution:
        return Point(label.unsqueeze(0))
