"""Subjects of a report: fitted models, their training histories, and their findings.

Input and output of the chapters of a report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lowerbound.config import to_mapping
from lowerbound.data.arrays import Array
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
from lowerbound.evaluation.samples.acceptance import (
    RealismClassifier,
    fit_realism_classifier,
    real_rows,
)
from lowerbound.inference.estimate import Skipped
from lowerbound.models.base import Model
from lowerbound.models.powers import Chains, HasPrior, Mixes, name_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


EXAMPLES = 10


@dataclass(frozen=True)
class Plate:
    """One figure of the report.

    Attributes:
        key: its file name without suffix.
        chapter: heading of its chapter.
        caption: what it shows and what to look for, in plain words.
        figure: the figure.
    """

    key: str
    chapter: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Material:
    """Data for the figures.

    Attributes:
        findings: findings of all models.
        training: the rows they were fitted to.
        held_out: rows they have not seen.
    """

    findings: Sequence[Findings]
    training: Dataset
    held_out: Dataset

    @property
    def main(self) -> Findings:
        """The main model of the report."""
        return leading(self.findings)

    @property
    def scored(self) -> Dataset:
        """The measured held-out rows, in the order of the codes."""
        codes = [found.latents.codes for found in self.findings]
        measured = [len(each) for each in codes if not isinstance(each, Skipped)]
        return self.held_out.thinned(measured[0] if measured else 0)

    @property
    def examples(self) -> Dataset:
        """A few held-out rows, equally many of each class if there are labels."""
        label = self.held_out.label
        if label is None or not bool((label >= 0).any()):
            return self.held_out.thinned(EXAMPLES)
        classes = label[label >= 0].unique().tolist()
        each = max(1, EXAMPLES // len(classes))
        firsts = torch.cat([torch.nonzero(label == index)[:each, 0] for index in classes])
        return self.held_out.subset(firsts[:EXAMPLES])

    @property
    def names(self) -> list[str]:
        """Names of the features that vary."""
        return self.training.schema.data_kind.feature_names(self.training.schema)

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Meanings of the codes of a column with levels, by the column's name."""
        columns = self.training.schema.modeled
        return {c.name: tuple(map(str, c.levels)) for c in columns if c.levels}

    @property
    def dates(self) -> frozenset[str]:
        """Names of the columns of dates, which are seconds since 1970."""
        columns = self.training.schema.modeled
        return frozenset(column.name for column in columns if column.rules.has_format)

    def observed(self, dataset: Dataset) -> Array:
        """Rows as returned by ``columns``, NaN if not observed."""
        values = self.columns(real_rows(dataset))
        if dataset.observed is not None:
            values[~dataset.observed.cpu().numpy()] = np.nan
        return values

    def columns(self, units: Tensor) -> Array:
        """Rows in model units as the columns that vary, (..., columns), in the data's units."""
        schema = self.training.schema
        return schema.data_kind.features(schema, units)
