"""What a model with a measurement among its latents is made of, besides encoder and decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lowerbound.config import option
from lowerbound.networks.base import Encoder, Network
from lowerbound.networks.labels.around import Labels, refuse_tabular
from lowerbound.networks.labels.gated_residual import GatedResidual


@dataclass(frozen=True)
class Measurements(Labels):
    """The regressor, besides what any label has."""

    regressor: str | None = option(
        None, "network of q(y | x): strided convolutions of pictures, else the encoder's"
    )
    regressor_options: Mapping[str, Any] = field(default_factory=dict)
    line: bool = option(True, "of rows of numbers: ridge regression beside the regressor")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_tabular(self.regressor, "regressor")

    def regressing(self, network: Network, shape: tuple[int, ...], linear: int) -> Encoder:
        """Rows of that shape to two heads of q(y | x), where ``network`` is the model's and the
        first ``linear`` numbers of a row without further axes are a line's to take."""
        bent = self.labeling(network, shape, 2, self.regressor, self.regressor_options)
        return GatedResidual(bent, linear) if self.line and len(shape) == 1 else bent
