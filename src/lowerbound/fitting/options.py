"""The options of a fit, and what a model folder records beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lowerbound.config import by_new_names, option, renamed_of
from lowerbound.fitting.source import DataSource, Likeness, RefinerFit
from lowerbound.models.options import ModelOptions
from lowerbound.parts import AUTO, OBJECTIVES
from lowerbound.registry import public_names
from lowerbound.training.options import TrainingOptions
from lowerbound.training.private.options import PrivacyOptions

if TYPE_CHECKING:
    from lowerbound.distributions.point import Density
    from lowerbound.training.private.record import ReleaseRecord
else:  # types of records, which only the options of a fitted model hold
    __getattr__, _, _ = public_names(
        __name__,
        {
            "lowerbound.distributions.point": "Density",
            "lowerbound.training.private.record": "ReleaseRecord",
        },
    )


@dataclass(frozen=True)
class PriorFit:
    """How a prior was trained on latents, after the rest of the model.

    Attributes:
        kind: name of the prior.
        rows: how many rows the latents are of.
        latents: SHA-256 of the weights and the rows that the latents were drawn by.
        training: the options of this training.
        validation: mean log p(z) of held-out latents in nats per row; None where none were held
            out.
        density: of this prior: "exact", or "bound" where ``validation`` is a lower bound.
        former_kind: name of the prior that the model had before.
        former: the same mean under that prior; None where none were held out.
        former_density: of that prior.
        error: standard error of the paired difference, ``validation`` minus ``former``.
        held_out: how many rows these means are over.
        fitted_model: the options that the model was fitted with, before any prior was trained on
            latents.
    """

    kind: str = ""
    rows: int = 0
    latents: str = ""
    training: TrainingOptions = field(default_factory=TrainingOptions)
    validation: float | None = None
    density: Density = "exact"
    former_kind: str = ""
    former: float | None = None
    former_density: Density = "exact"
    error: float | None = None
    held_out: int = 0
    fitted_model: ModelOptions | None = None


@dataclass(frozen=True)
class FitOptions:
    """All options of a fit."""

    model: ModelOptions = field(default_factory=ModelOptions)
    objective: str = option(
        AUTO, "what training maximizes; auto: the model's own", choices=OBJECTIVES.after(AUTO)
    )
    objective_options: Mapping[str, Any] = field(default_factory=dict)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    folds: int | None = option(
        None,
        "fits with some labels hidden in turn, which calibrate q(y | x), and for tables weigh its "
        "members; 5 short ones for tables, else none, unless given",
    )
    privacy: PrivacyOptions = field(default_factory=PrivacyOptions)
    prior_fit: PriorFit | None = None
    refiner_fit: RefinerFit | None = None
    likeness: Likeness | None = None
    data: DataSource | None = None
    release: ReleaseRecord | None = None

    @property
    def fitted_model(self) -> ModelOptions:
        """The options that the model was fitted with, whichever prior it has now."""
        return (self.prior_fit and self.prior_fit.fitted_model) or self.model

    def by_new_names(self) -> FitOptions:
        """The same options, with the current names of the objective's options."""
        if self.objective == AUTO:  # the model's default objective has no renamed options
            return self
        renamed = renamed_of(OBJECTIVES[self.objective])
        return replace(self, objective_options=by_new_names(self.objective_options, renamed))
