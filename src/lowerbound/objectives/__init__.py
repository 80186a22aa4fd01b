"""Objectives: (model, batch) -> Bound."""

from lowerbound.objectives.base import OBJECTIVES, Bound, Objective
from lowerbound.objectives.elbo import ELBO
from lowerbound.objectives.importance_weighted import ImportanceWeighted
from lowerbound.objectives.rate_distortion import TargetRate

__all__ = ["ELBO", "OBJECTIVES", "Bound", "ImportanceWeighted", "Objective", "TargetRate"]
