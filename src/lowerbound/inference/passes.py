"""Passes that leave no mark on a model: evaluation mode, no gradients, bounded memory."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.errors import DataError, OptionError
from lowerbound.models import Decodes, Encodes, HasPrior, Model, require
from lowerbound.trace import Batch, Draw, Trace

MEMORY = 64 << 20
"""Default working memory of a chunk in bytes: larger chunks leave the cache and are no faster."""

Progress = Callable[[int, int], None]
"""Called with (rows done, rows)."""

TEMPORARIES = 6  # copies of the widest layer that live at once: in, out, and a formula's own
NOISE_BYTES = 80  # per coordinate of keyed noise: 64-bit words, their mixtures, a double

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class OneStep(Encodes, Decodes, HasPrior, Protocol):
    """A model with one latent that says q(z | x), p(z) and p(x | z)."""


def one_step(model: Model, task: str) -> OneStep:
    """The model, known to have encoder, prior and decoder over one latent.

    Raises:
        UnsupportedError: it has not; the message names the models that have.
    """
    for power in (Encodes, HasPrior, Decodes):
        require(model, power, task)
    return cast(OneStep, model)


@contextmanager
def evaluation_mode(model: nn.Module, gradients: bool = False) -> Iterator[None]:
    """Evaluation mode inside, without gradients unless requested; then each module as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode(not gradients), torch.set_grad_enabled(gradients):
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def in_precision(model: ModuleT, dtype: torch.dtype) -> ModuleT:
    """The model, or a copy in float64 where the data is float64; the model itself is untouched."""
    if dtype != torch.float64 or _dtype(model) in (None, dtype):
        return model
    return copy.deepcopy(model).double()


def placed(batch: Batch, model: nn.Module) -> Batch:
    """The batch on the model's device and in its precision."""
    tensor = next(_real_tensors(model), None)
    if tensor is None:
        return batch
    return batch.on(tensor.device).to(tensor.dtype)


def as_taken(values: Tensor, model: nn.Module) -> Tensor:
    """Real numbers on the model's device and in its precision."""
    tensor = next(_real_tensors(model), values)
    return values.to(tensor.device, tensor.dtype)


def batches(dataset: Dataset, model: nn.Module, rows: int) -> Iterator[tuple[slice, Batch]]:
    """The data set in order, at most ``rows`` rows at a time, as the model takes them."""
    for start in range(0, len(dataset), rows):
        part = slice(start, min(start + rows, len(dataset)))
        indices = torch.arange(part.start, part.stop, device=dataset.x.device)
        yield part, placed(dataset.batch(indices), model)


def collected(
    model: nn.Module,
    dataset: Dataset,
    rows: int,
    measure: Callable[[slice, Batch], Sequence[Tensor]],
    *,
    gradients: bool = False,
    progress: Progress | None = None,
) -> list[Tensor]:
    """What ``measure`` answers of the batches in evaluation mode, on the CPU, joined along rows.

    Args:
        model, dataset, rows: as of ``batches``.
        measure: of (which rows, their batch): tensors whose first axis is that of the rows.
        gradients: as of ``evaluation_mode``.
        progress: called after each batch.
    """
    parts = []
    with evaluation_mode(model, gradients):
        for part, batch in batches(dataset, model, rows):
            parts.append([values.cpu() for values in measure(part, batch)])
            if progress is not None:
                progress(part.stop, len(dataset))
    return [torch.cat(values) for values in zip(*parts, strict=True)]


def keyed_draw(batch: Batch, samples: int, seed: int, first_sample: int = 0) -> Draw:
    """Draws that depend on a row's content, the seed and the sample's number, on nothing else."""
    return Draw(samples, KeyedNoise(row_keys(batch.filled, seed), seed, first_sample))


def first_row(dataset: Dataset, model: nn.Module) -> Batch:
    """One row, to learn from what a pass looks like.

    Raises:
        DataError: the data set has no rows.
    """
    if len(dataset) == 0:
        raise DataError("the data set has no rows, so there is nothing to evaluate")
    return next(batches(dataset, model, 1))[1]


@dataclass(frozen=True)
class ChunkPlan:
    """How many samples of how many rows go through the model at once.

    As many samples of one row as fit come first, so that a row is encoded as few times as possible.

    Attributes:
        rows: rows in a chunk.
        samples: samples of each row in a chunk.
    """

    rows: int
    samples: int

    @classmethod
    def of(
        cls, model: Model, dataset: Dataset, samples: int = 1, memory: int = MEMORY
    ) -> ChunkPlan:
        """The plan for the rows of a data set, by what a pass of its first row takes."""
        return cls.within(memory, dry_run(model, first_row(dataset, model)), samples)

    @classmethod
    def within(cls, memory: int, footprint: Footprint, samples: int) -> ChunkPlan:
        """The plan whose working memory stays within ``memory`` bytes; one sample at the least.

        Raises:
            OptionError: samples or memory are not positive.
        """
        if samples < 1:
            raise OptionError(f"samples must be at least 1, not {samples}")
        if memory < 1:
            raise OptionError(f"memory is a number of bytes and must be positive, not {memory}")
        fit = max(1, memory // footprint.bytes)
        together = min(samples, fit)
        return cls(max(1, fit // together), together)

    def parts(self, samples: int) -> Iterator[tuple[int, int]]:
        """(the first of the samples of a chunk, how many it has), of all chunks."""
        return (
            (first, min(self.samples, samples - first)) for first in range(0, samples, self.samples)
        )

    def traces(
        self, model: Model, batch: Batch, samples: int, seed: int
    ) -> Iterator[tuple[int, Trace]]:
        """(how many samples, the pass that drew them), of all chunks; see ``keyed_draw``."""
        for first, count in self.parts(samples):
            yield count, model(batch, keyed_draw(batch, count, seed, first))


@dataclass(frozen=True)
class Footprint:
    """What one sample of one row leaves behind in a pass.

    Attributes:
        trace: the pass.
        width: numbers that go into and come out of the widest module.
        kept: numbers that all modules together answer with, which a gradient needs.
    """

    trace: Trace
    width: int
    kept: int = 0

    @property
    def bytes(self) -> int:
        """Working memory, estimated from above."""
        latents = sum(math.prod(step.z.shape[2:]) for step in self.trace.steps)
        size = max(4, self.trace.likelihood.mean.element_size())
        return TEMPORARIES * size * self.width + NOISE_BYTES * latents

    def differentiated(self) -> Footprint:
        """The same for a pass that is differentiated: what each module answered stays."""
        return replace(self, width=self.width + math.ceil(self.kept / TEMPORARIES))


def dry_run(model: Model, row: Batch) -> Footprint:
    """One sample of one row through the model, watched.

    What a second row adds is what counts: a VampPrior's own inputs go through the encoder once,
    however many rows there are.
    """
    trace, one = _watched(model, row)
    _, two = _watched(model, row.rows(torch.zeros(2, dtype=torch.long, device=row.filled.device)))
    added = [(b.width - a.width, b.kept - a.kept) for a, b in zip(one, two, strict=False)]
    numbers = row.filled.numel()
    width = max([2 * numbers, *(width for width, _ in added)])
    return Footprint(trace, width, numbers + sum(max(kept, 0) for _, kept in added))


@dataclass(frozen=True)
class _Call:
    """Numbers that a module took and gave, and those that it gave."""

    width: int
    kept: int


def _watched(model: Model, rows: Batch) -> tuple[Trace, list[_Call]]:
    """A pass of one sample per row, and the calls that it made."""
    calls: list[_Call] = []

    def measure(module: nn.Module, inputs: object, output: object) -> None:
        given = _numel(output)
        calls.append(_Call(_numel(inputs) + given, given))

    hooks = [module.register_forward_hook(measure) for module in model.modules()]
    try:
        with evaluation_mode(model):
            trace = model(rows, keyed_draw(rows, 1, 0))
    finally:
        for hook in hooks:
            hook.remove()
    return trace, calls


def _numel(value: object) -> int:
    if isinstance(value, Tensor):
        return value.numel()
    return sum(map(_numel, value)) if isinstance(value, (tuple, list)) else 0


def _dtype(model: nn.Module) -> torch.dtype | None:
    tensor = next(_real_tensors(model), None)
    return None if tensor is None else tensor.dtype


def _real_tensors(model: nn.Module) -> Iterator[Tensor]:
    tensors = itertools.chain(model.parameters(), model.buffers())
    return (tensor for tensor in tensors if tensor.is_floating_point())
