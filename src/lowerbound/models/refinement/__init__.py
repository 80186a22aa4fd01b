"""A diffusion model of pictures given the decoder's mean, which restores the detail it lacks."""

from lowerbound.models.refinement.emission import RefinedEmission
from lowerbound.models.refinement.refined import Refined, unrefined
from lowerbound.models.refinement.refiner import Refiner, refiner_for

__all__ = ["Refined", "RefinedEmission", "Refiner", "refiner_for", "unrefined"]
