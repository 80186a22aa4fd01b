"""Intensive care (PhysioNet 2012, set a): measured values removed, and put back by eight imputers.

One in ten of the values on the hourly grids of held-out patients is removed, up to three draws of
patients and values. Everything is fitted to other patients, from whom nothing is removed. A row is
an hour of a patient, 36 variables: what was measured in it and, beside that, what was last measured
before and is next measured after it, both from what is left. IterativeImputer is given the hours
alone, and the same rows as ours. So are a random forest and boosted trees for each variable, which
choose their settings on values of the other patients and take missing ones as they are. Errors are
in standard deviations of a variable's measured values.

    python benchmarks/icu_imputation.py --cell 0          one draw, resumable
    python benchmarks/icu_imputation.py --draws 1         all that is missing of one, the result
    python benchmarks/icu_imputation.py                   of three
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from _cells import Answer
from _icu import ARCHIVE, Array, after, before, grids, interpolated, last_seen, place
from _icu_trees import boosted, forest
from _imputers import limits
from _record import Metric, arguments, part_of, write
from _rivals import in_words, paired
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the next line work
from sklearn.impute import IterativeImputer

from lowerbound import VAEImputer
from lowerbound.data.catalog import file_sha256

NAME = "icu_imputation"
OURS = "VAE"
SEEDS = (0, 1, 2)
FITTED, HELD_OUT = 300, 150  # patients
ROWS = 5_000  # of theirs to fit on, drawn at random
SHARE = 0.1
LATENTS = 40  # a variable and its two neighbors in time share one, and some are left
EPOCHS, DRAWS = 10, 50
ROUNDS = 5  # of IterativeImputer on the wide rows, where each takes seconds

Scores = dict[str, Answer]  # by imputer: errors, seconds and settings


@dataclass(frozen=True)
class Removed:
    """Patients with values removed, and others to fit on, both (patients, hours, variables).

    Attributes:
        fitted: measured values of the others, (rows, 3 variables): of the hour, before, after.
        truth: the held-out patients, nothing removed.
        hidden: where a value was removed.
        center, scale: mean and deviation of each variable over the others' measured values.
        range: the least and the largest of these.
    """

    fitted: Array
    truth: Array
    hidden: Array
    center: Array
    scale: Array
    range: tuple[Array, Array]

    @classmethod
    def draw(cls, seed: int, patients: int = HELD_OUT, rows: int = ROWS) -> Removed:
        random = np.random.default_rng(seed)
        values, _ = grids()
        order = random.permutation(len(values))
        others, truth = values[order[:FITTED]], values[order[FITTED : FITTED + patients]]
        hidden = ~np.isnan(truth) & (random.random(truth.shape) < SHARE)
        center, scale = np.nanmean(others, (0, 1)), np.nanstd(others, (0, 1))
        wide = with_neighbors(others)
        fitted = wide[random.permutation(len(wide))[:rows]]
        ends = np.nanmin(others, (0, 1)), np.nanmax(others, (0, 1))
        return cls(fitted, truth, hidden, center, scale, ends)

    @property
    def left(self) -> Array:
        """The held-out patients without the removed values."""
        return np.where(self.hidden, np.nan, self.truth)

    @property
    def waiting(self) -> Array:
        """Numbers of the rows in which a value was removed."""
        return np.flatnonzero(self.hidden.any(2).ravel())

    def completed(self, filled: Array) -> Array:
        """The grid of what is left, the waiting rows' first columns put in."""
        variables = self.truth.shape[2]
        grid = self.left.reshape(-1, variables)
        grid[self.waiting] = filled[:, :variables]
        return grid.reshape(self.truth.shape)

    def errors(self, filled: Array) -> Answer:
        """Mean absolute error over the removed values, in deviations; and by patient, in the order
        of the draw, of those with removed values."""
        apart = np.where(self.hidden, np.abs(filled - self.truth) / self.scale, 0.0)
        removed = self.hidden.sum((1, 2))
        by_patient = apart.sum((1, 2))[removed > 0] / removed[removed > 0]
        return {
            "error": float(apart.sum() / removed.sum()),
            "by patient": [round(float(each), 5) for each in by_patient],
        }


def with_neighbors(series: Array) -> Array:
    """(patients, hours, variables) to rows: of the hour, last before it, next after it."""
    wide = np.concatenate([series, before(series), after(series)], 2)
    return wide.reshape(-1, wide.shape[2])


Filled = tuple[Array, Answer]  # the grids of the held-out patients, and the settings


def mean(removed: Removed, seed: int) -> Filled:
    return np.broadcast_to(removed.center, removed.truth.shape), {}


def last_value(removed: Removed, seed: int) -> Filled:
    """Carried forward; the mean before the first."""
    last = last_seen(removed.left)
    return np.where(np.isnan(last), removed.center, last), {}


def in_time(removed: Removed, seed: int) -> Filled:
    """Linear interpolation in time; the mean for a patient without a value of the variable."""
    line = interpolated(removed.left)
    return np.where(np.isnan(line), removed.center, line), {}


def chained_hours(removed: Removed, seed: int) -> Filled:
    """IterativeImputer by default, on hours alone."""
    variables = removed.truth.shape[2]
    rows = removed.left.reshape(-1, variables)[removed.waiting]
    rounds = 10
    filled = _chained(removed.fitted[:, :variables], rows, seed, rounds)
    return removed.completed(filled), {"rounds": rounds}


def chained_neighbors(removed: Removed, seed: int) -> Filled:
    """IterativeImputer on the rows that ours has."""
    rows = with_neighbors(removed.left)[removed.waiting]
    return removed.completed(_chained(removed.fitted, rows, seed, ROUNDS)), {"rounds": ROUNDS}


def forests(removed: Removed, seed: int) -> Filled:
    """A random forest for each variable, on the rows that ours has."""
    rows = with_neighbors(removed.left)[removed.waiting]
    filled, settings = forest(removed.fitted, rows, removed.center, seed)
    return removed.completed(filled), settings


def boosting(removed: Removed, seed: int) -> Filled:
    """Boosted trees of the median of each variable, on the rows that ours has."""
    rows = with_neighbors(removed.left)[removed.waiting]
    filled, settings = boosted(removed.fitted, rows, removed.center, seed)
    return removed.completed(filled), settings


def ours(removed: Removed, seed: int) -> Filled:
    """``VAEImputer`` with medians, which absolute errors ask for, and a latent per variable."""
    _, names = grids()
    columns = [f"{name}{when}" for when in ("", " before", " after") for name in names]
    fitted = pd.DataFrame(removed.fitted, columns=columns)
    # told, since a measurement that happens to be whole in these rows need not be in others
    kinds = {name: "real" for name in columns if fitted[name].nunique() > 2}
    imputer = VAEImputer(
        "median",
        keep_empty_features=True,
        latent_dim=LATENTS,
        epochs=EPOCHS,
        n_importance=DRAWS,
        random_state=seed,
        data_options={"kinds": kinds},
    )
    imputer.fit(fitted)
    rows = with_neighbors(removed.left)[removed.waiting]
    filled = imputer.transform(pd.DataFrame(rows, columns=columns))
    return removed.completed(filled.to_numpy(dtype=np.float64)), {}


IMPUTERS: dict[str, Callable[[Removed, int], Filled]] = {
    "mean": mean,
    "last value": last_value,
    "interpolation in time": in_time,
    "IterativeImputer": chained_hours,
    "IterativeImputer, neighbors too": chained_neighbors,
    "random forests": forests,
    "boosted trees": boosting,
    OURS: ours,
}


def run_cell(seed: int) -> Scores:
    """Every imputer on one draw; those that are done are read."""
    return {
        name: part_of(NAME, str(seed), name, partial(measured, name, seed)) for name in IMPUTERS
    }


def measured(name: str, seed: int, patients: int = HELD_OUT, rows: int = ROWS) -> Answer:
    """Errors, settings and processor time of one imputer on one draw; rivals stay in the range."""
    removed = Removed.draw(seed, patients, rows)
    began = time.process_time()
    filled, settings = IMPUTERS[name](removed, seed)
    seconds = time.process_time() - began
    if name != OURS:
        filled = np.clip(filled, *removed.range)
    return {**removed.errors(filled), "seconds": seconds, "settings": settings}


def metrics_of(cells: list[Scores]) -> list[Metric]:
    """The mean error, and the paired difference to each rival."""
    errors = {name: np.array([cell[name]["error"] for cell in cells]) for name in IMPUTERS}
    mine = errors.pop(OURS)
    rivals = [
        paired(
            name,
            in_words(cells[0][name]["settings"], "those of the first draw, chosen on seen values"),
            mine.tolist(),
            theirs.tolist(),
            "lower",
            "draw",
        )
        for name, theirs in (errors.items() if len(mine) > 1 else ())
    ]
    spread = float(mine.std(ddof=1)) if len(mine) > 1 else None
    return [
        Metric(
            "removed values, mean absolute error",
            float(mine.mean()),
            "deviations",
            "lower",
            spread,
            rivals=rivals,
            beats=[rival.name for rival in rivals],
        )
    ]


def _chained(fitted: Array, rows: Array, seed: int, rounds: int) -> Array:
    """Standardized, so that its ridge and its tolerance mean the same to each column; answers of
    every round stay in the range of the column, since it diverges otherwise."""
    center, scale = np.nanmean(fitted, 0), np.nanstd(fitted, 0)
    scale = np.where(scale > 0, scale, 1.0)
    standard = (fitted - center) / scale
    low, high = limits(standard)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        imputer = IterativeImputer(
            max_iter=rounds, random_state=seed, min_value=low, max_value=high
        ).fit(standard)
        filled = imputer.transform((rows - center) / scale)
    return np.asarray(filled * scale + center)


def quick(seed: int) -> None:
    """Few patients, few rows, the imputers that take seconds."""
    for name in ("mean", "last value", "interpolation in time", OURS):
        error = measured(name, seed, patients=8, rows=50)["error"]
        print(f"quick, not quoted: {name} {error:.4f}", flush=True)


def summarize(cells: list[Scores]) -> None:
    metrics = metrics_of(cells)
    for metric in metrics:
        print(f"{metric.name}: {metric.value:.4f}", flush=True)
    write(
        NAME,
        metrics,
        data=[{"file": ARCHIVE, "split": "patients at random", "sha256": file_sha256(place())}],
        seeds=list(SEEDS[: len(cells)]),
        minutes=sum(answer["seconds"] for cell in cells for answer in cell.values()) / 60,
        notes=f"{FITTED} patients to fit on, {ROWS:,} of their hours; {HELD_OUT} others with "
        f"values removed. VAEImputer by default save strategy='median', "
        f"latent_dim={LATENTS}, epochs={EPOCHS}, n_importance={DRAWS}, chosen on other draws. "
        f"IterativeImputer runs 10 rounds on hours alone and {ROUNDS} on the wide rows. Forests "
        "and boosted trees choose their settings for each variable on a fifth of the rows to fit "
        "on. Rivals are kept in the range of the variable among the patients to fit on. Spread: "
        "standard deviation over draws; of differences, half the 95 % interval of the paired mean. "
        "Minutes are of processor time.",
        command=f"python benchmarks/{NAME}.py --draws {len(cells)}",
        extra={"cells": dict(zip(map(str, SEEDS), cells, strict=False))},
    )


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--cell", type=int, choices=SEEDS, help="one draw")
    parser.add_argument("--draws", type=int, default=len(SEEDS), help="how many")
    chosen = parser.parse_args()
    if chosen.quick:
        quick(chosen.seed)
    elif chosen.cell is not None:
        run_cell(chosen.cell)
    else:
        summarize([run_cell(seed) for seed in SEEDS[: chosen.draws]])


if __name__ == "__main__":
    main()
