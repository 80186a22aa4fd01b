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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lowerbound.applications.anomaly_labels import (
    labeled_data,
    ranking_of,
    truth_of_classes,
)
from lowerbound.applications.anomaly_report import DetectReport, Odd, Verdict
from lowerbound.applications.base import Reporter
from lowerbound.applications.features import feature_names, feature_values
from lowerbound.applications.form import REQUIRED
from lowerbound.applications.heat_maps import write_heat_maps
from lowerbound.applications.normal_rows import Normal, normal_of
from lowerbound.applications.score_files import check_suffix, write_scores
from lowerbound.applications.sources import told
from lowerbound.config import option
from lowerbound.data import Dataset, load
from lowerbound.data.windows import Reduction, Windows
from lowerbound.errors import DataError
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
    window: int = option(0, "rows are points in time: score windows of so many")
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
    asked = Asked.read(request, fitted)
    given = _calibrating(request, fitted)
    reporter.say("learning what normal rows score")
    normal = normal_of(fitted, request.model, given, request.score, request.seed)
    normal.reference.check(request.score)
    verdict = _verdict_of(request, normal)

    def progress(done: int, total: int) -> None:
        reporter.advance("scoring", done, total)

    looks = look(fitted.model, asked.rows, seed=request.seed, progress=progress)
    components = normal.reference.components(looks)
    judged = _Judged.of(asked.of_points(components[request.score], request.reduce), normal, verdict)
    oddest = np.argsort(-components[request.score], kind="stable")[: max(request.explain, 0)]
    excess = _excess(fitted, asked.rows, normal, oddest, request.seed)
    files: tuple[str, ...] = ()
    if request.output:
        path = Path(request.output)
        files = write_scores(path, _named(asked, components, judged, request.reduce))
        files += _write_pictures(path, asked, looks, oddest, excess)
    return DetectReport(
        model=request.model,
        data=request.data,
        rows=len(judged.scores),
        score=request.score,
        verdict=verdict,
        found=None if verdict is None else int(judged.alarms.sum()),
        oddest=_explained(asked, normal, components[request.score], oddest, excess),
        ranking=None if asked.truth is None else ranking_of(asked.truth, judged.scores),
        normal=normal.told,
        files=files,
    )


@dataclass(frozen=True)
class _Judged:
    """Scores of rows or points, and what the calibration rows say of them."""

    scores: Array
    p_values: Array | None
    verdict: Verdict | None

    @classmethod
    def of(cls, scores: Array, normal: Normal, verdict: Verdict | None) -> _Judged:
        known = verdict is not None and normal.calibration is not None
        p_values = normal.calibration.p_values(scores) if known and normal.calibration else None
        return cls(scores, p_values, verdict)

    @property
    def alarms(self) -> Array:
        """Which are anomalies."""
        threshold = np.inf if self.verdict is None else self.verdict.threshold
        return np.asarray(self.scores > threshold)


@dataclass(frozen=True)
class Asked:
    """The rows that were asked about.

    Attributes:
        rows: as the model takes them; windows where the rows are points in time.
        truth: which are anomalies, where the person knows; one per row or point.
        windows: how a series was cut; None where it was not.
        points: of the series, or rows.
    """

    rows: Dataset
    truth: Array | None
    windows: Windows | None
    points: int

    @classmethod
    def read(cls, request: DetectRequest, fitted: Fitted) -> Asked:
        """Read the data, its label apart."""
        cut = request.window > 0
        found = labeled_data(request.data, request.label, request.normal, table=cut)
        windows = Windows(request.window) if request.window else None
        rows = _opened(found.source, fitted, windows, request.on_error)
        truth = found.truth
        if truth is None and request.normal:
            truth = truth_of_classes(rows, request.normal)
        points = len(rows) if windows is None else len(found.source)
        return cls(rows, truth, windows, points)

    def of_points(self, scores: Array, reduce: Reduction) -> Array:
        """Scores of windows as those of points; of rows as they are."""
        return scores if self.windows is None else self.windows.points(scores, self.points, reduce)

    def name(self, row: int) -> str:
        """What a message calls a row."""
        if self.windows is not None:
            start = int(self.windows.starts(self.points)[row])
            return f"{start}-{start + self.windows.length - 1}"
        return str(row) if self.rows.ids is None else self.rows.ids[row]


def _check(request: DetectRequest) -> None:
    if request.alpha is not None:
        check_rate(request.alpha)
    if request.output:
        check_suffix(Path(request.output))


def _calibrating(request: DetectRequest, fitted: Fitted) -> Dataset | None:
    if not request.calibrate:
        return None
    windows = Windows(request.window) if request.window else None
    source = labeled_data(request.calibrate, "", "", table=windows is not None).source
    return _opened(source, fitted, windows, request.on_error)


def _opened(
    source: Any, fitted: Fitted, windows: Windows | None, on_error: Literal["raise", "skip"]
) -> Dataset:
    """A path, a named set or a frame by the model's schema, cut in windows where asked for."""
    if windows is not None:
        source = windows.frame(source)
    schema = replace(fitted.schema, condition=None)
    return told(load(source, schema=schema, on_error=on_error), fitted)


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


def _excess(
    fitted: Fitted, rows: Dataset, normal: Normal, index: Array, seed: int
) -> Shares | None:
    """What the rows at ``index`` cost above the usual; None where there are none."""
    if not len(index):
        return None
    return shares(fitted.model, rows.subset(index.copy()), seed=seed).above(normal.usual)


def _explained(
    asked: Asked, normal: Normal, scores: Array, index: Array, excess: Shares | None
) -> tuple[Odd, ...]:
    if excess is None:
        return ()
    p_values = None if normal.calibration is None else normal.calibration.p_values(scores)
    chosen = asked.rows.subset(index.copy())
    names, values = feature_names(chosen), feature_values(chosen)
    return tuple(
        Odd(
            row=asked.name(int(row)),
            score=float(scores[row]),
            p_value=None if p_values is None else float(p_values[row]),
            **_most_surprising(names, values, excess, place),
        )
        for place, row in enumerate(index)
    )


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


def _named(
    asked: Asked, components: Mapping[str, Array], judged: _Judged, reduce: Reduction
) -> dict[str, Array]:
    """Columns of the file of scores: one value per row or point, in the order of the data."""
    named: dict[str, Any] = {"row": np.arange(len(judged.scores)), "score": judged.scores}
    if asked.rows.ids is not None and asked.windows is None:
        named["row"] = np.array(asked.rows.ids)
    if judged.p_values is not None and judged.verdict is not None:
        named |= {"p_value": judged.p_values, "anomaly": judged.alarms.astype(int)}
    for name, values in components.items():
        named[name] = asked.of_points(values, reduce)
    return named


def _write_pictures(
    path: Path, asked: Asked, looks: Looks, index: Array, excess: Shares | None
) -> tuple[str, ...]:
    """The oddest pictures with their heat maps, beside the scores."""
    if excess is None or asked.rows.schema.kind != "images":
        return ()
    pictures = asked.rows.batch(torch.from_numpy(index.copy())).filled
    rebuilt = torch.from_numpy(looks.place[index]).reshape(pictures.shape)
    names = [asked.name(int(row)) for row in index]
    nats = excess.pixels(asked.rows.schema.event_shape)
    sheet = path.with_name(f"{path.stem}_heat.png")
    return write_heat_maps(sheet, pictures, rebuilt, nats, names)
