r"""A fitted model of noisy rows, and the posterior of a clean picture given a noisy one.

Of the former only the likelihood changes. The latter is a network that is fitted once for all:

.. math::
    y = x + \sigma \varepsilon, \quad
    q(x \mid y, \sigma) = \prod_j N(x_j;\ y_j - \sigma \hat\varepsilon_j,\ s_j^2)

Its expected log density is a lower bound: E[log q(x | y)] = E[log p(x | y)] - E[KL(p || q)]. There
is no latent: p(x) is not modeled, only what noise leaves unknown about x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import Parameter

from lowerbound.likelihoods.noisy import NoiseModel, noisy
from lowerbound.models.base import DRAW, Model
from lowerbound.networks.pictures.noise_unet import NoiseUNet
from lowerbound.trace import Batch, Choose, Trace

STRONGEST = 75.0  # largest sigma of the training, of 255
ROUNDING = 1e-3  # about the deviation of rounding to 8 bits, of 1


class PictureDenoiser(nn.Module):
    """q(x | y, sigma) for pictures in [0, 1] of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.network = NoiseUNet()

    def forward(self, noisy: Tensor, level: Tensor) -> Normal:
        """The posterior of each pixel and color.

        If the level is 0, the mean is the noisy picture itself.

        Args:
            noisy: (rows, 3, height, width); sides are multiples of 4. Grey pictures have three
                equal colors, with one noise.
            level: sigma of each row, (rows,), as a share of white.
        """
        noise, spread = self.network(noisy, level)
        sigma = level.view(-1, 1, 1, 1)
        mean = noisy - sigma * noise.float()
        deviation = (sigma + ROUNDING) * spread.float().exp()
        return Normal(mean, deviation, validate_args=False)


class NoisyModel(Model):
    r"""p(y, z) = p(z) p(y | z) of rows y = x + noise, with a proposal q(z | y).

    The fitted model does not include the noise, and its encoder may never have seen noisy rows. So
    the encoder is only a proposal: importance weights, or chains that start there, correct it.

    Args:
        clean: the fitted model of x.
        noise: the noise that was added.
        shown: the encoder's input in place of the noisy rows, (batch, *event); None: those rows.
    """

    def __init__(self, clean: Model, noise: NoiseModel, shown: Tensor | None = None) -> None:
        super().__init__()
        self.clean, self.noise, self.shown = clean, noise, shown

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        seen = batch if self.shown is None else self._filtered(batch, self.shown)
        trace: Trace = self.clean(seen, choose)
        return replace(trace, likelihood=noisy(trace.likelihood, self.noise))

    def _filtered(self, batch: Batch, shown: Tensor) -> Batch:
        """The encoder's batch, without a mask if the encoder takes none."""
        observed = batch.observed if self.clean.inputs is not None else None
        return replace(batch, x=shown, observed=observed)

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        return self.clean.parts()
