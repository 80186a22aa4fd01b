"""A regression target as a latent: known for some rows, inferred for the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.point import Point
from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.errors import OptionError
from lowerbound.models.base import MODELS
from lowerbound.models.labels.labeled import LabeledParts, LabeledVariationalAutoencoder
from lowerbound.models.labels.options import LabelOptions, refuse_tabular
from lowerbound.models.starts.ridge import start_from_ridge
from lowerbound.networks.base import Encoder, Network
from lowerbound.networks.gated_residual import GatedResidual
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
class SemiSupervisedRegression(LabeledVariationalAutoencoder):
    """The label is a standardized number, y ~ N(0, 1), with a Gaussian q(y | x).

    Args:
        regressor: (rows, *inputs.shape) -> (rows, 2), two heads of q(y | x).
        around, feature_dim: the other parts; see ``LabeledVariationalAutoencoder``.
    """

    title: ClassVar[str] = "semi-supervised regression"
    Options: ClassVar[type[Any]] = SemiSupervisedRegressionOptions
    objective: ClassVar[str] = "semi_supervised_regression"
    is_regression: ClassVar[bool] = True
    origin: Tensor

    def __init__(
        self,
        regressor: nn.Module,
        around: LabeledParts,
        *,
        feature_dim: int = 0,
    ) -> None:
        super().__init__(*around, label_dim=1, feature_dim=feature_dim)
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
        sizes = parts.own(SemiSupervisedRegressionOptions)
        linear = getattr(parts.inputs, "linear", math.prod(parts.input_shape))
        return cls(
            sizes.regressing(parts.network, parts.input_shape, linear),
            cls.around_label(parts, sizes, 1),
            feature_dim=sizes.below(parts.latent_dim),
        )

    def start(self, dataset: Dataset) -> None:
        """Start from marginals, and the regressor from ridge regression if it has a line."""
        super().start(dataset)
        start_from_ridge(self, dataset)

    @property
    def labeler(self) -> nn.Module:
        return self.regressor

    def label_posterior(self, batch: Batch) -> Distribution:
        return self.target_posterior(batch)

    def target_posterior(self, batch: Batch, labeler: nn.Module | None = None) -> Distribution:
        """q(y | x), batch shape (1, batch)."""
        numbers = (labeler or self.regressor)(self.seen(batch), None)
        distribution: Distribution = self.heads(numbers.unsqueeze(0))
        return distribution

    def label_prior(self) -> Distribution:
        return diagonal_normal(self.origin, torch.ones_like(self.origin))

    def certain(self, label: Tensor) -> Distribution:
        return Point(label.unsqueeze(0))
