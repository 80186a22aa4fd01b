"""Probabilistic principal component analysis as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from lowerbound.data import Dataset
from lowerbound.data.arrays import Array
from lowerbound.estimators.base import LatentVariableEstimator, chosen
from lowerbound.estimators.inputs import rows as inputs
from lowerbound.fitting import FitOptions, Fitted
from lowerbound.inference.likelihood import score
from lowerbound.models import HasCovariance, require
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions


@dataclass(eq=False, repr=False, kw_only=True)
class ProbabilisticPCA(LatentVariableEstimator):
    r"""Probabilistic PCA: z ~ N(0, I), x | z ~ N(W z + mu, sigma^2 I), solved in closed form.

    With several components, p(z) is a mixture of Gaussians with full covariances. Then all else
    keeps its closed form: scores, codes, and missing or noisy cells. The fit needs complete rows;
    later rows may have missing cells (NaN) if ``data_options`` is ``{"missing": "model"}``.

    It is a variational autoencoder with the exact posterior and needs no training. Use it as the
    baseline of a deep model: it has the same latents and units. Source: Tipping & Bishop 1999.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3)) @ np.ones((3, 5))
    >>> pca = ProbabilisticPCA(latent_dim=1).fit(X)
    >>> pca.transform(X).shape, pca.get_covariance().shape
    ((200, 1), (5, 5))

    Args:
        latent_dim: d, below the number of columns; None: from the data.
        components: number of Gaussians in p(z); 1: z ~ N(0, I).
        model_options: further options of a mixture, such as ``{"noise_floor": 0.1}``; see
            ``lowerbound.models.pca.PrincipalComponentsOptions``.
        binarize: grey values as bits, as for ``VAE``.
        data_options: further keywords of ``lowerbound.data.load``.
        random_state: seeds the fit of a mixture, and ``sample``.
        device: as for ``VAE``.

    Attributes:
        fitted_, model_, latent_dim_, n_features_in_, feature_names_in_: as for ``VAE``.
    """

    components: int = 1
    model_options: Mapping[str, Any] | None = None

    kind: ClassVar[str] = "pca"

    def score_samples(self, X: Any, y: Any = None) -> Array:
        """Exact log p(x), nats, (rows,), in the units of X; log N(x; mu, W W^T + sigma^2 I) of one
        component.

        Missing cells of X are integrated out if ``data_options`` is ``{"missing": "model"}``.
        """
        scores = score(self.model_, self._read(X, y))
        assert scores.log_marginal is not None
        exact: Array = scores.log_marginal.numpy()
        return exact

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of ``score_samples``; higher is better."""
        return float(np.mean(self.score_samples(X, y)))

    def get_covariance(self) -> Array:
        """Cov(x), (columns, columns), in the units of X; zero for a constant column.

        It is W W^T + sigma^2 I for one component.

        For pictures, rows and columns are pixels in the order of X's layout.
        """
        model = require(self.model_, HasCovariance, "say how columns vary together")
        covariance = model.covariance()
        units = self._in_units(torch.eye(len(covariance), dtype=covariance.dtype))
        in_units: Array = units.T @ covariance.numpy() @ units
        return in_units

    def _options(self, seed: int) -> FitOptions:
        own = {"components": int(self.components), **(self.model_options or {})}
        named = {**chosen(ModelOptions, self), "model": self.kind, "model_options": own}
        options = ModelOptions(**named)
        # the fit has a closed form and cannot stop early, so no row is held out
        return FitOptions(
            options, training=TrainingOptions(validation=0.0, seed=seed, device=self.device)
        )

    @classmethod
    def _parameters_of(cls, fitted: Fitted) -> dict[str, Any]:
        options = dict(fitted.options.model.model_options)
        components = options.pop("components", 1)
        own = {"components": components, "model_options": options or None}
        return {**super()._parameters_of(fitted), **own}

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
