"""The parameters of networks, likelihood and training that trained estimators share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lowerbound.config import from_mapping, to_mapping
from lowerbound.estimators.base import LatentVariableEstimator, chosen
from lowerbound.fitting import FitOptions, Fitted
from lowerbound.models.base import AUTO
from lowerbound.models.given_parts import by_names
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions, TrainingReporter, reporter_for, with_callbacks


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
