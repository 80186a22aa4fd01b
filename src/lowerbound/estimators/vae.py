"""The variational autoencoder as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from lowerbound.applications.restoration.noise import found_noise, without_noise
from lowerbound.data import Dataset
from lowerbound.data.arrays import Array
from lowerbound.data.noisy import noisy_rows
from lowerbound.errors import OptionError
from lowerbound.estimators.base import chosen
from lowerbound.estimators.inputs.rows import new_seed
from lowerbound.estimators.trained import TrainedEstimator
from lowerbound.fitting import FitOptions, Fitted
from lowerbound.inference.likelihood import score
from lowerbound.inference.restoration.denoising import CHAINS, denoise
from lowerbound.models import MODELS, Model
from lowerbound.models.base import AUTO
from lowerbound.models.options import ModelOptions

FEW = 16  # importance samples: a bound from so few claims no tightness, so none is warned about


@dataclass(eq=False, repr=False, kw_only=True)
class VAE(TrainedEstimator):
    r"""Variational autoencoder: z ~ p(z), x ~ p(x | z), with an encoder q(z | x).

    It maximizes the evidence lower bound

    .. math:: \log p(x) \ge E_q[\log p(x \mid z)] - KL(q(z \mid x) \,\|\, p(z))

    and every score is in nats per row, in the data's own units; higher is better.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3)) @ np.ones((3, 5))
    >>> vae = VAE(latent_dim=2, epochs=5, random_state=0).fit(X)
    >>> vae.transform(X).shape, vae.sample(4).shape, vae.score_samples(X).shape
    ((200, 2), (4, 5), (200,))

    Args:
        latent_dim: numbers that a row is shrunk to; None: from the data.
        network: "mlp", "convolutional", "transformer", "linear", or "auto": convolutional for
            pictures of at least 16 pixels a side, else an MLP.
        network_options: of that network, such as ``{"hidden": (200, 200)}``.
        likelihood: p(x | z), or "auto": "bernoulli" for zeros and ones, "discretized_logistic" for
            whole-number pictures, "gaussian" with one learned scale for real columns.
        likelihood_options: of that likelihood, such as ``{"scale": "feature"}``.
        prior: p(z): "standard_normal", "mixture", "vamp" or "flow".
        prior_options: of that prior.
        posterior: q(z | x): "gaussian", "full" (of full covariance) or "flow"; "auto": full for the
            network "tabular", else gaussian.
        posterior_options: of that posterior.
        objective: "auto" (the "elbo"), "importance_weighted", "target_rate", "beta_tc" or
            "factor".
        objective_options: of that objective, such as ``{"samples": 5}``.
        beta: weight of the KL in the loss, for the objective "elbo"; it never changes a score.
        n_importance: K, latents drawn per row when scoring; see ``score_samples``.
        epochs: passes over the rows; None: from their number, unless ``minutes`` is given.
        minutes: training time; of it and ``epochs`` the first to be used up ends the training.
        batch_size: rows per update; None: 128, or 512 of a large table.
        learning_rate: Adam's step size at its highest; None: 0.001, or 0.006 for a large table.
        precision: "auto", "float32" or "bf16" (arithmetic only).
        compile: "auto", "on" or "off".
        validation: share of the rows held out for early stopping.
        patience: validations without gain before training stops; 0: never.
        training_options: further fields of ``lowerbound.training.TrainingOptions``.
        binarize: "dynamic" draws grey values as bits at each visit, "threshold" cuts at a half.
        data_options: further keywords of ``lowerbound.data.load``, for paths and pictures.
        random_state: an integer makes fit, scores and samples repeatable; None draws anew at each
            fit, from the operating system: no global random state is read or changed.
        verbose: 1 shows the progress.

    Attributes:
        fitted_: model, schema, options with every default resolved, and history.
        model_: the fitted module.
        history_: how training went.
        n_iter_: passes over the rows.
        latent_dim_: numbers per latent.
        n_features_in_: columns, or values in a picture.
        feature_names_in_: names of the columns that are modeled, where X has names.
    """

    prior: str = "standard_normal"
    prior_options: Mapping[str, Any] | None = None
    posterior: str = ModelOptions.posterior
    posterior_options: Mapping[str, Any] | None = None
    objective: str = FitOptions.objective
    objective_options: Mapping[str, Any] | None = None
    beta: float = 1.0
    n_importance: int = FEW

    kind: ClassVar[str] = "vae"

    def score_samples(self, X: Any, y: Any = None) -> Array:
        r"""A lower bound on log p(x) for each row, in nats and in the units of X, (rows,).

        .. math:: L_K = \log \frac{1}{K} \sum_k p(x, z_k) / q(z_k \mid x), \; z_k \sim q(z \mid x)

        with K = ``n_importance`` (16 unless set; K = 1 is the evidence lower bound with its KL in
        closed form where there is one). A larger K comes nearer to log p(x) and takes longer. A
        row's score depends on the row, K and the seed of the fit alone: neither on other rows nor
        on their order. float64 rows are scored in float64.

        Warns:
            UserWarning: K is above 16, and the draws are so uneven that the bound may lie nats
                below log p(x) all the same.
        """
        return self._bounds(self._read(X, y))

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of ``score_samples``: higher is better, so that a grid search maximizes it."""
        return float(np.mean(self.score_samples(X, y)))

    def denoise(
        self,
        X: Any,
        noise: float | None = None,
        *,
        outliers: float = 0.0,
        n_draws: int = 0,
        chains: int = CHAINS,
        random_state: Any = None,
    ) -> Array:
        r"""Rows without their noise: E[x | y] for y = x + noise, by the model of clean rows.

        Missing cells (NaN) are filled. Chains of latents are annealed from the encoder's answer to
        p(z | y), so this takes longer than an encoding; without noise, the cells are those of X.

        Args:
            X: noisy rows: a matrix, a frame or pictures; values may lie outside of the clean range.
            noise: its standard deviation, in the units of X; None: ``noise_level`` of X.
            outliers: share of the pixels of pictures that hold anything from black to white.
            n_draws: instead of the mean, so many draws of x given y.
            chains: of latents, per row: more are more exact and take longer.
            random_state: None uses the estimator's.

        Returns:
            An array like X, or (n_draws, ...) of such.

        Raises:
            UnsupportedError: the likelihood is none of gaussian, bernoulli, discretized_logistic.
        """
        check_is_fitted(self)
        seed = self._seed if random_state is None else new_seed(random_state)
        schema, dataset = self.fitted_.schema, noisy_rows(X, self.fitted_.schema)
        level, known = found_noise(self.fitted_, dataset, noise, outliers, seed=seed)
        found = denoise(self.model_, dataset, known, chains=chains, draws=n_draws, seed=seed)
        x = found.mean if found.draws is None else found.draws
        return without_noise(schema, x, np.asarray(X, np.float64), level)

    def noise_level(self, X: Any, *, outliers: float = 0.0) -> float:
        """The standard deviation of the noise on X under which X is likeliest, in the units of X.

        Args:
            X: noisy rows.
            outliers: as of ``denoise``.
        """
        check_is_fitted(self)
        dataset = noisy_rows(X, self.fitted_.schema)
        return found_noise(self.fitted_, dataset, None, outliers, seed=self._seed)[0]

    def _bounds(self, dataset: Dataset) -> Array:
        return lower_bounds(self.model_, dataset, self.n_importance, self._seed)

    def _objective(self) -> dict[str, Any]:
        options = dict(self.objective_options or {})
        name = MODELS[self.kind].objective if self.objective == AUTO else self.objective
        if name == "elbo":
            options = {"beta": float(self.beta), **options}
        elif self.beta != 1:
            raise OptionError(f"beta is of the objective 'elbo', not of {self.objective!r}")
        return {**chosen(FitOptions, self), "objective_options": options}

    @classmethod
    def _parameters_of(cls, fitted: Fitted) -> dict[str, Any]:
        values = super()._parameters_of(fitted)
        options = dict(values["objective_options"] or {})
        beta = options.pop("beta", 1.0)
        return {**values, "beta": beta, "objective_options": options or None}


def lower_bounds(model: Model, dataset: Dataset, samples: int, seed: int) -> Array:
    """L_K of each row, (rows,); the evidence lower bound where K is 1."""
    with warnings.catch_warnings():
        if samples <= FEW:
            warnings.filterwarnings("ignore", "the median effective sample size")
        scores = score(model, dataset, samples=samples, seed=seed)
    bounds: Array = (scores.elbo if samples == 1 else scores.bound).numpy()
    return bounds
