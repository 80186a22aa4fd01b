"""The variational autoencoder as a scikit-learn estimator, and parameters that others share."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from lowerbound.applications.common.estimators.base import LatentVariableEstimator, chosen
from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.errors import OptionError
from lowerbound.evaluation.samples.refinement import refinement_quality
from lowerbound.fitting.fitted import Fitted, held_out
from lowerbound.fitting.options import FitOptions
from lowerbound.fitting.prior import TASK, fit_prior as train_prior
from lowerbound.fitting.refiner import fit_refiner as train_refiner
from lowerbound.inference.codes import draw_latents, refuse_collapsed
from lowerbound.inference.likelihood import most_samples, score
from lowerbound.models.base import MODELS, Model
from lowerbound.models.given_parts import by_names
from lowerbound.models.options import ModelOptions
from lowerbound.models.powers import LearnsPrior, require
from lowerbound.parts import AUTO
from lowerbound.training.callbacks import with_callbacks
from lowerbound.training.options import TrainingOptions
from lowerbound.training.reporter import TrainingReporter, reporter_for

FEW = 16  # importance samples; with at most so few, no warning about a loose bound is given


@dataclass(eq=False, repr=False, kw_only=True)
class TrainedEstimator(LatentVariableEstimator):
    """An estimator whose networks are trained.

    A parameter that is a field of ``ModelOptions``, ``FitOptions`` or ``TrainingOptions`` has that
    field's name, default and meaning.
    """

    network: Any = AUTO
    network_options: Mapping[str, Any] | None = None
    likelihood: Any = AUTO
    likelihood_options: Mapping[str, Any] | None = None
    epochs: int | None = TrainingOptions.epochs
    minutes: float | None = TrainingOptions.minutes
    batch_size: int | None = TrainingOptions.batch_size
    learning_rate: float | None = TrainingOptions.learning_rate
    precision: str = TrainingOptions.precision
    compile: str = TrainingOptions.compile
    validation: float = TrainingOptions.validation
    patience: int = TrainingOptions.patience
    training_options: Mapping[str, Any] | None = None
    callbacks: Sequence[TrainingReporter] | None = None
    verbose: int = 0

    @property
    def n_iter_(self) -> int:
        """Number of passes over the training rows, including an unfinished one."""
        last = self.history_.last
        return 0 if last is None else max(1, round(last.epoch))

    def _options(self, seed: int) -> FitOptions:
        named = by_names(chosen(ModelOptions, self))
        model = {**named, "model": self.kind, "conditional": self.conditional}
        training = {**chosen(TrainingOptions, self), **(self.training_options or {}), "seed": seed}
        rest = {"model": model, "training": training, **self._objective()}
        return from_mapping(FitOptions, rest)

    def _objective(self) -> dict[str, Any]:
        """The fields of FitOptions that set the objective."""
        return {}

    def _reporter(self) -> TrainingReporter | None:
        return with_callbacks(reporter_for() if self.verbose else None, self.callbacks)

    @classmethod
    def _parameters_of(cls, fitted: Fitted) -> dict[str, Any]:
        own = {field.name for field in dataclasses.fields(cls)}
        training = to_mapping(fitted.options.training)
        rest = {
            name: value
            for name, value in training.items()
            if name not in own and name != "seed" and value != getattr(TrainingOptions, name)
        }
        known = {
            **to_mapping(fitted.options),
            **to_mapping(fitted.options.fitted_model),
            **training,
        }
        values = {
            name: (value or None) if name.endswith("_options") else value
            for name, value in known.items()
            if name in own
        }
        return {**values, "training_options": rest or None, **super()._parameters_of(fitted)}


@dataclass(eq=False, repr=False, kw_only=True)
class VAE(TrainedEstimator):
    r"""Variational autoencoder: z ~ p(z), x ~ p(x | z), with an encoder q(z | x).

    It maximizes the evidence lower bound

    .. math:: \log p(x) \ge E_q[\log p(x \mid z)] - KL(q(z \mid x) \,\|\, p(z))

    Every score is in nats per row, in the data's own units; higher is better.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3)) @ np.ones((3, 5))
    >>> vae = VAE(latent_dim=2, epochs=5, random_state=0).fit(X)
    >>> vae.transform(X).shape, vae.sample(4).shape, vae.score_samples(X).shape
    ((200, 2), (4, 5), (200,))

    Args:
        latent_dim: size of the latent; None: from the data.
        network: "mlp", "convolutional", "transformer", "linear", or "auto": convolutional for
            pictures of at least 16 pixels a side, else an MLP. Or your own modules, a pair
            (encoder, decoder); see "Your own modules" in docs/extending.md.
        network_options: options of that network, such as ``{"hidden": (200, 200)}``.
        likelihood: p(x | z), or "auto": "bernoulli" for zeros and ones, "discretized_logistic" for
            whole-number pictures, "gaussian" with one learned scale for real columns. Or your own
            subclass of ``lowerbound.likelihoods.Likelihood``.
        likelihood_options: options of that likelihood, such as ``{"scale": "feature"}``.
        prior: p(z): "standard_normal", "mixture", "vamp" or "flow", or your own subclass of
            ``lowerbound.priors.Prior``.
        prior_options: options of that prior.
        posterior: q(z | x): "gaussian", "full" (full covariance) or "flow"; "auto": full for the
            network "tabular", else gaussian.
        posterior_options: options of that posterior.
        model_options: ``{"stride": 4}`` makes the latent of a picture a map, 4 times smaller on
            each side, with ``latent_dim`` channels.
        objective: "auto" (the "elbo"), "importance_weighted", "target_rate", "beta_tc" or
            "factor".
        objective_options: options of that objective, such as ``{"samples": 5}``.
        beta: weight of the KL in the loss, for the objective "elbo"; it never changes a score.
        n_importance: K, latents drawn per row when scoring; see ``score_samples``.
        epochs: passes over the rows; None: from their number, unless ``minutes`` is set.
        minutes: training time; training ends at the first limit of ``epochs`` and ``minutes``.
        batch_size: rows per update; None: 128, or 512 of a large table.
        learning_rate: Adam's step size at its highest; None: 0.001, or 0.006 for a large table.
        precision: "auto", "float32" or "bf16" (arithmetic only).
        compile: "auto", "on" or "off".
        validation: share of the rows held out for early stopping.
        patience: validations without improvement before training stops; 0: never stops early.
        training_options: further fields of ``lowerbound.training.TrainingOptions``.
        binarize: "dynamic" draws grey values as bits at each visit, "threshold" cuts at one half.
        data_options: further keywords of ``lowerbound.data.load``, for paths and pictures.
        random_state: an integer makes fit, scores and samples repeatable; None uses a new seed of
            the operating system for each fit. Torch's global random state is as before after each
            call; numbers that another thread draws from it during a call disturb both.
        callbacks: objects that receive the progress of training, such as
            ``lowerbound.training.TensorBoard("runs/1")``; see "Callbacks" in docs/training.md.
        device: where the model computes: "auto", "cpu", "cuda", "cuda:N" or "mps".
        verbose: 1 shows the progress.

    Attributes:
        fitted_: model, schema, options with every default resolved, and history.
        model_: the fitted module.
        history_: the training history.
        n_iter_: passes over the rows.
        latent_dim_: size of the latent.
        n_features_in_: columns, or values in a picture.
        feature_names_in_: names of the modeled columns, if X has names.
    """

    prior: Any = "standard_normal"
    prior_options: Mapping[str, Any] | None = None
    posterior: str = ModelOptions.posterior
    posterior_options: Mapping[str, Any] | None = None
    model_options: Mapping[str, Any] | None = None
    objective: str = FitOptions.objective
    objective_options: Mapping[str, Any] | None = None
    beta: float = 1.0
    n_importance: int = FEW

    kind: ClassVar[str] = "vae"

    def score_samples(self, X: Any, y: Any = None) -> Array:
        r"""A lower bound on log p(x) for each row, in nats and in the units of X, (rows,).

        .. math:: L_K = \log \frac{1}{K} \sum_k p(x, z_k) / q(z_k \mid x), \; z_k \sim q(z \mid x)

        where K is ``n_importance`` (16 by default). K = 1 is the evidence lower bound, with its KL
        in closed form if there is one. A larger K is nearer to log p(x) and takes longer. The score
        of a row depends only on the row, K and the seed of the fit, not on the other rows or their
        order. float64 rows are scored in float64.

        Warns:
            UserWarning: K is above 16 and the weights are very uneven, so the bound may still lie
                nats below log p(x).
        """
        return self._bounds(self._read(X, y))

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of ``score_samples``; higher is better."""
        return float(np.mean(self.score_samples(X, y)))

    def fit_prior(
        self,
        X: Any,
        y: Any = None,
        *,
        kind: str = AUTO,
        minutes: float | None = None,
        training_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Train another prior on the latents of X; encoder and decoder stay as they are.

        From then on every method uses the new prior. The parameters of the estimator do not change,
        so a clone is fitted with the prior that they name. If the new prior gives only a lower
        bound on its density, as "diffusion" does, scores use one draw and not ``n_importance``.

        Args:
            X: rows, as in ``fit``; usually those of the fit.
            y: classes of a conditional model.
            kind: "diffusion", "flow" or "mixture"; "auto": the first whose library is installed.
            minutes: training time; None: as many passes as a fit of X makes, at most 20 minutes.
            training_options: further fields of ``lowerbound.training.TrainingOptions``.
            options: of the prior, such as ``components=500``.

        Returns:
            The estimator.

        Raises:
            NotFittedError: ``fit`` was not called.
            OptionError: the prior or an option is unknown, or the latents are collapsed.
        """
        check_is_fitted(self)
        dataset, model = self._read(X, y), require(self.model_, LearnsPrior, TASK)
        latents = draw_latents(self.model_, dataset, seed=self._seed)
        refuse_collapsed(latents)
        values = {"minutes": minutes, **self._training(), **(training_options or {})}
        made, _ = train_prior(
            self.fitted_,
            latents.dataset(),
            model.prior_kinds()[0] if kind == AUTO else kind,
            options,
            from_mapping(TrainingOptions, values),
            draws=latents.z.shape[1],
            sha256=latents.sha256,
            reporter=self._reporter(),
        )
        return self._adopt(made)

    def fit_refiner(
        self,
        X: Any,
        y: Any = None,
        *,
        minutes: float | None = None,
        training_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Train a diffusion model that restores the detail of decoded pictures.

        From then on ``sample`` and ``reconstruct`` return refined draws, unless ``mean=True``.
        Scores and all other methods stay as they are. The parameters of the estimator do not
        change, so a clone is fitted without a refiner.

        Args:
            X: pictures, as in ``fit``; usually those of the fit.
            y: classes of a conditional model.
            minutes: training time; None: as many passes as a fit of X makes, at most 20 minutes.
            training_options: further fields of ``lowerbound.training.TrainingOptions``.
            options: of the refiner, such as ``width=48``; see ``lowerbound.models.refinement``.

        Returns:
            The estimator.

        Raises:
            NotFittedError: ``fit`` was not called.
            UnsupportedError: the rows are no pictures.
            OptionError: an option is unknown.
        """
        check_is_fitted(self)
        values = {"minutes": minutes, **self._training(), **(training_options or {})}
        training = from_mapping(TrainingOptions, values)
        dataset = self._read(X, y)
        made, _ = train_refiner(self.fitted_, dataset, options, training, reporter=self._reporter())
        seen, unseen = held_out(dataset, training)
        if unseen is not None:
            quality = refinement_quality(made.model, seen, unseen, seed=self._seed)
            assert made.options.refiner_fit is not None
            facts = quality.added_to(made.options.refiner_fit)
            made = replace(made, options=replace(made.options, refiner_fit=facts))
        return self._adopt(made)

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
    """L_K of each row, (rows,); the evidence lower bound if K is 1, or if the density of the prior
    is only a lower bound."""
    samples = most_samples(model, dataset, samples)
    with warnings.catch_warnings():
        if samples <= FEW:
            warnings.filterwarnings("ignore", "the median effective sample size")
        scores = score(model, dataset, samples=samples, seed=seed)
    bounds: Array = (scores.elbo if samples == 1 else scores.bound).numpy()
    return bounds
