"""Probabilistic principal component analysis as a scikit-learn estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from lowerbound.data import Dataset
from lowerbound.data.arrays import Array
from lowerbound.estimators.base import LatentVariableEstimator, chosen
from lowerbound.estimators.inputs import rows as inputs
from lowerbound.fitting import FitOptions
from lowerbound.inference.likelihood import score
from lowerbound.models import HasCovariance, require
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions


@dataclass(eq=False, repr=False, kw_only=True)
class ProbabilisticPCA(LatentVariableEstimator):
    r"""Probabilistic PCA: z ~ N(0, I), x | z ~ N(W z + mu, sigma^2 I), solved in closed form.

    It is a variational autoencoder with the exact posterior and needs no training. Use it as the
    baseline of a deep model: it has the same latents and units. Source: Tipping & Bishop 1999.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3)) @ np.ones((3, 5))
    >>> pca = ProbabilisticPCA(latent_dim=1).fit(X)
    >>> pca.transform(X).shape, pca.get_covariance().shape
    ((200, 1), (5, 5))

    Args:
        latent_dim: d, below the number of columns; None: from the data.
        binarize: grey values as bits, as for ``VAE``.
        data_options: further keywords of ``lowerbound.data.load``.
        random_state: seeds ``sample``.
        device: as for ``VAE``.

    Attributes:
        fitted_, model_, latent_dim_, n_features_in_, feature_names_in_: as for ``VAE``.
    """

    kind: ClassVar[str] = "pca"

    def score_samples(self, X: Any, y: Any = None) -> Array:
        """Exact log p(x) = log N(x; mu, W W^T + sigma^2 I), nats, (rows,), in the units of X."""
        scores = score(self.model_, self._read(X, y))
        assert scores.log_marginal is not None
        exact: Array = scores.log_marginal.numpy()
        return exact

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of ``score_samples``; higher is better."""
        return float(np.mean(self.score_samples(X, y)))

    def get_covariance(self) -> Array:
        """W W^T + sigma^2 I, (columns, columns), in the units of X; zero for a constant column.

        For pictures, rows and columns are pixels in the order of X's layout.
        """
        model = require(self.model_, HasCovariance, "say how columns vary together")
        covariance = model.covariance()
        units = self._in_units(torch.eye(len(covariance), dtype=covariance.dtype))
        in_units: Array = units.T @ covariance.numpy() @ units
        return in_units

    def _options(self, seed: int) -> FitOptions:
        options = ModelOptions(**{**chosen(ModelOptions, self), "model": self.kind})
        # the fit has a closed form and cannot stop early, so no row is held out
        return FitOptions(
            options, training=TrainingOptions(validation=0.0, seed=seed, device=self.device)
        )

    def _learn(self, X: Any) -> Dataset:
        return inputs.learn(self, X, options=self._data_options(), least_features=2)

    def _data_options(self) -> dict[str, Any]:
        # one noise scale for all columns is meaningful only in the units of X
        return {"standardize": False, **super()._data_options()}

    def _in_units(self, directions: torch.Tensor) -> Array:
        """Directions in model units, (count, features), in the units of X, (count, columns)."""
        schema = self.fitted_.schema
        points = torch.cat([torch.zeros_like(directions[:1]), directions])
        values = schema.decode(points.unflatten(1, schema.event_shape), rounded=False)
        values = values.reshape(len(points), -1)
        return values[1:] - values[:1]  # the map to the units of X is affine
