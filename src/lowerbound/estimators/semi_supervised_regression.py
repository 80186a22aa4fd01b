"""The semi-supervised variational autoencoder of regression targets as a scikit-learn regressor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d

from lowerbound.config import renamed_keywords
from lowerbound.data import Dataset
from lowerbound.errors import DataError
from lowerbound.estimators.inputs import rows as inputs
from lowerbound.estimators.inputs.labels import as_labels, without_masked
from lowerbound.estimators.labeled import LabeledEstimator
from lowerbound.inference.regression import predictions


@renamed_keywords(moves="augmentation")
@dataclass(eq=False, repr=False, kw_only=True)
class SemiSupervisedRegressor(RegressorMixin, LabeledEstimator):
    r"""Semi-supervised regressor for partially labeled rows; the label is a latent.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> price = rng.normal(size=300)
    >>> X = price[:, None] * [1.0, -2.0, 0.5] + 0.3 * rng.normal(size=(300, 3))
    >>> y = np.where(np.arange(300) < 20, price, np.nan)  # twenty labels; NaN means unlabeled
    >>> model = SemiSupervisedRegressor(latent_dim=2, epochs=300, learning_rate=0.01)
    >>> model = model.set_params(random_state=0).fit(X, y)
    >>> bool(model.score(X[20:], price[20:]) > 0.8)
    True

    It maximizes the bound of Kingma et al. 2014 (M2) with y ~ N(mean, variance) of the labels
    instead of a class. A known label is used; an unknown one is drawn from the Gaussian q(y | x).
    q(y | x) also learns from the labels directly and from a mean teacher; see
    ``lowerbound.objectives.MeanTeacherRegression``. Scores of rows are bounds on log p(x).

    Args:
        latent_dim: size of the style, the variation that the label does not explain; None: from
            the data.
        augmentation: of pictures, 0 to 1: strength of random rotations, shifts, zooms and shears
            that are assumed not to change the label.
        stacked: M1+M2: features from a VAE of all rows, and the label and the style above them.
        features: a fitted ``VAE`` for these features, which several fits can share; None: fitted
            here.
        folds: number of additional fits, each with another part of the labels hidden, for rows with
            columns. They find the weights of the network, a Gaussian process and boosted trees in
            q(y | x), and its standard deviation. 0: the network alone; None: 5 short fits for rows
            with columns, otherwise 0.
        prior: p(z) of the style: "standard_normal", "mixture" or "flow".
        prior_options: options of that prior.
        model_options: further fields of ``SemiSupervisedRegression.Options``.
        objective_options: options of ``lowerbound.objectives.MeanTeacherRegression``.
        validation, patience: no effect, because labeled rows are too few to hold any out.
        network, likelihood, n_importance, epochs and all others: as for ``VAE``.

    Attributes: those of ``VAE``.
    """

    kind: ClassVar[str] = "semi_supervised_regression"

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model to X and the known labels.

        Args:
            X: rows.
            y: one number per row, NaN or None for an unlabeled row, or the name of the label
                column; None if X is batches that have labels.

        Raises:
            DataError, ValueError: there is no label, all labels are equal, the lengths differ, or
                the labels are text.
        """
        X, y = inputs.with_labels(X, y)
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
            return_std: also return the standard deviation. For rows with columns it is scaled by
                the errors at hidden labels, so that 1.96 of it on either side are a 95 % band.

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
    """Whether a frame has only floating-point numbers. It is then read as a matrix, so predictions
    do not depend on the presence of column names."""
    if not inputs.is_frame(X):
        return False
    return all(np.dtype("f8") == kind for kind in X.dtypes) and not X.isna().to_numpy().any()


def _with_targets(dataset: Dataset, y: Any) -> Dataset:
    """The rows with their labels.

    Raises:
        DataError: the lengths differ, or the labels are not numbers.
    """
    y = without_masked(y)
    if getattr(y, "ndim", 1) == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    labels = as_labels(y)
    if len(labels) != len(dataset):
        raise DataError(f"{len(dataset):,} rows of X but {len(labels):,} labels in y")
    return dataset.with_targets(labels)
