"""Small networks whose features objectives compare, and how a critic enters into training."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.networks.initialization import convolution, linear
from lowerbound.networks.sizes import as_picture, kernel
from lowerbound.networks.transform.restoration import window_cosines

SLOPE = 0.2  # of the leaky rectifier for negative inputs
GAIN = 2**0.5  # keeps signals at unit scale after the rectifier
WINDOW = 8  # pixels of a window's side
FAINT = 0.05  # model units: the scale is linear below this size and logarithmic above
RAMP = 0.1  # share of the run over which a critic's weight rises from zero
MOST = 1e4  # largest balanced weight
TINY = 1e-6
READINGS = ("critic loss", "critic weight", "critic right")


class Critic(nn.Module):
    """Map rows, (rows, *event), to the features of two layers and to outputs, (rows, outputs).

    Pictures pass strided convolutions, other rows fully connected layers. There is no
    normalization, so the output for a row does not depend on other rows.

    Args:
        event_shape: shape of a row.
        outputs: numbers per row.
        width: channels of the first layer for pictures (the second has twice as many); for other
            rows, a quarter of the units of each layer.
    """

    def __init__(self, event_shape: tuple[int, ...], outputs: int = 1, width: int = 32) -> None:
        super().__init__()
        self.first: nn.Module
        self.second: nn.Module
        self.activation = nn.LeakyReLU(SLOPE)
        if len(event_shape) == 3:
            picture = as_picture(event_shape)
            taps = kernel(picture.size)
            self.first = convolution(picture.channels, width, taps, (2, 2))
            self.second = convolution(width, 2 * width, taps, (2, 2), gain=GAIN)
            sides = [(side + 3) // 4 for side in picture.size]
            seen = 2 * width * math.prod(sides)
        else:
            seen = 4 * width
            self.first = nn.Sequential(nn.Flatten(), linear(math.prod(event_shape), seen))
            self.second = linear(seen, seen, gain=GAIN)
        self.answer = linear(seen, outputs, gain=GAIN)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first = self.activation(self.first(x))
        second = self.activation(self.second(first))
        return first, second, self.answer(second.flatten(1))


class WindowCritic(nn.Module):
    """Map pictures, (rows, channels, height, width), to the features of two layers and to one
    output for each place, (rows, places).

    Its input is the log sizes of cosine coefficients in windows that overlap by half. They measure
    texture, which a decoder with least squared error lacks. All places share the same weights.

    Args:
        channels: channels of the pictures.
        width: channels of both layers.
    """

    cosines: Tensor

    def __init__(self, channels: int, width: int = 64) -> None:
        super().__init__()
        self.register_buffer("cosines", window_cosines(channels, WINDOW), persistent=False)
        self.activation = nn.LeakyReLU(SLOPE)
        self.first = convolution(len(self.cosines), width, (3, 3))
        self.second = convolution(width, width, (3, 3), gain=GAIN)
        self.answer = convolution(width, 1, (1, 1), gain=GAIN)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sizes = F.conv2d(x, self.cosines.to(x.dtype), stride=WINDOW // 2).abs()
        first = self.activation(self.first(torch.log1p(sizes / FAINT)))
        second = self.activation(self.second(first))
        return first, second, self.answer(second).flatten(1)


def hidden_alike(made: Tensor, observed: Tensor | None) -> Tensor:
    """The model's rows, (rows, *event), with zeros where cells of the real rows are hidden."""
    if observed is None:
        return made
    mask = observed.repeat(len(made) // len(observed), *(1,) * (observed.dim() - 1))
    return made * mask


def seen_apart(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> Tensor:
    r"""Distance of two sets of rows in a network's features, the mean over layers of

    .. math:: \lVert f_l(a) - f_l(b) \rVert^2 / \overline{\lVert f_l(b) \rVert^2}

    per row, (rows,); all layers have equal weight.
    """
    apart = []
    for a, b in zip(one, other, strict=True):
        size = b.detach().flatten(1).square().sum(1).mean().clamp_min(1e-12)
        apart.append((a - b).flatten(1).square().sum(1) / size)
    return torch.stack(apart).mean(0)


class Entrance(nn.Module):
    r"""The weight of a critic's loss in a model's loss.

    .. math:: \lambda = r(t) \min(\lVert \nabla_W L \rVert / \lVert \nabla_W A \rVert, 10^4)

    with L the model's own loss, A the critic's loss of the model, and W the last weights of the
    decoder, so that the critic never pushes harder than the reconstruction. r rises from 0 at the
    share ``start`` of the run to 1 a tenth of the run later; before, the critic neither learns nor
    counts.

    It also collects, for the history of training, the means over updates of the critic's own loss,
    of the weight, and of the share of outputs in which the critic is right.

    Args:
        start: share of the run.

    Source: Esser et al. 2021, equation 7.
    """

    sums: Tensor

    def __init__(self, start: float) -> None:
        super().__init__()
        if not 0.0 <= start < 1.0:
            raise OptionError(f"enter is a share of the run, 0 to below 1, not {start}")
        self.start = start
        self.register_buffer("sums", torch.zeros(len(READINGS) + 1))

    def rise(self, progress: Tensor) -> float:
        """r at this share of the run."""
        return min(max(float(progress) - self.start, 0.0) / RAMP, 1.0)

    def weight(self, decoder: nn.Module, own: Tensor, fooled: Tensor) -> Tensor:
        """The weight without r; no gradient passes through it.

        Args:
            decoder: whose last weights both losses are compared at.
            own: L, a scalar with a graph, which is kept.
            fooled: A, likewise.
        """
        last = last_weights(decoder)
        sizes = [
            torch.autograd.grad(loss, last, retain_graph=True)[0].float().norm()
            for loss in (own, fooled)
        ]
        ratio: Tensor = sizes[0] / (sizes[1] + TINY)
        return ratio.clamp_max(MOST).detach()

    @torch.no_grad()
    def collect(self, loss: Tensor, weight: Tensor, real: Tensor, made: Tensor) -> None:
        """Add an update to the readings, with the critic's outputs for real and made rows."""
        right = 0.5 * ((real > 0).float().mean() + (made < 0).float().mean())
        self.sums += torch.stack([loss, weight, right, torch.ones_like(loss)]).to(self.sums)

    def readings(self) -> Mapping[str, tuple[float, ...]]:
        """Means over the updates since ``forget``; empty if there were none."""
        *sums, count = self.sums.tolist()
        if not count:
            return {}
        return {name: (each / count,) for name, each in zip(READINGS, sums, strict=True)}

    def forget(self) -> None:
        """Start to collect the readings again."""
        self.sums.zero_()


def last_weights(decoder: nn.Module) -> nn.Parameter:
    """The last weights of a decoder that are not its output bias.

    Raises:
        UnsupportedError: it has none.
    """
    bias = getattr(decoder, "output_bias", None)
    found = [value for value in decoder.parameters() if value.dim() > 1 and value is not bias]
    if not found:
        raise UnsupportedError("critic=windows needs a model whose decoder has weights")
    return found[-1]
