"""Draws that are the same numbers on every device: made on the processor, and then moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
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
