"""Histories drawn from a model, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.inference.passes import Progress, evaluation_mode
from lowerbound.models import Imagines, Model, require
from lowerbound.trace import Batch, Draw, Tempered
from lowerbound.training.checkpoints.randomness import stream_seed

BLOCK = 256  # histories that are drawn side by side


def sample_histories(
    model: Model,
    count: int,
    *,
    seed: int = 0,
    temperature: float | Sequence[float] = 1.0,
    progress: Progress | None = None,
) -> Iterator[Tensor]:
    """z ~ p(z) and a history from p(x | z), for ``count`` entities, in blocks.

    A history depends on the seed and on its number alone: more histories begin with the same ones.

    Args:
        model: of histories, with a prior.
        count: number of entities.
        seed: of the draws.
        temperature: scale of the noise of z.
        progress: called with (histories done, histories) after each block.

    Yields:
        (rows, events, features) in model units, on the CPU, NaN where there is no cell.

    Raises:
        UnsupportedError: the model has no prior, or a prior without a temperature.
        OptionError: fewer than one history, or a negative temperature.
    """
    require(model, Imagines, "be sampled")
    each = (temperature,) if isinstance(temperature, int | float) else tuple(temperature)
    if count < 1 or min(each) < 0:
        raise OptionError(
            f"give at least one history and a temperature of zero or more, not {count} and {each}"
        )
    return _blocks(model, count, seed, each, progress)


def _blocks(
    model: Model, count: int, seed: int, temperature: tuple[float, ...], progress: Progress | None
) -> Iterator[Tensor]:
    imagines = require(model, Imagines, "be sampled")
    plain = all(one == 1.0 for one in temperature)
    choose = Draw(BLOCK) if plain else Tempered(BLOCK, temperature)
    for start in range(0, count, BLOCK):
        end = min(start + BLOCK, count)
        with (
            seeded(stream_seed(seed, f"histories from {start}")),
            evaluation_mode(model, gradients=True),
            torch.no_grad(),
        ):
            trace = imagines.imagine(Batch(count=1), choose)
            drawn = trace.likelihood.sample()[:, 0]
        if progress is not None:
            progress(end, count)
        yield drawn[: end - start].cpu()
