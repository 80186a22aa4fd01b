"""A mixture of many diagonal Gaussians, evaluated efficiently at many points."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lowerbound.distributions.reparameterization import Pushed

LOG_TWO_PI = math.log(2 * math.pi)


class GaussianMixture(Pushed):
    r"""p(z) = sum_k w_k N(z; mu_k, diag sigma_k^2), batch shape (1, 1), event (dim,).

    The squared distances of all points to all components are one matrix product:

    .. math:: -\tfrac12 \sum_j \frac{(z_j - \mu_{kj})^2}{\sigma_{kj}^2} =
        [z^2, z] \cdot [-\tfrac12 \sigma_k^{-2}, \mu_k \sigma_k^{-2}]
        - \tfrac12 \sum_j \mu_{kj}^2 \sigma_{kj}^{-2}

    It is computed in float64, because the large terms cancel: in float32, sharp components would
    be wrong by tenths of a nat. No tensor of the size (points, components, dim) is allocated.

    Args:
        loc: mu, (components, dim).
        scale: sigma, (components, dim).
        logits: unnormalized log w, (components,).
    """

    def __init__(self, loc: Tensor, scale: Tensor, logits: Tensor) -> None:
        self.loc, self.scale, self.logits = loc, scale, logits
        super().__init__(torch.Size((1, 1)), loc.shape[1:], validate_args=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, (samples, rows), of z (samples, rows, dim)."""
        loc, scale, points = self.loc.double(), self.scale.double(), z.flatten(0, -2).double()
        precision = scale.square().reciprocal()
        constants = torch.log_softmax(self.logits.double(), 0) - torch.log(scale).sum(1)
        constants = constants - 0.5 * (loc.square() * precision + LOG_TWO_PI).sum(1)
        weights = torch.cat([-0.5 * precision, loc * precision], 1)
        joint = torch.addmm(constants, torch.cat([points.square(), points], 1), weights.T)
        # relative to the most probable component, the caller's precision is enough, and faster
        peak = joint.detach().amax(1, keepdim=True)
        log_density = torch.logsumexp((joint - peak).to(z.dtype), 1) + peak.squeeze(1)
        return log_density.to(z.dtype).reshape(z.shape[:-1])

    @torch.no_grad()
    def push(self, noise: Tensor) -> Tensor:
        """Map standard normal noise (..., dim) to draws, without a gradient.

        The noise of the first coordinate selects the component. The remainder is again uniform on
        (0, 1), and is the noise of that coordinate within the component, so the draw is exact.
        """
        weights = torch.softmax(self.logits.double(), 0)
        upper = weights.cumsum(0)
        uniform = torch.special.ndtr(noise[..., 0].double())
        index = torch.searchsorted(upper, uniform).clamp_max(len(weights) - 1)
        rest = (uniform - (upper - weights)[index]) / weights[index]
        first = torch.special.ndtri(rest.clamp(1e-15, 1 - 1e-15)).to(noise.dtype)
        within = torch.cat([first.unsqueeze(-1), noise[..., 1:]], -1)
        return self.loc[index] + self.scale[index] * within

    @property
    def mean(self) -> Tensor:
        weighted = torch.softmax(self.logits, 0) @ self.loc
        return weighted.reshape(1, 1, -1)

    @property
    def variance(self) -> Tensor:
        spread = self.scale.square() + (self.loc - self.mean.squeeze(0)).square()
        return (torch.softmax(self.logits, 0) @ spread).reshape(1, 1, -1)

    @property
    def like(self) -> Tensor:
        return self.loc[:1]
