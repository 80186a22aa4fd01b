"""Figures of the report: functions from arrays to a matplotlib Figure.

They do not use pyplot or its global state, so they are safe in any thread or server.
"""

from __future__ import annotations

from lowerbound.evaluation.report.figure_style import SMALL, to_png
from lowerbound.evaluation.report.latent_figures import (
    LatentMap,
    decoded_features,
    decoded_pictures,
    factor_matrix,
    latent_maps,
    unit_bars,
)
from lowerbound.evaluation.report.row_figures import (
    Sheet,
    class_shares,
    compared_reconstructions,
    decoded_profiles,
    picture_reconstructions,
    picture_strip,
    profile_reconstructions,
    sample_sheets,
    sampled_profiles,
    scatter_reconstructions,
)
from lowerbound.evaluation.report.training_figures import (
    TrainingCurve,
    correlations,
    level_curves,
    marginals,
    prior_curve,
    reading_curves,
    training_curves,
)

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
