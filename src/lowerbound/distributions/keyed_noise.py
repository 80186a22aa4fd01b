"""Noise that depends only on a row's content and a seed, and draws that are equal on every device.

With this noise, a score does not depend on the order of the rows and on their batch, and K samples
drawn in chunks are the same K samples. Each number is a hash of (row key, seed, level, sample,
coordinate) from a counter-based generator (Salmon et al. 2011) with the splitmix64 mixer (Steele et
al. 2014). The inverse distribution function makes it normal.

Other draws are the same numbers on every device because they are made on the processor, and then
moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from lowerbound.distributions.reparameterization import base_normal, draw, seeded

PROCESSOR = torch.device("cpu")
DRAWS = frozenset(
    (
        *("rand", "rand_like", "randn", "randn_like", "randint", "randint_like", "randperm"),
        *("random_", "normal", "normal_", "uniform_", "bernoulli", "bernoulli_", "multinomial"),
        *("poisson", "binomial", "exponential_", "cauchy_", "geometric_", "log_normal_"),
        *("_standard_gamma", "_sample_dirichlet"),
    )
)
"""The names of torch's random functions; those that end in "_" fill their first argument."""
_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


@contextmanager
def same_on_every_device(device: torch.device) -> Iterator[None]:
    """Context in which a model on ``device`` gives the results of the processor up to rounding.

    A seed gives other numbers on an accelerator than on the processor, so random functions run on
    the processor, and their results are moved. Convolutions do not round their inputs to 10 bits,
    as CUDA does by default. On the processor nothing changes, and nothing takes longer.
    """
    if device == PROCESSOR:
        yield
        return
    cudnn = torch.backends.cudnn
    exact = cudnn.flags(enabled=True, allow_tf32=False) if device.type == "cuda" else nullcontext()
    with exact, _ProcessorDraws():  # type: ignore[no-untyped-call]
        yield


@torch.no_grad()
def seeded_draw(distribution: Distribution, samples: int, seed: int) -> Tensor:
    """``draw`` from a random state that starts from ``seed``, the same on every device."""
    with seeded(seed), same_on_every_device(device_of(distribution)):
        return draw(distribution, samples)


def device_of(distribution: Distribution) -> torch.device:
    """Where the parameters of a distribution are."""
    base = base_normal(distribution)
    if base is not None:
        return base.loc.device
    like: Tensor = distribution.like if hasattr(distribution, "like") else distribution.mean
    return like.device


class _ProcessorDraws(TorchDispatchMode):
    """Runs torch's random functions on the processor."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options, name = dict(kwargs or {}), func.__name__.partition(".")[0]
        if name not in DRAWS:
            return func(*args, **options)
        given = (value.device for value in args if isinstance(value, Tensor))
        device = options.get("device") or next(given, PROCESSOR)
        here = tree_map_only(Tensor, Tensor.cpu, (args, options))
        if "device" in options:
            here[1]["device"] = PROCESSOR
        drawn = func(*here[0], **here[1])
        return args[0].copy_(drawn) if name.endswith("_") else drawn.to(device)


def row_keys(x: Tensor, seed: int = 0) -> Tensor:
    """Hash each row to a 64-bit key, (batch,); equal rows have equal keys.

    A value is hashed as float32, so that a float64 copy of the same row gets the same noise.
    """
    values = x.detach().to(torch.float32).flatten(1) + 0.0  # -0.0 equals 0.0 but has other bits
    bits = values.contiguous().view(torch.int32).to(torch.int64)
    coordinate = _mix(torch.arange(bits.shape[1], device=x.device) * _GOLDEN + seed)
    return _mix(_mix(bits + coordinate).sum(1))


class Occurrences:
    """Keys that equal rows do not share, for draws that should be independent.

    A row's key is mixed with the number of earlier rows of the same key; 0 keeps it.

    Args:
        first: number of the first row in a table that is read part by part, added to each number.
    """

    def __init__(self, first: int = 0) -> None:
        self.first = first
        self._seen: dict[int, int] = {}

    def apart(self, keys: Tensor) -> Tensor:
        """The keys of the next rows, (batch,)."""
        numbers = []
        for key in keys.tolist():
            earlier = self._seen.get(key, 0)
            self._seen[key] = earlier + 1
            numbers.append(self.first + earlier)
        number = torch.tensor(numbers, dtype=keys.dtype, device=keys.device)
        return torch.where(number == 0, keys, _mix(keys + number * _GOLDEN))


@dataclass(frozen=True)
class KeyedNoise:
    """Standard normal noise keyed by row.

    Attributes:
        keys: one 64-bit key per row, (batch,), from ``row_keys``.
        seed: the scoring seed.
        first_sample: index of the first sample of this chunk among all K.
    """

    keys: Tensor
    seed: int = 0
    first_sample: int = 0

    def normal(self, shape: Sequence[int], like: Tensor, level: int) -> Tensor:
        samples, batch, *event = shape
        width = 1
        for size in event:
            width *= size
        device = like.device
        sample = torch.arange(samples, device=device) + self.first_sample
        keys = _mix(self.keys + _scalar_mix(self.seed * 1_000_003 + level))
        keys = _mix(keys + sample.unsqueeze(1) * _GOLDEN)
        counters = torch.arange(1, width + 1, device=device) * _GOLDEN
        words = _mix(keys.expand(samples, batch).unsqueeze(-1) + counters)
        # 52 bits, centred in their cell: never 0 or 1, so the inverse is finite
        uniform = _shift(words, 12).to(torch.float64).add_(0.5).mul_(2.0**-52)
        normal: Tensor = torch.special.ndtri(uniform)
        return normal.to(like.dtype).reshape(samples, batch, *event)


def _mix(word: Tensor) -> Tensor:
    word = _shift(word, 30).bitwise_xor_(word).mul_(_MIX_1)
    word = _shift(word, 27).bitwise_xor_(word).mul_(_MIX_2)
    return _shift(word, 31).bitwise_xor_(word)


def _shift(word: Tensor, bits: int) -> Tensor:
    """Logical shift right: torch's >> on int64 copies the sign bit."""
    return (word >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _scalar_mix(number: int) -> int:
    return int(_mix(torch.tensor(number + 1, dtype=torch.int64) * _GOLDEN))
