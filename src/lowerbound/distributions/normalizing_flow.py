r"""A normalizing flow: a learned invertible map that transforms a Gaussian.

With u = (z - mu) / sigma and f from data to noise,

.. math:: \log p(z) = \log \mathcal{N}(f(u); 0, I) + \log |\det f'(u)| - \sum_j \log \sigma_j, \quad
    z = \mu + \sigma f^{-1}(\epsilon)

The map is from zuko. Each coordinate is shifted and scaled, or mapped by a monotone spline (Durkan
et al. 2019: rational-quadratic inside [-5, 5], the identity outside). The parameters of the map are
functions of the previous coordinates (autoregressive, Papamakarios et al. 2017) or of the other
half of the coordinates (coupling, Dinh et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call
from zuko.flows.autoregressive import MaskedAutoregressiveTransform
from zuko.transforms import (
    MonotonicAffineTransform,
    MonotonicRQSTransform,
)

from lowerbound.distributions.reparameterization import Reparameterized
from lowerbound.errors import OptionError, unknown

LOG_TWO_PI = math.log(2 * math.pi)

Kind = Literal["autoregressive", "coupling"]


class NormalizingFlow(nn.Module):
    """The map f, optionally conditioned on a context; it starts as the identity.

    Args:
        dim: coordinates of z.
        context: numbers per row that condition the map.
        kind: "coupling" is fast in both directions; "autoregressive" is more flexible, with one
            pass towards noise and ``dim`` passes towards data.
        transforms: number of composed maps; the order of the coordinates flips in between.
        hidden: width of the two hidden layers that parameterize the maps.
        bins: pieces of each spline, about ten times slower; 0: shift and scale instead.

    Raises:
        OptionError: the kind is unknown, or a size is invalid.
    """

    def __init__(
        self, dim: int, context: int, kind: Kind, transforms: int, hidden: int, bins: int
    ) -> None:
        super().__init__()
        if kind not in get_args(Kind):
            raise unknown("kind of flow", kind, get_args(Kind))
        if transforms < 1 or hidden < 1 or bins < 0 or bins == 1:
            raise OptionError(
                "a flow needs at least 1 transform, 1 hidden unit, and 0 bins or at least 2, "
                f"not {transforms}, {hidden} and {bins}"
            )
        coordinate_map = _spline(bins) if bins else _SHIFT_AND_SCALE
        ascending: Any = torch.arange(dim)
        self.layers = nn.ModuleList(
            MaskedAutoregressiveTransform(
                dim,
                context,
                passes=2 if kind == "coupling" else None,
                order=ascending if layer % 2 == 0 else ascending.flip(0),
                hidden_features=(hidden, hidden),
                activation=nn.Tanh,  # bounded, so that distant points do not overflow
                **coordinate_map,
            )
            for layer in range(transforms)
        )
        self.start_as_identity()

    def forward(
        self, points: Tensor, context: Tensor | None, to_data: bool
    ) -> tuple[Tensor, Tensor]:
        """Mapped points (..., dim) and log |det f'| (...), which is zero if ``to_data``.

        Both directions are one forward, so that ``functional_call`` can hold the parameters fixed.
        """
        # not in bf16: the log-determinant is a sum of many logarithms
        with torch.autocast(points.device.type, enabled=False):
            log_determinant = points.new_zeros(())
            if to_data:
                for layer in reversed(self.layers):
                    points = layer(context).inv(points)
                return points, log_determinant
            for layer in self.layers:
                points, of_layer = layer(context).call_and_ladj(points)
                log_determinant = log_determinant + of_layer
            return points, log_determinant

    @torch.no_grad()
    def start_as_identity(self) -> None:
        """Set the last layers to zero, so that the flow starts as its base Gaussian."""
        for layer in self.layers:
            hyper = getattr(layer, "hyper", None)  # absent if there is only one coordinate
            last = layer if hyper is None else hyper[-1]
            for parameter in last.parameters():
                parameter.zero_()


# one coupling multiplies a coordinate by at most 20, with a smooth limit
_SHIFT_AND_SCALE: Mapping[str, Any] = {
    "univariate": partial(MonotonicAffineTransform, slope=0.05),
    "shapes": [torch.Size(), torch.Size()],
}


def _spline(bins: int) -> Mapping[str, Any]:
    counts = (bins, bins, bins - 1)  # widths, heights and slopes between the pieces
    shapes = [torch.Size([count]) for count in counts]
    return {"univariate": MonotonicRQSTransform, "shapes": shapes}


class FlowDistribution(Reparameterized):
    """A diagonal Gaussian mapped by the inverse of ``flow``.

    Args:
        flow: the map towards noise.
        loc: mu, (samples | 1, rows | 1, dim).
        scale: sigma, as loc.
        context: (samples | 1, rows | 1, context), or None.
        parameters: replacements of the flow's parameters, for a frozen copy.
    """

    def __init__(
        self,
        flow: NormalizingFlow,
        loc: Tensor,
        scale: Tensor,
        context: Tensor | None = None,
        parameters: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.flow, self.loc, self.scale = flow, loc, scale
        self.context, self.parameters = context, parameters
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """log density in nats, (samples, rows), of z (samples, rows, dim)."""
        noise, log_determinant = self._carry((z - self.loc) / self.scale, to_data=False)
        constants = torch.log(self.scale).sum(-1) + 0.5 * LOG_TWO_PI * noise.shape[-1]
        return log_determinant - 0.5 * noise.square().sum(-1) - constants

    def push(self, noise: Tensor) -> Tensor:
        """z = mu + sigma f^{-1}(noise), differentiable."""
        return self.loc + self.scale * self._carry(noise, to_data=True)[0]

    def frozen(self) -> FlowDistribution:
        """The same distribution with Gaussian, context and map cut from the graph."""
        context = None if self.context is None else self.context.detach()
        parameters = {name: value.detach() for name, value in self.flow.named_parameters()}
        return FlowDistribution(
            self.flow, self.loc.detach(), self.scale.detach(), context, parameters
        )

    @property
    def mean(self) -> Tensor:
        """The image of noise 0, because the mean has no closed form."""
        return self.push(torch.zeros_like(self.loc))

    @property
    def like(self) -> Tensor:
        return self.loc

    def _carry(self, points: Tensor, to_data: bool) -> tuple[Tensor, Tensor]:
        if self.parameters is None:
            carried: tuple[Tensor, Tensor] = self.flow(points, self.context, to_data)
            return carried
        fixed: tuple[Tensor, Tensor] = functional_call(
            self.flow, dict(self.parameters), (points, self.context, to_data)
        )
        return fixed
