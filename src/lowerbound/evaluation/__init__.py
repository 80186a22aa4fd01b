"""Evaluation of models: likelihood, latents, samples, and the HTML report.

>>> from lowerbound.evaluation import Subject, score, write_report
"""

from __future__ import annotations

from lowerbound.evaluation.likelihood.amortization import amortization_gap
from lowerbound.evaluation.report.page import ReportPage, write_report
from lowerbound.evaluation.report.subjects import Subject
from lowerbound.evaluation.report.suites import (
    SuiteOptions,
    latent_suite,
    likelihood_suite,
    sample_suite,
)
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.inference.likelihood import score
from lowerbound.inference.scores import Scores, Summary, marginal_difference

__all__ = [
    "Estimate",
    "ReportPage",
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
