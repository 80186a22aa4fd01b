"""Draws from the prior of a model, in blocks whose memory does not depend on their number.

Samples contain both the mean of p(x | z), which is smooth, and a draw of x from p(x | z), which
includes the noise of the likelihood.

Settings of a trained prior or refiner that hold during a call only, such as guidance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from lowerbound.data.labels import UNKNOWN
from lowerbound.distributions.point import check_finite
from lowerbound.distributions.reparameterization import RandomStream, seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.inference.passes import MEMORY, as_taken, evaluation_mode, placed
from lowerbound.models.base import Model
from lowerbound.models.powers import Imagines, ImaginesLatents, LearnsPrior, require
from lowerbound.priors.attributes import AttributeCompletion
from lowerbound.priors.base import Prior
from lowerbound.priors.codes import CodePrior, Narrowing
from lowerbound.trace import Batch, Choose, Draw, Emission, Given, Tempered
from lowerbound.training.randomness import stream_seed

DIFFUSION = "train one that has, with lowerbound prior --kind diffusion"
CODES = "only a prior over codes has, such as that of a vq_vae; temperature narrows draws of others"
INSTEAD = {"guidance": DIFFUSION, "steps": DIFFUSION, "top_k": CODES, "top_p": CODES}


@contextmanager
def prior_settings(
    model: Model,
    *,
    guidance: float | None = None,
    steps: int | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Iterator[None]:
    """Change how the model's prior and its refiner draw, and restore them after the block.

    Args:
        model: one with a prior or a refiner.
        guidance: strength of the prompt: 0 ignores it, 1 is p(z | prompt), more exaggerates it.
        steps: evaluations of the network for a draw.
        top_k: of codes, only so many of the likeliest are drawn.
        top_p: of codes, only the likeliest that together have this probability are drawn.

    Raises:
        UnsupportedError: neither has such a setting.
        OptionError: a negative guidance, fewer than one step, or another number out of range.
    """
    if guidance is not None and guidance < 0:
        raise OptionError(f"guidance is zero or more, not {guidance:g}")
    if steps is not None and steps < 1:
        raise OptionError(f"a draw takes at least 1 step, not {steps}")
    Narrowing(top_k=top_k, top_p=1.0 if top_p is None else top_p)
    given = {"guidance": guidance, "steps": steps, "top_k": top_k, "top_p": top_p}
    changes = {name: value for name, value in given.items() if value is not None}
    priors = [prior for prior in _priors(model) if changes]
    for name in changes:
        if not any(hasattr(prior, name) for prior in priors):
            raise UnsupportedError(f"the prior of this model has no {name}: {INSTEAD[name]}")
    former = [{name: getattr(p, name) for name in changes if hasattr(p, name)} for p in priors]
    try:
        for prior, values in zip(priors, former, strict=True):
            _set(prior, {name: changes[name] for name in values})
        yield
    finally:
        for prior, values in zip(priors, former, strict=True):
            _set(prior, values)


def _priors(model: Model) -> list[nn.Module]:
    """The modules that draw: the priors, and the refiner."""
    refiner: list[nn.Module] = [] if model.refiner is None else [model.refiner]
    if not isinstance(model, LearnsPrior):
        return refiner
    modules = model.learned_prior.modules()
    return [*refiner, *(module for module in modules if isinstance(module, Prior | CodePrior))]


def _set(prior: nn.Module, values: dict[str, float]) -> None:
    for name, value in values.items():
        setattr(prior, name, value)


BYTES_PER_VALUE = 256  # memory of a mean that sums over blocks of levels
ROWS_AT_ONCE = 1024
BYTES_PER_LATENT = 4096  # memory of a denoiser's layers for a number of z


def whole_count(count: Any, of: str = "samples", least: int = 1) -> int:
    """A number of rows to draw.

    Raises:
        OptionError: it is no whole number, or below ``least``; the message says the number ``of``
            what.
    """
    try:
        value = math.nan if isinstance(count, str) else float(count)
    except (TypeError, ValueError):
        value = math.nan
    if not value.is_integer() or value < least:
        shown = repr(count) if isinstance(count, str) else count
        raise OptionError(f"the number of {of} must be a whole number from {least}, not {shown}")
    return int(count)


@dataclass(frozen=True)
class Samples:
    """Draws in model units, on the CPU.

    Attributes:
        z: the latents, (count, latent_dim).
        mean: E[x | z], (count, *event).
        x: drawn from p(x | z), (count, *event).
        condition: (count, size).
    """

    z: Tensor
    mean: Tensor
    x: Tensor
    condition: Tensor | None = None

    def __len__(self) -> int:
        return len(self.z)


def refined_by(model: Model, made: Samples, seed: int, start: int) -> Samples:
    """The same latents, x drawn by the refiner from random numbers of its own."""
    if model.refiner is None:
        return made
    with seeded(stream_seed(seed, f"refinement from {start}")):
        drawn = model.refiner.draw(as_taken(made.mean, model.refiner))
    return replace(made, x=drawn.cpu())


def sample_prior(
    model: Model,
    count: int,
    *,
    seed: int = 0,
    condition: Tensor | None = None,
    prompt: Tensor | None = None,
    temperature: float | Sequence[float] = 1.0,
    refined: bool = True,
    complete: bool = False,
) -> Samples:
    """z ~ p(z), x ~ p(x | z), level by level if there are several.

    Args:
        model: one with a prior.
        count: number of samples.
        seed: of the draws.
        condition: of a conditional model, (count, size).
        prompt: of a conditional prior, (count, codes) long; unknown attributes are drawn first, if
            the prior has learned their joint distribution.
        temperature: scale of the latents' noise; one for all levels, or one each, top down.
        refined: whether x is drawn by the model's refiner, or corrected, if it has one or the
            other; the latents stay.
        complete: whether no drawn cell of a table is missing.

    Raises:
        UnsupportedError: the model has no prior, or a prior without a temperature.
        OptionError: fewer than one sample, or a negative temperature.
    """
    given = None if condition is None else condition.__getitem__
    draws = PriorDraws.of(
        model,
        count,
        seed=seed,
        condition=given,
        prompt=prompt,
        temperature=temperature,
        refined=refined,
        complete=complete,
    )
    parts = [part for block in draws.blocks for part in draws.parts(block)]
    conditions = [part.condition for part in parts if part.condition is not None]
    return Samples(
        torch.cat([part.z for part in parts]),
        torch.cat([part.mean for part in parts]),
        torch.cat([part.x for part in parts]),
        torch.cat(conditions) if conditions else None,
    )


@dataclass(frozen=True, eq=False)
class PriorDraws:
    """The draws of ``sample_prior`` in blocks, so that memory does not depend on their number.

    Each block has a seed of its own, so blocks can be drawn in any order and anywhere.

    Attributes:
        model, count, seed, refined, complete: as for ``sample_prior``.
        condition: the condition of some rows of a conditional model, (rows, size).
        prompt: of all rows, without unknown attributes.
        temperatures: scale of each level, top down.
        rows: how many are decoded at once.
        latents: how many are in a block, and have their latents drawn at once.
    """

    model: Model
    count: int
    seed: int
    condition: Callable[[slice], Tensor] | None
    prompt: Tensor | None
    temperatures: tuple[float, ...]
    refined: bool
    complete: bool
    rows: int = 1
    latents: int = 1

    @classmethod
    def of(
        cls,
        model: Model,
        count: int,
        *,
        seed: int = 0,
        condition: Callable[[slice], Tensor] | None = None,
        prompt: Tensor | None = None,
        temperature: float | Sequence[float] = 1.0,
        refined: bool = True,
        complete: bool = False,
    ) -> PriorDraws:
        """Draws with blocks that fit into memory.

        Args:
            model, count, seed, prompt, temperature, refined, complete: as for ``sample_prior``.
            condition: the condition of some rows of a conditional model, (rows, size).

        Raises:
            UnsupportedError, OptionError: as ``sample_prior``.
        """
        require(model, Imagines, "be sampled")
        count = whole_count(count)
        scales = (temperature,) if isinstance(temperature, int | float) else tuple(temperature)
        if not scales or min(scales) < 0:
            raise OptionError(f"a temperature is zero or more, not {min(scales, default=None)}")
        with seeded(stream_seed(seed, "unknown attributes")), _using(model):
            prompt = _completed(model, prompt, count)
        draws = cls(model, count, seed, condition, prompt, scales, refined, complete)
        with seeded(seed), _using(model):
            rows, latents = _rows_at_once(model, draws._given(slice(0, 1)))
        return replace(draws, rows=rows, latents=latents)

    @property
    def blocks(self) -> Iterator[slice]:
        """The rows of each block."""
        return _slices(0, self.count, self.latents)

    def parts(self, block: slice) -> Iterator[Samples]:
        """The draws of a block; each part goes on with the random numbers of the last one."""
        first = block.start == 0
        own = self.seed if first else stream_seed(self.seed, f"samples from {block.start}")
        stream = RandomStream(own)
        with stream.part(), _using(self.model):
            latents = self._latents(block)
        for part in _slices(block.start, block.stop, self.rows):
            with stream.part(), _using(self.model):
                made = self._imagined(part, latents, block.start)
                if self.refined:
                    made = refined_by(self.model, made, self.seed, part.start)
                    made = _corrected(self.model, made, self.seed, part.start, self.complete)
            yield made

    def _given(self, part: slice) -> Batch:
        """Conditions and prompts of some rows."""
        condition = None if self.condition is None else self.condition(part)
        prompts = None if self.prompt is None else self.prompt[part]
        return placed(Batch(condition=condition, prompt=prompts), self.model)

    def _latents(self, block: slice) -> tuple[Tensor, ...]:
        """The latents of some rows; empty: the model draws them along with its rows."""
        if not isinstance(self.model, ImaginesLatents):
            return ()
        given = self._given(block)
        return self.model.imagine_latents(given, self._choose(given, block))

    def _imagined(self, part: slice, latents: tuple[Tensor, ...], first: int) -> Samples:
        """One pass; ``latents``, if any, are those of the rows from ``first``."""
        given = self._given(part)
        if not latents:
            return _imagined(self.model, given, self._choose(given, part), self.complete)
        rows = slice(part.start - first, part.stop - first)
        place = (slice(None), rows) if given.tensors else (rows,)
        return _imagined(self.model, given, Given([z[place] for z in latents]), self.complete)

    def _choose(self, given: Batch, part: slice) -> Choose:
        """Draws; rows with a condition or a prompt use the batch axis, others the sample axis."""
        samples = 1 if given.tensors else part.stop - part.start
        if all(temperature == 1.0 for temperature in self.temperatures):
            return Draw(samples)
        return Tempered(samples, self.temperatures)


@contextmanager
def _using(model: Model) -> Iterator[None]:
    with evaluation_mode(model, gradients=True), torch.no_grad():
        yield


def _completed(model: Model, prompt: Tensor | None, count: int) -> Tensor | None:
    """The prompts with their unknown attributes drawn, if the prior completes them."""
    found = next((m for m in model.modules() if isinstance(m, AttributeCompletion)), None)
    if found is None:
        return prompt
    device = next(found.parameters()).device
    if prompt is None:
        prompt = torch.full((count, len(found.sizes)), UNKNOWN)
    return found.complete(prompt.to(device))


def _imagined(model: Model, given: Batch, choose: Choose, complete: bool) -> Samples:
    imagines = require(model, Imagines, "be sampled")
    trace = imagines.imagine(given, choose)
    z = model.code(trace).flatten(0, 1)
    mean, x = (
        check_finite(trace.likelihood.best, gaps=True).flatten(0, 1),
        _draw(trace.likelihood, complete).flatten(0, 1),
    )
    condition = None if given.condition is None else given.condition.cpu()
    return Samples(z.cpu(), mean.cpu(), x.cpu(), condition)


def _draw(emission: Emission, complete: bool) -> Tensor:
    """A draw of each row; ``complete``: without missing cells, if the likelihood draws these."""
    x = emission.sample()
    if not (complete and bool(x.isnan().any())):
        return x
    return emission.complete(x[0].nan_to_num(), torch.zeros_like(x[0], dtype=torch.bool))


def _corrected(model: Model, made: Samples, seed: int, start: int, complete: bool) -> Samples:
    """The same latents, x corrected by random numbers of its own."""
    if model.correction is None:
        return made
    with seeded(stream_seed(seed, f"correction from {start}")):
        return replace(made, x=model.correction(made.x, complete=complete))


def _rows_at_once(model: Model, first: Batch) -> tuple[int, int]:
    """(rows that are decoded at once, rows whose latents are drawn at once), by a first row.

    The latter are far more if rows are large, because a prior may take many passes.
    """
    trace = require(model, Imagines, "be sampled").imagine(first)
    rows = max(1, MEMORY // (BYTES_PER_VALUE * trace.likelihood.mean.numel()))
    if not isinstance(model, ImaginesLatents):
        return rows, rows
    latents = MEMORY // (BYTES_PER_LATENT * trace.latents().numel())
    return rows, rows * max(1, min(latents, ROWS_AT_ONCE) // rows)


def _slices(start: int, stop: int, step: int) -> Iterator[slice]:
    return (slice(first, min(first + step, stop)) for first in range(start, stop, step))
