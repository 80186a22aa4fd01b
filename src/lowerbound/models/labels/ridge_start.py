"""Start the regressor q(y | x) as ridge regression, from the labeled rows of a table.

The penalty has the smallest leave-one-out error, and that error gives the standard deviation. A
network is added to the line only if the labels are nonlinear: a Gaussian process of the same
features must predict left-out labels better than the line, by more than two standard errors of the
difference. A network needs more labels than a Gaussian process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lowerbound.classical.gaussian_process import GaussianProcess
from lowerbound.classical.linear_regression import small_fit
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.networks.mlp import GatedResidual
from lowerbound.posteriors.gaussian import raw_log_variance

if TYPE_CHECKING:
    from lowerbound.models.semi_supervised_regression import SemiSupervisedRegression

LEAST = 6  # fewest labels for a line
MOST = 500  # most labels that the Gaussian process sees
PENALTIES = np.logspace(-2, 4, 25)
DOUBT = 2.0  # standard errors by which the Gaussian process must be better
LEAST_VARIANCE = 1e-4  # of the line's error, in units of the labels' variance


@dataclass(frozen=True)
class LabeledRows:
    """Rows with labels, and the labels that are hidden in turn.

    Attributes:
        x: what the members see, (rows, F).
        shift, scale: mean and standard deviation of each over all rows, with labels or not, (F,).
        label: class indices, or standardized regression targets, (rows,).
        folds: row numbers of each part that is hidden.
    """

    x: Array
    shift: Array
    scale: Array
    label: Array
    folds: Sequence[Array]

    @property
    def standardized(self) -> Array:
        """x in standard deviations, (rows, F)."""
        answer: Array = (self.x - self.shift) / self.scale
        return answer

    @property
    def hidden(self) -> Array:
        """Row numbers of all hidden labels, fold after fold."""
        return np.concatenate([*self.folds, np.zeros(0, int)]).astype(int)

    def splits(self) -> Iterator[tuple[Array, Array]]:
        """Row numbers of those that a fit sees, and of those hidden from it."""
        for fold in self.folds:
            yield np.setdiff1d(np.arange(len(self.label)), fold), fold


@torch.no_grad()
def start_from_ridge(model: SemiSupervisedRegression, dataset: Dataset) -> None:
    """Fit a line to the rows with a label and start there, if the regressor has one.

    Args:
        model: unchanged if its regressor has no line.
        dataset: training rows; NaN in their target means unlabeled.
    """
    path, target = model.regressor, dataset.target
    if not isinstance(path, GatedResidual) or target is None:
        return
    known = torch.nonzero(~target.isnan()).flatten()
    if len(known) < LEAST:
        return
    seen = model.seen(dataset.batch(known).to(next(model.parameters()).dtype))
    x, y = path.features(seen).double().cpu().numpy(), target[known].double().cpu().numpy()
    line, errors = ridge(x, y)
    variance = torch.tensor(max(float(errors.mean()), LEAST_VARIANCE), dtype=torch.float64)
    path.start(
        torch.from_numpy(line.coef_),
        torch.stack([torch.tensor(line.intercept_), raw_log_variance(variance.log())]),
        alone=not is_nonlinear(x, y),
    )


def ridge(x: Array, y: Array) -> tuple[Any, Array]:
    """Fit ridge regression with the best penalty; also return each row's leave-one-out error^2."""
    from sklearn.linear_model import RidgeCV

    line = RidgeCV(PENALTIES, store_cv_results=True).fit(x, y)
    chosen = int(np.flatnonzero(line.alpha_ == PENALTIES)[0])
    return line, line.cv_results_[:, chosen]


def is_nonlinear(x: Array, y: Array) -> bool:
    """Whether a Gaussian process predicts left-out labels significantly better than a line."""
    rows = np.random.default_rng(0).permutation(len(y))[:MOST]
    x, y = x[rows], y[rows]
    with small_fit():
        process = GaussianProcess.of(torch.from_numpy(x), torch.from_numpy(y))
    nearer = ridge(x, y)[1] - process.left_out().square().numpy()
    return bool(nearer.mean() > DOUBT * nearer.std(ddof=1) / len(nearer) ** 0.5)
