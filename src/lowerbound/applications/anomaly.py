r"""Find the rows that a fitted model takes for odd, say how odd, and say why.

.. math::
    s(x) = \sum_c -\log p_c, \qquad
    p(x) = \frac{1 + \#\{i : s_i \ge s(x)\}}{n + 1}, \qquad
    \text{an anomaly where } p(x) \le \alpha

s_i of n normal rows that nothing was fitted on, so that a share alpha of normal rows is called an
anomaly, whatever the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lowerbound.applications.anomaly_labels import Known, Ranking, ranking_of
from lowerbound.applications.anomaly_report import DetectReport, Odd, Verdict
from lowerbound.applications.asked import Asked, asked
from lowerbound.applications.base import Reporter
from lowerbound.applications.columnar_files import check_suffix, columnar
from lowerbound.applications.features import feature_names, feature_values
from lowerbound.applications.form import REQUIRED
from lowerbound.applications.heat_maps import write_heat_maps
from lowerbound.applications.normal_rows import Normal, normal_of
from lowerbound.applications.sources import open_data
from lowerbound.config import option
from lowerbound.data import Dataset
from lowerbound.data.windows import Windows
from lowerbound.errors import DataError, OptionError
from lowerbound.evaluation.anomaly import Looks, look
from lowerbound.evaluation.conformal import check_rate, rows_needed
from lowerbound.evaluation.explanation import Shares, shares
from lowerbound.fitting import Fitted

Array = np.ndarray[Any, Any]

RATE = "rate"
ALPHA = 0.01  # unless the person or the number of calibration rows says otherwise
NAMED = 3  # features that are named of a row


@dataclass(frozen=True)
class DetectRequest:
    """Which of these rows are odd?"""

    model: str = option(REQUIRED, "model folder", positional=True, metavar="MODEL")
    data: str = option(REQUIRED, "data of the kind it was fitted on", positional=True)
    output: str = option(
        "", "scores of every row, .csv, .parquet or .json", short="-o", metavar="OUT"
    )
    calibrate: str = option(
        "",
        "normal rows that the model was not fitted on (default: those set aside when it was)",
        metavar="ROWS",
    )
    alpha: float | None = option(
        None,
        "share of normal rows that may be called anomalies (default: 0.01, or the least there)",
    )
    score: Literal["combined", "bound", "reconstruction", "latent"] = option(
        "combined", "what makes a row odd"
    )
    explain: int = option(5, "the oddest rows, with their most surprising features")
    label: str = option("", "a table's column that says which rows are anomalies", metavar="COLUMN")
    normal: str = option(
        "", "the label of normal rows (default: 0, or the most common one)", metavar="VALUE"
    )
    window: int = option(
        0, "rows are points in time: score windows of so many (default: as the model was fitted)"
    )
    reduce: Literal["mean", "max"] = option("mean", "of a point's windows, the point's score")
    on_error: Literal["raise", "skip"] = option("raise", "pictures that cannot be read")
    seed: int = option(0, "of the draws")


def detect(request: DetectRequest, reporter: Reporter, fitted: Fitted) -> DetectReport:
    """Score every row, judge it by rows that nothing was fitted on, and explain the oddest.

    Raises:
        DataError: the data is not of the kind that the model was fitted on, or there are too few
            normal rows for so low a rate.
        UnsupportedError: the score is the bound of a model that has none.
        OptionError: an output of unknown format, or a rate that is none.
    """
    _check(request)
    windows = _windows(request, fitted)
    chunks = asked(
        request.data,
        fitted,
        column=request.label,
        windows=windows,
        on_error=request.on_error,
    )
    first = next(chunks)  # what is wrong with the data is said before any work
    reporter.say("learning what normal rows score")
    given = _calibrating(request, fitted, windows)
    normal = normal_of(fitted, request.model, given, request.score, request.seed)
    normal.reference.check(request.score)
    judge = _Judge(request, fitted, normal, _verdict_of(request, normal))
    tally = _Tally(Known(request.label, request.normal))
    path = Path(request.output)
    with columnar(path) if request.output else nullcontext() as file:
        for rows in chain([first], chunks):
            judged = judge.judged(rows, reporter)
            tally.add(rows, judged, judge.explained(rows, judged, tally.oddest))
            if file is not None:
                file.add(judge.columns(rows, judged))
    return DetectReport(
        model=request.model,
        data=request.data,
        rows=tally.rows,
        score=request.score,
        verdict=judge.verdict,
        found=None if judge.verdict is None else tally.found,
        oddest=tuple(tally.oddest),
        ranking=tally.ranking(),
        normal=normal.told,
        files=(request.output, *tally.files) if request.output else (),
    )


@dataclass(frozen=True, eq=False)
class _Judged:
    """What is said of some rows.

    Attributes:
        looks, components: of the rows, or windows.
        scores, p_values, alarms: of the rows, or points; p-values where they are known.
    """

    looks: Looks
    components: Mapping[str, Array]
    scores: Array
    p_values: Array | None
    alarms: Array


@dataclass(frozen=True, eq=False)
class _Judge:
    """All that scoring and explaining a row takes."""

    request: DetectRequest
    fitted: Fitted
    normal: Normal
    verdict: Verdict | None

    def judged(self, asked: Asked, reporter: Reporter) -> _Judged:
        """Score some rows."""

        def progress(done: int, rows: int) -> None:
            reporter.advance("scoring", asked.first + done * asked.points // rows, asked.total)

        looks = look(self.fitted.model, asked.rows, seed=self.request.seed, progress=progress)
        components = self.normal.reference.components(looks)
        scores = asked.of_points(components[self.request.score], self.request.reduce)
        threshold = np.inf if self.verdict is None else self.verdict.threshold
        return _Judged(looks, components, scores, self._p_values(scores), scores > threshold)

    def columns(self, asked: Asked, judged: _Judged) -> dict[str, Array]:
        """Columns of the file of scores: one value per row or point, in the order of the data."""
        named: dict[str, Any] = {"row": asked.names, "score": judged.scores}
        if judged.p_values is not None:
            named |= {"p_value": judged.p_values, "anomaly": judged.alarms.astype(int)}
        for name, values in judged.components.items():
            named[name] = asked.of_points(values, self.request.reduce)
        return named

    def explained(self, asked: Asked, judged: _Judged, known: Sequence[Odd]) -> _Explained:
        """The oddest of these rows and of those known so far, and why; pictures are drawn."""
        most = max(self.request.explain, 0)
        scores = judged.components[self.request.score]
        index = np.argsort(-scores, kind="stable")[:most]
        if len(known) == most and most:
            index = index[scores[index] > known[-1].score]
        if not len(index):
            return _Explained(list(known))
        chosen = asked.rows.subset(index.copy())
        seed = self.request.seed
        excess = shares(self.fitted.model, chosen, seed=seed).above(self.normal.usual)
        names, values = feature_names(chosen), feature_values(chosen)
        p_values = self._p_values(scores[index])
        odd = [
            Odd(
                row=asked.name(int(row)),
                score=float(scores[row]),
                p_value=None if p_values is None else float(p_values[place]),
                **_most_surprising(names, values, excess, place),
            )
            for place, row in enumerate(index)
        ]
        oddest = sorted([*known, *odd], key=lambda each: -each.score)[:most]
        return _Explained(oddest, self._pictures(asked, judged, index, excess))

    def _p_values(self, scores: Array) -> Array | None:
        calibration = self.normal.calibration
        return None if calibration is None else calibration.p_values(scores)

    def _pictures(
        self, asked: Asked, judged: _Judged, index: Array, excess: Shares
    ) -> tuple[str, ...]:
        """The oddest pictures with their heat maps, beside the scores."""
        schema = asked.rows.schema
        if schema.kind != "images" or not self.request.output:
            return ()
        pictures = asked.rows.batch(torch.from_numpy(index.copy())).filled
        rebuilt = torch.from_numpy(judged.looks.place[index]).reshape(pictures.shape)
        names = [asked.name(int(row)) for row in index]
        path = Path(self.request.output)
        sheet = path.with_name(f"{path.stem}_heat.png")
        return write_heat_maps(sheet, pictures, rebuilt, excess.pixels(schema.event_shape), names)


@dataclass(frozen=True)
class _Explained:
    """The oddest rows so far, the oddest first, and the pictures of them that were written."""

    oddest: list[Odd]
    files: tuple[str, ...] = ()


class _Tally:
    """What is kept of rows that have gone by."""

    def __init__(self, known: Known) -> None:
        self.rows, self.found = 0, 0
        self.oddest: list[Odd] = []
        self.files: tuple[str, ...] = ()
        self._known = known
        self._scores: list[Array] = []

    def add(self, asked: Asked, judged: _Judged, explained: _Explained) -> None:
        self.rows += asked.points
        self.found += int(judged.alarms.sum())
        self.oddest = explained.oddest
        self.files += explained.files
        if self._known.wanted:
            self._known.add(asked.apart, asked.rows)
            self._scores.append(judged.scores)

    def ranking(self) -> Ranking | None:
        """How well the scores rank the anomalies that the person knows of."""
        if not self._known.wanted:
            return None
        return ranking_of(self._known.anomalies(), np.concatenate(self._scores))


def _check(request: DetectRequest) -> None:
    if request.alpha is not None:
        check_rate(request.alpha)
    if request.output:
        check_suffix(Path(request.output))


def _windows(request: DetectRequest, fitted: Fitted) -> Windows | None:
    """Windows as they were asked for, one beginning at every point; None: as the model was fitted.

    Raises:
        OptionError: it was fitted on windows of another length.
    """
    fitted_on = fitted.schema.windows
    if fitted_on is not None and request.window not in (0, fitted_on.length):
        raise OptionError(
            f"the model was fitted on windows of {fitted_on.length} points, not {request.window}: "
            "leave --window out"
        )
    return Windows(request.window) if request.window else None


def _calibrating(request: DetectRequest, fitted: Fitted, windows: Windows | None) -> Dataset | None:
    """The normal rows that the person gives, all of them; None where there are none."""
    if not request.calibrate:
        return None
    if windows is None and fitted.schema.windows is None:
        return open_data(request.calibrate, fitted, on_error=request.on_error)
    (rows,) = asked(request.calibrate, fitted, windows=windows)
    return rows.rows


def _verdict_of(request: DetectRequest, normal: Normal) -> Verdict | None:
    """Where the line is drawn; None without rows to draw it by.

    Raises:
        DataError: a rate was asked for that the calibration rows are too few for.
    """
    if normal.calibration is None:
        if request.alpha is not None:
            raise DataError(
                f"--alpha {request.alpha:g} takes at least {rows_needed(request.alpha):,} normal "
                "rows that nothing was fitted on, and there are none: give them with --calibrate"
            )
        return None
    least = 1 / (len(normal.calibration) + 1)
    alpha = max(ALPHA, least) if request.alpha is None else request.alpha
    threshold = normal.calibration.threshold(alpha)
    return Verdict(alpha, threshold, len(normal.calibration), normal.calibration.band(alpha))


def _most_surprising(
    names: Sequence[str], values: Mapping[str, Sequence[Any]], excess: Shares, place: int
) -> dict[str, Any]:
    """The features that cost most above the usual, the code among them."""
    each = excess.features[place].flatten().tolist()
    if len(each) != len(names):  # one number for all the colors of a pixel
        names = [f"value {number}" for number in range(len(each))]
    nats = {**dict(zip(names, each, strict=True)), RATE: float(excess.rate[place])}
    first = sorted(nats, key=lambda name: -nats[name])[:NAMED]
    first = [name for name in first if nats[name] > 0] or first[:1]
    return {
        "features": {name: nats[name] for name in first},
        "values": {name: str(values[name][place]) for name in first if name in values},
    }
