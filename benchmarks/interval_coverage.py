"""How often intervals of imputed cells hold the hidden value, before and after calibration.

30 % of the cells of each table are hidden at random. A table's coverage is the mean over its
columns of numbers. "Before": the intervals of the same model without its calibration. In columns of
few values an interval ends at a value and holds more; tables whose numbers have few values each are
marked.

    python benchmarks/interval_coverage.py --cell wine_0     one table and seed
    python benchmarks/interval_coverage.py                   all missing cells, then the result
"""

from __future__ import annotations

import time
import warnings
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from _cells import data_file
from _record import Metric, arguments, part_of, write
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from lowerbound import VAEImputer

NAME = "interval_coverage"
HIDDEN, MOST_ROWS, LEVEL = 0.3, 2_000, 0.9
SEEDS = (0, 1, 2)
INSIDE = (0.87, 0.93)
FEW_VALUES = 20  # distinct values of the median column of numbers, below which a table is marked
FILES = {
    "red wine": "uci_winequality-red.csv.xz",
    "white wine": "uci_winequality-white.csv.xz",
    "abalone": "uci_abalone.csv.xz",
    "german": "uci_german.csv.xz",
    "wisconsin": "uci_breast-cancer-wisconsin.csv.xz",
    "housing": "california_housing.csv.xz",
    "Adult": "uci_adult-test.csv.xz",
    "credit": "credit_default.csv.xz",
}
LOADED = {"wine": load_wine, "diabetes": load_diabetes, "breast cancer": load_breast_cancer}
TABLES = (*LOADED, *FILES, "long tails")
Scores = dict[str, Any]


def table(name: str) -> pd.DataFrame:
    """At most ``MOST_ROWS`` rows, numbers as floats."""
    if name in LOADED:
        frame = pd.DataFrame(LOADED[name]().data)
    elif name in FILES:
        frame = pd.read_csv(data_file(FILES[name]), header=int(name == "credit"))
    else:
        random = np.random.default_rng(5)
        normal = random.normal(size=(1_000, 2)) @ random.normal(size=(2, 5))
        frame = pd.DataFrame(np.exp(1.5 * (normal + 0.3 * random.normal(size=(1_000, 5)))))
    frame.columns = [f"c{place}" for place in range(frame.shape[1])]
    frame = frame.sample(min(len(frame), MOST_ROWS), random_state=0).reset_index(drop=True)
    return frame.astype(dict.fromkeys(numbers(frame), np.float64))


def numbers(frame: pd.DataFrame) -> list[str]:
    """The columns of numbers that vary."""
    return [c for c in frame if pd.api.types.is_numeric_dtype(frame[c]) and frame[c].nunique() > 1]


def measured(name: str, seed: int, **settings: Any) -> Scores:
    """Mean coverage and width of the intervals of the columns of numbers, before and after."""
    began, whole = time.process_time(), table(name)
    hidden = np.random.default_rng([seed, 7]).random(whole.shape) < HIDDEN
    holes = whole.mask(hidden)
    imputer = VAEImputer(random_state=seed, **settings).fit(holes)
    scored = [c for c in numbers(whole) if c in holes and holes[c].nunique() > 1]
    after = coverage(whole, hidden, scored, imputer.interval(holes, LEVEL))
    calibration, imputer.calibration_ = imputer.calibration_, None
    before = coverage(whole, hidden, scored, imputer.interval(holes, LEVEL))
    return {
        "before": before,
        "after": after,
        "cells": None if calibration is None else calibration.cells,
        "distinct": float(np.median([whole[c].nunique() for c in scored])),
        "seconds": time.process_time() - began,
    }


def coverage(
    whole: pd.DataFrame, hidden: Any, columns: list[str], ends: tuple[Any, Any]
) -> dict[str, float]:
    """The mean over columns, the least and the most, and the mean width in deviations."""
    low, high = ends
    held, width = [], []
    for column in columns:
        at = hidden[:, whole.columns.get_loc(column)] & whole[column].notna().to_numpy()
        a, b, truth = (frame[column].to_numpy(np.float64)[at] for frame in (low, high, whole))
        slack = 1e-9 * whole[column].abs().max()
        held.append(float(((a - slack <= truth) & (truth <= b + slack)).mean()))
        width.append(float((b - a).mean() / whole[column].std()))
    mean, wide = float(np.mean(held)), float(np.mean(width))
    return {"mean": mean, "least": min(held), "most": max(held), "width": wide}


def run_cell(name: str, seed: int) -> Scores:
    return part_of(NAME, f"seed_{seed}", name, partial(measured, name, seed))


def summarize(found: dict[str, list[Scores]]) -> None:
    metrics = []
    for name, seeds in found.items():
        few = ", columns of few values" if seeds[0]["distinct"] < FEW_VALUES else ""
        means = [each["after"]["mean"] for each in seeds]
        metrics.append(
            Metric(
                f"{name}{few}: coverage of 90 % intervals",
                float(np.mean(means)),
                "share",
                "higher",
                float(np.std(means, ddof=1)),
                beside={
                    "before calibration": float(np.mean([s["before"]["mean"] for s in seeds])),
                    "least covered column": min(s["after"]["least"] for s in seeds),
                    "width over width before": float(
                        np.mean([s["after"]["width"] / s["before"]["width"] for s in seeds])
                    ),
                },
            )
        )
    for which in ("before", "after"):
        means = [float(np.mean([s[which]["mean"] for s in seeds])) for seeds in found.values()]
        inside = sum(INSIDE[0] <= mean <= INSIDE[1] for mean in means)
        target = len(found) if which == "after" else None
        name = f"tables inside 87 to 93 %, {which} calibration"
        metrics.append(Metric(name, inside, "tables", "higher", None, target))
    for metric in metrics:
        print(f"{metric.name}: {metric.value:.3f} {dict(metric.beside)}", flush=True)
    write(
        NAME,
        metrics,
        data=[{"file": file, "split": "30 % of the cells hidden"} for file in FILES.values()],
        seeds=list(SEEDS),
        minutes=sum(s["seconds"] for seeds in found.values() for s in seeds) / 60,
        notes=f"At most {MOST_ROWS:,} rows of a table. Spread: standard deviation over seeds. "
        "Minutes are processor time.",
        extra={"tables": found},
    )


def main() -> None:
    names = [f"{name}_{seed}" for name, seed in product(TABLES, SEEDS)]
    parser = arguments(__doc__ or "")
    parser.add_argument("--cell", choices=names)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    if chosen.quick:
        print(f"quick, not quoted: {measured('wine', chosen.seed, epochs=2)}")
    elif chosen.cell:
        name, _, seed = chosen.cell.rpartition("_")
        run_cell(name, int(seed))
    else:
        summarize({name: [run_cell(name, seed) for seed in SEEDS] for name in TABLES})


if __name__ == "__main__":
    main()
