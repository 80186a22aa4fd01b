"""The report of a command that writes rows which the model has made."""

from __future__ import annotations

from dataclasses import dataclass

from lowerbound.applications.base import WrittenReport


@dataclass(frozen=True)
class RowsReport(WrittenReport):
    """Rows were written.

    Attributes:
        what: "samples", "decoded rows", ...
        rows: number of rows.
        mean: whether they are the decoder's means rather than draws from p(x | z).
        refined: whether they are draws of the model's refiner.
        corrected: whether they have the missing cells and the shares of values of the fitted rows.
    """

    what: str
    rows: int
    mean: bool
    refined: bool
    corrected: bool = False

    def text(self) -> str:
        draws = "refined draws" if self.refined else "draws from p(x | z)"
        draws = f"corrected {draws}" if self.corrected else draws
        kind = "decoder means" if self.mean else draws
        return f"{self.rows:,} {self.what} ({kind}): {self.where}"
