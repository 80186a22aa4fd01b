"""Fit a model to a data set, the prior of a fitted model to its latents, or its refiner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowerbound.registry import public_names

if TYPE_CHECKING:
    from lowerbound.fitting.fitted import (
        FitOptions as FitOptions,
        Fitted as Fitted,
        PriorFit as PriorFit,
        held_out as held_out,
    )
    from lowerbound.fitting.model import fit as fit
    from lowerbound.fitting.source import RefinerFit as RefinerFit
    from lowerbound.models.options import ModelOptions as ModelOptions

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        ".fitted": "FitOptions Fitted PriorFit held_out",
        ".model": "fit",
        ".source": "RefinerFit",
        "lowerbound.models.options": "ModelOptions",
    },
)
