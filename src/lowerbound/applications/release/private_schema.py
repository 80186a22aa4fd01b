"""``lowerbound private-schema``: ranges and categories of columns, measured with noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowerbound import untrusted
from lowerbound.applications.common.application import Report, Reporter
from lowerbound.applications.release.marginals.schema_measuring import measure_schema
from lowerbound.applications.release.requests import PrivateSchemaRequest
from lowerbound.config import to_mapping
from lowerbound.data.arrays import SHOWN
from lowerbound.data.tables.text_form import read_numbers
from lowerbound.errors import DataError, OptionError, counted
from lowerbound.training.private.copied_schema import without
from lowerbound.training.private.declarations import Declarations, described


@dataclass(frozen=True)
class PrivateSchemaReport(Report):
    """The declarations that were written.

    Attributes:
        output: the file.
        columns: the declaration of each column.
        measured: what was measured, and what that has spent.
    """

    output: str
    columns: Mapping[str, Mapping[str, Any]]
    measured: Mapping[str, Any]

    def text(self) -> str:
        width = max(map(len, self.columns))
        charged = self.measured["columns"]
        lines = [
            f"  {name:{width}}  {'measured' if name in charged else 'public  '}  "
            f"{described(said, SHOWN)}"
            for name, said in self.columns.items()
        ]
        spent = f"epsilon {self.measured['epsilon']:.4g}, delta {self.measured['delta']:.3g}"
        return "\n".join(
            [
                *lines,
                f"spent:  {spent}; run this once, because each run spends as much again",
                f"file:   {self.output}, for --public-schema of lowerbound fit and private-table; "
                "their --epsilon is the whole, this part included",
            ]
        )


def private_schema(request: PrivateSchemaRequest, reporter: Reporter) -> PrivateSchemaReport:
    """Measure ranges and categories of the columns that are not public, and write all.

    Raises:
        DataError: the table or the file of public columns cannot be read, or noise hides a column.
        OptionError: epsilon, delta or a column is wrong, there is nothing to measure, or the output
            is a measured schema.
    """
    if request.epsilon is None:
        raise OptionError("measuring needs an epsilon: give --epsilon, such as 0.4")
    if not request.overwrite:
        _refuse_measured(Path(request.output))
    known = Declarations.read(request.public_schema) if request.public_schema else None
    frame, _ = read_numbers(request.data, skipped=known.other_than_numbers if known else ())
    reporter.say(
        f"{request.data}: {counted(len(frame), 'row')} of {counted(frame.shape[1], 'column')}"
    )
    found = measure_schema(
        without(frame, request.leave_out),
        request.epsilon,
        request.delta,
        known=known,
        secure_noise=request.secure_noise,
    )
    assert found.measured is not None
    found.write(Path(request.output))
    return PrivateSchemaReport(request.output, found.columns, to_mapping(found.measured))


def _refuse_measured(output: Path) -> None:
    """Refuse to replace a measured schema, whose epsilon would be forgotten.

    Raises:
        OptionError: the file is one.
    """
    try:
        found = untrusted.read_mapping(output, DataError)
    except (OSError, DataError):  # there is none, or it is something else
        return
    if found.get("measured") is not None:
        raise OptionError(
            f"{output} was measured before, and each measurement spends its epsilon: use it as it "
            "is, or add --overwrite and count the epsilon of the file yourself, because the new "
            "one will not"
        )
