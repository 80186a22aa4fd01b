"""The release record: what differential privacy claims of a fitted model, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lowerbound.data.protection.record import Protection
from lowerbound.training.private.accounting import ORDERS, accountant_name, epsilons
from lowerbound.training.private.declarations import (
    NEIGHBORS,
    Declarations,
    SchemaRecord,
    described,
)

if TYPE_CHECKING:  # a record is read without what trains
    from lowerbound.training.private.plan import PrivatePlan

KEEP = "do not publish checkpoint/, which holds this seed until training ends, and a hash of rows"
SEEDS = (
    "rows of updates and noise are drawn from a seed of the system's entropy, which no published "
    f"file holds; {KEEP}"
)
SECURE_SEEDS = (
    f"rows of updates and noise are drawn from the system's cryptographic generator; {KEEP}"
)

NOT_CLAIMED = (
    "one row stands for one person: a person with several rows is protected less",
    "the number of rows is public",
    "choices by people (options, a best run of several) used no information about the rows",
    "figures measured on real rows, by evaluate or an audit, are not covered",
    "arithmetic is in floating point, and the proof is for real numbers",
)
COPIED = (
    "facts about columns that are copied from the rows have no noise: epsilon does not cover them, "
    "and to leave out what fewer than {least:,} rows have is no differential privacy"
)
SHOWN_LEVELS = 12
GENERATOR = "the generator of the noise (Mersenne Twister) is not cryptographic"


@dataclass(frozen=True)
class ReleaseRecord:
    """The guarantee of a fit under differential privacy.

    Attributes:
        mechanism: what was released, in words.
        epsilon: the larger of the accountants' results, and what was charged besides.
        delta: of the guarantee, likewise.
        rows: number of rows of the fit.
        rdp, prv: epsilon by each accountant of DP-SGD; None: not used, or it failed.
        prv_failure: why the PRV accountant failed; "" if it did not.
        rate: q, the probability that a row takes part in an update.
        noise_multiplier: sigma, the deviation of the noise over the clipping norm.
        updates: number of updates.
        clip: largest norm of the gradient of a row.
        rho: zero-concentrated privacy of a mechanism that measures tables; None: not used.
        neighbors: the neighboring relation.
        accountant: libraries and versions.
        seeds: how the random draws are kept secret.
        charged: measurements besides the mechanism, which epsilon and delta include.
        public: facts that the user declared public, and that are not protected.
        copied: declarations of columns that were copied from the rows without noise.
        protection: what was not copied, because few rows have it; None: nothing was copied.
        not_claimed: what the guarantee does not cover.
    """

    mechanism: str = ""
    epsilon: float = 0.0
    delta: float = 0.0
    rows: int = 0
    rdp: float | None = None
    prv: float | None = None
    prv_failure: str = ""
    rate: float | None = None
    noise_multiplier: float | None = None
    updates: int | None = None
    clip: float | None = None
    rho: float | None = None
    neighbors: str = NEIGHBORS
    accountant: str = ""
    seeds: str = SEEDS
    charged: tuple[str, ...] = ()
    public: tuple[str, ...] = ()
    not_claimed: tuple[str, ...] = NOT_CLAIMED
    copied: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    protection: Protection | None = None

    @property
    def sentence(self) -> str:
        """The guarantee in one line."""
        given = ", given what was copied from the rows" if self.copied else ""
        sizes = f"({self.epsilon:.4g}, {self.delta:.3g})"
        return f"{sizes}-differential privacy{given}, {self.mechanism}"

    def with_copied(self, declared: Declarations | None) -> ReleaseRecord:
        """The record with the declarations that were copied from the rows, if they were."""
        if declared is None or declared.copied is None:
            return self
        limit = COPIED.format(least=declared.copied.least_people)
        return replace(
            self,
            copied=declared.columns,
            protection=declared.copied,
            not_claimed=(limit, *self.not_claimed),
        )

    def lines(self) -> Iterator[str]:
        """Markdown: the guarantee, its facts, and its limits."""
        yield f"This model satisfies {self.sentence}."
        yield ""
        yield f"- neighboring tables: {self.neighbors}"
        yield f"- rows: {self.rows:,}"
        if self.updates is not None:
            yield (
                f"- {self.updates:,} updates; sampling rate {self.rate:.6g}; noise multiplier "
                f"{self.noise_multiplier:.6g}; gradients of rows clipped at {self.clip:g}"
            )
        if self.rho is not None:
            yield f"- zero-concentrated differential privacy: rho {self.rho:.6g}"
        if self.rdp is not None:
            prv = f"failed ({self.prv_failure})" if self.prv is None else f"{self.prv:.6g}"
            yield f"- epsilon by RDP {self.rdp:.6g}, by PRV {prv}; the larger counts"
        yield f"- accountant: {self.accountant}"
        yield f"- secrets: {self.seeds}"
        if self.charged:
            yield f"- charged to the same budget: {'; '.join(self.charged)}"
        yield f"- declared public: {'; '.join(self.public)}"
        if self.copied:
            yield "- copied from the rows, without noise:"
            for name, said in self.copied.items():
                yield f"  - {name}: {described(said, SHOWN_LEVELS)}"
        if self.protection is not None and self.protection.columns:
            yield f"- not copied, because fewer than {self.protection.least_people:,} rows have it:"
            for each in self.protection.columns:
                yield f"  - {each.sentence}"
        yield ""
        yield "Not claimed, or assumed:"
        yield ""
        for text in self.not_claimed:
            yield f"- {text}"


def record_of(
    plan: PrivatePlan, public: tuple[str, ...], measured: SchemaRecord | None = None
) -> ReleaseRecord:
    """The record of a run of DP-SGD that makes all its updates.

    Args:
        plan: of the run.
        public: facts that were declared public.
        measured: what the schema has spent; its epsilon and delta are added.
    """
    found, m = epsilons(plan.mechanism, plan.delta), plan.mechanism
    before = (0.0, 0.0) if measured is None else (measured.epsilon, measured.delta)
    return ReleaseRecord(
        mechanism="DP-SGD (Poisson sampling, clipped gradients of rows, Gaussian noise)",
        epsilon=found.larger + before[0],
        delta=plan.delta + before[1],
        rows=plan.rows,
        rdp=found.rdp,
        prv=found.prv,
        prv_failure=found.prv_failure,
        rate=m.rate,
        noise_multiplier=m.noise_multiplier,
        updates=m.updates,
        clip=plan.clip,
        accountant=f"{accountant_name()}; {len(ORDERS)} orders, {ORDERS[0]:g} to {ORDERS[-1]:g}",
        seeds=SECURE_SEEDS if plan.secure_noise else SEEDS,
        charged=() if measured is None else (measured.charged,),
        public=public,
        not_claimed=NOT_CLAIMED if plan.secure_noise else (*NOT_CLAIMED, GENERATOR),
    )
