"""``lowerbound canaries``: plant odd rows among training rows, for an audit to search for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lowerbound.applications.base import Reporter, WrittenReport, written
from lowerbound.applications.form import REQUIRED
from lowerbound.applications.io.rows import write_columns
from lowerbound.applications.release.tables import check_table, read_table
from lowerbound.config import option
from lowerbound.errors import DataError
from lowerbound.evaluation.release.privacy.canaries import Canaries, make_canaries, plant

INCLUDED = "canary_was_planted"


@dataclass(frozen=True)
class CanariesRequest:
    """Options of ``lowerbound canaries``."""

    real: str = option(REQUIRED, "training rows", positional=True, metavar="REAL")
    output: str = option(
        REQUIRED, "file of the training rows with canaries, to train on", short="-o", metavar="FILE"
    )
    key: str = option(
        REQUIRED, "file of all canaries, for lowerbound audit; keep it secret", metavar="FILE"
    )
    number: int = option(200, "canaries; a fair coin plants each of them", short="-n")
    seed: int = option(0, "of canaries and coins")


@dataclass(frozen=True, kw_only=True)
class CanariesReport(WrittenReport):
    """Files with canaries.

    Attributes:
        rows: training rows without canaries.
        canaries: number of canaries.
        planted: how many of them are among the rows to train on.
    """

    rows: int
    canaries: int
    planted: int

    def text(self) -> str:
        train, key = self.files[:2]
        return (
            f"planted {self.planted} of {self.canaries} canaries in {self.rows:,} rows; train on "
            f"{train}, then run lowerbound audit --canaries {key}"
        )


def canaries(request: CanariesRequest, reporter: Reporter | None = None) -> CanariesReport:
    """Plant canaries and write the rows to train on, and the canaries.

    Raises:
        DataError: the table cannot be read, or has no rows.
        OptionError: fewer than 2 canaries.
    """
    train, key = Path(request.output), Path(request.key)
    for path in (train, key):
        check_table(path)
    rows = read_table(request.real, "REAL")
    made = make_canaries(rows, request.number, request.seed)
    planted = plant(rows, made, request.seed)
    files = [
        *write_columns(train, {str(name): planted[name] for name in planted.columns}),
        *write_columns(
            key,
            {**{str(n): made.rows[n] for n in made.rows.columns}, INCLUDED: made.included},
        ),
    ]
    return CanariesReport(
        rows=len(rows),
        canaries=len(made.included),
        planted=int(made.included.sum()),
        **written(files),
    )


def read_canaries(path: str) -> Canaries:
    """The canaries that ``lowerbound canaries`` wrote.

    Raises:
        DataError: the file is another table.
    """
    frame = read_table(path, "--canaries")
    if INCLUDED not in frame.columns:
        raise DataError(f"{path} has no column {INCLUDED}: lowerbound canaries writes such files")
    included = frame[INCLUDED].astype(str).str.lower().isin(("true", "1")).to_numpy()
    return Canaries(frame.drop(columns=INCLUDED), included)
