r"""Find anomalies with a fitted model, with p-values and explanations.

.. math::
    s(x) = \sum_c -\log p_c, \qquad
    p(x) = \frac{1 + \#\{i : s_i \ge s(x)\}}{n + 1}, \qquad
    \text{an anomaly if } p(x) \le \alpha

s_i are the scores of n normal rows that nothing was fitted on, so at most a share alpha of normal
rows is flagged, for every model.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import chain, islice
from pathlib import Path

from lowerbound import durable
from lowerbound.applications.anomaly.conformal import check_rate, rows_needed
from lowerbound.applications.anomaly.normal_rows import (
    KnownAnomalies,
    Normal,
    WindowedSeries,
    normal_of,
)
from lowerbound.applications.anomaly.report import Cutoff, DetectReport
from lowerbound.applications.anomaly.requests import DetectRequest
from lowerbound.applications.anomaly.row_scorer import RowScorer, Tally, heat_path
from lowerbound.applications.common.application import Reporter
from lowerbound.applications.common.columnar_files import check_suffix, columnar
from lowerbound.applications.common.engines import Progress, computed, engine_of
from lowerbound.applications.common.fit_rows import fitted_to
from lowerbound.applications.common.parts import FinishedParts, finished_parts
from lowerbound.applications.common.requested_rows import RequestedRows, in_chunks, requested_rows
from lowerbound.applications.common.sources import open_data
from lowerbound.data.arrays import listed
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.fitted import Fitted

ALPHA = 0.01  # the default, unless there are too few calibration rows


def detect(request: DetectRequest, reporter: Reporter, fitted: Fitted) -> DetectReport:
    """Score every row, compare it with held-out normal rows, and explain the most anomalous rows.

    Raises:
        DataError: the data is not of the kind that the model was fitted on, or there are too few
            normal rows for the rate.
        UnsupportedError: the score is the bound of a model that has none.
        OptionError: an output of unknown format, or an invalid rate.
    """
    _check(request)
    windows = _windows(request, fitted)
    read = partial(
        requested_rows,
        request.data,
        fitted,
        column=request.label,
        windows=windows,
        on_error=request.on_error,
        cells=True,
        clips_apart=True,
    )
    chunks = read()
    first = next(chunks)  # errors of the data are raised before any work
    _check_known(KnownAnomalies(request.label, request.normal), first, read)
    _note_other_classes(_normal_class(request), fitted.schema.class_names)
    in_parts = windows is None and in_chunks(request.data, fitted)
    with finished_parts("detect", request, reporter, in_parts=in_parts) as finished:
        reporter.say(
            "scoring normal rows to compare with, and finding dependencies of their columns"
        )
        normal = _normal(request, fitted, windows, first.windows)
        parts = chain([first], chunks)
        return _detected(request, reporter, fitted, normal, parts, finished, in_parts)


def _normal(
    request: DetectRequest, fitted: Fitted, windows: Windows | None, cut: Windows | None
) -> Normal:
    """The scores of normal rows; of the points of a series, if its rows are cut into windows."""
    given = _calibrating(request, fitted, windows)
    rows = None if given is None else given.rows
    points = None if given is None or given.windows is None else given.points
    series = None if cut is None else WindowedSeries(cut, request.reduce, points)
    return normal_of(
        fitted,
        request.model,
        rows,
        request.score,
        request.seed,
        series,
        normal_class=_normal_class(request),
    )


def _normal_class(request: DetectRequest) -> str:
    """The class of normal rows; "" without one. The values of --label are no classes of the fit."""
    return "" if request.label else request.normal


def _note_other_classes(normal: str, names: Sequence[str]) -> None:
    """Warn if the fit read rows of classes that are anomalies here."""
    others = [name for name in names if name != normal]
    if normal and others:
        warnings.warn(
            f"the model was fitted on rows of other classes too ({listed(others)}), so anomalies "
            f"of these classes may not stand out: fit on the rows of {normal!r} alone, and leave "
            "--normal out",
            UserWarning,
            stacklevel=2,
        )


def _detected(
    request: DetectRequest,
    reporter: Reporter,
    fitted: Fitted,
    normal: Normal,
    parts: Iterable[RequestedRows],
    finished: FinishedParts,
    in_parts: bool,
) -> DetectReport:
    """Score the parts against normal rows, and write them."""
    path = Path(request.output)
    scorer = RowScorer(
        fitted,
        normal,
        _cutoff(request, normal),
        score=request.score,
        reduce=request.reduce,
        explain=max(request.explain, 0),
        seed=request.seed,
        beside=path if request.output else None,
    )

    def progress_of(part: RequestedRows) -> Progress:
        return lambda done, rows: reporter.advance("scoring", *part.place(done, rows))

    tally = Tally(KnownAnomalies(request.label, request.normal))
    writing = columnar(path) if request.output else nullcontext()
    with engine_of(request, scorer.components, in_parts=in_parts) as engine, writing as file:
        for rows, found in computed(parts, lambda rows: rows, engine, finished, progress_of):
            scored = scorer.scored(rows, found)
            tally.add(rows, scored, scorer.explained(rows, scored, tally.oddest))
            if file is not None:
                file.add(scorer.columns(rows, scored))
    return DetectReport(
        model=request.model,
        data=request.data,
        rows=tally.rows,
        score=request.score,
        verdict=scorer.cutoff,
        found=None if scorer.cutoff is None else tally.found,
        oddest=tuple(tally.oddest),
        ranking=tally.ranking(),
        normal=normal.origin,
        planted=dict(normal.planted),
        files=(request.output, *tally.files) if request.output else (),
    )


def _check(request: DetectRequest) -> None:
    if request.alpha is not None:
        check_rate(request.alpha)
    if request.output:
        check_suffix(Path(request.output))
        durable.check_replaced(heat_path(Path(request.output)))


def _windows(request: DetectRequest, fitted: Fitted) -> Windows | None:
    """Windows of the requested length that start at every point; None: those of the fit.

    Raises:
        OptionError: the model was fitted on windows of another length.
    """
    fitted_on = fitted.schema.windows
    if fitted_on is not None and request.window not in (None, fitted_on.length):
        raise OptionError(
            f"the model was fitted on windows of {fitted_on.length} points, not {request.window}: "
            "leave --window out"
        )
    sound = fitted.schema.data_kind.amplitudes  # cut at the start of each clip, wherever that is
    if fitted_on is not None and not fitted_on.anywhere and not sound:
        warnings.warn(_about_starts(fitted_on, request.window), UserWarning, stacklevel=2)
    return None if request.window is None else Windows(request.window)


def _about_starts(fitted_on: Windows, window: int | None) -> str:
    """What a model cannot know whose windows do not start at every remainder of the stride."""
    widest = (fitted_on.length + 1) // 2  # stride with which varied starts reach every remainder
    remedy = "fit again, because --stride now varies the starts"
    if fitted_on.stride > widest:
        remedy = f"fit again, with --stride {widest} or less"
    if window is None:
        remedy += (
            f", or let the rows begin a multiple of {fitted_on.stride} points after the first row "
            "of the fit"
        )
    return (
        f"the windows of the fit start every {fitted_on.stride} points. In a series with a period, "
        "windows that start elsewhere are new to the model, and the rates of false alarms do not "
        "hold: " + remedy
    )


def _check_known(
    known: KnownAnomalies, first: RequestedRows, read: Callable[[], Iterator[RequestedRows]]
) -> None:
    """Check that --label and --normal separate anomalies from normal rows before scoring.

    Args:
        known: the known anomalies, to be filled.
        first: the first rows; further rows are read only if these do not show both kinds.
        read: reads all rows again.

    Raises:
        DataError, OptionError: they do not separate them.
    """
    if not known.wanted:
        return
    known.add(first.apart, first.rows)
    if known.decided:
        return
    for rows in islice(read(), 1, None):
        known.add(rows.apart, rows.rows)
        if known.decided:
            return
    known.anomalies()  # raises the error


def _calibrating(
    request: DetectRequest, fitted: Fitted, windows: Windows | None
) -> RequestedRows | None:
    """All rows of --calibrate; None without them."""
    if not request.calibrate:
        return None
    if fitted_to(request.model, request.calibrate):
        warnings.warn(
            "the rows of --calibrate are those that the model was fitted on, so the rate does not "
            "hold: give other normal rows, or leave --calibrate out",
            UserWarning,
            stacklevel=2,
        )
    if windows is None and fitted.schema.windows is None:
        rows = open_data(request.calibrate, fitted, on_error=request.on_error)
        return RequestedRows(rows, len(rows), total=len(rows))
    (windowed,) = requested_rows(request.calibrate, fitted, windows=windows)
    return windowed


def _cutoff(request: DetectRequest, normal: Normal) -> Cutoff | None:
    """The threshold; None without calibration rows.

    Raises:
        DataError: the calibration rows are too few for the requested rate.
    """
    calibration = normal.deciding
    if calibration is None:
        if request.alpha is not None:
            raise DataError(
                f"--alpha {request.alpha:g} takes at least {rows_needed(request.alpha):,} "
                "normal rows that the model was not fitted on, and there are none: give them "
                "with --calibrate"
            )
        return None
    least = 1 / (len(calibration) + 1)
    alpha = max(ALPHA, least) if request.alpha is None else request.alpha
    threshold = calibration.threshold(alpha)
    return Cutoff(
        alpha, threshold, len(calibration), calibration.independent, calibration.band(alpha)
    )
