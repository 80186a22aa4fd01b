"""Missing cells of tables with numbers and levels: the VAE beside medians, chains and missForest.

Three tables, cells hidden completely at random, at random given other columns, and by their own
value; 10, 30 and 50 % of them, up to three masks each. An imputer fits on the rows that it fills,
and is told which columns are numbers and which are levels. Of numbers the root mean squared error
over the hidden cells counts, in deviations of the complete column; of levels the share that is
right.

    python benchmarks/mixed_imputation.py --cell 0        one mask of every kind, resumable
    python benchmarks/mixed_imputation.py --masks 1       all that is missing of one, the result
    python benchmarks/mixed_imputation.py                 of three
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from _mixed_imputers import CHAINED, IMPUTERS, OURS
from _mixed_tables import FILES, MECHANISMS, Array, Table, place, table
from _record import Metric, arguments, write

from lowerbound.data.catalog.download import file_sha256

NAME = "mixed_imputation"
RUNS = Path("runs") / NAME
ROWS = 1_000
SHARES = (0.1, 0.3, 0.5)
SEEDS = (0, 1, 2)
ITERATIVE = "IterativeImputer"
Kind = tuple[str, str, float]  # table, mechanism, share
KINDS: tuple[Kind, ...] = tuple(product(FILES, MECHANISMS, SHARES))
Scores = dict[str, dict[str, float]]  # by imputer, by measure
MEASURES = {"rmse": ("RMSE", "lower"), "accuracy": ("accuracy", "higher")}


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


def run_kind(kind: Kind, seed: int, rows: int = ROWS) -> Scores:
    """Every imputer on one mask."""
    name, mechanism, share = kind
    truth = table(name, rows)
    place_in_order = KINDS.index(kind)
    hidden = MECHANISMS[mechanism](truth, share, np.random.default_rng([seed, place_in_order]))
    given = truth.hiding(hidden)
    found: Scores = {}
    for imputer, impute in IMPUTERS.items():
        began = time.process_time()
        found[imputer] = measured(truth, impute(given, seed), hidden)
        found[imputer]["seconds"] = time.process_time() - began
    return found


def run_cell(seed: int, kinds: Sequence[Kind], rows: int = ROWS) -> dict[Kind, Scores]:
    """One mask of every kind; those that are done are read."""
    path = RUNS / f"{seed}_{rows}.json"
    done: dict[str, Scores] = json.loads(path.read_text()) if path.exists() else {}
    for kind in kinds:
        if str(kind) not in done:
            done[str(kind)] = run_kind(kind, seed, rows)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(done, indent=1))
            said = ", ".join(
                f"{k} {v['rmse']:.3f} {v['accuracy']:.3f}" for k, v in done[str(kind)].items()
            )
            print(f"{seed} {kind}: {said}", flush=True)
    return {kind: _best_chain(done[str(kind)]) for kind in kinds}


def metrics_of(cells: list[dict[Kind, Scores]]) -> list[Metric]:
    """Both measures of every kind, then how many of the masks are won against each rival."""
    found = []
    for kind, (measure, (label, better)) in product(cells[0], MEASURES.items()):
        mine = [cell[kind][OURS][measure] for cell in cells]
        rivals = {
            name: float(np.mean([cell[kind][name][measure] for cell in cells]))
            for name in cells[0][kind]
            if name != OURS
        }
        bar = min(rivals.values()) if better == "lower" else max(rivals.values())
        spread = float(np.std(mine, ddof=1)) if len(mine) > 1 else None
        name = f"{kind[0]}, {kind[1]}, {kind[2]:.0%} hidden"
        found.append(Metric(name, float(np.mean(mine)), label, better, spread, bar, rivals))
    return found + [
        _wins(cells, rival, measure)
        for measure in MEASURES
        for rival in next(iter(cells[0].values()))
        if rival != OURS
    ]


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
    return Metric(name, 100 * float((apart > 0).mean()), "%", "higher", None, 100.0)


def _best_chain(scores: Scores) -> Scores:
    """IterativeImputer's codings as one rival, by each measure the better of them."""
    chained = [scores[name] for name in CHAINED]
    best = {
        "rmse": min(each["rmse"] for each in chained),
        "accuracy": max(each["accuracy"] for each in chained),
        "seconds": sum(each["seconds"] for each in chained),
    }
    return {**{k: v for k, v in scores.items() if k not in CHAINED}, ITERATIVE: best}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--cell", type=int, help="one mask of every kind, such as 0")
    parser.add_argument("--masks", type=int, default=len(SEEDS), help="how many of each kind")
    chosen = parser.parse_args()
    if chosen.cell is not None:
        run_cell(chosen.cell, KINDS)
        return
    kinds = (("german", "MCAR", 0.3),) if chosen.quick else KINDS
    seeds = (chosen.seed,) if chosen.quick else SEEDS[: chosen.masks]
    cells = [run_cell(seed, kinds, 100 if chosen.quick else ROWS) for seed in seeds]
    metrics = metrics_of(cells)
    for metric in metrics:
        print(f"{metric.name}: {metric.value:.4f} {metric.unit}", flush=True)
    write(
        NAME,
        metrics,
        data=[
            {"file": file, "split": f"{ROWS:,} rows at random", "sha256": file_sha256(place(name))}
            for name, file in FILES.items()
        ],
        seeds=list(seeds),
        minutes=sum(s["seconds"] for cell in cells for run in cell.values() for s in run.values())
        / 60,
        notes=f"{ROWS:,} rows of each table. VAEImputer by default, columns of numbers told to be "
        "such (kind real) where they hold few of them. IterativeImputer runs with "
        "levels as codes, as indicators, and as those without the first: the best of the three "
        "by each measure is its figure. missForest: 50 trees, at most 5 rounds. Spread: "
        "standard deviation over masks. Minutes are of processor time.",
        quick=chosen.quick,
        command=f"python benchmarks/{NAME}.py --masks {len(seeds)}",
    )


if __name__ == "__main__":
    main()
