"""Updates that several processes make together.

Each computes loss and gradient on its part of the batch, of n_r of the n rows, and all make the
same update with the sum over processes:

    gradient = sum over r of  n_r / n  gradient_r

A loss that is a mean over rows has the gradient of one process. A loss that compares the rows of a
batch with each other, such as a discrepancy from the prior, compares those of one process.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from lowerbound import processes
from lowerbound.errors import OptionError
from lowerbound.objectives import Bound
from lowerbound.training.checkpoints.randomness import stream_seed
from lowerbound.training.engine import Engine, Update
from lowerbound.training.settings.options import TrainingOptions


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
