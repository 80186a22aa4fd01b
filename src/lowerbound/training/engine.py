"""One optimizer update: forward, backward, a check of the gradient, Adam; also of many processes.

Each process computes loss and gradient on its part of the batch, of n_r of the n rows, and all make
the same update with the sum over processes:

    gradient = sum over r of  n_r / n  gradient_r

A loss that is a mean over rows has the gradient of one process. A loss that compares the rows of a
batch with each other, such as a discrepancy from the prior, compares those of one process.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import count
from types import FunctionType

import torch
from torch import Tensor, nn

from lowerbound import processes
from lowerbound.errors import LowerboundError, OptionError, TrainingError
from lowerbound.models.base import Model
from lowerbound.models.powers import name_of
from lowerbound.objectives.base import Bound, Objective
from lowerbound.trace import Batch
from lowerbound.training.adam import Adam
from lowerbound.training.options import TrainingOptions
from lowerbound.training.randomness import noise_state, set_noise_state, stream_seed

_NUMBERS = count()
TRIALS = 3  # first updates that may fail to compile: a graph of CUDA is recorded in the second


class Update(nn.Module):
    """The module that training calls: maps a Batch to a Bound.

    Compilation, data parallelism and per-sample gradients wrap this module.
    """

    def __init__(self, model: Model, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Batch) -> Bound:
        bound: Bound = self.objective(self.model, batch)
        return bound


class Engine:
    """Makes updates.

    Args:
        update: model and objective, whose parameters are trained.
        options: learning rate, decay, clipping.
        precision: "float32", or "bf16": autocast around the forward pass; parameters stay float32.
        compiled: compile the forward and backward pass; if that fails, it runs uncompiled. On CUDA,
            the kernels of a pass are also started together, as one graph.
        say: called with messages for the log.

    Raises:
        TrainingError: there are no parameters to train.
    """

    def __init__(
        self,
        update: Update,
        options: TrainingOptions,
        precision: str = "float32",
        compiled: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.update = update
        self.parameters = [value for value in update.parameters() if value.requires_grad]
        if not self.parameters:
            raise TrainingError(f"{name_of(update.model)} has no parameters to train")
        self.device = self.parameters[0].device
        self.clip = options.gradient_clip
        self.adam = Adam(self.parameters, options.adam_eps, options.weight_decay)
        self._precision = precision_context(self.device, precision)
        self._say = say
        self._forward: Callable[[Batch], Bound] = update
        self._graphs = compiled and self.device.type == "cuda"
        self._trials = TRIALS if compiled else 0

    def begin(self, number: int, bits: torch.Generator) -> None:
        """Prepare the noise of update ``number`` and the bits of its rows; alone, they go on."""

    def step(self, batch: Batch, learning_rate: float, progress: float) -> Bound | None:
        """Make one update; if loss or gradient is not finite, change nothing and return None.

        Args:
            batch: rows in model units, on the model's device.
            learning_rate: of Adam.
            progress: fraction of the run that is done, for the objective's warm-ups.
        """
        self.update.objective.progress.fill_(progress)
        bound, finite = self._tried(batch) if self._trials else self._pass(batch)
        if finite:
            self.adam.step(learning_rate)
        self.adam.clear()
        if not finite:
            return None
        bound = self._of_whole_batch(bound)
        self.update.model.after_update(batch, progress)
        self.update.objective.after_update(bound)
        # the next pass of a graph writes into the same memory
        return copied(bound) if self._graphs else bound

    def _pass(self, batch: Batch) -> tuple[Bound, bool]:
        """The bound, and whether it and its gradient, which is computed, are finite."""
        with self._precision:
            bound = self._forward(batch)
        return bound, self._differentiate(bound)

    def _differentiate(self, bound: Bound) -> bool:
        """Compute the gradient; whether loss and gradient are finite."""
        if not math.isfinite(bound.loss.item()):
            return False
        bound.loss.backward()
        return self._finite_gradient()

    def _of_whole_batch(self, bound: Bound) -> Bound:
        """The bound on all rows of the batch, which other processes may have a part of."""
        return bound

    @torch.no_grad()
    def _finite_gradient(self) -> bool:
        """Whether the whole gradient is finite; clip it if the options have a limit."""
        gradients = [value.grad for value in self.parameters if value.grad is not None]
        if self.clip:
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))).item()
            if math.isfinite(norm) and norm > self.clip:
                torch._foreach_mul_(gradients, self.clip / norm)
            return math.isfinite(norm)
        # a sum is finite only if all terms are, and takes half the time of a norm
        return math.isfinite(torch.stack([value.sum() for value in gradients]).sum().item())

    def _tried(self, batch: Batch) -> tuple[Bound, bool]:
        """One of the first passes, which compile; if that fails, all passes are uncompiled."""
        first = self._trials == TRIALS
        self._trials -= 1
        noise = noise_state(self.device)
        state = {name: value.clone() for name, value in self.update.named_buffers()}
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Torchinductor does not support")
                if first:
                    self._forward = _compiled(self.update, self._graphs)
                return self._pass(batch)
        except LowerboundError:
            raise
        except Exception as error:  # errors of the compiler have no common base class
            self._say(
                f"torch.compile failed, so training continues without it: {_first_line(error)}"
            )
        self._forward, self._trials = self.update, 0
        self.adam.clear()
        set_noise_state(noise, self.device)
        for name, value in self.update.named_buffers():
            value.copy_(state[name])
        return self._pass(batch)


def _compiled(update: Update, graphs: bool) -> Callable[[Batch], Bound]:
    """Compile ``update`` for one shape of batch, independently of other updates in the process.

    ``graphs`` records the kernels of a pass once and then starts them together. A GPU computes most
    kernels faster than a processor starts them one by one.

    torch stores compiled versions with the code object and stops after eight versions. Each model
    is a version, so the ninth fit of a sweep would silently run uncompiled. Therefore each update
    has its own code object, which is freed together with its compiled version.
    """

    def forward(batch: Batch) -> Bound:
        bound: Bound = update(batch)
        return bound

    code = forward.__code__.replace(co_name=f"update_{next(_NUMBERS)}")
    own = FunctionType(code, forward.__globals__, closure=forward.__closure__)
    compiled: Callable[[Batch], Bound] = torch.compile(
        own, dynamic=False, mode="reduce-overhead" if graphs else None
    )
    return compiled


@torch.no_grad()
def copied(bound: Bound) -> Bound:
    """The values of a bound in memory of their own, without a graph of gradients."""
    return replace(
        bound,
        value=bound.value.clone(),
        distortion=bound.distortion.clone(),
        rates=bound.rates.clone(),
        loss=bound.loss.clone(),
        joint=None if bound.joint is None else bound.joint.clone(),
    )


def precision_context(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Context of a forward pass: "bf16" is autocast, and "float32" changes nothing."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class ParallelEngine(Engine):
    """Makes the updates of one of several processes.

    Noise of an update depends on the seed, the number of the update and that of the process. So a
    checkpoint does not depend on how many processes wrote it.

    Args:
        batch_size: rows of an update in all processes.
        rows: of the training data.
        update, options, precision, compiled, say: as for ``Engine``.

    Raises:
        OptionError: there are fewer rows in a batch than processes.
    """

    def __init__(
        self,
        batch_size: int,
        rows: int,
        update: Update,
        options: TrainingOptions,
        precision: str = "float32",
        compiled: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        super().__init__(update, options, precision, compiled, say)
        if batch_size < processes.count():
            larger = "raise batch_size, or " if batch_size < rows else ""
            raise OptionError(
                f"{processes.count()} processes cannot share a batch of {batch_size} "
                f"row{'s' * (batch_size > 1)}: {larger}start fewer processes"
            )
        self._batch_size, self._seed = batch_size, options.seed
        processes.align(update)

    def begin(self, number: int, bits: torch.Generator) -> None:
        """Seed the noise of update ``number``, and the bits of its rows."""
        of = f"{number} of {processes.rank()}"
        torch.manual_seed(stream_seed(self._seed, f"noise {of}"))
        bits.manual_seed(stream_seed(self._seed, f"bits {of}"))
        self._number = number

    def _differentiate(self, bound: Bound) -> bool:
        share = len(bound.value) / self._batch_size
        finite = math.isfinite(bound.loss.item())
        if finite:
            (bound.loss * share).backward()
        self._add_up(finite)
        return self._finite_gradient()

    @torch.no_grad()
    def _add_up(self, finite: bool) -> None:
        """Sum the gradients over processes; a parameter without one in all of them has none.

        A loss that is not finite makes all gradients so, and all processes skip the update.
        """
        used = torch.tensor([float(value.grad is not None) for value in self.parameters])
        used = used.to(self.device)
        gradients = [
            torch.zeros_like(value) if value.grad is None else value.grad
            for value in self.parameters
        ]
        if not finite:
            gradients[0] = torch.full_like(gradients[0], math.nan)
            used[0] = 1.0
        processes.add_up([*gradients, used])
        for value, gradient, uses in zip(self.parameters, gradients, used.tolist(), strict=True):
            value.grad = gradient if uses else None

    @torch.no_grad()
    def _of_whole_batch(self, bound: Bound) -> Bound:
        # what is drawn after the update is drawn by all processes alike
        torch.manual_seed(stream_seed(self._seed, f"after update {self._number}"))
        parts = [bound.value, bound.distortion, *bound.rates]
        parts += [] if bound.joint is None else [bound.joint]
        whole: list[Tensor] = list(processes.gathered(torch.stack(parts, 1)).T)
        joint = whole.pop() if bound.joint is not None else None
        rates = torch.stack(whole[2:]) if len(whole) > 2 else whole[0].new_zeros(0, len(whole[0]))
        return replace(bound, value=whole[0], distortion=whole[1], rates=rates, joint=joint)
