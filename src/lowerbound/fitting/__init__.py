"""Fit a model to a data set, the prior of a fitted model to its latents, or its refiner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowerbound.registry import public_names

if TYPE_CHECKING:
    from lowerbound.fitting.fitted import Fitted as Fitted, held_out as held_out
    from lowerbound.fitting.model import fit as fit
    from lowerbound.fitting.options import FitOptions as FitOptions, PriorFit as PriorFit
    from lowerbound.fitting.source import RefinerFit as RefinerFit
    from lowerbound.models.options import ModelOptions as ModelOptions

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        ".fitted": "Fitted held_out",
        ".model": "fit",
        ".options": "FitOptions PriorFit",
        ".source": "RefinerFit",
        "lowerbound.models.options": "ModelOptions",
    },
)
