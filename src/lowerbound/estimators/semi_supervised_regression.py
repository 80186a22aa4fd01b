"""The semi-supervised variational autoencoder of regression targets as a scikit-learn regressor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d

from lowerbound.config import renamed_keywords
from lowerbound.data import Dataset
from lowerbound.errors import DataError
from lowerbound.estimators.inputs import rows as inputs
from lowerbound.estimators.inputs.labels import as_labels
from lowerbound.estimators.labeled import LabeledEstimator
from lowerbound.inference.regression import predictions

Self = TypeVar("Self", bound="SemiSupervisedRegressor")


@renamed_keywords(moves="augmentation")
@dataclass(eq=False, repr=False, kw_only=True)
class SemiSupervisedRegressor(RegressorMixin, LabeledEstimator):
    r"""A regressor that learns from rows of which few have a label: it is one more latent.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> price = rng.normal(size=300)
    >>> X = price[:, None] * [1.0, -2.0, 0.5] + 0.3 * rng.normal(size=(300, 3))
    >>> y = np.where(np.arange(300) < 20, price, np.nan)  # twenty labels; NaN means unlabeled
    >>> model = SemiSupervisedRegressor(latent_dim=2, epochs=300, learning_rate=0.01)
    >>> model = model.set_params(random_state=0).fit(X, y)
    >>> bool(model.score(X[20:], price[20:]) > 0.8)
    True

    It maximizes the bound of Kingma et al. 2014 (M2) with y ~ N(mean, variance) of the labels in
    place of a class: given where it is known, drawn from the Gaussian q(y | x) elsewhere. Beside it
    q(y | x) learns from the labels and from its own averaged weights; see
    ``lowerbound.objectives.MeanTeacherRegression``. Scores of rows are bounds on log p(x).

    Args:
        latent_dim: numbers of the style, what the label leaves open of a row; None: from the data.
        augmentation: of pictures, 0 to 1: a promise that small turns, shifts, zooms and shears
            leave the label as it is.
        stacked: M1+M2: features from a VAE of all rows, and the label and the style above them.
        features: a fitted ``VAE`` that gives those, so that several fits share it; None: fitted
            here.
        prior: p(z) of the style: "standard_normal", "mixture" or "flow".
        prior_options: of that prior.
        model_options: further fields of ``SemiSupervisedRegression.Options``.
        objective_options: of ``lowerbound.objectives.MeanTeacherRegression``.
        validation, patience: of no effect: labeled rows are too few to hold any out.
        network, likelihood, n_importance, epochs and all others: as of ``VAE``.

    Attributes: those of ``VAE``.
    """

    kind: ClassVar[str] = "semi_supervised_regression"

    def fit(self: Self, X: Any, y: Any = None) -> Self:
        """Fit the model to X and to the labels that are known.

        Args:
            X: rows.
            y: one number per row, NaN or None where unlabeled, or the name of the column that holds
                them.

        Raises:
            DataError, ValueError: no labels, one number for all, not one for each row, or text.
        """
        if y is None:
            raise DataError(
                "SemiSupervisedRegressor requires y to be passed, but the target y is None"
            )
        named = isinstance(y, str)
        options = {**self._data_options(), "regression": named}
        if not named and "kinds" not in (self.data_options or {}) and _is_matrix(X):
            options["kinds"] = "real"
        dataset = inputs.learn(self, X, label=y if named else None, options=options)
        return self._fit(dataset if named else _with_targets(dataset, y))

    def predict(self, X: Any, *, return_std: bool = False) -> Any:
        """The mean of q(y | x) of each row, (rows,).

        Args:
            X: rows.
            return_std: also its standard deviation.

        Returns:
            Numbers in the units of the labels, or (numbers, standard deviations).
        """
        mean, deviation = (part.numpy() for part in predictions(self.model_, self._read(X)))
        return (mean, deviation) if return_std else mean

    def _label_condition(self, y: Any, rows: int) -> torch.Tensor:
        values = np.asarray(y, float)
        if values.shape not in ((), (rows,)):
            raise DataError(f"{rows} rows but labels of shape {values.shape}")
        if not np.isfinite(values).all():
            raise DataError("rows are made of labels that are finite, and y holds NaN or infinity")
        scale = self.fitted_.schema.target
        assert scale is not None
        wanted = torch.from_numpy(np.broadcast_to(values, (rows,)).copy())
        return scale.standardized(wanted).float().unsqueeze(1)


def _is_matrix(X: Any) -> bool:
    """Whether a frame holds nothing but floating-point numbers: it is then read as a matrix, and
    predictions do not depend on its columns having names."""
    if not inputs.is_frame(X):
        return False
    return all(np.dtype("f8") == kind for kind in X.dtypes) and not X.isna().to_numpy().any()


def _with_targets(dataset: Dataset, y: Any) -> Dataset:
    """The rows with their labels.

    Raises:
        DataError: there is not one for each row, or they are no numbers.
    """
    if getattr(y, "ndim", 1) == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    labels = as_labels(y)
    if len(labels) != len(dataset):
        raise DataError(f"{len(dataset):,} rows of X but {len(labels):,} labels in y")
    return dataset.with_targets(labels)
