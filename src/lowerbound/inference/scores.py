"""Scores of rows, and their summary with estimator, K, error and protocol."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from lowerbound.config import to_mapping
from lowerbound.errors import DataError, UnsupportedError
from lowerbound.inference.estimate import UNRELIABLE, Estimate

ENOUGH_SAMPLES = 10.0
LARGE_SHARE = 0.1
ROUNDING = 1e-4  # of the numbers of a fingerprint, whose spread is about 1

Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class Protocol:
    """The protocol of a score; scores are comparable only if their protocols match.

    Attributes:
        rows: number of rows.
        dimensions: values in a row; of texts, the mean number of tokens, ends included.
        likelihood: the class of p(x | z).
        conditional: whether the bound is on log p(x | y) rather than log p(x).
        levels: levels of the data's values; None if continuous.
        binarize: "none", "dynamic" or "threshold": how grey values became bits.
        sha256: of the scored rows in their order: of the bits if binary, otherwise of the values in
            model units, which are those of the data unless columns are standardized.
        seed: of the draws.
        split: name of the rows, such as "test", or empty.
        data: source of the rows, such as "mnist:test", or empty.
        value: name of a value, "dimension" or a kind of token.
        precision: of the factors of matrix products.
    """

    rows: int
    dimensions: float
    likelihood: str
    conditional: bool
    levels: int | None
    binarize: str
    sha256: str
    seed: int
    split: str
    data: str = ""
    value: str = "dimension"
    precision: Precision = "float32"

    @property
    def quantity(self) -> str:
        """What the bound is on: "log p(x)" or "log p(x | y)"."""
        return "log p(x | y)" if self.conditional else "log p(x)"


@dataclass(frozen=True)
class Summary:
    """Means over rows with their standard errors, in nats per row; JSON by ``to_json``.

    Attributes:
        estimator: name of the estimator, such as "importance-weighted bound L_5000".
        samples: K.
        elbo, bound, distortion: as in ``Scores``.
        rates: one for each latent level, top down.
        log_marginal: exact log p(x), if the model has it.
        bits_per_dimension: of ``bound``, if the likelihood is a probability mass.
        bits_refusal: the reason why there are none, if it is a density; otherwise empty.
        median_effective_sample_size, least_effective_sample_size: over rows.
        median_pareto_k: tail index of the weights, over rows; None for fewer than 21 draws.
        share_pareto_k_high: share of rows whose tail index is above 0.7.
        warning: cautions about the scores, or empty.
        protocol: of the scores.
    """

    estimator: str
    samples: int
    unit: str
    elbo: Estimate
    bound: Estimate
    distortion: Estimate
    rates: tuple[Estimate, ...]
    log_marginal: Estimate | None
    bits_per_dimension: Estimate | None
    bits_refusal: str
    median_effective_sample_size: float
    least_effective_sample_size: float
    median_pareto_k: float | None
    share_pareto_k_high: float | None
    warning: str
    protocol: Protocol

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(to_mapping(self), indent=2, allow_nan=False)


@dataclass(frozen=True)
class Scores:
    """Lower bounds on log p(x), one per row, in nats and in the data's own units; float64.

    Attributes:
        elbo: -distortion - sum of rates, (rows,); rates in closed form if they have one.
        bound: L_K from the same draws, (rows,); the mean over seeds is at least the ELBO's.
        effective_sample_size: (sum w)^2 / sum w^2, 1 to K, (rows,).
        distortion: -log p(x | z) averaged over the draws, (rows,).
        rates: KL of each latent level, top down, (levels, rows).
        log_marginal: exact log p(x), (rows,), if the model has it.
        samples: K.
        mass: whether p(x | z) is a probability mass.
        protocol: of the scores.
        pareto_k: tail index of the weights, (rows,); None for fewer than 21 draws.
        fingerprint: numbers by which ``marginal_difference`` knows that rows of columns are those
            of another model, which standardized them in another way; None without columns.
    """

    elbo: Tensor
    bound: Tensor
    effective_sample_size: Tensor
    distortion: Tensor
    rates: Tensor
    log_marginal: Tensor | None
    samples: int
    mass: bool
    protocol: Protocol
    pareto_k: Tensor | None = None
    fingerprint: Tensor | None = None

    def shifted(self, nats: Tensor) -> Scores:
        """The same scores in other units of x: ``nats``, (rows,), added to each log p."""
        exact = None if self.log_marginal is None else self.log_marginal + nats
        return replace(
            self,
            elbo=self.elbo + nats,
            bound=self.bound + nats,
            distortion=self.distortion - nats,
            log_marginal=exact,
        )

    @property
    def effective_sample_size_low(self) -> bool:
        """Whether half of the rows have too few effective draws for L_K to be near log p(x)."""
        enough = min(ENOUGH_SAMPLES, self.samples / 5)
        return float(self.effective_sample_size.median()) < enough

    def low_sample_size_message(self) -> str:
        """The text of the warning."""
        median = float(self.effective_sample_size.median())
        return (
            f"the median effective sample size is {median:.1f} of {self.samples} draws: "
            f"L_{self.samples} is still a lower bound, but may lie nats below log p(x); raise "
            "samples, or fit a better encoder"
        )

    @property
    def share_pareto_k_high(self) -> float | None:
        """Share of rows whose weights have too heavy a tail for a reliable mean."""
        if self.pareto_k is None:
            return None
        return float((self.pareto_k > UNRELIABLE).double().mean())

    def warnings(self) -> list[str]:
        """Cautions about the scores, one sentence each."""
        found = [self.low_sample_size_message()] if self.effective_sample_size_low else []
        share = self.share_pareto_k_high
        if share is not None and share > LARGE_SHARE:
            found.append(
                f"the importance weights of {share:.0%} of the rows are heavy-tailed (Pareto k "
                f"above {UNRELIABLE}): L_{self.samples} is a lower bound that more draws hardly "
                "tighten; --ais-rows brackets log p(x)"
            )
        return found

    def bits_per_dimension(self) -> Estimate:
        """-L_K / (D ln 2), lower is better.

        Raises:
            UnsupportedError: the likelihood is a density, so bits are not defined.
        """
        if not self.mass:
            advice = "compare the bounds in nats"
            if self.protocol.levels is not None:
                mass = "bernoulli" if self.protocol.levels == 2 else "discretized_logistic"
                advice = f"fit with --likelihood {mass}"
            raise UnsupportedError(
                f"bits per {self.protocol.value} need a probability mass, and "
                f"{self.protocol.likelihood} is a density: on whole numbers a narrower density "
                f"gives fewer bits, without limit; {advice}"
            )
        return Estimate.of(self.bound).scaled(-1 / (self.protocol.dimensions * math.log(2)))

    def summary(self) -> Summary:
        """Means and standard errors of the scores."""
        exact = self.log_marginal
        try:
            bits, refusal = self.bits_per_dimension(), ""
        except UnsupportedError as error:
            bits, refusal = None, str(error)
        return Summary(
            estimator=self._estimator(),
            samples=self.samples,
            unit="nats per row",
            elbo=Estimate.of(self.elbo),
            bound=Estimate.of(self.bound),
            distortion=Estimate.of(self.distortion),
            rates=tuple(Estimate.of(rate) for rate in self.rates),
            log_marginal=None if exact is None else Estimate.of(exact),
            bits_per_dimension=bits,
            bits_refusal=refusal,
            median_effective_sample_size=float(self.effective_sample_size.median()),
            least_effective_sample_size=float(self.effective_sample_size.min()),
            median_pareto_k=None if self.pareto_k is None else float(self.pareto_k.median()),
            share_pareto_k_high=self.share_pareto_k_high,
            warning="; ".join(self.warnings()),
            protocol=self.protocol,
        )

    def _estimator(self) -> str:
        rounded = ", products in bf16" if self.protocol.precision == "bf16" else ""
        return (
            f"importance-weighted lower bound L_{self.samples} on {self.protocol.quantity}{rounded}"
        )


def marginal_difference(a: Scores, b: Scores) -> Estimate:
    """The mean paired difference of the bounds, a minus b, with its standard error.

    The error is that of the paired differences, without the variance that both have in common. If
    ``a`` has a large K and ``b`` a small K on the same subset, the difference corrects the mean of
    the small K on all rows.

    Raises:
        DataError: the rows or their units differ, one is a mass and the other a density, or only
            one is conditional.
    """
    if not _same_rows(a, b):
        raise DataError(
            "the two scores are of different rows, or of the same rows in another order or in "
            "other units"
        )
    if a.mass != b.mass:
        raise DataError("a probability mass and a density cannot be compared: their units differ")
    if a.protocol.conditional != b.protocol.conditional:
        raise DataError(
            "one bound is on log p(x | y) and the other on log p(x): only one of the models is "
            "conditional"
        )
    return Estimate.of(a.bound - b.bound)


def _same_rows(a: Scores, b: Scores) -> bool:
    """Whether two scores are of the same rows in the same units, up to the rounding of model units.

    Rows of columns are standardized by each fit, so that their model units tell nothing.
    """
    one, other = a.fingerprint, b.fingerprint
    if one is None or other is None:
        return a.protocol.sha256 == b.protocol.sha256
    if one.shape != other.shape:
        return False
    return bool(((one - other).abs() <= ROUNDING * (1 + one.abs())).all())
