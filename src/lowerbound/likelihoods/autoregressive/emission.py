"""The distribution of a table's row whose columns depend on the columns known so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lowerbound.likelihoods.columns.group import ChoosesValues
from lowerbound.likelihoods.mixed import MixedEmission
from lowerbound.trace import Emission

if TYPE_CHECKING:
    from lowerbound.likelihoods.autoregressive.columns import AutoregressiveColumns


class AutoregressiveColumnsEmission(Emission):
    r"""log p(x | z) = sum_j log p(x_j | z, x_{<j}), the columns j in the order of the table.

    The parameters of a column are the decoder's, plus a function of the decoder's features and of
    any subset of other columns. So every conditional p(x_j | z, some columns) is at hand: ``given``
    returns it, and ``complete`` draws hidden columns one after another.

    In training, ``terms`` is an unbiased estimate of the average of log p(x | z) over orders of the
    columns: log p(x | z) in one order, that of the table for a share of the rows, else a random
    one.

    A hidden column is neither seen nor scored. A missing one is scored by its probability to be
    missing, and the others see that it is missing, if the likelihood models this. ``mean`` and
    ``variance`` are those of each column if all other columns are hidden.

    Args:
        likelihood: the network, and the distribution of each column.
        parameters: of columns without others, (samples, batch, likelihood.owned).
        features: (samples, batch, features).
        missing: cells that are known to be missing, (batch, columns); None: none is.

    Source: Uria et al. 2014.
    """

    def __init__(
        self,
        likelihood: AutoregressiveColumns,
        parameters: Tensor,
        features: Tensor,
        missing: Tensor | None = None,
    ) -> None:
        self.likelihood, self.parameters, self.features = likelihood, parameters, features
        self.missing = missing
        shape = torch.Size(likelihood.event_shape)
        super().__init__(parameters.shape[:2], shape, validate_args=False)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        rows = torch.broadcast_shapes(self.batch_shape, x.shape[:-1])
        shape = (*rows, x.shape[-1])
        seen = torch.ones_like(x, dtype=torch.bool) if observed is None else observed
        values = torch.where(seen, x, 0.0)
        if self.missing is not None:
            values, seen = values.masked_fill(self.missing, math.nan), seen | self.missing
        values, seen = values.expand(shape).flatten(0, 1), seen.expand(shape).flatten(0, 1)
        score = self.likelihood.estimate if self.likelihood.training else self.likelihood.in_order
        return score(values, seen, *self._rows(rows)).view(shape)

    def knowing(self, missing: Tensor | None) -> AutoregressiveColumnsEmission:
        if missing is None or not self.likelihood.gaps:
            return self
        return AutoregressiveColumnsEmission(
            self.likelihood, self.parameters, self.features, missing
        )

    def given(self, x: Tensor, observed: Tensor) -> MixedEmission:
        """p(x_j | z, observed columns) of each column j."""
        return self._knowing(torch.where(observed, x, 0.0), observed)

    @property
    def mean(self) -> Tensor:
        return self._alone().mean

    @property
    def variance(self) -> Tensor:
        return self._alone().variance

    def complete(
        self, x: Tensor, observed: Tensor, sample_shape: torch.Size | Sequence[int] = ()
    ) -> Tensor:
        with torch.no_grad():
            return self._draw(x, observed, sample_shape, gaps=False)

    def chosen(self, x: Tensor, observed: Tensor, chooser: ChoosesValues) -> Tensor:
        """As ``complete`` for one draw, but ``chooser`` draws each value from the distribution of
        its column given the columns before it; drawn cells may be missing if ``gaps``."""
        gaps = self.likelihood.gaps
        with torch.no_grad():
            return self._draw(x, observed, (), gaps=gaps, chooser=chooser)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        x = self.parameters.new_zeros(self.batch_shape[1], *self.event_shape)
        nothing = torch.zeros_like(x, dtype=torch.bool)
        return self._draw(x, nothing, sample_shape, gaps=self.likelihood.gaps)

    def _draw(
        self,
        x: Tensor,
        observed: Tensor,
        sample_shape: torch.Size | Sequence[int],
        gaps: bool,
        chooser: ChoosesValues | None = None,
    ) -> Tensor:
        """As ``complete``; with ``gaps``, drawn cells may be missing, which is NaN."""
        shape = (*sample_shape, *self.batch_shape)
        event = (*shape, x.shape[-1])
        values = torch.where(observed, x, 0.0).expand(event).reshape(-1, x.shape[-1])
        known = observed.expand(event).reshape(-1, x.shape[-1])
        rows = self._rows(shape)
        drawn = self.likelihood.draw(values, known, *rows, gaps=gaps, chooser=chooser)
        return drawn.view(event)

    def _alone(self) -> MixedEmission:
        x = self.parameters.new_zeros(1, *self.event_shape)
        return self._knowing(x, torch.zeros_like(x, dtype=torch.bool))

    def _knowing(self, x: Tensor, known: Tensor) -> MixedEmission:
        rows = torch.broadcast_shapes(self.batch_shape, x.shape[:-1])
        shape = (*rows, x.shape[-1])
        values, mask = x.expand(shape).flatten(0, 1), known.expand(shape).flatten(0, 1)
        parameters = self.likelihood.given(values, mask, *self._rows(rows))
        return self.likelihood.emission(parameters.view(*rows, -1))

    def _rows(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Parameters and features of each row, (rows, numbers)."""
        own, features = self.parameters, self.features
        return (
            own.expand(*rows, own.shape[-1]).reshape(-1, own.shape[-1]),
            features.expand(*rows, features.shape[-1]).reshape(-1, features.shape[-1]),
        )
