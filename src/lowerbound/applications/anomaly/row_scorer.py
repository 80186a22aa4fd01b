"""Rows scored chunk by chunk: scores, p-values, and explanations of the most anomalous rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowerbound.applications.anomaly.broken import cell_text, unseen_nats
from lowerbound.applications.anomaly.conformal import ConformalCalibration
from lowerbound.applications.anomaly.normal_rows import KnownAnomalies, Normal, Ranking
from lowerbound.applications.anomaly.reference import compared
from lowerbound.applications.anomaly.report import Cutoff, Odd, write_heat_maps
from lowerbound.applications.anomaly.scores import rebuild
from lowerbound.applications.common.engines import Progress
from lowerbound.applications.common.requested_rows import RequestedRows
from lowerbound.data.arrays import Array
from lowerbound.data.columns.values import EXACT, free_name
from lowerbound.data.dataset import Dataset
from lowerbound.data.sequences.windows import Reduction
from lowerbound.data.tables.frames import to_frame
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.shares import Shares, shares

RATE = "rate"
NAMED = 3  # features in an explanation
UNSEEN, MISSING = "not seen in the fit", "missing"
DIGITS = 9  # of numbers that do not come from the cells of a file


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """Scores of some rows.

    Attributes:
        components: of the rows, or windows.
        scores, p_values, alarms: of the rows, or points; p-values only with calibration.
    """

    components: Mapping[str, Array]
    scores: Array
    p_values: Array | None
    alarms: Array


@dataclass(frozen=True, eq=False)
class RowScorer:
    """Scores and explains rows.

    Attributes:
        fitted: the model.
        normal: the model's scores of normal rows.
        cutoff: the threshold; None without calibration.
        score: name of the anomaly score.
        reduce: combines the scores of windows to those of their points.
        explain: number of the most anomalous rows to explain.
        seed: of the draws.
        beside: the file of scores, next to which pictures are written; None: nothing is written.
    """

    fitted: Fitted
    normal: Normal
    cutoff: Cutoff | None
    score: str
    reduce: Reduction
    explain: int
    seed: int
    beside: Path | None

    def components(self, part: RequestedRows, progress: Progress) -> Mapping[str, Array]:
        """The scores of some rows."""
        normal = self.normal
        return compared(
            self.fitted.model,
            normal.reference,
            part.rows,
            samples=normal.samples,
            seed=self.seed,
            progress=progress,
        )

    def scored(self, part: RequestedRows, components: Mapping[str, Array]) -> ScoredRows:
        """Rows with their scores, compared with normal rows."""
        scores = part.of_points(components[self.score], self.reduce)
        threshold = np.inf if self.cutoff is None else self.cutoff.threshold
        p_values = self._p_values(scores, self.normal.deciding)
        return ScoredRows(components, scores, p_values, scores > threshold)

    def columns(self, part: RequestedRows, scored: ScoredRows) -> dict[str, Array]:
        """Columns of the file of scores: one value per row or point, in the order of the data."""
        named: dict[str, Any] = {"row": part.names, "score": scored.scores}
        if scored.p_values is not None:
            named |= {"p_value": scored.p_values, "anomaly": scored.alarms.astype(int)}
        for name, values in scored.components.items():
            named[name] = part.of_points(values, self.reduce)
        return named

    def explained(self, part: RequestedRows, scored: ScoredRows, known: Sequence[Odd]) -> Explained:
        """The most anomalous of these rows and of ``known``, explained; pictures are written."""
        most = self.explain
        scores = scored.components[self.score]
        index = np.argsort(-scores, kind="stable")[:most]
        if len(known) == most and most:
            index = index[scores[index] > known[-1].score]
        if not len(index):
            return Explained(list(known))
        chosen = part.rows.subset(index.copy())
        excess = self._excess(chosen)
        unseen = self._unseen(chosen)
        schema = chosen.schema
        texts = cell_texts(chosen, None if part.cells is None else part.cells.iloc[index])
        names = schema.data_kind.feature_names(schema)
        broken = self._broken(chosen, texts)
        # the points of a series are compared with points, and a window has no p-value among them
        of_windows = self.normal.points is not None
        p_values = None if of_windows else self._p_values(scores[index], self.normal.calibration)
        odd = [
            Odd(
                row=part.name(int(row)),
                score=float(scores[row]),
                p_value=None if p_values is None else float(p_values[place]),
                **_most_surprising(names, texts, excess, place, unseen),
                broken=broken[place],
                window=of_windows,
            )
            for place, row in enumerate(index)
        ]
        oddest = sorted([*known, *odd], key=lambda each: -each.score)[:most]
        return Explained(oddest, self._pictures(part, chosen, index, excess))

    def _excess(self, rows: Dataset) -> Shares:
        """Nats of each feature above the usual; of a surface, the rarity of each pixel."""
        model, reference = self.fitted.model, self.normal.reference
        if reference.surface is None or not reference.by_surroundings(self.score):
            found = shares(
                model,
                rows,
                samples=self.normal.samples,
                seed=self.seed,
                unit_free=reference.unit_free,
            )
            return found.above(self.normal.usual, rows.observed)
        heat = reference.surface.heat(rebuild(model, rows).row)
        return Shares(heat.unsqueeze(1).double(), torch.zeros(len(rows), dtype=torch.float64))

    def _unseen(self, rows: Dataset) -> list[dict[str, float]]:
        """Of each row, the nats of the values that the fit did not see, by column."""
        costs, names = self.normal.reference.costs, [c.name for c in rows.schema.columns]
        if costs is None or rows.unseen is None:
            return [{}] * len(rows)
        return [
            {names[i]: float(cells[i]) for i in np.flatnonzero(cells)}
            for cells in unseen_nats(rows.unseen.cpu().numpy(), costs)
        ]

    def _broken(
        self, rows: Dataset, texts: Mapping[str, Sequence[str]]
    ) -> list[dict[str, dict[str, str]]]:
        """Of each row, the costliest dependencies that it breaks, with its cells there."""
        known = self.normal.reference.dependencies
        every = [] if known is None else known.broken(rows)
        every = sorted(every, key=lambda each: -each.nats)
        found: list[dict[str, dict[str, str]]] = []
        for place in range(len(rows)):
            own = [each for each in every if each.rows[place]][:NAMED]
            cells = {name: column[place] for name, column in texts.items()}
            found.append(
                {each.dependency.summary: each.in_words(rows.schema, place, cells) for each in own}
            )
        return found

    def _p_values(self, scores: Array, calibration: ConformalCalibration | None) -> Array | None:
        return None if calibration is None else calibration.p_values(scores)

    def _pictures(
        self, part: RequestedRows, chosen: Dataset, index: Array, excess: Shares
    ) -> tuple[str, ...]:
        """Write the most anomalous pictures with their heat maps, next to the scores."""
        schema = part.rows.schema
        if not schema.data_kind.pictures or self.beside is None:
            return ()
        pictures = chosen.all().filled
        place = rebuild(self.fitted.model, chosen).place
        rebuilt = torch.from_numpy(place).reshape(pictures.shape)
        names = [part.name(int(row)) for row in index]
        sheet = heat_path(self.beside)
        return write_heat_maps(sheet, pictures, rebuilt, excess.pixels(schema.event_shape), names)


def heat_path(scores: Path) -> Path:
    """The sheet of heat maps next to a file of scores."""
    return scores.with_name(f"{scores.stem}_heat.png")


@dataclass(frozen=True)
class Explained:
    """The most anomalous rows so far, in descending order, and the written pictures of them."""

    oddest: list[Odd]
    files: tuple[str, ...] = ()


class Tally:
    """The results of the rows so far."""

    def __init__(self, known: KnownAnomalies) -> None:
        self.rows, self.found = 0, 0
        self.oddest: list[Odd] = []
        self.files: tuple[str, ...] = ()
        self._known = known
        self._scores: list[Array] = []

    def add(self, part: RequestedRows, scored: ScoredRows, explained: Explained) -> None:
        self.rows += part.points
        self.found += int(scored.alarms.sum())
        self.oddest = explained.oddest
        self.files += explained.files
        if self._known.wanted:
            self._known.add(part.apart, part.rows)
            self._scores.append(scored.scores)

    def ranking(self) -> Ranking | None:
        """How well the scores rank the known anomalies."""
        if not self._known.wanted:
            return None
        return self._known.ranking(np.concatenate(self._scores))


def _most_surprising(
    names: Sequence[str],
    texts: Mapping[str, Sequence[str]],
    excess: Shares,
    place: int,
    unseen: Sequence[Mapping[str, float]],
) -> dict[str, Any]:
    """The features with the largest shares above the average, including the code, and with values
    that the fit did not see."""
    each = excess.features[place].flatten().tolist()
    if len(each) != len(names):  # features are pixels, with one number for all their colors
        names = [f"value {number}" for number in range(len(each))]
    nats = dict(zip(names, each, strict=True))
    nats[free_name(RATE, names)] = float(excess.rate[place])
    nats |= unseen[place]
    first = sorted(nats, key=lambda name: -nats[name])[:NAMED]
    first = [name for name in first if nats[name] > 0] or first[:1]
    return {
        "features": {name: nats[name] for name in first},
        "values": {name: texts[name][place] for name in first if name in texts},
    }


def cell_texts(rows: Dataset, cells: Any = None) -> dict[str, list[str]]:
    """The cells of each column as text; empty for pictures, which have heat maps instead.

    Args:
        rows: to be named.
        cells: these rows as they stand in the file, a frame; None: they are not known, and the
            values are those that the model sees.
    """
    schema = rows.schema
    if not schema.columns:
        return {}
    texts = _decoded_texts(rows)
    unseen = rows.unseen_cells.cpu().numpy()
    named = {} if cells is None else {str(name): place for place, name in enumerate(cells.columns)}
    for place, column in enumerate(schema.columns):
        seen = texts.get(column.name, [""] * len(rows))
        if column.name in named:
            own = cells.iloc[:, named[column.name]].tolist()
            texts[column.name] = [
                _as_written(value, shown, new)
                for value, shown, new in zip(own, seen, unseen[:, place], strict=True)
            ]
        elif unseen[:, place].any():
            texts[column.name] = [
                f"a value {UNSEEN}" if new else shown
                for shown, new in zip(seen, unseen[:, place], strict=True)
            ]
    return texts


def _decoded_texts(rows: Dataset) -> dict[str, list[str]]:
    """The cells of each modeled column by the rows for the model."""
    schema = rows.schema
    frame = to_frame(schema.for_other_rows, rows.all().filled)
    texts = {
        column.name: [
            f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)
            for value in frame[column.name].tolist()
        ]
        for column in schema.modeled
    }
    if rows.observed is not None:
        hidden = (~rows.observed).cpu().tolist()
        for place, column in enumerate(schema.modeled):
            texts[column.name] = [
                MISSING if gone[place] else shown
                for shown, gone in zip(texts[column.name], hidden, strict=True)
            ]
    if rows.beyond is not None:
        beyond = rows.beyond.cpu().numpy()
        for row, place in np.argwhere(~np.isnan(beyond)).tolist():
            column = schema.columns[place]
            texts[column.name][row] = cell_text(column, beyond[row, place])
    return texts


def _as_written(value: Any, shown: str, unseen: bool) -> str:
    """A cell of a frame as text, without the ".0" that a column of whole numbers with gaps has.

    Unseen text is in quotation marks, which show what makes it another one, such as a space.

    Args:
        value: as it stands in the file.
        shown: what the model sees.
        unseen: whether the fit did not see it.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        value = int(value)
    if unseen:
        return f"{repr(value) if isinstance(value, str) else value} ({UNSEEN})"
    return shown if shown == MISSING else str(value)
