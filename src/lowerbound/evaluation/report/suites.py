"""Three suites of measurements of one fitted model: its likelihood, its latents, its samples.

Each suite gives a reason for each measure that it skips. An autoencoder, a model without labels
and a table therefore use the same code as every other model.

Sizes of measurements may be left open.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from lowerbound.config import to_mapping
from lowerbound.data.dataset import Dataset
from lowerbound.errors import UnsupportedError
from lowerbound.evaluation.aggregate import Agreement, Units, prior_agreement, units
from lowerbound.evaluation.disentanglement import Disentanglement, disentanglement_quality
from lowerbound.evaluation.latent_features import FeatureQuality, feature_quality
from lowerbound.evaluation.likelihood.baselines import ColumnShares, column_shares
from lowerbound.evaluation.likelihood.leaderboard import Leaderboard, place
from lowerbound.evaluation.likelihood.tighter import (
    AmortizationGap,
    Carried,
    CrossCheck,
    amortization_gap,
    carry_over,
    cross_check,
)
from lowerbound.evaluation.report.sizes import SuiteOptions
from lowerbound.evaluation.samples.acceptance import Acceptance, RealismClassifier
from lowerbound.evaluation.samples.distances import SampleQuality
from lowerbound.evaluation.samples.reference import ReferenceSamples, fit_reference
from lowerbound.inference.annealing import AnnealingOptions
from lowerbound.inference.codes import EncodedRows, codebook_use, encode_rows
from lowerbound.inference.decoding import Consistency, reencode, sample_mixture, sample_white_codes
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.likelihood import most_samples, score
from lowerbound.inference.passes import Progress
from lowerbound.inference.prior_draws import Samples, sample_prior
from lowerbound.inference.reconstruction import ReconstructionError, reconstruction_error
from lowerbound.inference.scores import Scores
from lowerbound.models.base import Model
from lowerbound.models.powers import Encodes, Imagines
from lowerbound.posteriors.vector_quantized import CodebookUse

Found = TypeVar("Found")

NOT_REQUESTED = Skipped("not requested")
FROM_PRIOR = "prior"
FROM_WHITE_CODES = "N(0, I) in white code space"
FROM_MIXTURE = "Gaussian mixture fitted to the codes"


@dataclass(frozen=True)
class LikelihoodFindings:
    """Likelihood measures on unseen rows."""

    scores: Scores | Skipped
    gap: AmortizationGap | Skipped
    error: ReconstructionError
    columns: ColumnShares | Skipped
    tighter: Carried | Skipped = NOT_REQUESTED
    annealed: CrossCheck | Skipped = NOT_REQUESTED

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values."""
        scores, gap = self.scores, self.gap
        return {
            "likelihood": to_mapping(scores.summary() if isinstance(scores, Scores) else scores),
            "amortization_gap": to_mapping(gap.gap if isinstance(gap, AmortizationGap) else gap),
            "reconstruction_error": _known(to_mapping(self.error)),
            "columns": to_mapping(self.columns),
            "tighter": to_mapping(self.tighter),
            "annealed": to_mapping(self.annealed),
        }

    def leaderboard(self) -> Leaderboard | Skipped:
        """The bounds and the published ones of the same protocol."""
        if isinstance(self.scores, Skipped):
            return self.scores
        tight = self.tighter
        bounds = {tight.samples: tight.bound} if isinstance(tight, Carried) else {}
        return place(self.scores.summary(), bounds)


@dataclass(frozen=True)
class LatentFindings:
    """Measures of the codes."""

    codes: EncodedRows | Skipped
    units: Units | Skipped
    agreement: Agreement | Skipped
    features: FeatureQuality | Skipped
    disentanglement: Disentanglement | Skipped
    codebooks: tuple[CodebookUse, ...] | Skipped = NOT_REQUESTED

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values."""
        found = self.units
        if isinstance(found, Units):
            of = len(found.rate)
            count: Any = {"active": found.count, "of": of, "rates": found.rate.tolist()}
        else:
            count = to_mapping(found)
        agreement = self.agreement
        compared = to_mapping(agreement)
        if isinstance(agreement, Agreement):
            low, high = agreement.mutual_information_low, agreement.mutual_information_high
            compared = {**compared, "mutual_information": [low, high]}
        return {
            "units": count,
            "agreement": compared,
            "features": to_mapping(self.features),
            "disentanglement": _mapping(self.disentanglement),
            "codebooks": to_mapping(self.codebooks)
            if isinstance(self.codebooks, Skipped)
            else [use.to_mapping() for use in self.codebooks],
        }


@dataclass(frozen=True)
class SampleFindings:
    """Measures of samples by sampling method; the first method is the model's default.

    If the model cannot be sampled, ``samples`` is empty and the other fields give the reason.
    """

    samples: Mapping[str, Samples]
    acceptance: Mapping[str, Acceptance] | Skipped
    consistency: Consistency | Skipped
    quality: SampleQuality | Skipped

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values."""
        accepted = self.acceptance
        return {
            "accepted": to_mapping(accepted)
            if isinstance(accepted, Skipped)
            else {way: to_mapping(one) for way, one in accepted.items()},
            "reencode_r_squared": to_mapping(self.consistency)
            if isinstance(self.consistency, Skipped)
            else self.consistency.r_squared,
            "distances": _mapping(self.quality),
        }


def _known(values: Any) -> Any:
    """JSON-like values with None for NaN, as of errors where no cell has a distance."""
    if isinstance(values, dict):
        return {name: _known(value) for name, value in values.items()}
    return None if isinstance(values, float) and math.isnan(values) else values


def likelihood_suite(
    model: Model,
    held_out: Dataset,
    options: SuiteOptions | None = None,
    *,
    split: str = "held out",
    progress: Progress | None = None,
) -> LikelihoodFindings:
    """Bounds, amortization gap and reconstruction error on held-out rows; tighter ones if
    requested."""
    options = options or SuiteOptions()
    rows = held_out.thinned(options.rows)

    def scores() -> Scores:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the summary has the same warning
            return score(
                model,
                rows,
                samples=most_samples(model, rows, options.samples),
                seed=options.seed,
                split=split,
                precision=options.precision,
                progress=progress,
            )

    def gap() -> AmortizationGap | Skipped:
        if not options.gap_rows:
            return NOT_REQUESTED
        return amortization_gap(model, rows.thinned(options.gap_rows))

    error = reconstruction_error(model, rows)
    shares = attempt(lambda: column_shares(model, rows, seed=options.seed))
    found = LikelihoodFindings(attempt(scores), attempt(gap), error, shares)
    return _tightened(model, rows, found, options, progress)


def _tightened(
    model: Model,
    rows: Dataset,
    found: LikelihoodFindings,
    options: SuiteOptions,
    progress: Progress | None,
) -> LikelihoodFindings:
    """Add the requested expensive measurements on some of the rows."""
    scores = found.scores
    if isinstance(scores, Skipped):
        return found

    def tighter() -> Carried | Skipped:
        if not options.tight_rows:
            return NOT_REQUESTED
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            samples, few = options.tight_samples, options.tight_rows
            return carry_over(model, rows, scores, samples, few, progress=progress)

    def annealed() -> CrossCheck | Skipped:
        if not options.ais_rows:
            return NOT_REQUESTED
        slowly = AnnealingOptions(
            temperatures=options.ais_temperatures, chains=options.ais_chains, seed=options.seed
        )
        return cross_check(model, rows, scores, slowly, options.ais_rows, progress=progress)

    return replace(found, tighter=attempt(tighter), annealed=attempt(annealed))


def latent_suite(
    model: Model, training: Dataset, held_out: Dataset, options: SuiteOptions | None = None
) -> LatentFindings:
    """Active units, features and disentanglement on held-out rows, agreement with the prior on
    training rows."""
    options = options or SuiteOptions()
    rows = held_out.thinned(options.rows)
    compared = training.thinned(options.agreement_rows)
    codes = attempt(lambda: encode_rows(model, rows))

    def of_codes(measure: Callable[[Tensor], Found | Skipped]) -> Found | Skipped:
        return codes if isinstance(codes, Skipped) else measure(codes.mean)

    return LatentFindings(
        codes=codes,
        units=attempt(lambda: units(model, rows)),
        agreement=attempt(lambda: prior_agreement(model, compared, seed=options.seed)),
        features=of_codes(lambda z: feature_quality(z, rows.label, options.seed)),
        disentanglement=of_codes(
            lambda z: disentanglement_quality(z, rows.factors, rows.factor_names, options.seed)
        ),
        codebooks=attempt(lambda: codebook_use(model, rows)),
    )


def sample_suite(
    model: Model,
    training: Dataset,
    judge: RealismClassifier | Skipped,
    options: SuiteOptions | None = None,
    *,
    reference: ReferenceSamples | Skipped = NOT_REQUESTED,
) -> SampleFindings:
    """Draw samples; measure their acceptance by ``judge``, their distance to real rows by
    ``reference``, and whether the encoder recovers their codes.

    A model with a prior is sampled from it. An autoencoder, which has none, is sampled from
    N(0, I) in white code space and from a Gaussian mixture fitted to the codes.
    """
    options = options or SuiteOptions()
    samples = attempt(lambda: draw_samples(model, training, options))
    if isinstance(samples, Skipped):
        return SampleFindings({}, samples, samples, samples)
    own = next(iter(samples.values()))
    accepted = (
        judge
        if isinstance(judge, Skipped)
        else {way: judge.accept(drawn.mean) for way, drawn in samples.items()}
    )
    # an autoencoder's p(x | z) is no model of noise, so the mean is encoded
    from_mean = not isinstance(model, Imagines)
    return SampleFindings(
        samples,
        accepted,
        attempt(lambda: reencode(model, own, from_mean=from_mean)),
        reference if isinstance(reference, Skipped) else reference.compare(model, samples),
    )


def reference_samples(
    training: Dataset, held_out: Dataset, options: SuiteOptions | None = None
) -> ReferenceSamples | Skipped:
    """The reference rows and features that measure the samples of all models on this data."""
    options = options or SuiteOptions()
    return fit_reference(
        training,
        held_out,
        samples=options.draws,
        network_rows=options.feature_rows,
        folder=options.features,
        seed=options.seed,
    )


def draw_samples(model: Model, training: Dataset, options: SuiteOptions) -> dict[str, Samples]:
    """Samples by sampling method, the model's default method first.

    Raises:
        UnsupportedError: the model has neither a prior nor codes to sample from instead.
    """
    count, seed = options.draws, options.seed
    condition = conditions(training, count, seed)
    if isinstance(model, Imagines) or not isinstance(model, Encodes):
        return {FROM_PRIOR: sample_prior(model, count, seed=seed, condition=condition)}
    codes = encode_rows(model, training.thinned(options.agreement_rows)).mean
    return {
        FROM_WHITE_CODES: sample_white_codes(model, codes, count, seed=seed, condition=condition),
        FROM_MIXTURE: sample_mixture(model, codes, count, seed=seed, condition=condition),
    }


def conditions(training: Dataset, count: int, seed: int) -> Tensor | None:
    """Conditions of random training rows, (count, size); None without conditions."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(training), (count,), generator=generator)
    return training.subset(rows).all().condition


def _mapping(found: Disentanglement | SampleQuality | Skipped) -> dict[str, Any]:
    """JSON-like values of a finding, or the reason for its absence."""
    return to_mapping(found) if isinstance(found, Skipped) else found.to_mapping()


def attempt(measure: Callable[[], Found]) -> Found | Skipped:
    """The measure, or the reason why this model has none."""
    try:
        return measure()
    except UnsupportedError as error:
        return Skipped(str(error))
