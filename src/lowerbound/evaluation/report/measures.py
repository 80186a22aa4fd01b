"""The measures of the report's table: label, meaning, and place in ``Findings``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from lowerbound.errors import UnsupportedError
from lowerbound.evaluation.aggregate import Agreement, Units
from lowerbound.evaluation.likelihood.tighter import Carried
from lowerbound.evaluation.report.cells import (
    Cell,
    Measure,
    accuracy,
    distance,
    estimate,
    interval,
    minus,
    number,
    of_form,
    of_own_acceptance,
    percent,
    row_mean,
    share,
    sharpness,
    unranked,
)
from lowerbound.evaluation.report.suites import FROM_MIXTURE
from lowerbound.evaluation.samples.acceptance import Acceptance
from lowerbound.evaluation.samples.distances import DRAWN, MEAN
from lowerbound.inference.estimate import Estimate
from lowerbound.inference.scores import Scores
from lowerbound.posteriors.vector_quantized import CodebookUse


def _bound(scores: Scores) -> Cell:
    note = scores.low_sample_size_message() if scores.effective_sample_size_low else ""
    return replace(row_mean(scores.bound), note=note)


def _exact(scores: Scores) -> Cell:
    return Cell() if scores.log_marginal is None else estimate(Estimate.of(scores.log_marginal))


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


def _tighter(tighter: Carried) -> Cell:
    cell = unranked(tighter.bound)
    return replace(cell, text=f"{cell.text} (L_{tighter.samples})")


def _active(units: Units) -> Cell:
    return Cell(f"{units.count} of {len(units.rate)}", float(units.count))


def _used(books: tuple[CodebookUse, ...]) -> Cell:
    each = " + ".join(f"{use.used:.0%} of {len(use.counts):,}" for use in books)
    return Cell(each, sum(use.used for use in books) / len(books))


def _perplexity(books: tuple[CodebookUse, ...]) -> Cell:
    return Cell(" + ".join(f"{use.perplexity:.1f}" for use in books))


def _mismatch(agreement: Agreement) -> Cell:
    # not ranked: the ends are bounds, and the ranges of two models mostly overlap
    return _unless_smoothed(agreement, Cell(agreement.kl_range))


def _holes(agreement: Agreement) -> Cell:
    rate = agreement.hole_rate
    error = math.sqrt(rate * (1 - rate) / agreement.rows)
    return _unless_smoothed(agreement, percent(Estimate(rate, error)))


def _unless_smoothed(agreement: Agreement, cell: Cell) -> Cell:
    """Unranked if codes are points, because kernels and not the model set their width."""
    if agreement.rate is not None:
        return cell
    note = f"from {agreement.density}, not comparable with a model that has a posterior density"
    return replace(cell, value=None, note=note)


def _information(agreement: Agreement) -> Cell:
    low, high = agreement.mutual_information_low, agreement.mutual_information_high
    if low is None or high is None:
        return Cell()
    return Cell(f"{minus(low, 2)} to {minus(high, 2)}")


def _of_mixture(accepted: Mapping[str, Acceptance]) -> Cell:
    return percent(accepted[FROM_MIXTURE].rate) if FROM_MIXTURE in accepted else Cell()


HELD_OUT = (
    Measure(
        "ELBO",
        "Lower bound on log p(x), in nats per row.",
        "higher",
        "likelihood.scores.elbo",
        row_mean,
        refusal="",
        mass_or_density=True,
    ),
    Measure(
        "L_{samples}",
        "Lower bound by importance sampling with K = {samples}; the larger K, the tighter.",
        "higher",
        "likelihood.scores",
        _bound,
        refusal="",
        mass_or_density=True,
    ),
    Measure(
        "exact log p(x)",
        "The value itself, if the model can compute it.",
        "",
        "likelihood.scores",
        _exact,
        refusal="",
    ),
    Measure(
        "bits per dimension",
        "Length of a lossless code of the model per value.",
        "lower",
        "likelihood.scores",
        _bits,
        refusal="",
    ),
    Measure(
        "effective sample size",
        "Effective number of importance samples, in the median row.",
        "",
        "likelihood.scores",
        _effective,
        refusal="",
    ),
    Measure(
        "heavy-tailed rows",
        "Share of rows in which a few importance samples dominate (Pareto k above 0.7).",
        "",
        "likelihood.scores",
        _heavy_tails,
        refusal="",
    ),
    Measure(
        "carried bound",
        "L of a larger K on all rows, from its paired difference on some.",
        "",
        "likelihood.tighter",
        _tighter,
    ),
    Measure(
        "annealed bound",
        "Lower bound by annealed importance sampling, on some of the rows.",
        "",
        "likelihood.annealed.bound",
        unranked,
    ),
    Measure(
        "annealing gap",
        "Difference of annealing's two bounds on rows simulated from the model, in nats.",
        "",
        "likelihood.annealed.gap",
        unranked,
    ),
    Measure(
        "distortion",
        "−log p(x | z): what is lost when a row is encoded and decoded, in nats.",
        "",
        "likelihood.scores.distortion",
        row_mean,
        refusal="",
    ),
    Measure(
        "rate",
        "KL(q(z | x) ‖ p(z)): cost of the code, in nats.",
        "",
        "likelihood.scores.rates",
        lambda rates: row_mean(rates.sum(0)),
        refusal="",
    ),
    Measure(
        "amortization gap",
        "What the bound would gain if each row had its own encoder, in nats.",
        "",
        "likelihood.gap.gap",
        estimate,
    ),
)

RECONSTRUCTION = (
    Measure(
        "squared error",
        "Mean squared error per value through the mean code, in model units.",
        "lower",
        "likelihood.error.squared",
        partial(estimate, digits=4),
    ),
    Measure(
        "explained",
        "Share of the variance that the reconstruction keeps.",
        "higher",
        "likelihood.error.explained",
        share,
    ),
)

LATENT = (
    Measure("active units", "Latent units that vary with the rows.", "", "latents.units", _active),
    Measure("codes used", "Share of each codebook that rows use.", "", "latents.codebooks", _used),
    Measure(
        "perplexity",
        "Number of equally frequent codes with the same entropy.",
        "",
        "latents.codebooks",
        _perplexity,
    ),
    Measure(
        "prior mismatch",
        "KL of all codes together to the prior, in nats: at least, at most.",
        "lower",
        "latents.agreement",
        _mismatch,
    ),
    Measure(
        "information",
        "I(x; z), the mutual information of row and code, in nats: at least, at most.",
        "",
        "latents.agreement",
        _information,
    ),
    Measure(
        "hole rate",
        "Share of prior draws in regions with hardly any codes of rows; 1 % is ideal.",
        "lower",
        "latents.agreement",
        _holes,
    ),
    Measure(
        "linear probe",
        "Accuracy of logistic regression on the codes.",
        "higher",
        "latents.features.probe",
        percent,
        refusal="features: ",
    ),
    Measure(
        "cluster agreement",
        "Adjusted mutual information of k-means clusters with the classes.",
        "higher",
        "latents.features.adjusted_mutual_information",
        share,
        refusal="features: ",
    ),
    Measure(
        "neighbor purity",
        "Share of a row's 10 nearest codes that have its class.",
        "higher",
        "latents.features.purity",
        share,
        refusal="features: ",
    ),
    Measure(
        "MIG",
        "Gap of information on each factor between the two best units; 1 is ideal.",
        "",
        "latents.disentanglement.mig",
        number,
    ),
    Measure(
        "DCI disentanglement",
        "Whether each unit matters for one known factor only; 1 is ideal.",
        "",
        "latents.disentanglement.disentanglement",
        number,
    ),
    Measure(
        "DCI completeness",
        "Whether one unit only matters for each known factor; 1 is ideal.",
        "",
        "latents.disentanglement.completeness",
        number,
    ),
    Measure(
        "DCI informativeness",
        "How often a forest on all units predicts the known factors right.",
        "",
        "latents.disentanglement.informativeness",
        number,
    ),
    Measure(
        "SAP",
        "How much better one unit predicts each known factor than any other; 1 is ideal.",
        "",
        "latents.disentanglement.sap",
        number,
    ),
)

SAMPLES = (
    Measure(
        "accepted",
        "Samples of which a classifier is at least as confident as of 95 % of real rows.",
        "higher",
        "samples.acceptance",
        of_own_acceptance("rate", percent),
        refusal="acceptance: ",
    ),
    Measure(
        "rarest class",
        "Share of the rarest class among the accepted.",
        "higher",
        "samples.acceptance",
        of_own_acceptance("least_share", share),
        refusal="acceptance: ",
    ),
    Measure(
        "accepted, mixture",
        "The same, sampled from a Gaussian mixture fitted to the codes afterwards.",
        "",
        "samples.acceptance",
        _of_mixture,
    ),
    Measure(
        "Fréchet distance, means",
        "Distance of the means' features from those of held-out rows; the note gives its bounds.",
        "lower",
        "samples.quality",
        distance(MEAN, "frechet"),
    ),
    Measure(
        "Fréchet distance, draws",
        "The same for rows drawn from p(x | z).",
        "lower",
        "samples.quality",
        distance(DRAWN, "frechet"),
    ),
    Measure(
        "kernel distance, means",
        "Another distance of the same features, without bias: about 0 if they are alike.",
        "lower",
        "samples.quality",
        distance(MEAN, "kernel"),
    ),
    Measure(
        "kernel distance, draws",
        "The same for rows drawn from p(x | z).",
        "lower",
        "samples.quality",
        distance(DRAWN, "kernel"),
    ),
    Measure(
        "precision",
        "Samples that lie where real rows lie: means of pictures, draws of tables.",
        "higher",
        "samples.quality",
        of_form("", "near.precision", share),
        refusal="distances: ",
    ),
    Measure(
        "recall",
        "Held-out rows that lie where samples lie.",
        "higher",
        "samples.quality",
        of_form("", "near.recall", share),
        refusal="distances: ",
    ),
    Measure(
        "coverage",
        "Held-out rows with a sample nearer than their 5th real neighbor.",
        "higher",
        "samples.quality",
        of_form("", "near.coverage", share),
        refusal="distances: ",
    ),
    Measure(
        "two-sample",
        "Accuracy of a classifier of real and sampled rows other than tables; 50 % is ideal.",
        "lower",
        "samples.quality",
        of_form("", "two_sample", accuracy),
        refusal="distances: ",
    ),
    Measure(
        "two-sample AUROC",
        "How well boosting distinguishes sampled from real rows: 0.5, it cannot; 1, always.",
        "lower",
        "samples.quality",
        of_form("", "boosting", interval),
        refusal="distances: ",
    ),
    Measure(
        "sharpness, means",
        "Variance of the Laplacian, samples over data; 1 is ideal, less is blurred.",
        "",
        "samples.quality",
        of_form(MEAN, "sharpness", sharpness),
    ),
    Measure(
        "sharpness, draws",
        "The same for rows drawn from p(x | z); more than 1 is noise.",
        "",
        "samples.quality",
        of_form(DRAWN, "sharpness", sharpness),
    ),
    Measure(
        "code found again",
        "R² between a sample's code and the encoder's output for the sample.",
        "higher",
        "samples.consistency.r_squared",
        partial(number, digits=2),
    ),
)

MEASURES = {
    "Likelihood of rows it has not seen": HELD_OUT,
    "Reconstruction": RECONSTRUCTION,
    "Latent space": LATENT,
    "Samples": SAMPLES,
}
"""Measures by the heading of their group."""
