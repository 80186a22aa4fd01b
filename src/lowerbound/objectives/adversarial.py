"""The VAE-GAN: a bound plus the loss of a critic, a small network whose features are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.config import renamed_keywords
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.models.base import Model
from lowerbound.models.powers import Imagines, require
from lowerbound.networks.base import as_picture, kernel
from lowerbound.networks.initialization import convolution, linear
from lowerbound.networks.restoration import window_cosines
from lowerbound.objectives.base import Bound, held_fixed
from lowerbound.objectives.elbo import ELBO
from lowerbound.parts import OBJECTIVES
from lowerbound.trace import Batch, Draw

if TYPE_CHECKING:
    from lowerbound.data.dataset import Dataset

SLOPE = 0.2  # of the leaky rectifier for negative inputs
GAIN = 2**0.5  # keeps signals at unit scale after the rectifier
WINDOW = 8  # pixels of a window's side
FAINT = 0.05  # model units: the scale is linear below this size and logarithmic above
RAMP = 0.1  # share of the run over which a critic's weight rises from zero
MOST = 1e4  # largest balanced weight
TINY = 1e-6  # gradient of the critic
READINGS = ("critic loss", "critic weight", "critic right")  # in the log
NATS, SHARE, ENTER = 0.02, 0.3, 0.5  # defaults


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


@OBJECTIVES.register("adversarial")
@renamed_keywords(dreams="prior_samples")
class Adversarial(ELBO):
    r"""-ELBO + D (w_f s(x, x') + w_a (softplus(-c(x')) + softplus(-c(x'')) / 2): VAE-GAN.

    A critic c learns to distinguish real rows from reconstructions x' = E[x | z], z ~ q, and from
    samples x'' = E[x | z], z ~ p. The decoder learns to make rows that the critic takes for real,
    and to reconstruct the row's features in the critic's layers (s, see ``features``). Without
    prior samples, the critic's terms use only x'. One loss trains both sides: the critic is frozen
    in the model's terms, and rows are detached in the critic's term.

    Samples become sharper, and the ELBO, which is the reported value, becomes lower. Source: Larsen
    et al. 2016.

    Args:
        samples: draws of z per row.
        weight: w_a, in nats per feature of the data (D of them), 0.02 unless given; with a
            balanced critic, its gradient relative to that of the rest, 0.3 unless given.
        feature_weight: w_f, in nats per feature of the data and unit of relative error.
        width: channels of the critic's first layer.
        critic: its input: "rows", or "windows", the textures of pictures place by place.
        prior_samples: whether the critic also gets samples from the prior; None: with rows.
        enter: share of the run after which the critic enters; None: 0 with rows, 0.5 with windows.
            A critic of windows, or one that enters late, has a balanced weight, see ``Entrance``:
            ``weight`` is then its share, and the newest weights of the run are kept.
    """

    critic: Critic | WindowCritic | None
    entrance: Entrance | None

    def __init__(
        self,
        *,
        samples: int = 1,
        weight: float | None = None,
        feature_weight: float = 0.1,
        width: int = 32,
        critic: Literal["rows", "windows"] = "rows",
        prior_samples: bool | None = None,
        enter: float | None = None,
    ) -> None:
        super().__init__(samples=samples)
        if critic not in ("rows", "windows"):
            raise OptionError(f"critic is rows or windows, not {critic}")
        windows = critic == "windows"
        late = windows or bool(enter)
        weight = (SHARE if late else NATS) if weight is None else weight
        if min(weight, feature_weight) < 0 or width < 1:
            raise OptionError(
                f"weight and feature_weight are 0 or more, not {weight} and {feature_weight}; "
                f"width is 1 or more, not {width}"
            )
        self.share = weight
        self.feature_share = feature_weight
        self.width = width
        self.sees = critic
        self.prior_samples = not windows if prior_samples is None else prior_samples
        self.register_module("critic", None)
        self.register_module("entrance", None)
        if late:
            self.enter = ENTER if enter is None else enter
            self.entrance = Entrance(self.enter)
            self.steady = self.judged_by_value = False

    def prepare(self, model: Model, dataset: Dataset) -> None:
        """Build the critic for rows of this shape."""
        if self.prior_samples:
            require(model, Imagines, "be compared by its samples")
        if self.sees == "windows" and min(_sides(dataset.schema.event_shape)) < WINDOW:
            raise OptionError(f"critic=windows needs pictures of at least {WINDOW} pixels a side")
        parameter = next(model.parameters())
        self._critic(torch.empty(0, *dataset.schema.event_shape).to(parameter))

    def forward(self, model: Model, batch: Batch) -> Bound:
        trace = model(batch, self.choose)
        bound = self.bound(trace, batch)
        if self.entrance is not None and not (self.training and self._rise):
            return bound
        real = batch.filled
        critic = self._critic(real)
        again = hidden_alike(trace.likelihood.mean.flatten(0, 1).to(real.dtype), batch.observed)
        sampled = None
        if self.prior_samples:
            sampled = hidden_alike(self._sampled(model, batch).to(real.dtype), batch.observed)
        critics = _critic_loss(critic, real, again, sampled)
        if self.entrance is not None:
            rows = (real, again, sampled)
            own = self._balanced(self.entrance, model, bound.loss, critic, critics, rows)
        else:
            own = bound.loss + real[0].numel() * self._model_loss(critic, real, again, sampled)
        return replace(bound, loss=own + critics)

    @property
    def _rise(self) -> float:
        return 1.0 if self.entrance is None else self.entrance.rise(self.progress)

    def readings(self) -> Mapping[str, tuple[float, ...]]:
        """The critic's loss and weight, and the share of outputs in which it is right."""
        return {} if self.entrance is None else self.entrance.readings()

    def forget_readings(self) -> None:
        if self.entrance is not None:
            self.entrance.forget()

    def _balanced(
        self,
        entrance: Entrance,
        model: Model,
        own: Tensor,
        critic: nn.Module,
        critics: Tensor,
        rows: tuple[Tensor, Tensor, Tensor | None],
    ) -> Tensor:
        """The model's loss with the critic at a balanced weight."""
        real, again, sampled = rows
        apart, fooled = self._terms(critic, real, again, sampled)
        decoder = getattr(model, "decoder", nn.Module())
        weight = self.share * entrance.weight(decoder, own, fooled) * self._rise
        with torch.no_grad():
            entrance.collect(critics, weight, critic(real)[2], critic(again)[2])
        return own + self._rise * self.feature_share * real[0].numel() * apart + weight * fooled

    def _sampled(self, model: Model, batch: Batch) -> Tensor:
        """One sample for each row, with the row's condition if it has one."""
        imagines = require(model, Imagines, "be sampled")
        draws = Draw(len(batch) if batch.condition is None else 1)
        trace = imagines.imagine(Batch(condition=batch.condition), draws)
        return trace.likelihood.mean.flatten(0, 1)

    def _model_loss(
        self, critic: nn.Module, real: Tensor, again: Tensor, sampled: Tensor | None
    ) -> Tensor:
        """The model's loss, with the critic frozen."""
        apart, fooled = self._terms(critic, real, again, sampled)
        return self.feature_share * apart + self.share * fooled

    def _terms(
        self, critic: nn.Module, real: Tensor, again: Tensor, sampled: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The distance in features, and how clearly the critic sees that rows are not real."""
        with torch.no_grad():
            target = critic(real)[:2]
        *seen, odds = held_fixed(critic, again)
        several = tuple(f.repeat(len(again) // len(real), *(1,) * (f.dim() - 1)) for f in target)
        apart = seen_apart(tuple(seen), several).mean()
        fooled = F.softplus(-odds).mean()
        if sampled is not None:
            fooled = 0.5 * (fooled + F.softplus(-held_fixed(critic, sampled)[2]).mean())
        return apart, fooled

    def _critic(self, real: Tensor) -> nn.Module:
        """The critic; the shape of the first rows sets its size."""
        if self.critic is None:
            critic: Critic | WindowCritic
            with seeded(0):
                if self.sees == "windows":
                    critic = WindowCritic(real.shape[1], self.width)
                else:
                    critic = Critic(tuple(real.shape[1:]), 1, self.width)
            self.critic = critic.to(real.device, real.dtype)
        return self.critic


def _sides(event_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Height and width of a picture; empty for other rows."""
    return event_shape[1:] if len(event_shape) == 3 else (0,)


def _critic_loss(critic: nn.Module, real: Tensor, again: Tensor, sampled: Tensor | None) -> Tensor:
    """The critic's loss, with rows detached."""
    made = (again if sampled is None else torch.cat([again, sampled])).detach()
    return F.softplus(-critic(real)[2]).mean() + F.softplus(critic(made)[2]).mean()
