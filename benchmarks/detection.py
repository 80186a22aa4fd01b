"""Anomalies in digits, connections, chest X-rays, circuit boards and series, beside the classics.

Everything is fitted on normal rows alone and scores the rest; ``VAEDetector`` by its defaults. The
classical detectors have the settings that are best on the tables on which those defaults were
chosen (``anomaly.py``); their rows have an indicator for each level.
Areas under the curve are of rows (of points of a series). Digits: 70 % of one class, against the
rest of it and all other classes. Boards: tiles with template and picture as two channels, from two
groups of boards to a third, tiles around marked defects against tiles without any; the difference
of the two, which needs no fit, stands beside. NAB: each series' first 15 %, against the marked
windows in the rest.

    python benchmarks/detection.py --cell boards_0        one field and seed, resumable by part
    python benchmarks/detection.py                        all that is missing, then the result
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import _fields
import matplotlib.pyplot as plt
import numpy as np
from _detector_choice import choice
from _detectors import CLASSICAL, OF_PIXELS, clean_vae, fitted_vae
from _fields import Array, Field
from _pictures import keep
from _record import Metric, arguments, part_of, write
from _rivals import in_words, paired
from matplotlib.patches import Rectangle
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.metrics import average_precision_score, roc_auc_score

from lowerbound import VAEDetector
from lowerbound.applications.anomaly.surfaces import BORDER
from lowerbound.data.catalog import file_sha256

NAME = "detection"
RUNS = Path("runs") / NAME
OURS, DIFFERENCE = "VAE", "difference"
SEEDS = (0, 1, 2)
DIGITS_BAR = 0.9965
BOARDS_FIGURE, XRAYS_FIGURE = "odd_boards.png", "odd_xrays.png"
BOARDS_SHOWN, XRAYS_SHOWN = 2, 2
Points = Callable[[Array], Array]
Scores = dict[str, dict[str, float]]
Parts = dict[str, Callable[[], Scores]]  # what measures each part of a field


def of_digits(seed: int) -> Parts:
    return {str(digit): partial(digit_scores, digit, seed) for digit in range(10)}


def digit_scores(digit: int, seed: int) -> Scores:
    return measured(_fields.digits(digit, seed), seed)


def of_connections(seed: int) -> Parts:
    return {"all": lambda: measured(_fields.connections(seed), seed)}


def of_xrays(seed: int) -> Parts:
    return {"all": lambda: measured(_fields.xrays(seed), seed)}


def of_boards(seed: int) -> Parts:
    return {"all": lambda: board_scores(seed)}


def board_scores(seed: int) -> Scores:
    """Also by the difference of template and picture, which needs no fit."""
    field = _fields.boards(seed)
    pairs = field.test.astype(np.float64)
    apart = np.abs(pairs[:, 0] - pairs[:, 1]).sum((1, 2))
    return {**measured(field, seed), DIFFERENCE: areas(field.y, apart)}


def of_series(seed: int) -> Parts:
    return {name: partial(series_scores, name, seed) for name in _fields.series_names()}


def series_scores(name: str, seed: int) -> Scores:
    """Of points; nothing where the scored part has no normal point or no anomaly."""
    field, windows, points = _fields.series(name)
    if not 0 < field.y.mean() < 1:
        return {}
    return measured(field, seed, lambda odd: np.asarray(windows.points(odd, points)))


FIELDS: dict[str, Callable[[int], Parts]] = {
    "digits": of_digits,
    "connections": of_connections,
    "xrays": of_xrays,
    "boards": of_boards,
    "series": of_series,
}
TITLES = {
    "digits": "digits, one class normal",
    "connections": "KDD 1999 connections",
    "xrays": "chest X-rays",
    "boards": "tiles of circuit boards",
    "series": "NAB series",
}


def measured(field: Field, seed: int, points: Points = np.asarray) -> Scores:
    """Every detector on one split."""
    settings = choice("anomaly", "clean")
    detectors = {
        kind: partial(rival.detect, **settings[kind]["settings"])
        for kind, rival in CLASSICAL.items()
    }
    if field.training.ndim > 2:
        for kind, (like, detect) in OF_PIXELS.items():
            detectors[kind] = partial(detect, **settings[like]["settings"])
    found = {}
    for kind, detect in detectors.items():
        began = time.process_time()
        odd = detect(field.plain_training, field.plain_test, seed)
        found[kind] = {**areas(field.y, points(odd)), "seconds": time.process_time() - began}
    began = time.process_time()
    odd = clean_vae(field.training, field.test, seed)
    found[OURS] = {**areas(field.y, points(odd)), "seconds": time.process_time() - began}
    return found


def areas(y: Array, odd: Array) -> dict[str, float]:
    return {
        "auroc": float(roc_auc_score(y, odd)),
        "ap": float(average_precision_score(y, odd)),
    }


def run_cell(field: str, seed: int) -> dict[str, Scores]:
    """All parts of one field and seed; those that are done are read."""
    parts = {
        name: part_of(NAME, f"{field}_{seed}", name, measure)
        for name, measure in FIELDS[field](seed).items()
    }
    return {name: scores for name, scores in parts.items() if scores}


def metrics_of(field: str, cells: list[dict[str, Scores]]) -> list[Metric]:
    """Mean areas over parts and seeds; the spread is that of seeds."""
    found = []
    for measure, label in (("auroc", "AUROC"), ("ap", "average precision")):
        kinds = cells[0][next(iter(cells[0]))]
        by_seed = {
            kind: [
                float(np.mean([part[kind][measure] for part in cell.values()])) for cell in cells
            ]
            for kind in kinds
        }
        mine = by_seed[OURS]
        each = {
            kind: [part[kind][measure] for cell in cells for part in cell.values()]
            for kind in kinds
        }
        rivals = (
            [
                paired(kind, settings_of(kind), each[OURS], values, "higher", "part and seed")
                for kind, values in each.items()
                if kind != OURS
            ]
            if len(each[OURS]) > 1
            else []
        )
        bar = (field, measure) == ("digits", "auroc")
        found.append(
            Metric(
                f"{TITLES[field]}, mean {label}",
                float(np.mean(mine)),
                label,
                "higher",
                float(np.std(mine, ddof=1)) if len(mine) > 1 else None,
                DIGITS_BAR if bar else None,
                rivals=rivals,
                beats=[rival.name for rival in rivals] if bar else [],
            )
        )
    return found


def settings_of(kind: str) -> str:
    """Of a rival, in words."""
    if kind not in CLASSICAL:
        return "no fit" if kind == DIFFERENCE else f"as {OF_PIXELS[kind][0]}, of pixels as they are"
    found = choice("anomaly", "clean")[kind]
    how = f"chosen among {found['tried']} by mean AUROC on half of the ADBench tables"
    return in_words(found["settings"], how)


@dataclass(frozen=True)
class HeatMap:
    """A picture, what is odd in it, and where its defects are marked.

    Attributes:
        title: what it is a picture of.
        picture: (H, W).
        heat: nats above the average, or rarity, (H, W).
        boxes: (defects, 4): left, top, right, bottom; none if they are not known.
        unit: of the heat.
    """

    title: str
    picture: Array
    heat: Array
    boxes: Array
    unit: str = "nats above the usual"


def heat_figures() -> None:
    """Boards and X-rays that the detector finds odd, and where."""
    draw_heat(BOARDS_FIGURE, list(board_heat()))
    draw_heat(XRAYS_FIGURE, list(xray_heat()))


def draw_heat(name: str, found: Sequence[HeatMap]) -> None:
    """Every picture beside its heat map, in one line."""
    canvas, grid = plt.subplots(
        1, 2 * len(found), figsize=(6 * len(found), 3.2), layout="constrained"
    )
    for each, left, right in zip(found, grid[::2], grid[1::2], strict=True):
        left.imshow(each.picture, cmap="gray")
        left.set_title(each.title, loc="left", fontsize=11)
        drawn = right.imshow(each.heat, cmap="inferno", vmin=0, vmax=np.quantile(each.heat, 0.999))
        right.set_title(each.unit, loc="left", fontsize=11)
        canvas.colorbar(drawn, ax=right, shrink=0.8, pad=0.02)
        for axes in (left, right):
            axes.set(xticks=[], yticks=[])
            for x, y, x_end, y_end in each.boxes:
                frame = Rectangle((x, y), x_end - x, y_end - y, fill=False, ec="#00b4d8", lw=2)
                axes.add_patch(frame)
    keep(canvas, name)


def board_heat() -> Iterator[HeatMap]:
    """The first boards of the group that was not fitted on, put together from the middles of tiles,
    because the pixels at the border of a tile have no score."""
    detector = kept_detector("boards", _fields.boards(0).training)
    middle = _fields.TILE - 2 * BORDER
    for board in _fields.all_boards(True)[:BOARDS_SHOWN]:
        whole = np.zeros(board.pair.shape[1:])
        steps = range(0, len(whole) - _fields.TILE + 1, middle)
        tiles = sliding_window_view(board.pair, (_fields.TILE, _fields.TILE), (1, 2))
        tiles = tiles[:, ::middle, ::middle].transpose(1, 2, 0, 3, 4)
        heat = detector.explain(tiles.reshape(-1, *tiles.shape[2:]))
        inner = heat[:, BORDER:-BORDER, BORDER:-BORDER].reshape(*tiles.shape[:2], middle, middle)
        filled = len(steps) * middle
        inside = slice(BORDER, BORDER + filled)
        whole[inside, inside] = inner.swapaxes(1, 2).reshape(filled, filled)
        title = f"board, {len(board.boxes)} defects framed"
        yield HeatMap(title, board.pair[1], whole, board.boxes, "rarity, nats")


def xray_heat() -> Iterator[HeatMap]:
    """The oddest of the X-rays with pneumonia."""
    field = _fields.xrays(0)
    detector = kept_detector("xrays", field.training)
    ill = field.test[field.y == 1]
    odd = ill[np.argsort(-detector.anomaly_score(ill))[:XRAYS_SHOWN]]
    for picture, heat in zip(odd, detector.explain(odd), strict=True):
        yield HeatMap("X-ray with pneumonia", picture, heat, np.empty((0, 4)))


def kept_detector(name: str, training: Array) -> VAEDetector:
    folder = RUNS / f"{name}.lb"
    if not folder.exists():
        fitted_vae(training, 0).save(folder)
    return VAEDetector.load(folder)


def quick(seed: int) -> None:
    """One class of digits, the first setting of each rival."""
    field = _fields.digits(0, seed)
    for kind, rival in CLASSICAL.items():
        odd = rival.detect(field.plain_training, field.plain_test, seed, **rival.settings[0])
        print(f"quick, not quoted: {kind} {areas(field.y, odd)['auroc']:.4f}")
    odd = clean_vae(field.training, field.test, seed)
    print(f"quick, not quoted: {OURS} {areas(field.y, odd)['auroc']:.4f}")


def summarize(cells: dict[str, list[dict[str, Scores]]]) -> None:
    metrics = [metric for field in FIELDS for metric in metrics_of(field, cells[field])]
    for metric in metrics:
        print(f"{metric.name}: {metric.value:.4f} {dict(metric.beside)}", flush=True)
    heat_figures()
    files = [file for file in map(_fields.file_of, FIELDS) if file is not None]
    each = [part for field in cells.values() for cell in field for part in cell.values()]
    seconds = sum(scores.get("seconds", 0.0) for part in each for scores in part.values())
    write(
        NAME,
        metrics,
        data=[
            {
                "file": file,
                "split": "see the command's text",
                "sha256": file_sha256(_fields.archive_path(file)),
            }
            for file in files
        ],
        seeds=list(SEEDS),
        minutes=seconds / 60,
        notes=f"Connections: {_fields.FITTED_CONNECTIONS:,} normal ones fitted on, "
        f"{_fields.SCORED_CONNECTIONS:,} scored. Boards: {_fields.FITTED_TILES:,} sound tiles "
        f"fitted on, {_fields.SCORED_TILES:,} of others scored with all defects, {_fields.TILE} x "
        f"{_fields.TILE} pixels each. Series: windows of {_fields.WINDOW} points, points by the "
        "mean of their windows. The settings of the classical detectors have the highest mean "
        "AUROC on the first half of the ADBench tables, on which our defaults were chosen. Spread: "
        "standard deviation over seeds. Minutes are processor time of the cells.",
        extra={
            "rivals": choice("anomaly", "clean"),
            "cells": {
                f"{field}_{seed}": cell
                for field, each in cells.items()
                for seed, cell in zip(SEEDS, each, strict=True)
            },
        },
    )


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--cell", choices=[f"{f}_{s}" for f, s in product(FIELDS, SEEDS)])
    chosen = parser.parse_args()
    if chosen.quick:
        quick(chosen.seed)
    elif chosen.cell:
        field, _, seed = chosen.cell.rpartition("_")
        run_cell(field, int(seed))
    else:
        summarize({field: [run_cell(field, seed) for seed in SEEDS] for field in FIELDS})


if __name__ == "__main__":
    main()
