r"""Imputation of missing cells from observed ones, in tables and pictures, part by part.

.. math:: x_m \sim p(x_m \mid z_k), \quad k \sim \bar w, \quad z_k \sim q(z \mid x_o)

Without a model: ``inpainting``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lowerbound import durable
from lowerbound.applications.common.application import Reporter, SheetReport, written
from lowerbound.applications.common.engines import Progress, computed, engine_of
from lowerbound.applications.common.files import check_apart
from lowerbound.applications.common.form import OnError
from lowerbound.applications.common.masks import hides_nothing
from lowerbound.applications.common.parts import Arrays, finished_parts
from lowerbound.applications.common.requested_rows import (
    RequestedRows,
    check_rows,
    in_chunks,
    requested_rows,
)
from lowerbound.applications.common.rows import Filled, RowFiles, row_files
from lowerbound.applications.common.sources import conditioned
from lowerbound.applications.common.table_rows import numbered_paths
from lowerbound.applications.restoration.column_trees import ColumnTrees
from lowerbound.applications.restoration.filling import impute as fill, imputed_quantiles
from lowerbound.applications.restoration.imputer_files import read_calibration, read_trees
from lowerbound.applications.restoration.inpainting import InpaintReport, inpaint_pictures
from lowerbound.applications.restoration.intervals import IntervalCalibration, MovedMeans
from lowerbound.applications.restoration.requests import ImputeRequest
from lowerbound.classical.self_masking import WARNING
from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.dates import in_time
from lowerbound.data.dependencies.determined import determined
from lowerbound.data.incomplete import Incomplete
from lowerbound.data.tables.completion import IncompleteColumns
from lowerbound.errors import OptionError, UnsupportedError, counted
from lowerbound.fitting.fitted import Fitted
from lowerbound.parts import AT_RANDOM

MOST_SIZES = 1 << 20  # effective sample sizes that are kept for their median
LEVEL = 0.9  # of the intervals in the report
OF_MODELS = (
    *("strategy", "draws", "samples", "allow_resize", "device", "resume"),
    *("engine", "workers", "address"),
)


def in_parts(source: str, fitted: Fitted, mask: str | None) -> bool:
    """Whether ``incomplete_parts`` reads the data in chunks."""
    return mask is None and in_chunks(source, fitted)


def incomplete_parts(
    source: str, fitted: Fitted, mask: str | None, on_error: OnError, copies: int
) -> Iterator[tuple[Incomplete, RequestedRows]]:
    """Data of the kind that a model was fitted on: a table in chunks, other data as one part.

    Each part is the rows as given, and the same as a chunk of the request.

    Args:
        source: a path or the name of a set.
        fitted: the model.
        mask: a file with a mask of further hidden cells; None: none.
        on_error: "skip" leaves out what cannot be read.
        copies: of the cells that are in memory at once.

    Raises:
        DataError, OptionError: as ``RowFiles.read_incomplete``.
    """
    if not in_parts(source, fitted, mask):
        rows = open_incomplete(source, fitted, mask, on_error)
        count = len(rows.hidden)
        yield rows, RequestedRows(rows.dataset, count, total=count)
        return
    for part in requested_rows(source, fitted, cells=True, texts=True, copies=copies):
        yield IncompleteColumns(part.cells, part.rows, part.text), part


def open_incomplete(
    source: str, fitted: Fitted, mask: str | None, on_error: OnError = "raise"
) -> Incomplete:
    """Data of the kind that a model was fitted on, in its original form; see ``RowFiles``."""
    files = row_files(replace(fitted.schema, condition=None))
    found = files.read_incomplete(source, mask, on_error)
    return replace(found, dataset=conditioned(found.dataset, fitted))


class ImputedTally:
    """What imputed parts add up to.

    Attributes:
        rows, incomplete: number of rows, and of those with a missing cell.
        left_empty: number of missing cells that stay so, by column.
        moved: means far outside the range of their column.
    """

    def __init__(self) -> None:
        self.rows, self.incomplete = 0, 0
        self.moved = MovedMeans()
        self.left_empty: Counter[str] = Counter()
        self._filled: dict[str, int] = {}
        self._widths: dict[str, float] = {}
        self._order: list[str] = []
        self._sizes: list[Tensor] = []
        self._every = 1  # of so many incomplete rows, the size of one is kept
        self._seen = 0

    def add(self, data: Incomplete, sizes: Tensor, widths: Mapping[str, float]) -> None:
        """Add some rows.

        Args:
            data: the rows.
            sizes: effective sample sizes of the incomplete ones.
            widths: mean width of the intervals by column; empty if they are not known.
        """
        hidden = data.hidden.reshape(len(data.hidden), -1)
        self.rows += len(hidden)
        self.incomplete += int(hidden.any(1).sum())
        self._order = [column.name for column in data.schema.columns]
        self.left_empty.update(data.left_empty())
        counts = data.counts()
        for name, count in counts.items():
            self._filled[name] = self._filled.get(name, 0) + count
        for name, width in widths.items():
            self._widths[name] = self._widths.get(name, 0.0) + width * counts[name]
        self._keep(sizes)

    @property
    def filled(self) -> dict[str, int]:
        """Number of filled cells by column, in the order of the table."""
        names = [name for name in self._order if name in self._filled]
        return {name: self._filled[name] for name in names or self._filled}

    @property
    def widths(self) -> dict[str, float]:
        """Mean width of the intervals over the filled cells, by column."""
        return {n: self._widths[n] / count for n, count in self.filled.items() if n in self._widths}

    def effective_sample_size(self, samples: int) -> float:
        """The median over incomplete rows, of many over evenly spaced ones; ``samples`` without."""
        kept = [sizes.numpy() for sizes in self._sizes if len(sizes)]
        return float(np.quantile(np.concatenate(kept), 0.5, method="lower")) if kept else samples

    def _keep(self, sizes: Tensor) -> None:
        self._sizes.append(sizes[-self._seen % self._every :: self._every])
        self._seen += len(sizes)
        while sum(map(len, self._sizes)) > MOST_SIZES:
            joined = np.concatenate([each.numpy() for each in self._sizes])[::2]
            self._sizes, self._every = [sizes.new_tensor(joined)], 2 * self._every


@dataclass(frozen=True)
class ImputeReport(SheetReport):
    """Completed data was written.

    Attributes:
        rows: number of rows.
        incomplete: number of rows with a missing cell.
        filled: number of filled cells, by column; "pixels" for pictures.
        left_empty: number of missing cells of columns that the model does not fill, by column.
        widths: mean width of the cells' 90% intervals in the data's own units, by column; empty
            without draws. Two levels, and levels that are no numbers, have none.
        dates: names of the columns of dates, whose widths are in seconds.
        clocks: names of the columns of durations and times of day, whose widths are in seconds.
        strategy: mean, median or sample.
        draws: number of additional completed data sets.
        samples: K.
        effective_sample_size: median over the incomplete rows; near 1 the results depend on few
            draws, and more samples help.
        missingness: the mechanism of missing cells that was declared in the fit.
        with_trees: number of columns whose answers are pooled with trees.
    """

    rows: int
    incomplete: int
    filled: Mapping[str, int]
    left_empty: Mapping[str, int]
    widths: Mapping[str, float]
    dates: tuple[str, ...]
    clocks: tuple[str, ...]
    strategy: str
    draws: int
    samples: int
    effective_sample_size: float
    missingness: str
    with_trees: int

    def text(self) -> str:
        cells = sum(self.filled.values())
        lines = [
            f"{counted(cells, 'missing cell')} in {self.incomplete:,} of "
            f"{counted(self.rows, 'row')} filled by their {self.strategy}: "
            f"{listed(self.files, self.files_written)}"
        ]
        width = max(map(len, self.filled), default=0)
        timed = {*self.dates, *self.clocks}
        widths = {
            name: in_time(value) if name in timed else f"{value:.4g}"
            for name, value in self.widths.items()
        }
        for name, count in self.filled.items():
            line = f"  {name:{width}}  {count:,}"
            lines.append(f"{line}, 90% within {widths[name]}" if name in widths else line)
        if self.left_empty:
            names = [f"{name!r} ({count:,})" for name, count in self.left_empty.items()]
            empty = sum(self.left_empty.values())
            lines.append(
                f"{counted(empty, 'cell')} {'stays' if empty == 1 else 'stay'} empty, in columns "
                f"that the model does not fill: {listed(names)}"
            )
        if self.shown is not None:
            lines.append(self.about_shown(counted(self.incomplete or self.rows, "row")))
        if self.with_trees:
            lines.append(f"pooled with the trees of {counted(self.with_trees, 'column')}")
        if self.missingness != AT_RANDOM:
            lines.append(f"missing cells {self.missingness}, {WARNING}")
        return "\n".join(lines)


def impute(
    request: ImputeRequest, reporter: Reporter, fitted: Fitted | None
) -> ImputeReport | InpaintReport:
    """Fill the missing cells of every row; observed cells are written unchanged.

    Raises:
        UnsupportedError: the model was fitted to complete rows, or to histories.
        DataError: the data is not of the kind that the model was fitted on, its pictures are of
            another size, or the mask does not fit it.
        OptionError: the output's name or a number is invalid.
        ModelFolderError: the trees in the model folder are damaged, or belong to another model.
    """
    request.check_output()
    if fitted is None:
        request.check_photographs(OF_MODELS)
        places = request.source, request.output, request.mask
        return inpaint_pictures(*places, request.on_error, reporter, request.seed)
    if fitted.schema.data_kind.grouped:
        raise UnsupportedError(
            f"{request.model} models histories, whose cells depend on each other: fit the events "
            "as a table of rows, without --entity, to fill their cells"
        )
    return _impute_rows(request, reporter, fitted)


def _check(request: ImputeRequest, fitted: Fitted) -> None:
    """Check that rows of the model may have missing cells, and the numbers of the request.

    Raises:
        UnsupportedError: they may not; the message says what to do.
        OptionError: a number is too small.
    """
    if request.draws < 0 or request.samples < 1:
        raise OptionError("--draws must be 0 or more, and --samples at least 1")
    if fitted.schema.data_kind.always_complete:
        raise UnsupportedError(
            f"{request.model} models {fitted.schema.summary}, of which no part can be missing: "
            "impute fills cells of tables, series, arrays and pictures; sample draws whole rows"
        )
    if not fitted.schema.missing:
        raise UnsupportedError(
            f"{request.model} was fitted to complete rows and cannot fill missing cells; "
            "fit it again with --missing model"
        )


def _impute_rows(request: ImputeRequest, reporter: Reporter, fitted: Fitted) -> ImputeReport:
    _check(request, fitted)
    request.check_sizes(fitted.schema)
    check_apart(Path(request.output), request.data)
    asked = request.data, fitted, request.mask, request.on_error
    parts = incomplete_parts(*asked, copies=1 + request.draws)
    first, chunk = next(parts)  # errors of the data are raised before any work
    path, writer = Path(request.output), row_files(first.schema)
    check_filled(path, writer, first)
    check_rows(fitted, request.draws * len(chunk), f"--draws {request.draws}")
    if writer.in_parts(path):
        for place in numbered_paths(path, request.draws):
            durable.check_replaced(place)
    columns = fitted.schema.columns
    trees = read_trees(Path(request.model), columns)
    calibration = read_calibration(Path(request.model), len(columns)) if columns else None
    tally = ImputedTally()

    def progress_of(part: RequestedRows) -> Progress:
        return lambda done, total: reporter.advance("imputing", *part.place(done, total + 1))

    resumable = in_parts(request.data, fitted, request.mask)
    compute = partial(_computed, request, fitted, trees, calibration)
    with (
        finished_parts("impute", request, reporter, in_parts=resumable) as finished,
        engine_of(request, compute, in_parts=resumable) as engine,
    ):
        pairs = chain([(first, chunk)], parts)
        made = computed(pairs, lambda pair: pair[1], engine, finished, progress_of)
        filled = _filled(made, request, reporter, fitted, tally)
        files = writer.write_filled(path, filled, request.strategy != "mean")
    tally.moved.warn()
    if not tally.incomplete:
        mask = request.mask
        why = "" if mask is None else f": {hides_nothing(Path(mask).expanduser())}"
        reporter.say(f"no cell is missing, so nothing was filled{why}")
    columns = first.schema.columns
    return ImputeReport(
        rows=tally.rows,
        incomplete=tally.incomplete,
        filled=tally.filled,
        left_empty=tally.left_empty,
        widths=tally.widths,
        dates=tuple(one.name for one in columns if one.rules.has_format),
        clocks=tuple(one.name for one in columns if one.notation and one.notation.clock),
        strategy=request.strategy,
        draws=request.draws,
        samples=request.samples,
        effective_sample_size=tally.effective_sample_size(request.samples),
        missingness=fitted.options.model.missingness,
        with_trees=0 if trees is None else len(trees.trees),
        shown=writer.rows_shown(path, tally.incomplete or tally.rows),
        **written(files),
    )


def _filled(
    parts: Iterable[tuple[tuple[Incomplete, RequestedRows], Arrays]],
    request: ImputeRequest,
    reporter: Reporter,
    fitted: Fitted,
    tally: ImputedTally,
) -> Iterator[Filled]:
    """The parts with their missing cells filled, which ``tally`` adds up."""
    for (data, part), made in parts:
        answers = _answers(request, fitted, data, made, tally.moved)
        draws = made["draws"][: request.draws] if request.draws else None
        widths = data.widths(made["low"], made["high"]) if request.draws else {}
        tally.add(data, torch.from_numpy(made["sizes"]), widths)
        yield Filled(data, answers, draws)
        reporter.advance("imputing", *part.place(1, 1))


def check_filled(path: Path, files: RowFiles, data: Incomplete) -> None:
    """Raise an error before any work if the output format does not fit the data.

    Raises:
        OptionError: names the valid formats.
    """
    suffixes = files.filled_suffixes(data)
    if path.suffix.lower() not in suffixes:
        written = [suffix or "a folder" for suffix in suffixes]
        raise OptionError(f"{path}: this data is written as {', '.join(written)}")


def _computed(
    request: ImputeRequest,
    fitted: Fitted,
    trees: ColumnTrees | None,
    calibration: IntervalCalibration | None,
    part: RequestedRows,
    progress: Progress,
) -> Arrays:
    """Means, draws, quantiles and effective sample sizes of the rows of a part.

    There are the requested draws, one more if the strategy is "sample", the median if it is
    "median", and the ends of intervals if there are draws.
    """
    made = fill(
        fitted.model,
        part.rows,
        samples=request.samples,
        draws=request.draws + (request.strategy == "sample"),
        seed=request.seed,
        trees=trees,
        progress=progress,
        first=part.first,
    )
    found = {"mean": made.mean, "sizes": made.effective_sample_size[made.incomplete].numpy()}
    if made.draws is not None:
        found["draws"] = made.draws
    quantiles = partial(
        imputed_quantiles,
        fitted.model,
        part.rows,
        samples=request.samples,
        seed=request.seed,
        trees=trees,
    )
    if request.strategy == "median":
        found["median"] = quantiles((0.5,))[0]
    if request.draws and calibration is None:
        found["low"], found["high"] = quantiles(((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    elif request.draws and calibration is not None:
        ends = quantiles(calibration.asked(LEVEL))
        found["low"], found["high"] = calibration.interval(
            ends, LEVEL, fitted.schema.columns, determined(part.rows)
        )
    return found


def _answers(
    request: ImputeRequest, fitted: Fitted, data: Incomplete, made: Arrays, moved: MovedMeans
) -> Array:
    """The values of the missing cells, in the data's own units."""
    if request.strategy == "median":
        return made["median"]
    if request.strategy == "sample" and "draws" in made:
        answers: Array = made["draws"][-1]
        return answers
    # values that are missing because of their size may lie outside
    at_random = fitted.options.model.normal_scores
    return moved.within(made["mean"], data.dataset) if at_random else made["mean"]
