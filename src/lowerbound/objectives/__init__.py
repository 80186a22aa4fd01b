"""Objectives: (model, batch) -> Bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowerbound.registry import public_names

if TYPE_CHECKING:
    from lowerbound.objectives.adversarial import Adversarial as Adversarial
    from lowerbound.objectives.base import Bound as Bound, Objective as Objective
    from lowerbound.objectives.elbo import ELBO as ELBO, TargetRate as TargetRate
    from lowerbound.objectives.factor import (
        BetaTotalCorrelation as BetaTotalCorrelation,
        Factor as Factor,
    )
    from lowerbound.objectives.features import (
        FeatureMatching as FeatureMatching,
        Spectral as Spectral,
        Structural as Structural,
    )
    from lowerbound.objectives.importance_weighted import ImportanceWeighted as ImportanceWeighted
    from lowerbound.objectives.semi_supervised import SemiSupervised as SemiSupervised
    from lowerbound.objectives.semi_supervised_regression import (
        MeanTeacherRegression as MeanTeacherRegression,
    )
    from lowerbound.parts import OBJECTIVES as OBJECTIVES

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        ".adversarial": "Adversarial",
        ".base": "OBJECTIVES Bound Objective",
        ".elbo": "ELBO TargetRate",
        ".factor": "BetaTotalCorrelation Factor",
        ".features": "FeatureMatching Spectral Structural",
        ".importance_weighted": "ImportanceWeighted",
        ".semi_supervised": "SemiSupervised",
        ".semi_supervised_regression": "MeanTeacherRegression",
    },
)
