r"""A bound plus a distance of rows and reconstructions: features of a network, spectra, structure.

Rows agree in the features of a network, sounds in spectra, and pictures in MS-SSIM, their
structural similarity at several scales:

.. math:: \text{MS-SSIM} = l_5^{w_5} \prod_{j=1}^5 c_j^{w_j}, \quad
    c = \frac{2 \sigma_{xy} + C_2}{\sigma_x^2 + \sigma_y^2 + C_2}, \quad
    l = \frac{2 \mu_x \mu_y + C_1}{\mu_x^2 + \mu_y^2 + C_1}

Means, variances and the covariance are local, under a Gaussian window; each scale has half the
resolution of the one before it. Source: Wang, Simoncelli & Bovik 2003, with their window (11
pixels, 1.5 wide), constants and weights; the mean over colors.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.data.arrays import Array
from lowerbound.data.audio.clips import USUAL_RATE, LogMel
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.models.base import Model
from lowerbound.objectives.adversarial import Critic, hidden_alike, seen_apart
from lowerbound.objectives.base import Bound
from lowerbound.objectives.elbo import ELBO
from lowerbound.parts import OBJECTIVES
from lowerbound.trace import Batch

if TYPE_CHECKING:
    from lowerbound.data.dataset import Dataset

SCALES = (128, 256, 512, 1024, 2048)  # the last ones hear whether frames fit together
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales of MS-SSIM
WINDOW, WIDTH = 11, 1.5  # pixels of its Gaussian window
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # of its terms, for grey values to 255
GREYS = 255.0
LEAST = 1e-3  # contrast term of a scale
BATCH, UPDATES, RATE = 64, 300, 2e-3  # of the network that compares features
TURNS = 4  # quarter turns that it tells apart


@OBJECTIVES.register("spectral")
class Spectral(ELBO):
    r"""-ELBO + w D mean_s d_s(x, E[x | z]): loudness by pitch and time beside the bound.

    d_s is the distance of log mel spectra (``log_mel``), for several window lengths s: short ones
    resolve time, long ones pitch. A slightly delayed wave sounds the same but has a large
    sample-by-sample error, and a code of few bits can keep only the sound.

    The reported value is the ELBO, which this loss makes lower. Rows are signals with the data's
    sample rate. Source: Zeghidour et al. 2021, equation 5.

    Args:
        samples: draws of z per row.
        weight: w, in nats per feature of the data (D of them) and factor of ten of loudness.
        scales: the lengths in samples.
    """

    speed_change = 0.25

    def __init__(
        self, *, samples: int = 1, weight: float = 10.0, scales: tuple[int, ...] = SCALES
    ) -> None:
        super().__init__(samples=samples)
        if weight < 0 or not scales or min(scales) < 8:
            raise OptionError(
                f"weight must not be negative, and scales are at least 8 samples, not {weight} and "
                f"{list(scales)}"
            )
        self.share = weight
        self.scales = tuple(scales)
        self.hear(USUAL_RATE)

    def hear(self, rate: int) -> None:
        """Set the sample rate of rows, in samples per second."""
        self.ears = nn.ModuleList(LogMel(rate, length) for length in self.scales)

    def prepare(self, model: Model, dataset: Dataset) -> None:
        """Set the data's sample rate."""
        self.hear(dataset.schema.sample_rate or USUAL_RATE)
        self.ears.to(next(model.parameters()).device)

    def forward(self, model: Model, batch: Batch) -> Bound:
        trace = model(batch, self.choose)
        bound = self.bound(trace, batch)
        mean, real = trace.likelihood.mean, batch.filled
        made = hidden_alike(mean.flatten(0, 1).to(real.dtype), batch.observed)
        apart = self.apart(made, real.repeat(len(mean), *(1,) * (real.dim() - 1)))
        return replace(bound, loss=bound.loss + self.share * real[0].numel() * apart)

    def apart(self, ours: Tensor, theirs: Tensor) -> Tensor:
        """The mean distance over rows and scales."""
        ours, theirs = ours.flatten(1), theirs.flatten(1)
        distances = [ear.distance(ours, theirs).mean() for ear in self.ears]  # type: ignore[operator]
        return torch.stack(distances).mean()


def ms_ssim(picture: Array, back: Array) -> float:
    """MS-SSIM of two pictures (height, width, channels), uint8; 1 if they are equal."""
    x, y = (torch.from_numpy(p.astype(np.float64)).movedim(-1, 0)[None] for p in (picture, back))
    return float(likeness(x, y))


def likeness(x: Tensor, y: Tensor, least: float = 0.0) -> Tensor:
    """MS-SSIM of pictures (rows, channels, height, width) in grey values, (rows,).

    A picture that is too small for five scales uses as many as fit, with weights scaled to sum to
    1. A picture smaller than the window is padded by repeating its borders.

    Args:
        x, y: the pictures.
        least: lower limit of each scale's similarity; above 0, gradients stay finite.
    """
    rows = len(x)
    x, y = _by_channel(x), _by_channel(y)
    scales = min(len(WEIGHTS), int(math.log2(min(x.shape[2:]) / WINDOW)) + 1)
    weights = [weight / sum(WEIGHTS[:scales]) for weight in WEIGHTS[:scales]]
    total = x.new_ones(len(x))
    for scale, weight in enumerate(weights, 1):
        luminance, contrast = _compared(x, y)
        values = contrast * luminance if scale == scales else contrast
        total = total * values.flatten(1).mean(1).clamp_min(least) ** weight
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    by_row: Tensor = total.unflatten(0, (rows, -1)).mean(1)
    return by_row


def _by_channel(x: Tensor) -> Tensor:
    """(rows * channels, 1, height, width), no smaller than the window."""
    below, right = (max(0, WINDOW - side) for side in x.shape[2:])
    return F.pad(x, (0, right, 0, below), mode="replicate").flatten(0, 1)[:, None]


def _compared(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance and contrast terms at every place where the window fits."""
    mean_x, mean_y = local_mean(x), local_mean(y)
    spread_x, spread_y = local_mean(x * x) - mean_x**2, local_mean(y * y) - mean_y**2
    shared = local_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return luminance, (2 * shared + C2) / (spread_x + spread_y + C2)


def local_mean(x: Tensor) -> Tensor:
    """Means of (rows, 1, height, width) under the Gaussian window, wherever it fits."""
    offset = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    bell = torch.exp(-0.5 * (offset / WIDTH) ** 2)
    bell = bell / bell.sum()
    return F.conv2d(F.conv2d(x, bell.view(1, 1, -1, 1)), bell.view(1, 1, 1, -1))


@OBJECTIVES.register("structural")
class Structural(ELBO):
    r"""-ELBO + w D (1 - MS-SSIM(x, E[x | z])): structural similarity beside the bound.

    MS-SSIM compares contrast and correlation in small windows, from coarse to fine (``ms_ssim``).
    Faint texture therefore has weight beside strong edges, unlike in squared error. Rows that are
    not pictures are treated as one line of pixels.

    The reported value is the ELBO, which this loss makes lower. Source: Wang, Simoncelli & Bovik
    2003; as a loss of a codec, Balle et al. 2018.

    Args:
        samples: draws of z per row.
        weight: w, in nats per feature of the data (D of them).
    """

    def __init__(self, *, samples: int = 1, weight: float = 1.0) -> None:
        super().__init__(samples=samples)
        if weight < 0:
            raise OptionError(f"weight must not be negative, not {weight}")
        self.share = weight

    def forward(self, model: Model, batch: Batch) -> Bound:
        trace = model(batch, self.choose)
        bound = self.bound(trace, batch)
        mean, real = trace.likelihood.mean, batch.filled
        made = hidden_alike(mean.flatten(0, 1).to(real.dtype), batch.observed)
        several = real.repeat(len(mean), *(1,) * (real.dim() - 1))
        alike = likeness(GREYS * _picture(several), GREYS * _picture(made), LEAST).mean()
        return replace(bound, loss=bound.loss + self.share * real[0].numel() * (1 - alike))


def _picture(x: Tensor) -> Tensor:
    """Rows as pictures; a row without height and width becomes one line."""
    return x if x.dim() == 4 else x.reshape(len(x), 1, 1, -1)


@OBJECTIVES.register("features")
class FeatureMatching(ELBO):
    r"""-ELBO + w D s(x, E[x | z]): a feature-space ("perceptual") loss beside the bound.

    s is the relative squared distance between the features of a row and of its reconstruction in a
    convolutional network, averaged over layers. ``prepare`` trains this network on the rows. It
    learns to predict their classes or, without labels, by how many quarter turns a picture was
    rotated (Gidaris et al. 2018). For other rows without labels, the features are random.

    The reported value is the ELBO, which this loss makes lower. Source: Hou et al. 2017.

    Args:
        samples: draws of z per row.
        weight: w, in nats per feature of the data (D of them) and unit of relative error.
        width: channels of the network's first layer.
    """

    critic: Critic | None

    def __init__(self, *, samples: int = 1, weight: float = 0.1, width: int = 32) -> None:
        super().__init__(samples=samples)
        if weight < 0 or width < 1:
            raise OptionError(f"weight and width must be positive, not {weight} and {width}")
        self.share = weight
        self.width = width
        self.register_module("critic", None)

    def prepare(self, model: Model, dataset: Dataset) -> None:
        """Train the feature network; a resumed run takes its weights from the checkpoint."""
        named = dataset.label is not None and len(dataset.schema.class_names) > 1
        outputs = len(dataset.schema.class_names) if named else TURNS
        with seeded(0):
            critic = Critic(dataset.schema.event_shape, outputs, self.width)
            if named or len(dataset.schema.event_shape) == 3:  # else features stay random
                _train(critic, dataset, named)
        self.critic = critic.to(next(model.parameters()).device).requires_grad_(False)

    def forward(self, model: Model, batch: Batch) -> Bound:
        trace = model(batch, self.choose)
        bound = self.bound(trace, batch)
        real = batch.filled
        critic = self._critic(real)
        mean = trace.likelihood.mean
        made = hidden_alike(mean.flatten(0, 1).to(real.dtype), batch.observed)
        with torch.no_grad():
            target = critic(real)[:2]
        several = tuple(f.repeat(len(mean), *(1,) * (f.dim() - 1)) for f in target)
        apart = seen_apart(critic(made)[:2], several).mean()
        return replace(bound, loss=bound.loss + self.share * real[0].numel() * apart)

    def _critic(self, real: Tensor) -> Critic:
        """The feature network; without ``prepare`` its features are random."""
        if self.critic is None:
            with seeded(0):
                critic = Critic(tuple(real.shape[1:]), TURNS, self.width)
            self.critic = critic.to(real.device, real.dtype).requires_grad_(False)
        return self.critic


def _train(critic: Critic, dataset: Dataset, named: bool) -> None:
    """Train the critic as a classifier for a few hundred updates."""
    adam = torch.optim.Adam(critic.parameters(), RATE)
    shape = dataset.schema.event_shape
    square = len(shape) == 3 and shape[1] == shape[2]
    for _ in range(UPDATES):
        index = torch.randint(len(dataset), (min(BATCH, len(dataset)),))
        batch = dataset.batch(index).to(torch.float32)
        x, target = batch.filled, batch.label
        if not named or target is None:
            x, target = _turned(x, square)
        known = target >= 0
        loss = F.cross_entropy(critic(x[known])[2], target[known])
        adam.zero_grad()
        loss.backward()
        adam.step()


def _turned(x: Tensor, square: bool) -> tuple[Tensor, Tensor]:
    """Pictures rotated by 0 to 3 quarter turns, and how many; oblong ones by half turns only."""
    quarters = torch.arange(len(x)) % TURNS
    if not square:
        quarters = quarters // 2 * 2
    turned = [torch.rot90(one, int(k), (-2, -1)) for one, k in zip(x, quarters, strict=True)]
    return torch.stack(turned), quarters
