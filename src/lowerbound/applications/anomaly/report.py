"""The report of anomaly detection: threshold, most anomalous rows, their ranking and heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lowerbound.applications.anomaly.normal_rows import Ranking
from lowerbound.applications.common.application import Report
from lowerbound.applications.common.drawings import grid
from lowerbound.applications.common.files import replacing
from lowerbound.data.arrays import Array
from lowerbound.data.pictures.pixels import eight_bit

COLORS = "magma"
LEAST_SIDE = 112  # pixels; smaller pictures are enlarged
MANY_NATS = 1e6  # which are written as a power of ten


def write_heat_maps(
    path: Path, pictures: Tensor, rebuilt: Tensor, nats: Tensor, names: Sequence[str]
) -> tuple[str, ...]:
    """Write one sheet with a line for each picture: picture, reconstruction, excess nats.

    Args:
        path: of a .png.
        pictures, rebuilt: (rows, C, H, W) in [0, 1].
        nats: (rows, H, W) above the average of normal rows; all lines share one color scale.
        names: a label for each line.
    """
    lines = list(
        zip(_colored(eight_bit(pictures)), _colored(eight_bit(rebuilt)), heat(nats), strict=True)
    )
    sheet = grid(lines, ("picture", "rebuilt", "odd"), names, least_side=LEAST_SIDE)
    with replacing(path) as place:
        sheet.save(place, format="PNG")
    return (str(path),)


def heat(nats: Tensor) -> Array:
    """(rows, H, W) as colors, (rows, H, W, 3) uint8: dark is usual, bright is most anomalous."""
    from matplotlib import colormaps

    values = nats.double().numpy()
    # torch's quantile takes at most 16 million values
    highest = max(float(np.quantile(values, 0.999)), 1e-12)
    share = np.clip(values / highest, 0, 1)
    colors: Array = np.rint(colormaps[COLORS](share)[..., :3] * 255).astype(np.uint8)
    return colors


def _colored(pictures: Array) -> Array:
    """(rows, H, W, C) as RGB, so that all lines of a sheet have the same channels."""
    return pictures[..., :3] if pictures.shape[-1] >= 3 else pictures[..., :1].repeat(3, -1)


@dataclass(frozen=True)
class Odd:
    """One of the most anomalous rows.

    Attributes:
        row: its number from 0, or its name.
        score: higher is more anomalous.
        p_value: None without calibration, and for windows of a series, whose points have one.
        features: nats above the average, the most surprising first; "rate" is that of the code.
        values: the row's values of these features, in the data's units.
        broken: dependencies of columns that the row breaks, with its values of these columns, and
            what the others give.
        window: whether it is a window of a series, whose points have other scores.
    """

    row: str
    score: float
    p_value: float | None
    features: Mapping[str, float]
    values: Mapping[str, Any]
    broken: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    window: bool = False

    def text(self) -> str:
        rarity = "" if self.p_value is None else f", p = {self.p_value:.2g}"
        words = [
            f"{name}{f' = {self.values[name]}' if name in self.values else ''} "
            f"({_written(nats)} nats)"
            for name, nats in self.features.items()
        ]
        broken = [
            f"breaks {summary} ({', '.join(f'{name} = {cell}' for name, cell in cells.items())})"
            for summary, cells in self.broken.items()
        ]
        name = (
            f"window of points {self.row}: window score"
            if self.window
            else f"row {self.row}: score"
        )
        return f"{name} {self.score:.2f}{rarity}: {', '.join(broken + words)}"


@dataclass(frozen=True)
class Cutoff:
    """The threshold between normal rows and anomalies.

    Attributes:
        alpha: share of normal rows that may lie above the threshold.
        threshold: the score above which a row is an anomaly.
        rows: number of calibration rows.
        independent: as how many independent rows they vary; fewer for points of windows.
        band: the 95 % band of the share of normal rows above the threshold.
    """

    alpha: float
    threshold: float
    rows: int
    independent: int
    band: tuple[float, float]

    @property
    def calibration(self) -> str:
        """The calibration rows in words."""
        if self.independent == self.rows:
            return f"{self.rows:,} calibration rows"
        return (
            f"{self.rows:,} calibration points, which count as {self.independent:,} because "
            "windows overlap"
        )


@dataclass(frozen=True)
class DetectReport(Report):
    """The result of anomaly detection.

    Attributes:
        model, data: of the request.
        rows: number of scored rows.
        score: name of the score.
        verdict: the threshold; None without rows that nothing was fitted on.
        found: number of anomalies; None without a threshold.
        oddest: the most anomalous rows, explained.
        ranking: how well the scores rank known anomalies; None if none are known.
        normal: source of the normal rows.
        planted: by score, the area under the ROC curve of planted anomalies; empty if there are
            none.
        files: written files.
    """

    model: str
    data: str
    rows: int
    score: str
    verdict: Cutoff | None
    found: int | None
    oddest: tuple[Odd, ...]
    ranking: Ranking | None
    normal: str
    planted: Mapping[str, float]
    files: tuple[str, ...]

    def text(self) -> str:
        lines = [self._line()]
        lines += [] if self.ranking is None else [self.ranking.text()]
        lines += [self._planted()] if self.planted else []
        lines += [f"  {odd.text()}" for odd in self.oddest]
        lines += [f"wrote {file}" for file in self.files]
        return "\n".join(lines)

    def _planted(self) -> str:
        """How well the scores find planted anomalies, and what simpler detectors would reach."""
        first = (self.score, "neighbors", "mahalanobis")
        names = [name for name in dict.fromkeys(first) if name in self.planted]
        words = [f"{name} {self.planted[name]:.3f}" for name in names]
        return (
            "check on calibration rows with a fifth of their cells from other rows, area under the "
            f"ROC curve: {', '.join(words)}"
        )

    def _line(self) -> str:
        line = self.verdict
        if line is None or self.found is None:
            return (
                f"{self.rows:,} rows scored by {self.score}, compared with {self.normal}; no "
                "p-values without normal rows that nothing was fitted on: give some with "
                "--calibrate"
            )
        low, high = line.band
        return (
            f"{self.found:,} of {self.rows:,} rows are anomalies by {self.score}: score above "
            f"{line.threshold:.4g}, which {line.alpha:.2g} of normal rows reach ({low:.2%} to "
            f"{high:.2%}, by {line.calibration}; {self.normal})"
        )


def _written(nats: float) -> str:
    return f"{nats:+.1f}" if abs(nats) < MANY_NATS else f"{nats:+.0e}"
