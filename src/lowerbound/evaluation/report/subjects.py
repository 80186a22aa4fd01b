"""Subjects of a report: fitted models, their training histories, and their findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lowerbound.config import to_mapping
from lowerbound.data.dataset import Dataset
from lowerbound.evaluation.report.sizes import SuiteOptions
from lowerbound.evaluation.report.suites import (
    LatentFindings,
    LikelihoodFindings,
    SampleFindings,
    latent_suite,
    likelihood_suite,
    reference_samples,
    sample_suite,
)
from lowerbound.evaluation.samples.acceptance import RealismClassifier, fit_realism_classifier
from lowerbound.inference.estimate import Skipped
from lowerbound.models.base import Model
from lowerbound.models.powers import Chains, HasPrior, Mixes, name_of

SUITES = 3  # of a subject: likelihood, latents, samples


class TrainingRecord(Protocol):
    """One line of a training's history; bounds in nats per row."""

    @property
    def epoch(self) -> float: ...
    @property
    def seconds(self) -> float: ...
    @property
    def bound(self) -> float: ...
    @property
    def validation(self) -> float | None: ...
    @property
    def distortion(self) -> float: ...
    @property
    def rates(self) -> tuple[float, ...]: ...
    @property
    def readings(self) -> Mapping[str, tuple[float, ...]]: ...


class TrainingHistory(Protocol):
    """The records of a training, oldest first; empty for a model solved in closed form."""

    @property
    def ended(self) -> str: ...
    def __iter__(self) -> Iterator[TrainingRecord]: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Subject:
    """A fitted model and its name in the report.

    Attributes:
        name: such as "VAE".
        model: the fitted model.
        history: training history; None if unknown.
        latents: of a row, in words; "" if unknown.
    """

    name: str
    model: Model
    history: TrainingHistory | None = None
    latents: str = ""


@dataclass(frozen=True)
class Findings:
    """All measurements of one subject."""

    subject: Subject
    likelihood: LikelihoodFindings
    latents: LatentFindings
    samples: SampleFindings

    @property
    def name(self) -> str:
        """The subject's name."""
        return self.subject.name

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "name": self.name,
            **self.likelihood.to_mapping(),
            **self.latents.to_mapping(),
            **self.samples.to_mapping(),
        }


def examine(
    subjects: Sequence[Subject],
    training: Dataset,
    held_out: Dataset,
    options: SuiteOptions | None = None,
    finished: Callable[[], None] = lambda: None,
) -> tuple[list[Findings], RealismClassifier | Skipped]:
    """Run all suites for all subjects, on the same rows and with the same classifier.

    ``finished`` is called once, and then after each of the ``SUITES`` of each subject.
    """
    options = options or SuiteOptions()
    judge = fit_realism_classifier(training, held_out, seed=options.seed)
    reference = reference_samples(training, held_out, options)
    finished()
    findings = []
    for subject in subjects:
        likelihood = likelihood_suite(subject.model, held_out, options)
        finished()
        latents = latent_suite(subject.model, training, held_out, options)
        finished()
        samples = sample_suite(subject.model, training, judge, options, reference=reference)
        finished()
        findings.append(Findings(subject, likelihood, latents, samples))
    return findings, judge


def leading(findings: Sequence[Findings]) -> Findings:
    """The main subject of the report: the first trained one with a prior."""
    with_prior = [found for found in findings if isinstance(found.subject.model, HasPrior)]
    trained = [found for found in with_prior if list(found.subject.model.parameters())]
    return (trained or with_prior or list(findings))[0]


def describe(subject: Subject) -> dict[str, str]:
    """The parts of a model, as text for a table."""
    model, history = subject.model, subject.history
    last = list(history)[-1] if history is not None and len(history) else None
    numbers = sum(p.numel() for p in model.parameters() if p.requires_grad)
    likelihood = type(model.declared_likelihood).__name__
    prior = type(getattr(model, "prior", None)).__name__
    return {
        "model": model.title or name_of(model),
        "latents": subject.latents or str(getattr(model, "latent_dim", "")),
        "p(x | z)": ("Gaussian" if likelihood == "NoneType" else likelihood)
        + ("" if model.refiner is None else "; draws are refined"),
        "p(z)": _prior_name(model, prior),
        "weights": f"{numbers:,}" if numbers else "closed form",
        "trained": "" if last is None else f"{last.epoch:.0f} epochs in {last.seconds:.0f} s",
        "ended": "" if history is None else history.ended,
    }


def _prior_name(model: Model, prior: str) -> str:
    if isinstance(model, Chains | Mixes):
        return "levels, each given those above it"
    if not isinstance(model, HasPrior):
        return "none"
    return "StandardNormal" if prior == "NoneType" else prior


def stamp(findings: Sequence[Findings]) -> dict[str, Any] | None:
    """The protocol of the scores, the same for all subjects except for the likelihood's name."""
    for found in findings:
        scores = found.likelihood.scores
        if not isinstance(scores, Skipped):
            return {k: v for k, v in to_mapping(scores.protocol).items() if k != "likelihood"}
    return None
