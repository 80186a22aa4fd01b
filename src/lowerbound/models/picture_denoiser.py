r"""The posterior of a clean picture, given a noisy one: a network that is fitted once for all.

.. math::
    y = x + \sigma \varepsilon, \quad
    q(x \mid y, \sigma) = \prod_j N(x_j;\ y_j - \sigma \hat\varepsilon_j,\ s_j^2)

Its expected log density is a lower bound: E[log q(x | y)] = E[log p(x | y)] - E[KL(p || q)]. There
is no latent: p(x) is not modeled, only what noise leaves unknown about x.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributions import Normal

from lowerbound.networks.pictures.noise_unet import NoiseUNet

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
