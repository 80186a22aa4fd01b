"""Missing cells of tables with numbers and levels: the VAE beside medians, chains and forests.

Three tables, cells hidden completely at random, at random given other columns, and by their own
value; 10, 30 and 50 % of them, up to three masks each. An imputer fits on the rows that it fills,
and is told which columns are numbers and which are levels. Of numbers the root mean squared error
over the hidden cells counts, in deviations of the complete column; of levels the share that is
right.

    python benchmarks/mixed_imputation.py --cell german_0   one mask of every kind, resumable
    python benchmarks/mixed_imputation.py --masks 1         all that is missing of one, the result
    python benchmarks/mixed_imputation.py                   of three
"""

from __future__ import annotations

import time
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from _cells import Answer
from _mixed_imputers import ALONE, CHAINED, IMPUTERS, OURS
from _mixed_tables import FILES, MECHANISMS, Array, Table, place, table
from _record import Metric, arguments, part_of, write
from _rivals import Better, in_words, paired

from lowerbound.data.catalog import file_sha256

NAME = "mixed_imputation"
ROWS = 1_000
SHARES = (0.1, 0.3, 0.5)
SEEDS = (0, 1, 2)
ITERATIVE = "IterativeImputer"
BARS = {"missForest": 75.0, ITERATIVE: 90.0, "median and mode": 90.0}
"""Share of masks to win, %."""
Kind = tuple[str, str, float]  # table, mechanism, share
KINDS: tuple[Kind, ...] = tuple(product(FILES, MECHANISMS, SHARES))
Scores = dict[str, dict[str, Any]]  # by imputer: both measures, seconds, settings
MEASURES: dict[str, tuple[str, Better]] = {
    "rmse": ("RMSE", "lower"),
    "accuracy": ("accuracy", "higher"),
}


def measured(truth: Table, filled: Any, hidden: Array) -> dict[str, float]:
    """Both measures over the hidden cells that had a value."""
    squares, right = [], []
    for name, gone in zip(truth.frame.columns, (hidden & truth.present).T, strict=True):
        true, found = truth.frame[name].to_numpy()[gone], filled[name].to_numpy()[gone]
        if name in truth.numeric:
            deviation = truth.frame[name].std(ddof=0)
            squares.append(np.square((found.astype(np.float64) - true) / deviation))
        else:
            right.append(found == true)
    return {
        "rmse": float(np.sqrt(np.concatenate(squares).mean())),
        "accuracy": float(np.concatenate(right).mean()),
    }


def run_one(imputer: str, kind: Kind, seed: int, rows: int = ROWS) -> Answer:
    """One imputer on one mask."""
    name, mechanism, share = kind
    truth = table(name, rows)
    place_in_order = KINDS.index(kind)
    hidden = MECHANISMS[mechanism](truth, share, np.random.default_rng([seed, place_in_order]))
    given, began = truth.hiding(hidden), time.process_time()
    filled, settings = IMPUTERS[imputer](given, seed)
    seconds = time.process_time() - began
    return {**measured(truth, filled, hidden), "seconds": seconds, "settings": settings}


def run_cell(name: str, seed: int) -> dict[Kind, Scores]:
    """One mask of every kind of one table; those that are done are read."""
    return {
        kind: {
            imputer: part_of(
                NAME,
                f"{name}_{seed}",
                f"{kind[1]} {kind[2]:.0%}, {imputer}",
                partial(run_one, imputer, kind, seed),
            )
            for imputer in IMPUTERS
        }
        for kind in KINDS
        if kind[0] == name
    }


def metrics_of(cells: list[dict[Kind, Scores]]) -> list[Metric]:
    """Both measures of every kind and of all masks, then how many are won against each rival.

    With one mask of a kind, its rivals' figures are in the cells alone.
    """
    found = []
    for kind, (measure, (label, better)) in product(cells[0], MEASURES.items()):
        mine = [cell[kind][OURS][measure] for cell in cells]
        rivals = [
            paired(
                name,
                in_words(cells[0][kind][name]["settings"], "those of the first mask"),
                mine,
                [cell[kind][name][measure] for cell in cells],
                better,
                "mask",
            )
            for name in (cells[0][kind] if len(cells) > 1 else ())
            if name != OURS
        ]
        beats = [rival.name for rival in rivals if rival.name != ALONE]
        spread = float(np.std(mine, ddof=1)) if len(mine) > 1 else None
        name, mean = f"{kind[0]}, {kind[1]}, {kind[2]:.0%} hidden", float(np.mean(mine))
        found.append(Metric(name, mean, label, better, spread, rivals=rivals, beats=beats))
    found += [_of_all(cells, measure) for measure in MEASURES]
    return found + [
        _wins(cells, rival, measure)
        for measure in MEASURES
        for rival in next(iter(cells[0].values()))
        if rival != OURS
    ]


def _of_all(cells: list[dict[Kind, Scores]], measure: str) -> Metric:
    """The mean over all masks, beside that of each rival."""
    label, better = MEASURES[measure]
    every = [scores for cell in cells for scores in cell.values()]
    mine = [scores[OURS][measure] for scores in every]
    rivals = [
        paired(
            name,
            in_words(every[0][name]["settings"], "those of the first mask"),
            mine,
            [scores[name][measure] for scores in every],
            better,
            "mask",
        )
        for name in every[0]
        if name != OURS
    ]
    beats = [rival.name for rival in rivals if rival.name != ALONE]
    mean = float(np.mean(mine))
    return Metric(f"{label}, all masks", mean, label, better, rivals=rivals, beats=beats)


def _wins(cells: list[dict[Kind, Scores]], rival: str, measure: str) -> Metric:
    """Share of the masks on which ours is better; kinds won on average in the name."""
    sign = -1 if measure == "rmse" else 1
    apart = np.array(
        [
            [sign * (scores[OURS][measure] - scores[rival][measure]) for scores in cell.values()]
            for cell in cells
        ]
    )
    kinds = int((apart.mean(0) > 0).sum())
    label = MEASURES[measure][0]
    name = f"{label}: masks won against {rival} ({kinds} of {apart.shape[1]} kinds on average)"
    share = 100 * float((apart > 0).mean())
    return Metric(name, share, "%", "higher", None, BARS.get(rival))


def _best_chain(scores: Scores) -> Scores:
    """IterativeImputer's codings as one rival, by each measure the better of them."""
    chained = [scores[name] for name in CHAINED]
    best = {
        "rmse": min(each["rmse"] for each in chained),
        "accuracy": max(each["accuracy"] for each in chained),
        "seconds": sum(each["seconds"] for each in chained),
        "settings": {name: each["settings"] for name, each in zip(CHAINED, chained, strict=True)},
    }
    return {**{k: v for k, v in scores.items() if k not in CHAINED}, ITERATIVE: best}


def quick(seed: int) -> None:
    """One small mask, the imputers that take seconds."""
    for imputer in ("median and mode", *CHAINED, OURS):
        found = run_one(imputer, ("german", "MCAR", 0.3), seed, rows=100)
        print(f"quick, not quoted: {imputer} {found['rmse']:.3f} {found['accuracy']:.3f}")


def summarize(cells: list[dict[Kind, Scores]]) -> None:
    as_one = [{kind: _best_chain(scores) for kind, scores in cell.items()} for cell in cells]
    metrics = metrics_of(as_one)
    for metric in metrics:
        print(f"{metric.name}: {metric.value:.4f} {metric.unit}", flush=True)
    each = [answer for cell in cells for scores in cell.values() for answer in scores.values()]
    write(
        NAME,
        metrics,
        data=[
            {"file": file, "split": f"{ROWS:,} rows at random", "sha256": file_sha256(place(name))}
            for name, file in FILES.items()
        ],
        seeds=list(SEEDS[: len(cells)]),
        minutes=sum(answer["seconds"] for answer in each) / 60,
        notes=f"{ROWS:,} rows of each table. VAEImputer by default, columns of numbers told to be "
        "such (kind real) where they hold few of them. IterativeImputer runs with "
        "levels as codes, as indicators, and as those without the first: the best of the three "
        "by each measure is its figure. missForest as published: 100 trees, at most 10 rounds, "
        "nodes of 5 numbers or 1 level, its stopping rule. The tuned forests choose leaves and "
        "random or extremely random trees, for numbers and for levels, on a tenth of the seen "
        "cells of each mask. Rivals' numbers are kept in the observed range of a column. Spread: "
        "standard deviation over masks. Minutes are of processor time.",
        command=f"python benchmarks/{NAME}.py --masks {len(cells)}",
        extra={
            "cells": [
                {"table": kind[0], "mechanism": kind[1], "hidden": kind[2], "mask": seed, **scores}
                for seed, cell in zip(SEEDS, cells, strict=False)
                for kind, scores in cell.items()
            ]
        },
    )


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--cell", choices=[f"{n}_{s}" for n, s in product(FILES, SEEDS)])
    parser.add_argument("--masks", type=int, default=len(SEEDS), help="how many of each kind")
    chosen = parser.parse_args()
    if chosen.quick:
        quick(chosen.seed)
    elif chosen.cell:
        name, _, seed = chosen.cell.rpartition("_")
        run_cell(name, int(seed))
    else:
        every = SEEDS[: chosen.masks]
        summarize([{k: v for n in FILES for k, v in run_cell(n, s).items()} for s in every])


if __name__ == "__main__":
    main()
