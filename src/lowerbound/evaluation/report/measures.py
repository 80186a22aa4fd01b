"""The measures of the report's table: what each is called, what it says, where it comes from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from lowerbound.errors import UnsupportedError
from lowerbound.evaluation.latents.aggregate import Agreement
from lowerbound.evaluation.latents.disentanglement import Disentanglement
from lowerbound.evaluation.latents.features import FeatureQuality
from lowerbound.evaluation.latents.units import Units
from lowerbound.evaluation.report.cells import (
    Cell,
    Measure,
    estimate,
    minus,
    percent,
    row_mean,
    share,
)
from lowerbound.evaluation.report.sample_measures import SAMPLE_MEASURES, SAMPLES
from lowerbound.evaluation.report.subjects import Findings
from lowerbound.evaluation.report.suites import FROM_MIXTURE
from lowerbound.evaluation.samples.acceptance import Acceptance
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.inference.scores import Scores


def from_scores(cell: Callable[[Scores], Cell]) -> Callable[[Findings], Cell]:
    """An answer taken from the scores, or the reason why there are none."""

    def answer(found: Findings) -> Cell:
        scores = found.likelihood.scores
        return Cell(note=scores.reason) if isinstance(scores, Skipped) else cell(scores)

    return answer


def from_features(cell: Callable[[FeatureQuality], Cell]) -> Callable[[Findings], Cell]:
    """An answer taken from the features, or the reason why there are none."""

    def answer(found: Findings) -> Cell:
        features = found.latents.features
        if isinstance(features, Skipped):
            return Cell(note=f"features: {features.reason}")
        return cell(features)

    return answer


def from_verdict(way: str, cell: Callable[[Acceptance], Cell]) -> Callable[[Findings], Cell]:
    """An answer taken from the verdict on samples drawn that way; empty: the model's own way."""

    def answer(found: Findings) -> Cell:
        verdicts = found.samples.acceptance
        if isinstance(verdicts, Skipped):
            return Cell(note=f"acceptance: {verdicts.reason}") if not way else Cell()
        chosen = way or next(iter(verdicts))
        return cell(verdicts[chosen]) if chosen in verdicts else Cell()

    return answer


def from_factors(cell: Callable[[Disentanglement], float]) -> Callable[[Findings], Cell]:
    """An answer taken from how codes and known factors go together; nothing where none is known."""

    def answer(found: Findings) -> Cell:
        known = found.latents.disentanglement
        if isinstance(known, Skipped):
            return Cell()
        return Cell(minus(cell(known), 3), cell(known))

    return answer


def _bound(scores: Scores) -> Cell:
    note = scores.low_sample_size_message() if scores.effective_sample_size_low else ""
    return replace(row_mean(scores.bound), note=note)


def _exact(scores: Scores) -> Cell:
    return estimate(None if scores.log_marginal is None else Estimate.of(scores.log_marginal))


def _bits(scores: Scores) -> Cell:
    try:
        return estimate(scores.bits_per_dimension(), 3)
    except UnsupportedError as error:
        return Cell(note=str(error))


def _effective(scores: Scores) -> Cell:
    median = float(scores.effective_sample_size.median())
    return Cell(f"{median:.1f} of {scores.samples}")


def _heavy_tails(scores: Scores) -> Cell:
    high = scores.share_pareto_k_high
    return Cell() if high is None else share(high)


def _tighter(found: Findings) -> Cell:
    tighter = found.likelihood.tighter
    if isinstance(tighter, Skipped):
        return Cell()
    cell = estimate(tighter.bound)
    return replace(cell, text=f"{cell.text} (L_{tighter.samples})", value=None)


def _annealed(found: Findings) -> Cell:
    check = found.likelihood.annealed
    # on other rows than the bounds above, so not to be ranked beside them
    return Cell() if isinstance(check, Skipped) else replace(estimate(check.bound), value=None)


def _annealing_gap(found: Findings) -> Cell:
    check = found.likelihood.annealed
    return Cell() if isinstance(check, Skipped) else replace(estimate(check.gap), value=None)


def _gap(found: Findings) -> Cell:
    gap = found.likelihood.gap
    return Cell() if isinstance(gap, Skipped) else estimate(gap.gap)


def _active(found: Findings) -> Cell:
    units = found.latents.units
    if not isinstance(units, Units):
        return Cell()
    return Cell(f"{units.count} of {len(units.rate)}", float(units.count))


def _used(found: Findings) -> Cell:
    books = found.latents.codebooks
    if isinstance(books, Skipped):
        return Cell()
    each = " + ".join(f"{use.used:.0%} of {len(use.counts):,}" for use in books)
    return Cell(each, sum(use.used for use in books) / len(books))


def _perplexity(found: Findings) -> Cell:
    books = found.latents.codebooks
    if isinstance(books, Skipped):
        return Cell()
    return Cell(" + ".join(f"{use.perplexity:.1f}" for use in books))


def _mismatch(found: Findings) -> Cell:
    agreement = found.latents.agreement
    if isinstance(agreement, Skipped):
        return Cell()
    low, high = max(agreement.kl_low.mean, 0.0), max(agreement.kl_high.mean, 0.0)
    # no value to rank by: the ends are bounds, and those of two models mostly overlap
    return _unless_smoothed(agreement, Cell(f"{minus(low, 2)} to {minus(high, 2)}"))


def _holes(found: Findings) -> Cell:
    agreement = found.latents.agreement
    if isinstance(agreement, Skipped):
        return Cell()
    rate = agreement.hole_rate
    error = math.sqrt(rate * (1 - rate) / agreement.rows)
    return _unless_smoothed(agreement, percent(Estimate(rate, error)))


def _unless_smoothed(agreement: Agreement, cell: Cell) -> Cell:
    """Not to be ranked where codes are points: kernels, not the model, say how wide they are."""
    if agreement.rate is not None:
        return cell
    note = f"from {agreement.density}, so not to be compared with a model that has clouds"
    return replace(cell, value=None, note=note)


def _information(found: Findings) -> Cell:
    agreement = found.latents.agreement
    if isinstance(agreement, Skipped):
        return Cell()
    low, high = agreement.mutual_information_low, agreement.mutual_information_high
    if low is None or high is None:
        return Cell()
    return Cell(f"{minus(low, 2)} to {minus(high, 2)}")


HELD_OUT = "Likelihood of rows it has not seen"
RECONSTRUCTION = "Reconstruction"
LATENT = "Latent space"

MEASURES = (
    Measure(
        HELD_OUT,
        "ELBO",
        "Lower bound on log p(x), in nats per row.",
        "higher",
        from_scores(lambda scores: row_mean(scores.elbo)),
        mass_or_density=True,
    ),
    Measure(
        HELD_OUT,
        "L_{samples}",
        "Tighter lower bound, from exactly {samples} importance samples.",
        "higher",
        from_scores(_bound),
        mass_or_density=True,
    ),
    Measure(
        HELD_OUT,
        "exact log p(x)",
        "The value itself, where the model can say it.",
        "",
        from_scores(_exact),
    ),
    Measure(
        HELD_OUT,
        "bits per dimension",
        "What a lossless code made of the model needs for each value.",
        "lower",
        from_scores(_bits),
    ),
    Measure(
        HELD_OUT,
        "effective sample size",
        "How many of the importance samples count, in the median row.",
        "",
        from_scores(_effective),
    ),
    Measure(
        HELD_OUT,
        "heavy-tailed rows",
        "Share of rows where a few importance samples carry all (Pareto k above 0.7).",
        "",
        from_scores(_heavy_tails),
    ),
    Measure(
        HELD_OUT,
        "carried bound",
        "L of a larger K on all rows, from its paired difference on some.",
        "",
        _tighter,
    ),
    Measure(
        HELD_OUT,
        "annealed bound",
        "Lower bound by annealed importance sampling, on some of the rows.",
        "",
        _annealed,
    ),
    Measure(
        HELD_OUT,
        "annealing gap",
        "How far annealing's two bounds are apart on rows that the model made, in nats.",
        "",
        _annealing_gap,
    ),
    Measure(
        HELD_OUT,
        "distortion",
        "−log p(x | z): what is lost when a row goes through its code, in nats.",
        "",
        from_scores(lambda scores: row_mean(scores.distortion)),
    ),
    Measure(
        HELD_OUT,
        "rate",
        "KL(q(z | x) ‖ p(z)): what the code costs, in nats.",
        "",
        from_scores(lambda scores: row_mean(scores.rates.sum(0))),
    ),
    Measure(
        HELD_OUT,
        "amortization gap",
        "What the bound would gain if each row had an encoder of its own, in nats.",
        "",
        _gap,
    ),
    Measure(
        RECONSTRUCTION,
        "squared error",
        "Mean squared error per value through the mean code, in model units.",
        "lower",
        lambda found: estimate(found.likelihood.error.squared, 4),
    ),
    Measure(
        RECONSTRUCTION,
        "explained",
        "Share of the variance that the reconstruction keeps.",
        "higher",
        lambda found: share(found.likelihood.error.explained),
    ),
    Measure(LATENT, "active units", "Latent units that carry something.", "", _active),
    Measure(LATENT, "codes used", "Share of each codebook that rows use.", "", _used),
    Measure(
        LATENT,
        "perplexity",
        "As how many codes, used alike, each codebook is used.",
        "",
        _perplexity,
    ),
    Measure(
        LATENT,
        "prior mismatch",
        "KL of all codes together to the prior, in nats: at least, at most.",
        "lower",
        _mismatch,
    ),
    Measure(
        LATENT,
        "information",
        "I(x; z), what a code tells about its row, in nats: at least, at most.",
        "",
        _information,
    ),
    Measure(
        LATENT,
        "hole rate",
        "Share of prior draws that land where hardly any row is coded; 1 % is ideal.",
        "lower",
        _holes,
    ),
    Measure(
        LATENT,
        "linear probe",
        "Accuracy of logistic regression on the codes.",
        "higher",
        from_features(lambda features: percent(features.probe)),
    ),
    Measure(
        LATENT,
        "cluster agreement",
        "Adjusted mutual information of k-means clusters with the classes.",
        "higher",
        from_features(lambda features: share(features.adjusted_mutual_information)),
    ),
    Measure(
        LATENT,
        "neighbor purity",
        "Share of a row's 10 nearest codes that have its class.",
        "higher",
        from_features(lambda features: share(features.purity)),
    ),
    Measure(
        LATENT,
        "MIG",
        "How far one unit tells more of each known factor than any other; 1 is ideal.",
        "",
        from_factors(lambda known: known.mig),
    ),
    Measure(
        LATENT,
        "DCI disentanglement",
        "Whether each unit matters for one known factor only; 1 is ideal.",
        "",
        from_factors(lambda known: known.disentanglement),
    ),
    Measure(
        LATENT,
        "DCI completeness",
        "Whether one unit only matters for each known factor; 1 is ideal.",
        "",
        from_factors(lambda known: known.completeness),
    ),
    Measure(
        LATENT,
        "DCI informativeness",
        "How often a forest on all units is right about the known factors.",
        "",
        from_factors(lambda known: known.informativeness),
    ),
    Measure(
        LATENT,
        "SAP",
        "How much better one unit predicts each known factor than any other; 1 is ideal.",
        "",
        from_factors(lambda known: known.sap),
    ),
    Measure(
        SAMPLES,
        "accepted",
        "Samples of which a classifier is as sure as of 95 % of real rows.",
        "higher",
        from_verdict("", lambda verdict: percent(verdict.rate)),
    ),
    Measure(
        SAMPLES,
        "rarest class",
        "Share of the rarest class among the accepted.",
        "higher",
        from_verdict("", lambda verdict: share(verdict.least_share)),
    ),
    Measure(
        SAMPLES,
        "accepted, mixture",
        "The same, sampled from a Gaussian mixture fitted to the codes afterwards.",
        "",
        from_verdict(FROM_MIXTURE, lambda verdict: percent(verdict.rate)),
    ),
    *SAMPLE_MEASURES,
    Measure(
        SAMPLES,
        "code found again",
        "R² between a sample's code and the encoder's answer to the sample.",
        "higher",
        lambda found: Cell(
            minus(found.samples.consistency.r_squared, 2), found.samples.consistency.r_squared
        ),
    ),
)
