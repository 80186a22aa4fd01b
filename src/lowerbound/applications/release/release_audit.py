"""The audit of a released table: usefulness, distributions and attacks, side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lowerbound.applications.release.attacks import (
    AttackRate,
    attribute_inference,
    linkability,
    singling_out,
)
from lowerbound.applications.release.canary_test import CanaryFindings
from lowerbound.applications.release.copies import (
    Copies,
    NearestRecords,
    Overlap,
    copies,
    nearest_records,
)
from lowerbound.applications.release.evidence import AuditedTables
from lowerbound.applications.release.margins import (
    Coverage,
    MarginError,
    TrendError,
    column_errors,
    coverage,
    margin_error,
    trend_error,
)
from lowerbound.applications.release.membership import Membership, membership
from lowerbound.applications.release.requests import AuditOptions
from lowerbound.applications.release.usefulness import Usefulness, usefulness
from lowerbound.data.arrays import Array
from lowerbound.evaluation.intervals import Interval
from lowerbound.evaluation.samples.column_judge import distinguished
from lowerbound.inference.estimate import Skipped

NO_HOLDOUT = "it needs --holdout: rows of the same source that the synthesizer has not seen"
NO_LABEL = "it needs --label: the column that learners should predict"
SIZES = (1, 2, 3)
DIFFERENT = 0.55  # lower end of the AUROC above which two tables are not of one source; the margin
# above 0.5 keeps random splits out, also those of few rows

Say = Callable[[str], None]


@dataclass(frozen=True)
class Fidelity:
    """How far the distribution of the released rows is from that of the source.

    Attributes:
        compared_with: the table that the released rows are compared with.
        columns: error of each column.
        margins: errors of single columns, pairs and triples.
        trends: error of associations; None with fewer than two columns that vary.
        two_sample: AUROC of boosting that distinguishes released rows.
    """

    compared_with: str
    columns: dict[str, float]
    margins: tuple[MarginError, ...]
    trends: TrendError | None
    two_sample: Interval


@dataclass(frozen=True)
class ReleaseAudit:
    """All findings on a released table.

    Attributes:
        rows: number of rows of each table; holdout 0 without one.
        columns: number of columns that were measured.
        left_out: columns that identify rows.
        constant: columns with one value.
        label: the column that learners predict; None: none.
        usefulness: learners trained on released rows.
        fidelity: errors of the released rows.
        floor: the same of as many training rows: the error that a perfect synthesizer has too.
        coverage: levels of the released rows.
        holdout_coverage: levels of the holdout; None without one.
        copies: released rows that equal a training row.
        overlap: holdout rows that equal a training row.
        membership: attacks that recognize training rows; not run without a holdout, or with one
            that differs in distribution from the training rows.
        attacks: singling out, linkability, and inference of each column.
        nearest: distances to the nearest records, a smoke test.
        canaries: planted rows that were searched for.
    """

    rows: dict[str, int]
    columns: int
    left_out: tuple[str, ...]
    constant: tuple[str, ...]
    label: str | None
    usefulness: Usefulness | Skipped
    fidelity: Fidelity
    floor: Fidelity | Skipped
    coverage: Coverage
    holdout_coverage: Coverage | None
    copies: Copies
    overlap: Overlap | None
    membership: tuple[Membership, ...] | Skipped
    attacks: tuple[AttackRate, ...] | Skipped
    nearest: NearestRecords | Skipped
    canaries: CanaryFindings | Skipped

    @property
    def mismatch(self) -> str:
        """Why the holdout cannot be the control group of the training rows; empty if it can."""
        return mismatch(self.floor)

    @property
    def strongest(self) -> Membership | None:
        """The membership attack with the highest AUROC."""
        if isinstance(self.membership, Skipped):
            return None
        return max(self.membership, key=lambda found: found.area.value)


def audit_tables(
    tables: AuditedTables,
    options: AuditOptions | None = None,
    canaries: CanaryFindings | Skipped | None = None,
    say: Say = lambda sentence: None,
) -> ReleaseAudit:
    """Measure released rows.

    Args:
        tables: the training rows, the released rows and the holdout.
        options: sizes.
        canaries: findings on canaries, if some were planted.
        say: receives what is measured next.

    Raises:
        DataError: the label cannot be predicted.
    """
    options = options or AuditOptions()
    random = np.random.default_rng(options.seed)
    used = [_some(rows, options.rows, random) for rows in (tables.real, tables.synthetic)]
    held = None if tables.holdout is None else _some(tables.holdout, options.rows, random)
    say("comparing distributions")
    fidelity, floor = _fidelities(tables, used[0], used[1], held, options.seed)
    useful = _useful(tables, used[0], used[1], held, options.seed, say)
    found = _attacks(tables, used[1], options, random, floor, say)
    comparable = None if mismatch(floor) else tables.holdout
    holdout_rows = 0 if tables.holdout is None else len(tables.holdout)
    sizes = (len(tables.real), len(tables.synthetic), holdout_rows)
    return ReleaseAudit(
        rows=dict(zip(("training", "synthetic", "holdout"), sizes, strict=True)),
        columns=len(tables.codes.columns),
        left_out=tables.codes.left_out,
        constant=tables.codes.constant,
        label=tables.label,
        usefulness=useful,
        fidelity=fidelity,
        floor=floor,
        coverage=coverage(tables.codes, tables.released, tables.synthetic),
        holdout_coverage=None
        if tables.holdout is None
        else coverage(tables.codes, tables.held_out, tables.holdout),
        copies=copies(tables.real, tables.synthetic, comparable),
        overlap=tables.overlap,
        membership=found[0],
        attacks=found[1],
        nearest=found[2],
        canaries=canaries or Skipped("none were planted: see lowerbound canaries"),
    )


def mismatch(floor: Fidelity | Skipped) -> str:
    """Why the holdout cannot be the control group of the training rows; empty if it can.

    An attack that is compared with rows of another distribution measures the difference of the
    distributions, and not what the released rows reveal.

    Args:
        floor: errors of the training rows, compared with the holdout.
    """
    if isinstance(floor, Skipped) or floor.two_sample.low <= DIFFERENT:
        return ""
    found = floor.two_sample
    return (
        "the training rows and the holdout differ in distribution: a classifier distinguishes "
        f"them with an AUROC of {found.value:.3f} (0.5: they are alike; 95 % interval "
        f"{found.low:.3f} to {found.high:.3f}), so attacks would measure this difference and not "
        "the memory of training rows. Split one table at random into training rows and "
        "--holdout, and train on the former"
    )


def _some(rows: Array, most: int, random: np.random.Generator) -> Array:
    """At most this many of the rows, in random order."""
    order = random.permutation(len(rows))
    return rows[order[:most] if most else order]


def _fidelities(
    tables: AuditedTables, real: Array, synthetic: Array, holdout: Array | None, seed: int
) -> tuple[Fidelity, Fidelity | Skipped]:
    """The errors of the released rows, and those of as many training rows."""
    if holdout is None:
        return _fidelity(tables, synthetic, real, "training rows", seed), Skipped(NO_HOLDOUT)
    count = min(len(real), len(synthetic))
    found = _fidelity(tables, synthetic[:count], holdout, "holdout", seed)
    return found, _fidelity(tables, real[:count], holdout, "holdout", seed)


def _fidelity(
    tables: AuditedTables, rows: Array, like: Array, compared_with: str, seed: int
) -> Fidelity:
    codes = tables.codes
    sizes = [size for size in SIZES if size <= len(codes.columns)]
    return Fidelity(
        compared_with,
        column_errors(codes, like, rows),
        tuple(margin_error(codes, like, rows, size, seed) for size in sizes),
        trend_error(codes, like, rows, seed),
        distinguished(codes, like, rows, seed),
    )


def _useful(
    tables: AuditedTables,
    real: Array,
    synthetic: Array,
    holdout: Array | None,
    seed: int,
    say: Say,
) -> Usefulness | Skipped:
    if tables.label is None:
        return Skipped(NO_LABEL)
    if holdout is None:
        return Skipped(NO_HOLDOUT)
    say("training learners")
    return usefulness(tables.codes, tables.label, real, synthetic, holdout, seed)


Attacks = tuple[
    tuple[Membership, ...] | Skipped, tuple[AttackRate, ...] | Skipped, NearestRecords | Skipped
]


def _attacks(
    tables: AuditedTables,
    synthetic: Array,
    options: AuditOptions,
    random: np.random.Generator,
    floor: Fidelity | Skipped,
    say: Say,
) -> Attacks:
    """Membership, attacks on single people, and distances, if there is a control group."""
    reason = NO_HOLDOUT if tables.holdout is None else mismatch(floor)
    if reason:
        return Skipped(reason), Skipped(reason), Skipped(reason)
    say("attacking")
    return _attacked(tables, synthetic, options, random)


def _attacked(
    tables: AuditedTables, synthetic: Array, options: AuditOptions, random: np.random.Generator
) -> Attacks:
    """Membership, attacks on single people, and distances."""
    assert tables.holdout is not None
    codes, seed = tables.codes, options.seed
    rows = [_some(rows, options.attacked, random) for rows in (tables.real, tables.holdout)]
    (members, owner), (controls, _) = (codes.coordinates(part) for part in rows)
    drawn = codes.coordinates(synthetic)[0]
    single = singling_out(codes, tables.real, tables.holdout, synthetic, seed)
    linked = linkability(members, controls, drawn, owner, seed)
    inferred = attribute_inference(codes, rows[0], rows[1], synthetic)
    attacks = tuple(attack for attack in (single, linked, *inferred) if attack is not None)
    nearest = nearest_records(members, drawn[: options.attacked or None], controls, seed)
    return membership(members, controls, drawn, seed), attacks, nearest
