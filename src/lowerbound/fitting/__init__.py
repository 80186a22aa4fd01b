"""Fit a model to a data set, the prior of a fitted model to its latents, or its refiner."""

from lowerbound.fitting.model import FitOptions, Fitted, PriorFit, fit, held_out
from lowerbound.fitting.source import RefinerFit
from lowerbound.models.options import ModelOptions

__all__ = ["FitOptions", "Fitted", "ModelOptions", "PriorFit", "RefinerFit", "fit", "held_out"]
