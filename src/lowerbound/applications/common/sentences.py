"""The measurements of a model as a few lines of text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lowerbound.data.arrays import listed
from lowerbound.data.dataset import Dataset
from lowerbound.data.protection.record import LEAST_PEOPLE, is_protected
from lowerbound.data.synthetic.form import TableForm
from lowerbound.errors import counted
from lowerbound.evaluation.aggregate import Units
from lowerbound.evaluation.likelihood.baselines import ColumnShares
from lowerbound.evaluation.likelihood.tighter import Carried, CrossCheck
from lowerbound.evaluation.report.subjects import Findings
from lowerbound.evaluation.report.suites import (
    NOT_REQUESTED,
    LatentFindings,
    LikelihoodFindings,
    SampleFindings,
)
from lowerbound.evaluation.samples.distances import Quality, SampleQuality
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.inference.reconstruction import ReconstructionError
from lowerbound.inference.regression import RegressionQuality
from lowerbound.inference.scores import Scores

SIGNIFICANT = 1.96  # standard errors that leave chance one case in twenty


def about(found: Findings) -> list[str]:
    """All measurements."""
    return [
        *about_likelihood(found.likelihood),
        *about_latents(found.latents),
        *about_samples(found.samples),
    ]


def about_likelihood(found: LikelihoodFindings) -> list[str]:
    """The bound with its error, rate and distortion, and the quality of reconstructions."""
    explained = _explained(found.error)
    if isinstance(found.scores, Skipped):
        return [f"no likelihood: {found.scores.reason}", *explained]
    return [*_bounds(found.scores), *_tightened(found), *explained, *_columns(found.columns)]


def _explained(error: ReconstructionError) -> list[str]:
    """How good reconstructions are; nothing if no value of a row has a distance."""
    if error.exact is not None:
        return [about_exact(error.exact)]
    return [] if math.isnan(error.squared.mean) else [about_explained(error.explained)]


def _columns(found: ColumnShares | Skipped) -> list[str]:
    """The columns about which the code is most informative, and those on whose marginal it does
    not improve."""
    if isinstance(found, Skipped) or len(found.names) < 2:
        return []
    order = sorted(zip(found.gains, found.names, strict=True), reverse=True)
    words = [f"{name} {gain:.2f}" for gain, name in order[:5] if name not in found.ignored]
    lines = [f"nats by which the code improves on a column's marginal: {', '.join(words)}"]
    if found.ignored:
        lines.append(f"without such a gain: {listed(found.ignored)}")
    return lines if words else lines[1:]


def about_predicted(found: Mapping[str, RegressionQuality]) -> list[str]:
    """How well codes predict each quantity."""
    return [
        f"predicts {name}: R2 {quality.r2:.3f}, RMSE {quality.rmse:.4g}, 95 % bands contain "
        f"{quality.covered:.1%}"
        for name, quality in found.items()
    ]


def about_complete_rows(fitted: Fitted) -> str:
    """What to know of drawn rows without missing cells; "": the fitted rows had none either, or the
    model draws them."""
    schema = fitted.schema
    gaps = {column.name: column.missing_share for column in schema.modeled if column.missing_share}
    draws_gaps = getattr(getattr(fitted.model, "likelihood", None), "gaps", False)
    if not gaps or draws_gaps or fitted.model.correction is not None:
        return ""
    name = max(gaps, key=lambda each: gaps[each])
    return (
        f"no drawn cell is missing, although {gaps[name]:.0%} of the fitted cells of column "
        f"{name!r} are: this model has not learned which cells are missing; a model of "
        "lowerbound synthesizer does"
    )


def about_broken_dependencies(fitted: Fitted) -> str:
    """What draws of ``sample`` from p(z) may break, which ``synthesize`` keeps; "": nothing is
    known that the rows of the table fulfill."""
    known = TableForm.of(fitted.schema).summaries
    if not known:
        return ""
    return (
        f"drawn rows may break what the fitted rows fulfill: {listed(list(known))}; "
        "lowerbound synthesize draws rows that fulfill it"
    )


def about_single_people(fitted: Fitted) -> str:
    """That draws of a table may bear values of single people; "": it was protected, or the rows are
    of no table."""
    schema = fitted.schema
    if not (schema.columns and schema.data_kind.named_columns) or is_protected(schema):
        return ""
    return (
        "values are not protected: drawn rows may bear a name, a town or a number that one person "
        "alone has; lowerbound synthesizer protects them"
    )


def about_rare_levels(dataset: Dataset) -> str:
    """That a model knows levels of few people; "": there are none, or they were protected."""
    schema = dataset.schema
    if not (schema.columns and schema.data_kind.named_columns) or is_protected(schema):
        return ""
    rare = {}
    for place, column in enumerate(schema.modeled):
        if column.levels and isinstance(dataset.x, Tensor) and dataset.x.dim() == 2:
            there = slice(None) if dataset.observed is None else dataset.observed[:, place]
            codes = dataset.x[:, place][there].round().long().clamp(0, len(column.levels) - 1)
            counts = torch.bincount(codes, minlength=len(column.levels))
            rare[column.name] = int(((counts > 0) & (counts < LEAST_PEOPLE)).sum())
    name = max(rare, key=lambda each: rare[each], default="")
    if not name or not rare[name]:
        return ""
    return (
        f"values are not protected: the model folder and draws have {counted(rare[name], 'level')} "
        f"of column {name!r} that fewer than {LEAST_PEOPLE} rows have; lowerbound synthesizer "
        "protects them"
    )


def about_exact(share: float) -> str:
    """The share of rows whose reconstruction has no error."""
    return f"reconstructions are equal to {share:.1%} of the rows"


def about_explained(share: float) -> str:
    """The share of the variance that reconstructions keep."""
    if math.isnan(share):
        return "the rows have no variance: their values are equal"
    if share < 0:
        return "reconstructions keep none of the variance: the mean row has a smaller error"
    return f"reconstructions keep {share:.1%} of the variance"


def about_bound(scores: Scores) -> str:
    """The higher of both bounds: L_K is above the ELBO, but for the noise of its draws."""
    bounds = [(f"L_{scores.samples}", scores.bound), ("ELBO", scores.elbo)]
    (name, best), (rest, other) = sorted(bounds, key=lambda each: -float(each[1].mean()))
    least = f"{scores.protocol.quantity} is at least {Estimate.of(best)} nats per row"
    return f"{least} ({name}; {rest} {Estimate.of(other)})"


def _bounds(scores: Scores) -> list[str]:
    lines = [about_bound(scores)]
    if scores.log_marginal is not None:
        exact = Estimate.of(scores.log_marginal)
        lines.append(f"{scores.protocol.quantity} is known exactly: {exact} nats per row")
    if scores.mass:  # bits per dimension have no meaning for a density; the report explains it
        bits = scores.bits_per_dimension().mean
        lines.append(f"that is at most {bits:.3f} bits per {scores.protocol.value}")
    rate, distortion = Estimate.of(scores.rates.sum(0)), Estimate.of(scores.distortion)
    lines.append(f"rate {rate} nats, distortion {distortion} nats")
    if len(scores.rates) > 1:
        levels = ", ".join(f"{float(rate.mean()):.2f}" for rate in scores.rates)
        lines.append(f"rate of each level, the coarsest first: {levels} nats")
    lines.append(_weights(scores))
    lines += [f"beware: {warning}" for warning in scores.warnings()]
    return lines


def _weights(scores: Scores) -> str:
    """The effective sample size, and the tail index of the importance weights."""
    median = float(scores.effective_sample_size.median())
    line = f"effective sample size: {median:.1f} of {scores.samples} in the median row"
    if scores.pareto_k is None:
        return line
    return f"{line}; Pareto k {float(scores.pareto_k.median()):.2f}"


def _tightened(found: LikelihoodFindings) -> list[str]:
    """The expensive measurements on some of the rows, if they were requested."""
    lines = []
    if isinstance(found.tighter, Carried):
        tight = found.tighter
        lines.append(
            f"L_{tight.samples:,} is {tight.bound} nats per row: {tight.difference} above, "
            f"measured on {tight.rows:,} of the rows"
        )
    if isinstance(found.annealed, CrossCheck):
        lines += _annealed(found.annealed)
    elif found.annealed != NOT_REQUESTED:
        lines.append(f"no annealing: {found.annealed.reason}")
    return lines


def _annealed(check: CrossCheck) -> list[str]:
    slowly = f"{check.options.temperatures:,} temperatures, {check.options.chains} chains"
    return [
        f"annealed importance sampling of {check.rows:,} rows ({slowly}): at least {check.bound} "
        f"nats per row, {check.gain} above the bound of the same rows",
        f"on {check.rows:,} rows sampled from the model its two bounds are {check.gap} nats apart",
    ]


def about_latents(found: LatentFindings) -> list[str]:
    """Active units, agreement with the prior, and how well codes predict the classes."""
    if isinstance(found.codes, Skipped):
        return [f"no codes: {found.codes.reason}"]
    lines = []
    if isinstance(found.units, Units):
        lines.append(f"{found.units.count} of {len(found.units.rate)} latent units are active")
    if not isinstance(found.agreement, Skipped):
        lines.append(f"{found.agreement.hole_rate:.1%} of prior draws fall into holes (ideal: 1%)")
    if not isinstance(found.codebooks, Skipped):
        lines += [
            f"codebook {level}: {use.used:.1%} of {len(use.counts):,} codes are used, as evenly as "
            f"{use.perplexity:.1f} codes used alike ({use.entropy:.2f} nats per code)"
            for level, use in enumerate(found.codebooks)
        ]
    if not isinstance(found.features, Skipped):
        features = found.features
        lines.append(
            f"a linear classifier on the codes is right for {features.probe.mean:.1%} of the rows "
            f"(always the most frequent class: {features.chance:.1%})"
        )
    return [*lines, *_about_information(found), *_about_factors(found)]


def _about_information(found: LatentFindings) -> list[str]:
    """Mutual information of codes and rows, and the divergence of q(z) from the prior."""
    agreement = found.agreement
    if isinstance(agreement, Skipped):
        return []
    low, high = agreement.mutual_information_low, agreement.mutual_information_high
    if low is None or high is None:  # codes are points: their mutual information is infinite
        return []
    return [
        f"all codes together are {agreement.kl_range} nats from the prior (KL)",
        f"codes and rows have {low:.2f} to {high:.2f} nats of mutual information",
    ]


def _about_factors(found: LatentFindings) -> list[str]:
    known = found.disentanglement
    if isinstance(known, Skipped):
        return [f"no disentanglement: {known.reason}"]
    gaps = ", ".join(f"{n} {gap:.2f}" for n, gap in zip(known.names, known.gaps, strict=True))
    of_units = (("disentanglement", known.disentanglement), ("completeness", known.completeness))
    scores = "".join(f"{name} {value:.3f}, " for name, value in of_units if value is not None)
    return [
        f"known factors: MIG {known.mig:.3f} ({gaps}); SAP {known.sap:.3f}",
        f"DCI by random forests: {scores}informativeness {known.informativeness:.1%} (chance: "
        f"{known.chance:.1%})",
    ]


def about_samples(found: SampleFindings, *, unseen: bool = True) -> list[str]:
    """The share of samples that a classifier accepts, and their distances to real rows.

    Args:
        found: the measurements.
        unseen: whether the model was not fitted to the rows that the samples are compared with.
    """
    if not found.samples and isinstance(found.acceptance, Skipped):
        return [f"no samples: {found.acceptance.reason}"]
    return [*_about_acceptance(found), *about_quality(found.quality, unseen=unseen)]


def _about_acceptance(found: SampleFindings) -> list[str]:
    if isinstance(found.acceptance, Skipped):
        return [f"samples were not classified: {found.acceptance.reason}"]
    return [
        f"a classifier accepts {accepted.rate.mean:.1%} of {accepted.count:,} samples ({way}); "
        f"rarest class {accepted.least_share:.1%} of them"
        for way, accepted in found.acceptance.items()
    ]


def about_difference(other: str, difference: Estimate) -> str:
    """A paired difference of bounds, and whether it is significant."""
    error = difference.standard_error or 0.0
    if abs(difference.mean) <= SIGNIFICANT * error:
        return f"does not differ significantly from {other}: difference {difference} nats per row"
    side = "above" if difference.mean > 0 else "below"
    return f"{Estimate(abs(difference.mean), error)} nats per row {side} {other}"


FLOOR, CEILING = "real against real (floor)", "shuffled (ceiling)"


def about_quality(found: SampleQuality | Skipped, *, unseen: bool = True) -> list[str]:
    """The quality of samples: what was compared, and a table; arguments as ``about_samples``."""
    if isinstance(found, Skipped):
        return [f"no distances of samples: {found.reason}"]
    named = _named(found)
    pictures = not isinstance(next(iter(named.values())).sharpness, Skipped)
    head = ("", f"FD[{found.space}]", f"KD[{found.space}]", "precision", "recall", "density")
    head = (*head, "coverage", "two-sample", *(("sharpness",) if pictures else ()))
    rows = [(name, *_cells(quality)) for name, quality in named.items()]
    return [_introduction(found, unseen), *_aligned([head, *rows]), *_remarks(found, pictures)]


def _named(found: SampleQuality) -> dict[str, Quality]:
    """Every line by its name; floors and ceilings of several forms have different names."""
    named = {
        f"{way}, {form}": quality
        for way, forms in found.found.items()
        for form, quality in forms.items()
    }
    for name, bounds in ((FLOOR, found.floor), (CEILING, found.ceiling)):
        same = len({id(quality) for quality in bounds.values()}) == 1
        for form, quality in list(bounds.items())[: 1 if same else None]:
            named[name if same else f"{name}, as {form}"] = quality
    return named


def _introduction(found: SampleQuality, unseen: bool) -> str:
    if found.accuracy is None and found.space == "columns":
        seen = "column by column"
    else:
        seen = f"in the features of {found.space}"
    if found.accuracy is not None:
        seen += f" (its accuracy on unseen rows is {found.accuracy:.1%})"
    rows = "held-out rows" if unseen else "rows of the data, some of which the model was fitted to"
    return f"{found.rows:,} samples against {found.rows:,} {rows}, {seen}:"


def _cells(quality: Quality) -> tuple[str, ...]:
    near, sharpness = quality.near, quality.sharpness
    return (
        _number(quality.frechet),
        _number(quality.kernel),
        f"{near.precision:.1%}",
        f"{near.recall:.1%}",
        f"{near.density:.2f}",
        f"{near.coverage:.1%}",
        _judged(quality),
        *(() if isinstance(sharpness, Skipped) else (f"{sharpness.mean:.2f}",)),
    )


def _number(value: Estimate) -> str:
    """A number with about three significant digits, and its error with as many places."""
    size = max(abs(value.mean), value.standard_error or 0.0)
    places = 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0
    error = "" if value.standard_error is None else f" ± {value.standard_error:.{places}f}"
    return f"{value.mean:.{places}f}{error}"


def _judged(quality: Quality) -> str:
    """What a classifier says: of tables an AUROC, of other rows an accuracy."""
    found = quality.two_sample
    if isinstance(found, Skipped):
        return "" if isinstance(quality.boosting, Skipped) else f"AUROC {quality.boosting}"
    p = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.3f}"
    return f"{found.accuracy.mean:.1%} ({p})"


def _remarks(found: SampleQuality, pictures: bool) -> list[str]:
    quality = next(iter(_named(found).values()))
    measure, ideal = "accuracy of a classifier of", "50%"
    if isinstance(quality.two_sample, Skipped):
        measure, ideal = "AUROC of boosting that distinguishes", "0.5"
    remark = (
        f"(two-sample: {measure} real and sampled rows, ideal {ideal}; shuffled: the "
        f"{found.shuffled}"
    )
    if pictures:
        return [f"{remark}; sharpness: variance of the Laplacian, samples over data)"]
    return [f"{remark}; no sharpness, which is for pictures)"]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of one width, the first flush left and the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
