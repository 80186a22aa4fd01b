"""p(x_1, ..., x_T | states): the frames of a sequence, independent given their states."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.trace import Emission


class OverTime(Emission):
    r"""log p(x | states) = \sum_t log p(x_t | state_t).

    Args:
        frames: p(x_t | state_t), of batch shape (samples, batch * time).
        time: number of frames of a row.
    """

    def __init__(self, frames: Emission, time: int) -> None:
        self.frames, self.time = frames, time
        samples, rows = frames.batch_shape
        shape = torch.Size((time, *frames.event_shape))
        super().__init__(torch.Size((samples, rows // time)), shape, validate_args=False)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        return self._apart(self.frames.terms(x.flatten(0, 1), _flat(observed)))

    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        return self._apart(self.frames.log_prob(x.flatten(0, 1), _flat(observed))).sum(2)

    @property
    def mean(self) -> Tensor:
        return self._apart(self.frames.mean)

    @property
    def variance(self) -> Tensor:
        return self._apart(self.frames.variance)

    @property
    def best(self) -> Tensor:
        return self._apart(self.frames.best)

    def knowing(self, missing: Tensor | None) -> OverTime:
        return OverTime(self.frames.knowing(_flat(missing)), self.time)

    def given(self, x: Tensor, observed: Tensor) -> OverTime:
        return OverTime(self.frames.given(x.flatten(0, 1), observed.flatten(0, 1)), self.time)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        return self._apart(self.frames.sample(sample_shape), len(sample_shape) + 1)

    def _apart(self, values: Tensor, axis: int = 1) -> Tensor:
        """(..., batch * time, ...) to (..., batch, time, ...)."""
        apart: Tensor = values.unflatten(axis, (-1, self.time))
        return apart


def _flat(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask.flatten(0, 1)
