"""Fit a model to a data set, or the prior of a fitted model to its latents."""

from lowerbound.fitting.model import FitOptions, Fitted, PriorFit, fit, held_out
from lowerbound.models.options import ModelOptions

__all__ = ["FitOptions", "Fitted", "ModelOptions", "PriorFit", "fit", "held_out"]
