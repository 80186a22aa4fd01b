"""Regression from few labels, beside ridge and a Gaussian process on the labeled rows alone.

30 % of the rows are for the test; among the others so many labels are known. The pilots that chose
the rule of the line looked at diabetes with 44 labels and at Friedman's functions with 60 and 200,
on draws 0 to 3; the draws reported start at 100.

    python benchmarks/few_measurements.py            about five processor minutes
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from _record import Metric, arguments, write
from _rivals import paired
from sklearn.datasets import load_diabetes, make_friedman1, make_friedman2
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lowerbound import SemiSupervisedRegressor

NAME = "few_measurements"
TEST = 0.3
FIRST_DRAW, DRAWS = 100, 10
WIDE = 1.96  # standard deviations of a band that holds 95 %
SETTINGS: dict[str, Any] = {"learning_rate": 2e-3, "training_options": {"updates": 1000}}
RIVALS = {
    "ridge": "RidgeCV, 25 strengths from .01 to 10,000 by leave-one-out on the labeled rows",
    "Gaussian process": "RBF, constant and white kernels by marginal likelihood, best of 3 starts",
    "Gaussian process, ARD": "the same with a length scale for each column",
}
CASES = (
    ("diabetes", 15),
    ("diabetes", 44),
    ("diabetes", 150),
    ("friedman1", 60),
    ("friedman1", 200),
    ("friedman2", 200),
)


def rows_of(name: str) -> Any:
    """The whole data set."""
    if name == "diabetes":
        return load_diabetes(return_X_y=True)
    if name == "friedman1":
        return make_friedman1(1_000, 10, noise=1.0, random_state=0)
    return make_friedman2(1_000, noise=100.0, random_state=0)


def one_draw(name: str, labels: int, draw: int, settings: dict[str, Any]) -> dict[str, float]:
    """R^2 of everyone on the test rows, and the share that the band of 95 % holds."""
    x, y = rows_of(name)
    rows, test = train_test_split(np.arange(len(y)), test_size=TEST, random_state=draw)
    known = np.random.default_rng(draw).choice(rows, labels, replace=False)
    given = np.where(np.isin(rows, known), y[rows], np.nan)
    model = SemiSupervisedRegressor(random_state=draw, **settings).fit(x[rows], given)
    mean, deviation = model.predict(x[test], return_std=True)
    scale = StandardScaler().fit(x[rows])
    found = {"SemiSupervisedRegressor": r2_score(y[test], mean)}
    for other, learner in rivals(x.shape[1]):
        found[other] = make_pipeline(scale, learner).fit(x[known], y[known]).score(x[test], y[test])
    return {**found, "covered": float((np.abs(y[test] - mean) < WIDE * deviation).mean())}


def rivals(columns: int) -> Iterator[tuple[str, Any]]:
    yield "ridge", RidgeCV(np.logspace(-2, 4, 25))
    for name, scales in (
        ("Gaussian process", 3.0),
        ("Gaussian process, ARD", np.full(columns, 3.0)),
    ):
        kernel = ConstantKernel() * RBF(scales) + WhiteKernel(0.5)
        yield (
            name,
            GaussianProcessRegressor(
                kernel, normalize_y=True, n_restarts_optimizer=2, random_state=0
            ),
        )


def metrics(name: str, labels: int, draws: list[dict[str, float]]) -> Iterator[Metric]:
    """Mean and standard deviation over the draws."""
    values = {key: np.array([draw[key] for draw in draws]) for key in draws[0]}
    own, covered = values.pop("SemiSupervisedRegressor"), values.pop("covered")
    others = [
        paired(key, RIVALS[key], own.tolist(), value.tolist(), "higher", "draw")
        for key, value in values.items()
    ]
    what = f"{name}, {labels} labels"
    yield Metric(
        f"{what}: R^2",
        float(own.mean()),
        "R^2",
        "higher",
        float(own.std(ddof=1)),
        rivals=others,
    )
    yield Metric(
        f"{what}: test rows in the band of 95 %",
        float(covered.mean()),
        "share",
        "higher",
        float(covered.std(ddof=1)),
        None,
    )


def main() -> None:
    parser = arguments("Regression from few labels.")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    if chosen.quick:
        found = one_draw("diabetes", 44, chosen.seed, {"training_options": {"updates": 20}})
        print(f"quick, not quoted: {found}")
        return
    began, draws = time.process_time(), range(FIRST_DRAW, FIRST_DRAW + DRAWS)
    results: list[Metric] = []
    for name, labels in CASES:
        answers = [one_draw(name, labels, draw, SETTINGS) for draw in draws]
        for metric in metrics(name, labels, answers):
            results.append(metric)
            print(metric, flush=True)
    write(
        NAME,
        results,
        data=[{"file": "scikit-learn's diabetes and Friedman's functions", "split": "-"}],
        seeds=list(draws),
        minutes=(time.process_time() - began) / 120,
        notes="Spreads are standard deviations over draws. Minutes: processor time over two.",
    )


if __name__ == "__main__":
    main()
