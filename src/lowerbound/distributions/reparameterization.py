r"""Reparameterized draws: z = g(noise, parameters), so that gradients pass through g.

For a Gaussian, z = mu + sigma * eps with eps ~ N(0, I) (Kingma & Welling 2014, section 2.4).
The source of the noise is torch's random state, or a counter keyed by the row's content
(``KeyedNoise``). With keyed noise, a score depends only on its row, not on order and batch.
"""

from __future__ import annotations

import copy
import os
import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
)

from lowerbound.errors import UnsupportedError

Size = torch.Size | list[int] | tuple[int, ...]  # a shape, as in torch's distributions


class NoiseSource(Protocol):
    """A source of standard normal noise."""

    def normal(self, shape: Sequence[int], like: Tensor, level: int) -> Tensor:
        """Standard normal noise of shape (samples, batch, ...), dtype and device as ``like``."""


class Pushed(Distribution):
    """A distribution whose draws are a function of standard normal noise.

    It is a base class and not a protocol, so that compiled graphs recognize it.

    Attributes:
        smooth: whether ``push`` is continuous, so that scaled noise gives less varied draws.
        continuous: whether a draw is real numbers with a density whose gradient exists.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own convention
    smooth: ClassVar[bool] = False
    continuous: ClassVar[bool] = False

    @property
    @abstractmethod
    def like(self) -> Tensor:
        """A tensor with the dtype and device of the draws that expands to their shape."""

    @abstractmethod
    def push(self, noise: Tensor) -> Tensor:
        """z = g(noise): map standard normal noise (samples, batch, ...) to a draw of that shape.

        Gradients pass from z to the parameters only if ``has_rsample`` is True.
        """

    def expand(self, batch_shape: Size, _instance: Distribution | None = None) -> Distribution:
        """The same distribution for every row of a larger batch, without copies."""
        wider = copy.copy(self)
        wider._batch_shape = torch.Size(batch_shape)
        return wider

    @torch.no_grad()
    def sample(self, sample_shape: Size = ()) -> Tensor:
        return self._push_fresh_noise(sample_shape)

    def _push_fresh_noise(self, sample_shape: Size) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        return self.push(torch.randn_like(self.like.expand(shape)))


class PushedCodes(Pushed):
    """A distribution over codes, whose temperature divides logits instead of scaling noise."""

    @abstractmethod
    def tempered(self, temperature: float) -> PushedCodes:
        """Draws with probabilities in proportion to p ** (1 / temperature); 0: the likeliest."""


class Reparameterized(Pushed):
    """A distribution whose draws have gradients, and whose parameters can be frozen."""

    has_rsample = True
    smooth = True
    continuous = True

    def rsample(self, sample_shape: Size = ()) -> Tensor:
        return self._push_fresh_noise(sample_shape)

    @abstractmethod
    def frozen(self) -> Distribution:
        """The same distribution with its parameters cut from the graph."""


_one_at_a_time = threading.RLock()


def _unlock_in_child() -> None:
    """A process that was forked while another thread drew has nobody to unlock it."""
    global _one_at_a_time
    _one_at_a_time = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_in_child)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context in which torch's random state starts from ``seed``; it is restored afterwards.

    The state belongs to the whole process, because compiled graphs can use no other. So one thread
    at a time is in such a context, and others wait: results are those of one thread.
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with _one_at_a_time, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


class RandomStream:
    """Torch's random numbers from a seed on, in several parts: each part goes on where the last one
    ended, and between them the random state is as it was before.

    Args:
        seed: of the first part.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._state: Tensor | None = None
        self._devices: list[Tensor] = []

    @contextmanager
    def part(self) -> Iterator[None]:
        """Context of the next random numbers; see ``seeded``."""
        with seeded(self._seed):
            if self._state is not None:
                torch.set_rng_state(self._state)
            if self._devices:
                torch.cuda.set_rng_state_all(self._devices)
            yield
            self._state = torch.get_rng_state()
            if torch.cuda.is_initialized():
                self._devices = torch.cuda.get_rng_state_all()


def draw(
    distribution: Distribution, samples: int, noise: NoiseSource | None = None, level: int = 0
) -> Tensor:
    """Draw a reparameterized sample, (samples, batch, *event).

    Args:
        distribution: batch shape (1 | samples, batch); the ``samples`` of a previous latent are
            kept.
        samples: number of draws per row.
        noise: source of the noise; None: torch's global state.
        level: of the latent; each level has different noise.
    """
    base = base_normal(distribution)
    leading, rest = distribution.batch_shape[:1], distribution.batch_shape[1:]
    count = samples if not leading or leading[0] == 1 else leading[0]
    shape = (count, *rest, *distribution.event_shape)
    if base is not None:
        return base.loc + base.scale * _standard_normal(base.loc, shape, noise, level)
    if isinstance(distribution, Pushed):
        return distribution.push(_standard_normal(distribution.like, shape, noise, level))
    if isinstance(distribution, MultivariateNormal):
        eps = _standard_normal(distribution.loc, shape, noise, level).unsqueeze(-2)
        # without a matrix product, whose result autocast would round to bf16
        correlated: Tensor = distribution.loc + (distribution.scale_tril * eps).sum(-1)
        return correlated
    if noise is not None:
        return _by_inverse(distribution, noise, shape, level)
    expanded = distribution.expand(torch.Size((count, *rest)))
    z: Tensor = expanded.rsample() if expanded.has_rsample else expanded.sample()
    return z


def base_normal(distribution: Distribution) -> Normal | None:
    """The factorized Normal inside the distribution; None if there is none."""
    if isinstance(distribution, Independent):
        return base_normal(distribution.base_dist)
    return distribution if isinstance(distribution, Normal) else None


def diagonal_normal(loc: Tensor, scale: Tensor) -> Independent[Normal]:
    """A diagonal Gaussian over the last axis, without validation, which costs a pass per call."""
    return Independent(PlainNormal(loc, scale), 1, validate_args=False)


class PlainNormal(Normal):
    """N(loc, scale^2) of two tensors of one shape, without broadcasting and validation."""

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale
        Distribution.__init__(self, loc.shape, validate_args=False)

    def expand(self, batch_shape: Size, _instance: Distribution | None = None) -> PlainNormal:
        shape = torch.Size(batch_shape)
        return PlainNormal(self.loc.expand(shape), self.scale.expand(shape))


class UnitNormal(PlainNormal):
    """N(0, 1); a separate type because its KL needs half the operations."""

    def __init__(self, zeros: Tensor) -> None:
        super().__init__(zeros, torch.ones_like(zeros))

    def expand(self, batch_shape: Size, _instance: Distribution | None = None) -> UnitNormal:
        return UnitNormal(self.loc.expand(torch.Size(batch_shape)))


def frozen(distribution: Distribution) -> Distribution:
    """The distribution with its parameters cut from the graph: log q(z) then depends only on z.

    "Sticking the landing" (Roeder et al. 2017) and DReG (Tucker et al. 2018) need it.

    Raises:
        UnsupportedError: the type does not support it.
    """
    if isinstance(distribution, Independent):
        inner = frozen(distribution.base_dist)
        return Independent(inner, distribution.reinterpreted_batch_ndims, validate_args=False)
    if isinstance(distribution, Normal):
        return Normal(distribution.loc.detach(), distribution.scale.detach(), validate_args=False)
    if isinstance(distribution, MultivariateNormal):
        return MultivariateNormal(
            distribution.loc.detach(),
            scale_tril=distribution.scale_tril.detach(),
            validate_args=False,
        )
    if isinstance(distribution, Reparameterized):
        return distribution.frozen()
    raise UnsupportedError(
        f"the parameters of {type(distribution).__name__} cannot be held fixed; "
        "estimators STL and DReG need a Gaussian or flow posterior"
    )


@dataclass(frozen=True)
class ScaledNoise:
    """Noise from torch's random state, times ``scale``."""

    scale: float

    def normal(self, shape: Sequence[int], like: Tensor, level: int) -> Tensor:
        return self.scale * torch.randn_like(like.expand(tuple(shape)))


def _standard_normal(
    like: Tensor, shape: Sequence[int], noise: NoiseSource | None, level: int
) -> Tensor:
    if noise is not None:
        return noise.normal(shape, like, level)
    # randn_like of an expanded tensor works with per-sample gradients (vmap) and compilation
    return torch.randn_like(like.expand(tuple(shape)))


def _by_inverse(
    distribution: Distribution, noise: NoiseSource, shape: Sequence[int], level: int
) -> Tensor:
    if isinstance(distribution, Independent):
        return _by_inverse(distribution.base_dist, noise, shape, level)
    if isinstance(distribution, OneHotCategorical):
        index = _by_inverse(distribution._categorical, noise, shape[:-1], level)
        one_hot: Tensor = torch.nn.functional.one_hot(index, shape[-1])
        return one_hot.to(distribution.logits.dtype)
    if isinstance(distribution, Categorical):
        eps = noise.normal(shape, distribution.logits, level)
        uniform = torch.special.ndtr(eps).unsqueeze(-1)
        probabilities: Tensor = distribution.probs
        classes_below: Tensor = (probabilities.cumsum(-1) < uniform).sum(-1)
        return classes_below.clamp_max(probabilities.shape[-1] - 1)
    raise UnsupportedError(f"keyed noise cannot drive a {type(distribution).__name__}")
