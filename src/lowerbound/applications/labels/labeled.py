"""The common base of the semi-supervised estimators.

A stacked model (M1 under M2) uses encoder and decoder of a VAE of all rows.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from lowerbound.applications.common.estimators.inputs import new_seed
from lowerbound.applications.common.estimators.vae import FEW, TrainedEstimator, lower_bounds
from lowerbound.config import by_new_names, renamed_of
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.model import fit
from lowerbound.fitting.options import FitOptions
from lowerbound.inference.prior_draws import whole_count
from lowerbound.models.base import Model
from lowerbound.models.options import ModelOptions
from lowerbound.models.powers import Encodes, require
from lowerbound.parts import OBJECTIVES
from lowerbound.training.reporter import TrainingReporter

# without a start at principal components: neighbors by such codes agree less on the class
FEATURES = ModelOptions("vae", posterior="gaussian", model_options={"linear_start": False})
SHARED = ("encoder", "decoder", "likelihood", "inputs", "path")


def first_features(
    dataset: Dataset, options: FitOptions, reporter: TrainingReporter | None
) -> Fitted:
    """A VAE of the rows without their labels, with the networks of ``options``."""
    model = options.model
    below = model.model_options.get("feature_dim")
    own = replace(
        FEATURES,
        latent_dim=below,
        network=model.network,
        network_options=model.network_options,
        likelihood=model.likelihood,
        likelihood_options=model.likelihood_options,
    )
    training = replace(options.training, validation=0.0)
    return fit(dataset, FitOptions(own, training=training), reporter=reporter)


def above(first: Fitted, options: FitOptions) -> FitOptions:
    """The options of a stacked model whose lowest latent is that of ``first``."""
    below = first.options.model
    stacked = {
        **options.model.model_options,
        "stacked": True,
        "feature_dim": below.latent_dim,
    }
    model = replace(
        options.model,
        network=below.network,
        network_options=below.network_options,
        likelihood=below.likelihood,
        likelihood_options=below.likelihood_options,
        model_options=stacked,
    )
    return replace(options, model=model)


def check_units(first: Fitted, dataset: Dataset) -> None:
    """Raise an error if the features cannot be used for ``dataset``.

    Raises:
        DataError: the features were fitted on rows of another shape or in other units.
        OptionError: the features are not a VAE with a diagonal Gaussian posterior.
    """
    found = first.options.model
    if (found.model, found.posterior) != (FEATURES.model, FEATURES.posterior):
        raise OptionError(
            "features are a fitted VAE with posterior='gaussian', and these are a "
            f"{found.model} with {found.posterior!r}"
        )
    if _bare(first.schema) != _bare(dataset.schema):
        raise DataError(
            "the features were fitted on rows of another shape or in other units: fit them on the "
            "same X, labels left out"
        )


def starting_from(first: Fitted) -> Callable[[Model], None]:
    """A function that copies the features' networks into a stacked model and freezes them."""

    def start(model: Model) -> None:
        for name in SHARED:
            part, source = getattr(model, name), getattr(first.model, name)
            if part is not None and source is not None:
                part.load_state_dict(source.state_dict())
                part.requires_grad_(False)

    return start


def _bare(schema: Schema) -> Schema:
    return replace(schema, class_names=(), label_column=None, target=None)


@dataclass(eq=False, repr=False, kw_only=True)
class LabeledEstimator(TrainedEstimator):
    """An estimator of a model with the label as a latent; its objective has the model's name."""

    augmentation: float = 0.0
    stacked: bool = False
    features: Any = None
    prior: str = "standard_normal"
    prior_options: Mapping[str, Any] | None = None
    model_options: Mapping[str, Any] | None = None
    objective_options: Mapping[str, Any] | None = None
    n_importance: int = FEW
    folds: int | None = FitOptions.folds

    needs_labels: ClassVar[bool] = True

    def score_samples(self, X: Any) -> Array:
        """A lower bound on log p(x) for each row, without its label; as for ``VAE``."""
        return lower_bounds(self.model_, self._read(X), self.n_importance, self._seed)

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
        """New rows: y ~ p(y) unless it is given, z ~ p(z), then x ~ p(x | y, z).

        Args:
            n_samples: how many.
            y: a label for all, or one per row.
            mean: the mean of p(x | y, z) instead of a draw from it.
            random_state, given, guidance, steps, complete: as in ``VAE.sample``.

        Raises:
            OptionError: an unknown class; the message names the nearest one. Or columns of a table
                are given with y, or ``n_samples`` is no whole number from 1.
            DataError: the lengths differ, or a number is not finite.
        """
        check_is_fitted(self)
        condition = None if y is None else self._label_condition(y, whole_count(n_samples))
        return self._sample(
            n_samples, condition, mean, random_state, given, guidance, steps, complete
        )

    @abstractmethod
    def _label_condition(self, y: Any, rows: int) -> Tensor:
        """Labels in model units, (rows, size), from one for all rows or one for each."""

    @property
    def latent_dim_(self) -> int:
        """Size of a code: label and style; in M1+M2 the features."""
        return require(self.model_, Encodes, "encode").latent_dim

    def _fit(self, dataset: Dataset) -> Self:
        return self._adopt(self._fits(dataset)(dataset))

    def _fits(self, dataset: Dataset) -> Callable[[Dataset], Fitted]:
        """A function that fits the model to rows, with features of ``dataset`` in M1+M2.

        Raises:
            OptionError: ``features`` are given, and the model has none.
        """
        if self.features is not None and not self.stacked:
            raise OptionError("features= is only used with stacked=True: set it, or leave it out")
        options, start = self._options(new_seed(self.random_state)), None
        if self.stacked:
            first = self._first(dataset, options)
            options, start = above(first, options), starting_from(first)

        def fitted_on(rows: Dataset) -> Fitted:
            return fit(rows, options, reporter=self._reporter(), start=start)

        return fitted_on

    def _first(self, dataset: Dataset, options: FitOptions) -> Fitted:
        """The VAE of the features."""
        if self.features is None:
            return first_features(dataset, options, self._reporter())
        check_is_fitted(self.features)
        first: Fitted = self.features.fitted_
        check_units(first, dataset)
        return first

    def _options(self, seed: int) -> FitOptions:
        return replace(super()._options(seed), folds=self.folds)

    def _objective(self) -> dict[str, Any]:
        given = by_new_names(self.objective_options or {}, renamed_of(OBJECTIVES[self.kind]))
        options = {"augmentation": float(self.augmentation), **given}
        return {"objective": self.kind, "objective_options": options}

    @classmethod
    def _parameters_of(cls, fitted: Fitted) -> dict[str, Any]:
        values = super()._parameters_of(fitted)
        objective = dict(values["objective_options"] or {})
        model = dict(values["model_options"] or {})
        return {
            **values,
            "augmentation": objective.pop("augmentation", 0.0),
            "stacked": model.pop("stacked", False),
            "objective_options": objective or None,
            "model_options": model or None,
        }
