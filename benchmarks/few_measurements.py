"""Regression from few labels, beside ridge and Gaussian processes on the labeled rows alone.

30 % of the rows are for the test; among the others so many labels are known. Members, priors and
strength of the pool were chosen on draws from 1,000 on of diabetes, friedman1, german and red_wine;
the draws reported start at 0. The other tables were used for no choice.

    python benchmarks/few_measurements.py            about ten processor minutes
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from _measured_tables import Draw, drawn
from _record import Metric, arguments, write
from _rivals import paired
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import RidgeCV

from lowerbound import SemiSupervisedRegressor

NAME = "few_measurements"
DRAWS = 5
WIDE = 1.96  # standard deviations of a band that holds 95 %
OWN, COVERED, SECONDS = "SemiSupervisedRegressor", "covered", "seconds"
RIVALS = {
    "ridge": "RidgeCV, 25 strengths from .01 to 10,000 by leave-one-out on the labeled rows",
    "Gaussian process": "RBF or Matern 3/2, with constant and white kernels; kernel and "
    "hyperparameters by marginal likelihood, best of 3 starts",
    "Gaussian process, ARD": "the same with a length scale for each column",
}
CASES = (
    ("diabetes", 40),
    ("friedman1", 40),
    ("friedman2", 40),
    ("red_wine", 40),
    ("white_wine", 40),
    ("abalone", 40),
    ("california", 40),
    ("german", 40),
    ("diabetes", 15),
    ("friedman1", 200),
    ("abalone", 200),
)


class LikeliestProcess(RegressorMixin, BaseEstimator):
    """The Gaussian process of the likelier of two kernels.

    Args:
        own_scales: whether each column has a length scale.
    """

    def __init__(self, own_scales: bool = False) -> None:
        self.own_scales = own_scales

    def fit(self, x: Any, y: Any) -> LikeliestProcess:
        scales = np.full(x.shape[1], 3.0) if self.own_scales else 3.0
        options = {"normalize_y": True, "n_restarts_optimizer": 2, "random_state": 0}
        kernels = (RBF(scales), Matern(scales, nu=1.5))
        found = [
            GaussianProcessRegressor(ConstantKernel() * each + WhiteKernel(0.5), **options)
            for each in kernels
        ]
        fitted = [each.fit(x, y) for each in found]
        self.best_ = max(fitted, key=lambda each: each.log_marginal_likelihood_value_)
        return self

    def predict(self, x: Any) -> Any:
        return self.best_.predict(x)


def one_draw(rows: Draw, draw: int, settings: dict[str, Any]) -> dict[str, float]:
    """Root mean square error of everyone on the test rows, and the share that the band holds."""
    began = time.process_time()
    model = SemiSupervisedRegressor(random_state=draw, **settings).fit(rows.x, rows.given)
    seconds = time.process_time() - began
    mean, deviation = model.predict(rows.test_x, return_std=True)
    found = {OWN: _error(rows, mean)}
    x, test = rows.numbers
    for other, learner in rivals():
        found[other] = _error(rows, learner.fit(x, rows.y[rows.known]).predict(test))
    covered = float((np.abs(rows.test_y - mean) < WIDE * deviation).mean())
    return {**found, COVERED: covered, SECONDS: seconds}


def _error(rows: Draw, predicted: Any) -> float:
    return float(np.sqrt(np.square(rows.test_y - predicted).mean()))


def rivals() -> Iterator[tuple[str, Any]]:
    yield "ridge", RidgeCV(np.logspace(-2, 4, 25))
    yield "Gaussian process", LikeliestProcess()
    yield "Gaussian process, ARD", LikeliestProcess(own_scales=True)


def metrics(name: str, labels: int, draws: list[dict[str, float]]) -> Iterator[Metric]:
    """Mean and standard deviation over the draws."""
    values = {key: np.array([draw[key] for draw in draws]) for key in draws[0]}
    own = values[OWN]
    others = [
        paired(key, settings, own.tolist(), values[key].tolist(), "lower", "draw")
        for key, settings in RIVALS.items()
    ]
    what = f"{name}, {labels} labels"
    yield Metric(
        f"{what}: root mean square error",
        float(own.mean()),
        "units of the table",
        "lower",
        float(own.std(ddof=1)),
        beside={"seconds of a fit": float(values[SECONDS].mean())},
        rivals=others,
    )
    covered = values[COVERED]
    yield Metric(
        f"{what}: test rows in the band of 95 %",
        float(covered.mean()),
        "share",
        "higher",
        float(covered.std(ddof=1)),
    )


def main() -> None:
    parser = arguments("Regression from few labels.")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    if chosen.quick:
        rows = drawn("diabetes", 40, 1_000 + chosen.seed)
        found = one_draw(rows, chosen.seed, {"training_options": {"updates": 20}})
        print(f"quick, not quoted: {found}")
        return
    began = time.process_time()
    results: list[Metric] = []
    for name, labels in CASES:
        answers = [one_draw(drawn(name, labels, draw), draw, {}) for draw in range(DRAWS)]
        for metric in metrics(name, labels, answers):
            results.append(metric)
            print(metric, flush=True)
    write(
        NAME,
        results,
        data=[
            {
                "file": "scikit-learn's diabetes and Friedman's functions, uci_winequality-red, "
                "uci_winequality-white, uci_abalone, california_housing, uci_german",
                "split": "-",
            }
        ],
        seeds=list(range(DRAWS)),
        minutes=(time.process_time() - began) / 120,
        notes="Spreads are standard deviations over draws. Minutes: processor time over two. "
        "Seconds of a fit: processor time.",
    )


if __name__ == "__main__":
    main()
