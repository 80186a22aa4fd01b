r"""Start where few labels lead: q(y | x) of a measurement begins as ridge regression.

Weight and penalty are those of the smallest leave-one-out error, and so is the deviation: it is
that of labels which the line did not see. Whether a network may bend the line is asked of the
labels too: a Gaussian process of the same features, which bends, has to be nearer to labels that it
did not see than the line is, by more than two standard errors of the difference: a network is less
sparing with few labels than a Gaussian process.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lowerbound.data.dataset import Dataset
from lowerbound.networks.gated_residual import GatedResidual

if TYPE_CHECKING:  # a name for annotations: the model starts by this module
    from lowerbound.models.semi_supervised_regression import SemiSupervisedRegression

Array = np.ndarray[Any, Any]

LEAST = 6  # labels, below which nothing can be asked of them
MOST = 500  # labels that the Gaussian process looks at
PENALTIES = np.logspace(-2, 4, 25)
DOUBT = 2.0  # standard errors
LEAST_VARIANCE = 1e-4  # of the line's error, in units of the labels' variance


@torch.no_grad()
def start_from_ridge(model: SemiSupervisedRegression, dataset: Dataset) -> None:
    """Fit a line to the rows with a label and start there, if the regressor has one.

    Args:
        model: those whose regressor is without a line stay as they are.
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
    variance = max(float(errors.mean()), LEAST_VARIANCE)
    path.start(
        torch.from_numpy(line.coef_),
        torch.tensor([line.intercept_, np.log(variance)]),
        believed=not bends(x, y),
    )


def ridge(x: Array, y: Array) -> tuple[Any, Array]:
    """Ridge regression, its penalty chosen, and the squared error of each row left out."""
    from sklearn.linear_model import RidgeCV

    line = RidgeCV(PENALTIES, store_cv_results=True).fit(x, y)
    chosen = int(np.flatnonzero(line.alpha_ == PENALTIES)[0])
    return line, line.cv_results_[:, chosen]


def bends(x: Array, y: Array) -> bool:
    """Whether a Gaussian process is nearer to labels left out than a line, beyond doubt."""
    rows = np.random.default_rng(0).permutation(len(y))[:MOST]
    x, y = x[rows], y[rows]
    nearer = ridge(x, y)[1] - smooth_errors(x, y)
    return bool(nearer.mean() > DOUBT * nearer.std(ddof=1) / len(nearer) ** 0.5)


def smooth_errors(x: Array, y: Array) -> Array:
    r"""The squared error of each row left out of a Gaussian process, its kernel by likelihood.

    With K the covariance of all rows the error of one left out is
    :math:`(K^{-1} y)_i / (K^{-1})_{ii}` (Rasmussen & Williams 2006, equation 5.12).
    """
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    bounds = (1e-3, 1e3)
    kernel = ConstantKernel(1.0, bounds) * RBF(x.shape[1] ** 0.5, bounds)
    process = GaussianProcessRegressor(kernel + WhiteKernel(0.5, (1e-4, 10.0)))
    centered = y - y.mean()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of kernels at their bounds
        process.fit(x, centered)
    inverse = np.linalg.inv(process.kernel_(x))
    errors: Array = np.square(inverse @ centered / np.diag(inverse))
    return errors
