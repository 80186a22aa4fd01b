"""The figures on which the verdict of a report rests, from the measurements of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lowerbound.data.dataset import Dataset
from lowerbound.evaluation.aggregate import Units
from lowerbound.evaluation.likelihood.baselines import Baselines, baselines
from lowerbound.evaluation.report.subjects import Findings, Subject, TrainingHistory, TrainingRecord
from lowerbound.evaluation.report.suites import LikelihoodFindings, SampleFindings
from lowerbound.evaluation.report.verdict import Evidence, Verdict, judge
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.inference.scores import Scores
from lowerbound.training.held_out import UNITS

LAST = 0.1  # share of a training whose gain tells whether it ended too early
NO_TRAINING_ROWS = Skipped(
    "the baselines need the rows that the model was fitted to; --part test on the data of the fit "
    "has them"
)
PRIVATE = Skipped("the fit is private, and a baseline would read its rows without noise")


def verdict_of(
    subject: Subject,
    likelihood: LikelihoodFindings,
    training: Dataset | Skipped,
    held_out: Dataset,
    *,
    unseen: bool = True,
    findings: Findings | None = None,
    samples: SampleFindings | None = None,
) -> Verdict:
    """The verdict on a model.

    Args:
        subject: the model.
        likelihood: its measurements.
        training: the rows that it was fitted to; Skipped: why there are none.
        held_out: the rows that were scored.
        unseen: whether they were not fitted to.
        findings: its other measurements, if they were made.
        samples: those of its samples, if only they were made.
    """
    of_samples = samples if findings is None else findings.samples
    compared = baselines(subject.model, training, held_out, likelihood.scores)
    scores, history = likelihood.scores, subject.history
    exact = isinstance(scores, Scores) and scores.log_marginal is not None
    weighted = scores if isinstance(scores, Scores) and not exact else None
    units = None if findings is None else findings.latents.units
    return judge(
        Evidence(
            model=subject.name,
            rows=len(held_out),
            unseen=unseen,
            samples=weighted.samples if weighted else None,
            bound=_headline(scores),
            effective_low=_low(weighted),
            heavy_tailed=weighted.share_pareto_k_high if weighted else None,
            margins=compared.margins,
            unjudged=_unjudged(compared),
            rising=rising(history),
            brief=brief(history),
            overfit=overfit(history, hiding=held_out.schema.missing),
            active=units.count if isinstance(units, Units) else None,
            units=len(units.rate) if isinstance(units, Units) else None,
            collapsed=collapsed(history),
            explained=likelihood.error.explained,
            accepted=findings is not None and not isinstance(findings.samples.acceptance, Skipped),
            distances=of_samples is not None and not isinstance(of_samples.quality, Skipped),
        )
    )


def _headline(scores: Scores | Skipped) -> Estimate | None:
    if isinstance(scores, Skipped):
        return None
    return Estimate.of(scores.bound if scores.log_marginal is None else scores.log_marginal)


def _low(scores: Scores | None) -> float | None:
    """The median effective sample size, if it is too low."""
    if scores is None or not scores.effective_sample_size_low:
        return None
    return float(scores.effective_sample_size.median())


def _unjudged(compared: Baselines) -> str:
    """Why there is no baseline; empty if there is one."""
    if compared.margins:
        return ""
    both = (compared.independent, compared.pca)
    reasons = [each.reason for each in both if isinstance(each, Skipped)]
    return "; ".join(dict.fromkeys(reasons))


def rising(history: TrainingHistory | None) -> float | None:
    """Nats by which the validation bound rose in the last tenth of a training.

    None if the training did not end because its budget was used up, or nothing was held out.
    """
    records, before = _of_whole_training(history)
    return _value(records[-1]) - _value(before[-1]) if before else None


def brief(history: TrainingHistory | None) -> bool:
    """Whether a training used up its budget with no validation before its last tenth."""
    records, before = _of_whole_training(history)
    return bool(records) and not before


def _of_whole_training(
    history: TrainingHistory | None,
) -> tuple[Sequence[TrainingRecord], Sequence[TrainingRecord]]:
    """Validations of a training that used up its budget, and those before its last tenth."""
    if history is None or history.ended != "finished":
        return [], []
    records = _validated(history)
    return records, [each for each in records if each.epoch <= (1 - LAST) * records[-1].epoch]


def overfit(history: TrainingHistory | None, *, hiding: bool = False) -> float | None:
    """Nats by which the training bound lies above the validation bound where that was highest.

    Args:
        history: of a training; None if unknown.
        hiding: whether training hides cells. Its bound is then one on fewer cells, and says
            nothing; the answer is None.
    """
    kept = None if hiding else _kept(history)
    return None if kept is None or math.isnan(kept.bound) else kept.bound - _value(kept)


def collapsed(history: TrainingHistory | None) -> bool:
    """Whether no latent unit was active on the validation rows where their bound was highest."""
    kept = _kept(history)
    reading = () if kept is None else kept.readings.get(UNITS, ())
    return bool(reading) and reading[0] == 0


def _kept(history: TrainingHistory | None) -> TrainingRecord | None:
    """The record with the highest validation bound; None if nothing was held out."""
    records = [] if history is None else _validated(history)
    return max(records, key=_value, default=None)


def _validated(history: TrainingHistory) -> Sequence[TrainingRecord]:
    return [record for record in history if record.validation is not None]


def _value(record: TrainingRecord) -> float:
    assert record.validation is not None
    return record.validation
