"""Objectives: (model, batch) -> Bound."""

from lowerbound.objectives.adversarial import Adversarial
from lowerbound.objectives.base import OBJECTIVES, Bound, Objective
from lowerbound.objectives.elbo import ELBO
from lowerbound.objectives.factor import Factor
from lowerbound.objectives.features import FeatureMatching
from lowerbound.objectives.importance_weighted import ImportanceWeighted
from lowerbound.objectives.labels.semi_supervised import SemiSupervised
from lowerbound.objectives.labels.semi_supervised_regression import MeanTeacherRegression
from lowerbound.objectives.rate_distortion import TargetRate
from lowerbound.objectives.spectral import Spectral
from lowerbound.objectives.structural import Structural
from lowerbound.objectives.total_correlation import BetaTotalCorrelation

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
