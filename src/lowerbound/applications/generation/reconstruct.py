r"""Encode rows and decode their codes, with the uncertainty of every value.

Over several parts of the rows, reconstructions keep the share of the variance

.. math:: 1 - \frac{\sum_i |x_i - \hat x_i|^2}{\sum_i |x_i - \bar x|^2}

with sums over observed cells for which a distance is defined. Those of the distance from the mean
row add differences from the first part's mean row, which loses no digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound.applications.common.application import Reporter, SheetReport, written
from lowerbound.applications.common.engines import Progress, computed, engine_of
from lowerbound.applications.common.files import check_apart
from lowerbound.applications.common.parts import Arrays, finished_parts
from lowerbound.applications.common.requested_rows import RequestedRows, in_chunks, rows_of_model
from lowerbound.applications.common.rows import Reconstructed, row_files
from lowerbound.applications.common.sentences import about_exact, about_explained
from lowerbound.applications.generation.requests import ReconstructRequest
from lowerbound.errors import DataError, OptionError, UnsupportedError, counted
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.passes import collected
from lowerbound.inference.prior_draws import prior_settings
from lowerbound.inference.reconstruction import reconstruct as predict, reconstruct_refined
from lowerbound.trace import Mean

ROWS_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class RebuiltRows:
    """Rows and their reconstruction in model units, (rows, *event) each.

    Attributes:
        x: input rows.
        mean: decoder mean at the mean code, or a refined draw given it.
        cells: observed cells for which a distance is defined, (rows | 1, *event).
        std: standard deviation of x' given x; None if not requested.
    """

    x: Tensor
    mean: Tensor
    cells: Tensor
    std: Tensor | None = None


class RebuiltTally:
    """What reconstructions of the rows so far add up to."""

    def __init__(self) -> None:
        self.rows = 0
        self._error = self._std = 0.0
        self._exact = 0
        self._measured = False  # whether there are standard deviations
        self._origin: Tensor | None = None

    def add(self, part: RebuiltRows) -> None:
        """Add some rows."""
        cells = part.cells.expand(part.x.shape)
        kept = torch.where(cells, part.x.double(), 0.0)
        if self._origin is None:
            self._origin = kept.sum(0) / cells.sum(0).clamp_min(1)
            self._counts = torch.zeros_like(self._origin)
            self._sums = torch.zeros_like(self._origin)
            self._squares = torch.zeros_like(self._origin)
        apart = torch.where(cells, kept - self._origin, 0.0)
        self._counts += cells.sum(0)
        self._sums += apart.sum(0)
        self._squares += apart.square().sum(0)
        error = torch.where(cells, (part.x - part.mean).double(), 0.0)
        self._error += float(error.square().sum())
        self._exact += int((part.x == part.mean).flatten(1).all(1).sum())
        self.rows += len(part.x)
        if part.std is not None:
            self._measured = True
            self._std += float(torch.where(cells, part.std.double(), 0.0).sum())

    @property
    def explained(self) -> float:
        """1 - squared error / squared distance from the mean row; NaN if the rows do not vary."""
        return float(1 - self._error / self._distance)

    @property
    def exact(self) -> float:
        """Share of the rows that are reconstructed without an error."""
        return self._exact / self.rows

    @property
    def relative_std(self) -> float | None:
        """Mean standard deviation, relative to that of the values around their mean row; None if
        there is none."""
        if not self._measured:
            return None
        count = self._counts.sum()
        return float(self._std / count / (self._distance / count).sqrt())

    @property
    def _distance(self) -> Tensor:
        """Sum of squared distances from the mean row."""
        return (self._squares - self._sums.square() / self._counts.clamp_min(1)).sum()


@dataclass(frozen=True)
class ReconstructReport(SheetReport):
    """Reconstructions were written.

    Attributes:
        rows: number of rows.
        refined: whether they are draws of the model's refiner rather than the decoder's means.
        explained: 1 - squared error / variance, over all values in model units. 1 is perfect, 0 is
            no better than the mean of each value; NaN if the rows do not vary.
        uncertainty: mean standard deviation, relative to that of the values; None if not requested.
        exact: of texts, share of the rows that are reconstructed without an error.
    """

    rows: int
    refined: bool
    explained: float
    uncertainty: float | None
    exact: float | None = None

    def text(self) -> str:
        facts = [counted(self.rows, "row")]
        if self.refined:
            facts.append("refined draws (--mean writes the decoder's means)")
        if self.exact is not None:
            facts.append(about_exact(self.exact))
        elif math.isfinite(self.explained):
            facts.append(about_explained(self.explained))
        if self.uncertainty is not None and math.isfinite(self.uncertainty):
            facts.append(f"mean uncertainty {self.uncertainty:.1%} of the values' spread")
        if self.shown is not None:
            facts.append(self.about_shown(counted(self.rows, "row")))
        return f"{', '.join(facts)}: {self.where}"


def reconstruct(
    request: ReconstructRequest, reporter: Reporter, fitted: Fitted
) -> ReconstructReport:
    """Write the reconstruction of every row, and the uncertainty of every value.

    Raises:
        DataError: the data is not of the kind that the model was fitted on.
        OptionError: fewer than two draws for an uncertainty.
        UnsupportedError: ``--steps`` without a refiner.
    """
    path = Path(request.output)
    writer = row_files(fitted.schema)
    writer.check(path)
    check_apart(path, request.data)
    if request.uncertainty and request.draws < 2:
        raise OptionError(f"--draws must be at least 2, not {request.draws}")
    if request.uncertainty and fitted.schema.sample_rate and path.suffix.lower() != ".npz":
        raise OptionError(f"{path}: the uncertainty of sound is written to .npz: name one with -o")
    refined = fitted.model.refiner is not None and not request.mean
    if request.steps is not None and not refined:
        raise UnsupportedError(
            "--steps is for draws of a refiner: train one with lowerbound refiner"
            if fitted.model.refiner is None
            else "--steps is for draws of the refiner: leave out --mean or --steps"
        )
    many = in_chunks(request.data, fitted)
    task = "refining" if refined else "reconstructing"

    def progress_of(part: RequestedRows) -> Progress:
        return lambda done, rows: reporter.advance(task, *part.place(done, rows))

    tally = RebuiltTally()
    with (
        finished_parts("reconstruct", request, reporter, in_parts=many) as finished,
        engine_of(request, partial(_computed, request, fitted, refined), in_parts=many) as engine,
    ):
        whole = writer.rebuild(fitted.model, request.data, path, request.on_error)
        if whole is not None:
            return ReconstructReport(whole.items, False, whole.kept, None, **written(whole.files))
        if request.uncertainty:
            reporter.say(f"uncertainty from {request.draws} codes of each row")
        parts = rows_of_model(request.data, fitted, request.on_error)
        made = computed(parts, lambda part: part, engine, finished, progress_of)
        cells = writer.cells_of(request.data, path, request.on_error)
        files = writer.write_reconstructions(path, _rebuilt(made, tally, cells))
    exact = tally.exact if fitted.schema.data_kind.symbolic else None
    return ReconstructReport(
        tally.rows,
        refined,
        tally.explained,
        tally.relative_std,
        exact,
        shown=writer.rows_shown(path, tally.rows),
        **written(files),
    )


def _rebuilt(
    parts: Iterable[tuple[RequestedRows, Arrays]], tally: RebuiltTally, cells: Any
) -> Iterator[Reconstructed]:
    """The reconstruction of each part, which ``tally`` adds up.

    Raises:
        DataError: a history is longer than those of the fit.
    """
    for part, found in parts:
        x, mean = torch.from_numpy(found["x"]), torch.from_numpy(found["mean"])
        std = torch.from_numpy(found["std"]) if "std" in found else None
        if part.rows.schema.data_kind.grouped and mean.shape[1] < x.shape[1]:
            raise DataError(
                f"a history has {x.shape[1]} events, and the model reconstructs at most "
                f"{mean.shape[1]}: leave longer ones out, or fit a model to them"
            )
        tally.add(RebuiltRows(x, mean, part.rows.comparable.cpu(), std))
        yield Reconstructed(x, mean, std, part.rows.ids, cells)


def _computed(
    request: ReconstructRequest,
    fitted: Fitted,
    refined: bool,
    part: RequestedRows,
    progress: Progress,
) -> Arrays:
    """The rows of a part in model units, their reconstructions, and the standard deviations."""
    model, rows = fitted.model, part.rows
    if refined:
        with prior_settings(model, steps=request.steps):
            drawn = reconstruct_refined(model, rows, seed=request.seed, progress=progress)
        found = {"x": drawn.x.numpy(), "mean": drawn.drawn.numpy()}
    else:
        x, mean = collected(
            model,
            rows,
            ROWS_AT_ONCE,
            lambda _, batch: (batch.filled, model(batch, Mean()).likelihood.best[0]),
            progress=progress,
        )
        found = {"x": x.numpy(), "mean": mean.numpy()}
    if request.uncertainty:
        answer = predict(model, rows, samples=request.draws, seed=request.seed)
        found["std"] = answer.deviation.numpy()
    return found
