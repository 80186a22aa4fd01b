"""Evaluation of models: likelihood, latents, samples, and the HTML report.

>>> from lowerbound.evaluation import Subject, score, write_report
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowerbound.registry import public_names

if TYPE_CHECKING:
    from lowerbound.evaluation.likelihood.tighter import amortization_gap as amortization_gap
    from lowerbound.evaluation.report.page import (
        ReportPage as ReportPage,
        write_report as write_report,
    )
    from lowerbound.evaluation.report.sizes import SuiteOptions as SuiteOptions
    from lowerbound.evaluation.report.subjects import Subject as Subject
    from lowerbound.evaluation.report.suites import (
        latent_suite as latent_suite,
        likelihood_suite as likelihood_suite,
        sample_suite as sample_suite,
    )
    from lowerbound.inference.estimate import Estimate as Estimate, Skipped as Skipped
    from lowerbound.inference.likelihood import score as score
    from lowerbound.inference.scores import (
        Scores as Scores,
        Summary as Summary,
        marginal_difference as marginal_difference,
    )

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        ".likelihood.tighter": "amortization_gap",
        ".report.page": "ReportPage write_report",
        ".report.subjects": "Subject",
        ".report.sizes": "SuiteOptions",
        ".report.suites": "latent_suite likelihood_suite sample_suite",
        "lowerbound.inference.estimate": "Estimate Skipped",
        "lowerbound.inference.likelihood": "score",
        "lowerbound.inference.scores": "Scores Summary marginal_difference",
    },
)
