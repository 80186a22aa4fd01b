"""What a model is worth: likelihood, latents, samples, and the report that shows them.

>>> from lowerbound.evaluation import Subject, score, write_report
"""

from __future__ import annotations

from lowerbound.evaluation.amortization import amortization_gap
from lowerbound.evaluation.estimate import Estimate, Skipped
from lowerbound.evaluation.likelihood import score
from lowerbound.evaluation.report import Report, write_report
from lowerbound.evaluation.scores import Scores, Summary, marginal_difference
from lowerbound.evaluation.subjects import Subject
from lowerbound.evaluation.suites import (
    SuiteOptions,
    latent_suite,
    likelihood_suite,
    sample_suite,
)

__all__ = [
    "Estimate",
    "Report",
    "Scores",
    "Skipped",
    "Subject",
    "SuiteOptions",
    "Summary",
    "amortization_gap",
    "latent_suite",
    "likelihood_suite",
    "marginal_difference",
    "sample_suite",
    "score",
    "write_report",
]
