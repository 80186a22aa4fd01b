"""Further models as scikit-learn estimators: conditional VAE, autoencoder, probabilistic PCA, and
models with several latents or with codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.utils.validation import check_is_fitted

from lowerbound.applications.common.conditions import one_hot
from lowerbound.applications.common.estimators import inputs
from lowerbound.applications.common.estimators.base import LatentVariableEstimator, chosen, means
from lowerbound.applications.common.estimators.inputs import (
    as_labels,
    class_indices,
    classes_of,
    classes_still,
)
from lowerbound.applications.common.estimators.vae import VAE, TrainedEstimator
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.errors import DataError
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.options import FitOptions
from lowerbound.inference.likelihood import score
from lowerbound.inference.prior_draws import whole_count
from lowerbound.inference.reconstruction import reconstruction_error
from lowerbound.models.options import ModelOptions
from lowerbound.models.powers import HasCovariance, require
from lowerbound.networks.processor import in_precision
from lowerbound.training.options import TrainingOptions


@dataclass(eq=False, repr=False, kw_only=True)
class Autoencoder(TrainedEstimator):
    """Autoencoder: z = f(x), x' = g(z), trained only to reconstruct x.

    It has no prior, so it cannot sample and gives no bound on log p(x): there is no
    ``score_samples``. Compare it with ``VAE`` to see the effect of the prior.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3)) @ np.ones((3, 5))
    >>> Autoencoder(latent_dim=1, epochs=5, random_state=0).fit(X).transform(X).shape
    (200, 1)

    Parameters and attributes are as for ``VAE``, without those of prior, posterior, objective and
    importance samples. ``likelihood="gaussian"`` gives a squared error, "laplace" an absolute one.
    """

    kind: ClassVar[str] = "autoencoder"

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log p(x | z = f(x)), nats per row in the units of X; higher is better.

        The objective has no rate, so the score does not bound log p(x) and cannot be compared with
        that of a ``VAE``. It ranks the reconstructions of autoencoders with the same likelihood.
        """
        error = reconstruction_error(self.model_, self._read(X, y))
        return -error.log_loss.mean


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
        # directions in model units, (count, features), in the units of X, (count, columns)
        directions = torch.eye(len(covariance), dtype=covariance.dtype)
        schema = self.fitted_.schema
        points = torch.cat([torch.zeros_like(directions[:1]), directions])
        values = schema.decode(points.unflatten(1, schema.event_shape), rounded=False)
        values = values.reshape(len(points), -1)
        units = values[1:] - values[:1]  # the map to the units of X is affine
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


@dataclass(eq=False, repr=False, kw_only=True)
class HierarchicalVAE(VAE):
    r"""Hierarchical VAE: a chain of latents, p(x | z_1) p(z_1 | z_2) ... p(z_T).

    ``transform`` gives the mean of q(z_1 | x), the latent that the row is decoded from.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3)) @ np.ones((3, 5))
    >>> HierarchicalVAE(latent_dim=2, epochs=5, random_state=0).fit(X).transform(X).shape
    (200, 2)

    Parameters and attributes are those of ``VAE``, with the same meaning as for ``VAE``.
    ``model_options={"levels": 3}`` sets T, ``prior`` is that of the top.
    """

    kind: ClassVar[str] = "hierarchical"


@dataclass(eq=False, repr=False, kw_only=True)
class LadderVAE(VAE):
    r"""Ladder VAE: latents from coarse to fine, each posterior on the way down to the data.

    ``transform`` gives the latents of all levels side by side, each level's mean given those above.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3)) @ np.ones((3, 5))
    >>> LadderVAE(latent_dim=2, epochs=5, random_state=0).fit(X).sample(3).shape
    (3, 5)

    Parameters and attributes are those of ``VAE``, with the same meaning as for ``VAE``.
    ``latent_dim`` is the size of the widest latent, and ``latent_dim_`` that of all together.
    ``model_options={"levels": 3}`` sets the number of levels. Each level has its own Gaussian prior
    and posterior, so ``prior`` and ``posterior`` keep their defaults.
    """

    kind: ClassVar[str] = "ladder"


@dataclass(eq=False, repr=False, kw_only=True)
class VQVAE(VAE):
    r"""VQ-VAE: the latent is codes, each the nearest vector of a codebook.

    ``transform`` gives the vectors of a row's codes side by side.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3)) @ np.ones((3, 5))
    >>> VQVAE(epochs=5, random_state=0).fit(X).sample(3).shape
    (3, 5)

    Parameters and attributes are those of ``VAE``, with the same meaning as for ``VAE``.
    ``latent_dim`` is the length of a vector, and ``latent_dim_`` that of all vectors of a row.
    ``model_options={"codes": 512}`` sets the size of a codebook. The prior over codes is an option
    of the model too, so ``prior`` and ``posterior`` keep their defaults.
    """

    kind: ClassVar[str] = "vq_vae"


@dataclass(eq=False, repr=False, kw_only=True)
class ConditionalVAE(VAE):
    r"""Variational autoencoder conditioned on the class: p(x | y).

    >>> model = ConditionalVAE(latent_dim=8, epochs=1, random_state=0).fit("digits")
    >>> model.sample(5, y=7).shape  # give me sevens
    (5, 8, 8)

    Classes may be any hashable values with different texts; a class is given by its value or its
    text, ``7`` or ``"7"``. Data may contain the classes: a folder of pictures in the names of its
    subfolders, a table in the column that y names.

    If the class of a row is not given, all classes are equally likely, and the score bounds

    .. math:: \log p(x) = \log \frac{1}{C} \sum_y p(x \mid y)

    transform and reconstruct then use the class with the largest bound on p(x | y), and
    inverse_transform the mean over all classes.

    Args: as for ``VAE``.

    Attributes: those of ``VAE``, and
        classes_: the classes, in the order of the model's inputs; after ``load`` as integers if all
            names are integers, otherwise as text.
    """

    conditional: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model to X and the class of each row.

        Args:
            X: rows.
            y: one class per row, or the name of the class column; None if X is a path, the
                name of a data set, or batches, that have classes.

        Raises:
            DataError, ValueError: there are no classes, or the lengths differ.
        """
        X, y = inputs.with_labels(X, y)
        if y is None and not inputs.is_path(X):
            raise DataError("ConditionalVAE requires y to be passed, but the target y is None")
        label = y if y is None or isinstance(y, str) else as_labels(y)
        dataset = inputs.learn(self, X, label=label, options=self._data_options())
        self._fit(dataset)
        if isinstance(label, np.ndarray):
            self.classes_ = classes_of(label)
        return self

    def score_samples(self, X: Any, y: Any = None) -> Array:
        """A lower bound on log p(x | y), or on log p(x) without a class, in nats, (rows,).

        As ``VAE.score_samples``. Without classes it takes one pass for each class.
        """
        dataset = self._given(X, y)
        if dataset.label is not None:
            return self._bounds(dataset)
        by_class = self._by_class(dataset)
        bounds: Array = logsumexp(by_class, axis=0) - np.log(len(by_class))
        return bounds

    def sample(
        self,
        n_samples: int = 1,
        y: Any = None,
        *,
        mean: bool = False,
        random_state: Any = None,
        given: Mapping[str, Any] | str | None = None,
        guidance: float | None = None,
        steps: int | None = None,
        complete: bool = False,
    ) -> Any:
        """New rows of a class: z ~ p(z), then x ~ p(x | z, y).

        Args:
            n_samples: how many.
            y: a class for all, or one per row; None: cycle through all classes in their order.
            mean: the mean of p(x | z, y) instead of a draw from it.
            random_state, given, guidance, steps, complete: as in ``VAE.sample``.

        Raises:
            OptionError: an unknown class; the message names the nearest one. Or ``n_samples`` is no
                whole number from 1.
        """
        check_is_fitted(self)
        n_samples = whole_count(n_samples)
        if y is None:
            y = [self._names[row % len(self._names)] for row in range(n_samples)]
        condition = self._label_condition(y, n_samples)
        return self._sample(
            n_samples, condition, mean, random_state, given, guidance, steps, complete
        )

    def _adopt(self, fitted: Fitted) -> Self:
        self.classes_ = classes_still(getattr(self, "classes_", ()), fitted.schema.class_names)
        return super()._adopt(fitted)

    def _read(self, X: Any, y: Any = None) -> Dataset:
        dataset = self._given(X, y)
        if dataset.label is None:
            likeliest = self._by_class(dataset).argmax(0)
            dataset = replace(dataset, label=torch.from_numpy(likeliest))
        return dataset

    def _given(self, X: Any, y: Any) -> Dataset:
        """The rows with their given classes, if all rows have one; otherwise without classes."""
        dataset = super()._read(X)
        if y is not None:
            return replace(dataset, label=class_indices(y, len(dataset), self._names))
        known = dataset.label is not None and bool((dataset.label >= 0).all())
        return dataset if known else replace(dataset, label=None)

    def _by_class(self, dataset: Dataset) -> Array:
        """Bounds on log p(x | y) for every y, (classes, rows)."""
        labels = [torch.full((len(dataset),), index) for index in range(len(self._names))]
        return np.stack([self._bounds(replace(dataset, label=label)) for label in labels])

    def _expected(self, z: torch.Tensor, y: Any) -> torch.Tensor:
        """E[x | z, y], or E[x | z] with equally likely classes."""
        model = in_precision(self.model_, z.dtype)
        given = self._names if y is None else [y]
        each = [means(model, z, self._label_condition(label, len(z))) for label in given]
        return torch.stack(each).mean(0)

    def _label_condition(self, y: Any, rows: int) -> torch.Tensor | None:
        """One-hot classes, (rows, classes), from one class for all rows or one for each."""
        return one_hot(self.fitted_, class_indices(y, rows, self._names))

    def _condition(self, dataset: Dataset) -> torch.Tensor | None:
        return one_hot(self.fitted_, dataset.label)

    @property
    def _names(self) -> tuple[str, ...]:
        return self.fitted_.schema.class_names
