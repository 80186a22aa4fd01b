"""The three tables of an audit, checked before anything is measured."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lowerbound.applications.release.copies import Overlap, overlap
from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.inference import Hint
from lowerbound.data.tables.numbers import Notations, found_notations, with_numbers
from lowerbound.errors import DataError, counted
from lowerbound.evaluation.samples.column_judge import CodedColumns

FEWEST_ROWS = 40


@dataclass(frozen=True, eq=False)
class AuditedTables:
    """Encoded tables, (rows, columns) each.

    Attributes:
        codes: the columns, learned from the training rows.
        label: the column that learners predict; None: none.
        real: the training rows.
        synthetic: the released rows.
        holdout: rows of the same source that were not used; None: there are none.
        released: the released rows as a frame.
        held_out: the holdout as a frame; None: there is none.
        overlap: rows of the holdout that equal a training row; None without a holdout.
        notations: of the columns that the training rows write as text.
    """

    codes: CodedColumns
    label: str | None
    real: Array
    synthetic: Array
    holdout: Array | None
    released: Any
    held_out: Any
    overlap: Overlap | None
    notations: Notations = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        real: Any,
        synthetic: Any,
        holdout: Any = None,
        label: str | None = None,
        hints: Mapping[str, Hint] | None = None,
    ) -> AuditedTables:
        """Check and encode pandas frames.

        Args:
            real: the training rows.
            synthetic: the released rows.
            holdout: rows of the same source that were not used.
            label: the column that learners predict.
            hints: kinds of columns by name; the others are inferred from the training rows.

        Raises:
            DataError: a table has too few rows or other columns, the label does not exist, or the
                holdout shares rows with the training rows.
        """
        real, synthetic = _named(real, "REAL"), _named(synthetic, "SYNTHETIC")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the fit has warned of the same columns
            notations = found_notations(real, None, hints or {})
        real = with_numbers(real, notations)
        synthetic = _in_notations(synthetic, notations, "SYNTHETIC")
        codes = CodedColumns.learn(real, hints)
        _check_label(codes, label)
        _check_columns(codes, synthetic, "SYNTHETIC")
        a, b = codes.encode(real), codes.encode(synthetic)
        if holdout is None:
            return cls(codes, label, a, b, None, synthetic, None, None, notations)
        fresh = _in_notations(_named(holdout, "HOLDOUT"), notations, "HOLDOUT")
        _check_columns(codes, fresh, "HOLDOUT")
        c = codes.encode(fresh)
        shared = overlap(a, c)
        if shared.refused:
            raise DataError(
                f"{shared.rows:,} of {len(c):,} rows of HOLDOUT are also in REAL, where about "
                f"{shared.expected:.0f} are expected from equal rows of different people; a "
                "holdout must not be used in training: set rows aside before you train, and audit "
                "with those"
            )
        return cls(codes, label, a, b, c, synthetic, fresh, shared, notations)


def _in_notations(frame: Any, notations: Notations, what: str) -> Any:
    try:
        return with_numbers(frame, notations)
    except DataError as error:
        raise DataError(f"{what}: {error}") from error


def _named(frame: Any, what: str) -> Any:
    """The frame with names as text.

    Raises:
        DataError: too few rows, or a name occurs twice.
    """
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1).reset_index(drop=True)
    if len(frame) < FEWEST_ROWS:
        raise DataError(
            f"{what} has {counted(len(frame), 'row')}; an audit needs at least {FEWEST_ROWS}"
        )
    twice = sorted(set(frame.columns[frame.columns.duplicated()]))
    if twice:
        raise DataError(f"{what}: several columns are named {listed(twice)}; rename them")
    return frame


def _check_label(codes: CodedColumns, label: str | None) -> None:
    if label is None or label in codes.names:
        return
    if label in codes.left_out:
        raise DataError(
            f"the label {label!r} identifies rows: no value repeats; if it is a class or a number, "
            f"give its kind, such as --kind {label}=real"
        )
    close = difflib.get_close_matches(label, codes.names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"the table has {listed(codes.names)}"
    raise DataError(f"there is no column {label!r} for the label; {hint}")


def _check_columns(codes: CodedColumns, frame: Any, what: str) -> None:
    found = set(frame.columns)
    lacking = [name for name in codes.names if name not in found]
    extra = sorted(found - {*codes.names, *codes.left_out})
    if lacking or extra:
        words = [f"lacks {listed(lacking)}"] if lacking else []
        words += [f"also has {listed(extra)}"] if extra else []
        raise DataError(f"{what} and REAL have different columns: {what} {' and '.join(words)}")
