"""Intensive care (PhysioNet 2012, set a): measured values removed, and put back by five imputers.

One in ten of the values on the hourly grids of held-out patients is removed, up to three draws of
patients and values. Everything is fitted to other patients, from whom nothing is removed. A row is
an hour of a patient, 36 variables: what was measured in it and, beside that, what was last measured
before and is next measured after it, both from what is left. IterativeImputer is given the hours
alone, and the same rows as ours. Errors are in standard deviations of a variable's measured values.

    python benchmarks/icu_imputation.py --cell 0          one draw, resumable
    python benchmarks/icu_imputation.py --draws 1         all that is missing of one, the result
    python benchmarks/icu_imputation.py                   of three
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from _icu import ARCHIVE, Array, after, before, grids, last_seen, place
from _record import Metric, arguments, write
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the next line work
from sklearn.impute import IterativeImputer

from lowerbound import VAEImputer
from lowerbound.data.catalog.download import file_sha256

NAME = "icu_imputation"
RUNS = Path("runs") / NAME
OURS = "VAE"
SEEDS = (0, 1, 2)
FITTED, HELD_OUT = 300, 150  # patients
ROWS = 5_000  # of theirs to fit on, drawn at random
SHARE = 0.1
LATENTS = 40  # a variable and its two neighbors in time share one, and some are left
EPOCHS, DRAWS = 10, 50
ROUNDS = 5  # of IterativeImputer on the wide rows, where each takes seconds


Scores = dict[str, dict[str, float]]  # by imputer: error and seconds


@dataclass(frozen=True)
class Removed:
    """Patients with values removed, and others to fit on, both (patients, hours, variables).

    Attributes:
        fitted: measured values of the others, (rows, 3 variables): of the hour, before, after.
        truth: the held-out patients, nothing removed.
        hidden: where a value was removed.
        center, scale: mean and deviation of each variable over the others' measured values.
    """

    fitted: Array
    truth: Array
    hidden: Array
    center: Array
    scale: Array

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
        return cls(fitted, truth, hidden, center, scale)

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

    def error(self, filled: Array) -> float:
        """Mean absolute error over the removed values, in deviations."""
        return float((np.abs(filled - self.truth) / self.scale)[self.hidden].mean())


def with_neighbors(series: Array) -> Array:
    """(patients, hours, variables) to rows: of the hour, last before it, next after it."""
    wide = np.concatenate([series, before(series), after(series)], 2)
    return wide.reshape(-1, wide.shape[2])


def mean(removed: Removed, seed: int) -> Array:
    return np.broadcast_to(removed.center, removed.truth.shape)


def last_value(removed: Removed, seed: int) -> Array:
    """Carried forward; the mean before the first."""
    last = last_seen(removed.left)
    return np.where(np.isnan(last), removed.center, last)


def chained_hours(removed: Removed, seed: int) -> Array:
    """IterativeImputer by default, on hours alone."""
    variables = removed.truth.shape[2]
    rows = removed.left.reshape(-1, variables)[removed.waiting]
    return removed.completed(_chained(removed.fitted[:, :variables], rows, seed, 10))


def chained_neighbors(removed: Removed, seed: int) -> Array:
    """IterativeImputer on the rows that ours has."""
    rows = with_neighbors(removed.left)[removed.waiting]
    return removed.completed(_chained(removed.fitted, rows, seed, ROUNDS))


def ours(removed: Removed, seed: int) -> Array:
    """``VAEImputer`` with medians, which absolute errors ask for, and a latent per variable."""
    _, names = grids()
    columns = [f"{name}{when}" for when in ("", " before", " after") for name in names]
    fitted = pd.DataFrame(removed.fitted, columns=columns)
    # told, since a measurement that happens to be whole in these rows need not be in others
    kinds = {name: "real" for name in columns if fitted[name].nunique() > 2}
    imputer = VAEImputer(
        "median",
        latent_dim=LATENTS,
        epochs=EPOCHS,
        n_importance=DRAWS,
        random_state=seed,
        data_options={"kinds": kinds},
    )
    imputer.fit(fitted)
    rows = with_neighbors(removed.left)[removed.waiting]
    filled = imputer.transform(pd.DataFrame(rows, columns=columns))
    return removed.completed(filled.to_numpy(dtype=np.float64))


IMPUTERS: dict[str, Callable[[Removed, int], Array]] = {
    "mean": mean,
    "last value": last_value,
    "IterativeImputer": chained_hours,
    "IterativeImputer, neighbors too": chained_neighbors,
    OURS: ours,
}


def run_cell(seed: int, patients: int = HELD_OUT, rows: int = ROWS) -> Scores:
    """Error and processor time of each imputer on one draw; those that are done are read."""
    path = RUNS / f"{seed}_{patients}_{rows}.json"
    done: Scores = json.loads(path.read_text()) if path.exists() else {}
    removed = Removed.draw(seed, patients, rows)
    for name, impute in IMPUTERS.items():
        if name not in done:
            began = time.process_time()
            error = removed.error(impute(removed, seed))
            done[name] = {"error": error, "seconds": time.process_time() - began}
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(done, indent=1))
            print(f"{seed} {name}: {error:.4f}", flush=True)
    return done


def metrics_of(cells: list[Scores]) -> list[Metric]:
    """The mean error, and the paired difference to each rival."""
    errors = {name: np.array([cell[name]["error"] for cell in cells]) for name in IMPUTERS}
    mine = errors.pop(OURS)
    rivals = {name: float(theirs.mean()) for name, theirs in errors.items()}
    spread = float(mine.std(ddof=1)) if len(mine) > 1 else None
    found = [
        Metric(
            "removed values, mean absolute error",
            float(mine.mean()),
            "deviations",
            "lower",
            spread,
            min(rivals.values()),
            rivals,
        )
    ]
    for name, theirs in errors.items():
        apart = 100 * (mine / theirs - 1)
        half = stats.sem(apart) * stats.t.ppf(0.975, len(apart) - 1) if len(apart) > 1 else None
        found.append(Metric(f"difference to {name}", float(apart.mean()), "%", "lower", half, 0.0))
    return found


def _chained(fitted: Array, rows: Array, seed: int, rounds: int) -> Array:
    """Standardized, so that its ridge and its tolerance mean the same to each column."""
    center, scale = np.nanmean(fitted, 0), np.nanstd(fitted, 0)
    scale = np.where(scale > 0, scale, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        imputer = IterativeImputer(
            max_iter=rounds, random_state=seed, keep_empty_features=True
        ).fit((fitted - center) / scale)
        filled = imputer.transform((rows - center) / scale)
    return np.asarray(filled * scale + center)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--cell", type=int, help="one draw, such as 0")
    parser.add_argument("--draws", type=int, default=len(SEEDS), help="how many")
    chosen = parser.parse_args()
    if chosen.cell is not None:
        run_cell(chosen.cell)
        return
    sizes = (20, 200) if chosen.quick else (HELD_OUT, ROWS)
    seeds = (chosen.seed,) if chosen.quick else SEEDS[: chosen.draws]
    cells = [run_cell(seed, *sizes) for seed in seeds]
    metrics = metrics_of(cells)
    for metric in metrics:
        print(f"{metric.name}: {metric.value:.4f}", flush=True)
    write(
        NAME,
        metrics,
        data=[{"file": ARCHIVE, "split": "patients at random", "sha256": file_sha256(place())}],
        seeds=list(seeds),
        minutes=sum(scores["seconds"] for cell in cells for scores in cell.values()) / 60,
        notes=f"{FITTED} patients to fit on, {ROWS:,} of their hours; {HELD_OUT} others with "
        f"values removed. VAEImputer by default save strategy='median', "
        f"latent_dim={LATENTS}, epochs={EPOCHS}, n_importance={DRAWS}, chosen on other draws. "
        f"IterativeImputer runs 10 rounds on hours alone and {ROUNDS} on the wide rows. Spread: "
        "standard deviation over draws; of differences, half the 95 % interval of the paired mean. "
        "Minutes are of processor time.",
        quick=chosen.quick,
        command=f"python benchmarks/{NAME}.py --draws {len(seeds)}",
    )


if __name__ == "__main__":
    main()
