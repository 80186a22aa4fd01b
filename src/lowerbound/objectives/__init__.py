"""Objectives: (model, batch) -> Bound."""

from lowerbound.objectives.adversarial import Adversarial
from lowerbound.objectives.base import OBJECTIVES, Bound, Objective
from lowerbound.objectives.elbo import ELBO
from lowerbound.objectives.factor import BetaTotalCorrelation, Factor
from lowerbound.objectives.features import FeatureMatching, Spectral, Structural
from lowerbound.objectives.importance_weighted import ImportanceWeighted
from lowerbound.objectives.rate_distortion import TargetRate
from lowerbound.objectives.semi_supervised import SemiSupervised
from lowerbound.objectives.semi_supervised_regression import MeanTeacherRegression

__all__ = [
    "ELBO",
    "OBJECTIVES",
    "Adversarial",
    "BetaTotalCorrelation",
    "Bound",
    "Factor",
    "FeatureMatching",
    "ImportanceWeighted",
    "MeanTeacherRegression",
    "Objective",
    "SemiSupervised",
    "Spectral",
    "Structural",
    "TargetRate",
]
