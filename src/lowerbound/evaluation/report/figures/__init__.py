"""Figures of the report: functions from arrays to a matplotlib Figure.

They do not use pyplot or its global state, so they are safe in any thread or server.
"""

from lowerbound.evaluation.report.figures.manifold import decoded_features, decoded_pictures
from lowerbound.evaluation.report.figures.maps import LatentMap, latent_maps
from lowerbound.evaluation.report.figures.profiles import decoded_profiles, sampled_profiles
from lowerbound.evaluation.report.figures.reconstructions import (
    compared_reconstructions,
    picture_reconstructions,
    profile_reconstructions,
    scatter_reconstructions,
)
from lowerbound.evaluation.report.figures.sheets import (
    Sheet,
    class_shares,
    picture_strip,
    sample_sheets,
)
from lowerbound.evaluation.report.figures.style import SMALL, to_png
from lowerbound.evaluation.report.figures.tables import correlations, marginals
from lowerbound.evaluation.report.figures.training import (
    TrainingCurve,
    level_curves,
    prior_curve,
    reading_curves,
    training_curves,
)
from lowerbound.evaluation.report.figures.units import factor_matrix, unit_bars

__all__ = [
    "SMALL",
    "LatentMap",
    "Sheet",
    "TrainingCurve",
    "class_shares",
    "compared_reconstructions",
    "correlations",
    "decoded_features",
    "decoded_pictures",
    "decoded_profiles",
    "factor_matrix",
    "latent_maps",
    "level_curves",
    "marginals",
    "picture_reconstructions",
    "picture_strip",
    "prior_curve",
    "profile_reconstructions",
    "reading_curves",
    "sample_sheets",
    "sampled_profiles",
    "scatter_reconstructions",
    "to_png",
    "training_curves",
    "unit_bars",
]
