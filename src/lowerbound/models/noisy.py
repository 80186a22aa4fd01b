"""A fitted model turned into a model of noisy rows: only the likelihood changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor
from torch.nn import Parameter

from lowerbound.likelihoods.noisy import NoiseModel, noisy
from lowerbound.models.base import DRAW, Model
from lowerbound.trace import Batch, Choose, Trace


class NoisyModel(Model):
    r"""p(y, z) = p(z) p(y | z) of rows y = x + noise, with a proposal q(z | y).

    The fitted model does not include the noise, and its encoder may never have seen noisy rows. So
    the encoder is only a proposal: importance weights, or chains that start there, correct it.

    Args:
        clean: the fitted model of x.
        noise: the noise that was added.
        shown: the encoder's input in place of the noisy rows, (batch, *event); None: those rows.
    """

    def __init__(self, clean: Model, noise: NoiseModel, shown: Tensor | None = None) -> None:
        super().__init__()
        self.clean, self.noise, self.shown = clean, noise, shown

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        seen = batch if self.shown is None else self._filtered(batch, self.shown)
        trace: Trace = self.clean(seen, choose)
        return replace(trace, likelihood=noisy(trace.likelihood, self.noise))

    def _filtered(self, batch: Batch, shown: Tensor) -> Batch:
        """The encoder's batch, without a mask if the encoder takes none."""
        observed = batch.observed if self.clean.inputs is not None else None
        return replace(batch, x=shown, observed=observed)

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        return self.clean.parts()
