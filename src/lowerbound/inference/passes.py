"""Passes through a model without side effects: evaluation mode, no gradients, bounded memory."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.keyed_noise import (
    PROCESSOR,
    KeyedNoise,
    row_keys,
    same_on_every_device,
)
from lowerbound.errors import DataError, OptionError
from lowerbound.models.base import Model
from lowerbound.models.powers import Decodes, Encodes, HasPrior, require
from lowerbound.networks.processor import processor_threads, real_tensors, useful_threads
from lowerbound.trace import Batch, Draw, Trace

MEMORY = 64 << 20
"""Default working memory of a chunk in bytes; larger chunks exceed the cache and are no faster."""

Progress = Callable[[int, int], None]
"""Called with (rows done, rows)."""

ON_A_GPU = 128
"""A chunk on a GPU has so many times the memory, because small ones leave most of it idle."""
FREE_PART = 4  # but at most a quarter of what is free there

TEMPORARIES = 6  # simultaneous copies of the widest layer: input, output, and temporaries
NOISE_BYTES = 80  # per coordinate of keyed noise: 64-bit words, their mixtures, a double

FULL = (
    "the memory of the GPU is full: the rows go on in smaller batches, with the same results; "
    "--device cpu uses the memory of the processor"
)

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class OneStep(Encodes, Decodes, HasPrior, Protocol):
    """A model with one latent that has q(z | x), p(z) and p(x | z)."""


def one_step(model: Model, task: str) -> OneStep:
    """The model, checked to have encoder, prior and decoder over one latent.

    Raises:
        UnsupportedError: it does not; the message names models that have.
    """
    for power in (Encodes, HasPrior, Decodes):
        require(model, power, task)
    return cast(OneStep, model)


@contextmanager
def evaluation_mode(model: nn.Module, gradients: bool = False) -> Iterator[None]:
    """Evaluation mode inside, without gradients unless requested; then restores each mode.

    Draws inside are the same on every device. A small model uses one processor thread.
    """
    modes = [(module, module.training) for module in model.modules()]
    tensor = next(real_tensors(model), None)
    device = PROCESSOR if tensor is None else tensor.device
    model.eval()
    try:
        with (
            torch.inference_mode(not gradients),
            torch.set_grad_enabled(gradients),
            _without_autocast(device),
            same_on_every_device(device),
            processor_threads(useful_threads(model)),
        ):
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A context without the autocast that a caller may have; its precision is an option here."""
    kind = device.type
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        return nullcontext()
    return torch.autocast(kind, enabled=False)


def check_samples(samples: int) -> None:
    """Raise OptionError if a number of samples is no whole number from 1."""
    if not isinstance(samples, Integral) or isinstance(samples, bool):
        raise OptionError(f"samples must be a whole number, not {samples!r}")
    if samples < 1:
        raise OptionError(f"samples must be at least 1, not {samples}")


def placed(batch: Batch, model: nn.Module) -> Batch:
    """The batch on the model's device and in its precision."""
    tensor = next(real_tensors(model), None)
    if tensor is None:
        return batch
    return batch.on(tensor.device).to(tensor.dtype)


def as_taken(values: Tensor, model: nn.Module) -> Tensor:
    """Real numbers on the model's device and in its precision."""
    tensor = next(real_tensors(model), values)
    return values.to(tensor.device, tensor.dtype)


def batches(
    dataset: Dataset, model: nn.Module, rows: int, first: int = 0
) -> Iterator[tuple[slice, Batch]]:
    """Batches of the data set in order from row ``first`` on, at most ``rows`` rows each, on the
    model's device."""
    for start in range(first, len(dataset), rows):
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
    """The results of ``measure`` for all batches in evaluation mode, on the CPU, joined along rows.

    If the memory of a GPU is full, batches become half as large, with one warning.

    Args:
        model, dataset, rows: as for ``batches``.
        measure: maps (slice of the rows, their batch) to tensors whose first axis is the rows.
        gradients: as for ``evaluation_mode``.
        progress: called after each batch.
    """
    parts: list[list[Tensor]] = []
    done, first_size = 0, rows
    while done < len(dataset):
        try:
            with evaluation_mode(model, gradients):
                for part, batch in batches(dataset, model, rows, done):
                    parts.append([values.cpu() for values in measure(part, batch)])
                    done = part.stop
                    if progress is not None:
                        progress(done, len(dataset))
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
            if rows == first_size:
                warnings.warn(FULL, stacklevel=2)
            rows = max(1, rows // 2)
    return [torch.cat(values) for values in zip(*parts, strict=True)]


def keyed_draw(batch: Batch, samples: int, seed: int, first_sample: int = 0) -> Draw:
    """Draws that depend only on a row's content, the seed and the sample's number."""
    return Draw(samples, KeyedNoise(row_keys(batch.filled, seed), seed, first_sample))


def first_row(dataset: Dataset, model: nn.Module) -> Batch:
    """One row, as an example input of a pass.

    Raises:
        DataError: the data set has no rows.
    """
    if len(dataset) == 0:
        raise DataError("the data set has no rows, so there is nothing to evaluate")
    return next(batches(dataset, model, 1))[1]


@dataclass(frozen=True)
class ChunkPlan:
    """The number of samples and rows that go through the model at once.

    As many samples of one row as possible come first, so that each row is encoded few times.

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
        """The plan for the rows of a data set, by the memory of a pass of its first row."""
        return cls.within(memory, dry_run(model, first_row(dataset, model)), samples)

    @classmethod
    def within(cls, memory: int, footprint: Footprint, samples: int) -> ChunkPlan:
        """The plan with a working memory within ``memory`` bytes, but at least one sample.

        On a GPU it is within ``ON_A_GPU`` times as much.

        Raises:
            OptionError: samples or memory are not positive.
        """
        check_samples(samples)
        if memory < 1:
            raise OptionError(f"memory is a number of bytes and must be positive, not {memory}")
        fit = max(1, _on_device(memory, footprint.device) // footprint.bytes)
        together = min(samples, fit)
        return cls(max(1, fit // together), together)

    def parts(self, samples: int) -> Iterator[tuple[int, int]]:
        """(first sample, number of samples) of each chunk."""
        return (
            (first, min(self.samples, samples - first)) for first in range(0, samples, self.samples)
        )

    def traces(
        self, model: Model, batch: Batch, samples: int, seed: int, first: int = 0
    ) -> Iterator[tuple[int, Trace]]:
        """(number of samples, their pass) of each chunk, from sample ``first`` on; see
        ``keyed_draw``."""
        for start, count in self.parts(samples):
            yield count, model(batch, keyed_draw(batch, count, seed, first + start))


@dataclass(frozen=True)
class Footprint:
    """The memory of one sample of one row in a pass.

    Attributes:
        trace: the pass.
        width: numbers in the input and output of the widest module.
        kept: numbers in the outputs of all modules, which a gradient needs.
    """

    trace: Trace
    width: int
    kept: int = 0

    @property
    def device(self) -> torch.device:
        """Where the pass was."""
        with torch.inference_mode():
            return self.trace.likelihood.mean.device

    @property
    def bytes(self) -> int:
        """An upper estimate of the working memory."""
        latents = sum(math.prod(step.z.shape[2:]) for step in self.trace.steps)
        with torch.inference_mode():  # as the pass was: a mean may be computed only here
            size = max(4, self.trace.likelihood.mean.element_size())
        return TEMPORARIES * size * self.width + NOISE_BYTES * latents

    def differentiated(self) -> Footprint:
        """The same for a differentiated pass, which keeps the output of each module."""
        return replace(self, width=self.width + math.ceil(self.kept / TEMPORARIES))


def _on_device(memory: int, device: torch.device) -> int:
    """The working memory on a device by that on a processor, in bytes."""
    if device.type != "cuda":
        return memory
    free, _ = torch.cuda.mem_get_info(device)
    return max(memory, min(ON_A_GPU * memory, free // FREE_PART))


def dry_run(model: Model, row: Batch) -> Footprint:
    """A measured pass of one sample of one row.

    The footprint is the increase by a second row, because a VampPrior's own inputs go through the
    encoder only once for any number of rows.
    """
    trace, one = _watched(model, row)
    _, two = _watched(model, row.rows(torch.zeros(2, dtype=torch.long, device=row.filled.device)))
    added = [(b.width - a.width, b.kept - a.kept) for a, b in zip(one, two, strict=False)]
    numbers = row.filled.numel()
    width = max([2 * numbers, *(width for width, _ in added)])
    return Footprint(trace, width, numbers + sum(max(kept, 0) for _, kept in added))


@dataclass(frozen=True)
class _Call:
    """Numbers in the input and output of a module, and in its output alone."""

    width: int
    kept: int


def _watched(model: Model, rows: Batch) -> tuple[Trace, list[_Call]]:
    """A pass of one sample per row, and the measured calls of its modules."""
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
