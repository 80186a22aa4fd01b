"""Parts of a state-space model: a path of frames, and the stochastic part of its state.

The path is principal components of frames beside the networks. The stochastic part of a world
model's state is codes or Gaussian numbers.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from lowerbound.data.dataset import spread_rows
from lowerbound.distributions.one_hot import OneHotCodes
from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.likelihoods.base import Likelihood
from lowerbound.models.linear_start import ROWS, LinearParts, empty_path, set_to_components
from lowerbound.networks.base import Decoder
from lowerbound.networks.initialization import linear
from lowerbound.networks.pictures.linear_path import LinearPath

LEAST_DEVIATION = 0.1  # of Hafner et al. 2019


class StateLatent(nn.Module):
    """Maps a network's numbers to a distribution of z.

    Attributes:
        shape: of z.
        numbers: parameters of its distribution.
    """

    shape: tuple[int, ...]
    numbers: int

    @property
    def size(self) -> int:
        """Numbers of z."""
        return torch.Size(self.shape).numel()

    @abstractmethod
    def forward(self, numbers: Tensor) -> Distribution:
        """The distribution, of batch shape (samples, batch), from (samples, batch, numbers)."""


class CodeLatent(StateLatent):
    """Groups of classes, one-hot, with a straight-through gradient.

    Args:
        groups, classes: of z.
        uniform: share of the uniform distribution in each.
    """

    def __init__(self, groups: int, classes: int, uniform: float) -> None:
        super().__init__()
        self.shape, self.numbers, self.uniform = (groups, classes), groups * classes, uniform

    def forward(self, numbers: Tensor) -> OneHotCodes:
        return OneHotCodes(numbers.unflatten(-1, self.shape), self.uniform)


class GaussianLatent(StateLatent):
    """Independent Gaussians, sigma = .1 + softplus(raw).

    Args:
        size: numbers of z.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.shape, self.numbers = (size,), 2 * size

    def forward(self, numbers: Tensor) -> Distribution:
        loc, raw = numbers.float().chunk(2, -1)
        return diagonal_normal(loc, LEAST_DEVIATION + F.softplus(raw))


class FramePath(nn.Module):
    r"""A path from frames to their principal components, and from components to frames.

    .. math::
        \text{numbers of a frame} = f(x) + U (A x + a), \qquad
        \text{parameters given a state} = g(s) + W (V s + v)

    with f and g the encoder and the decoder. A, a and W are those of
    :mod:`lowerbound.models.linear_start` and stay fixed; U, V and v are learned, and V and v
    start at zero. So a state only has to hold the components, and the networks learn what these
    lack. Until ``start`` the path adds nothing.

    Args:
        linear_path: empty.
        features: numbers of a state s.
        width: numbers of a frame for the posterior.
    """

    def __init__(self, linear_path: LinearPath, features: int, width: int) -> None:
        super().__init__()
        self.linear_path = linear_path
        self.of_components = linear(linear_path.latent_dim, width, bias=False)
        self.of_state = linear(features, linear_path.latent_dim)
        nn.init.zeros_(self.of_state.weight)

    @classmethod
    def beside(
        cls,
        decoder: Decoder,
        likelihood: Likelihood,
        frame_shape: tuple[int, ...],
        components: int,
        sizes: tuple[int, int],
    ) -> FramePath | None:
        """A path that adds nothing yet; None: these frames or parts have no linear start.

        Args:
            decoder, likelihood: of frames given states.
            frame_shape: of a frame.
            components: their number; 0: no path.
            sizes: numbers of a state, and of a frame for the posterior.
        """
        if not components:
            return None
        path = empty_path(decoder, likelihood, components, frame_shape, learned=False)
        return None if path is None else cls(path, *sizes)

    @torch.no_grad()
    def start(self, decoder: Decoder, likelihood: Likelihood, frames: Tensor) -> None:
        """Open the path and set it from frames in model units, (rows, *frame_shape).

        Output bias and scales stay at the marginals, because no state holds the components yet.
        """
        kept = [decoder.output_bias, *likelihood.parameters()]
        marginals = [value.clone() for value in kept]
        rows = frames[spread_rows(len(frames), ROWS)]
        set_to_components(LinearParts(self.linear_path, decoder, likelihood), rows)
        for value, before in zip(kept, marginals, strict=True):
            value.copy_(before)
        assert decoder.output_layer is not None
        nn.init.zeros_(decoder.output_layer.weight)

    def numbers_of(self, frames: Tensor, numbers: Tensor) -> Tensor:
        """The encoder's ``numbers`` of frames, (rows, width), plus those of the path."""
        if not self.linear_path.is_open:
            return numbers
        added: Tensor = self.of_components(self.linear_path.codes(frames))
        return numbers + added

    def parameters_of(self, states: Tensor, numbers: Tensor) -> Tensor:
        """The decoder's ``numbers`` of states, (rows, *parameter_shape), plus those of the path."""
        if not self.linear_path.is_open:
            return numbers
        return self.linear_path.parameters_of(self.of_state(states), numbers)

    def inference_parameters(self) -> list[nn.Parameter]:
        """Those from a frame to the posterior."""
        return [*self.of_components.parameters(), *self.linear_path.analysis_parameters()]
