"""The requests to release tables, and to audit them."""

from __future__ import annotations

from dataclasses import dataclass, field

from lowerbound.applications.common.form import (
    REQUIRED,
    DeviceRequest,
    DrawnRequest,
    ModelRequest,
)
from lowerbound.config import option, option_of
from lowerbound.data.reading_flags import KindOptions, ReadingOptions
from lowerbound.errors import OptionError
from lowerbound.parts import AUTO, PRIORS


@dataclass(frozen=True)
class SynthesizerRequest(DeviceRequest, KindOptions):
    """Options of ``lowerbound synthesizer``."""

    data: str = option(
        REQUIRED, "a .csv or .parquet file", positional=True, metavar="DATA", reads="data"
    )
    output: str = option(
        REQUIRED, "model folder to write", short="-o", metavar="MODEL", writes=True
    )
    constraint: tuple[str, ...] = option(
        (),
        "a range or an inequality that every row fulfills, such as 'age >= 18' or 'start <= end'; "
        "repeatable",
        metavar="SENTENCE",
    )
    combination: tuple[str, ...] = option(
        (),
        "columns of which only combinations in the data occur, such as city,country; repeatable",
        metavar="COLUMNS",
    )
    prior: str = option(
        AUTO,
        "p(z); auto: standard_normal, mixture or flow, by held-out rows",
        choices=PRIORS.after(AUTO),
    )
    least_people: int = option_of(
        ReadingOptions,
        "least_people",
        help="no value is drawn that fewer people (rows, or values of --entity) have; 1: values "
        "are not protected",
    )
    entity: str | None = option_of(
        ReadingOptions,
        "entity",
        help="the column whose values are the people, if one has several rows",
    )
    minutes: float | None = option(
        None, "minutes of training (default: from the number of rows and columns)"
    )
    seed: int = option(0, "of the fit")
    resume: bool = option(False, "continue the fit that was interrupted in this folder")
    overwrite: bool = option(False, "replace the model in this folder")


@dataclass(frozen=True)
class SynthesizeRequest(ModelRequest, DrawnRequest):
    """Options of ``lowerbound synthesize``."""

    output: str = option(
        REQUIRED, "table to write: .csv or .parquet", short="-o", metavar="FILE", writes=True
    )
    number: int | None = option(
        None, "rows to write (default: 1,000, or the rows of --like)", short="-n"
    )
    given: tuple[str, ...] = option(
        (),
        "a value that a column has in all rows, such as sex=Female; repeatable",
        metavar="COLUMN=VALUE",
    )
    like: str | None = option(
        None,
        "a table of the same columns, or some of them: its cells are kept, and missing cells and "
        "columns are drawn",
        metavar="FILE",
        reads="data",
    )
    beyond_range: bool = option(
        False,
        "let drawn numbers and dates leave the range of the fitted rows; a model of lowerbound "
        "synthesizer never leaves it",
    )
    complete: bool = option(False, "draw no missing cells")
    seed: int = option(0, "of the draws")


@dataclass(frozen=True)
class PrivateSchemaRequest:
    """Options of ``lowerbound private-schema``."""

    data: str = option(REQUIRED, "a table", positional=True, metavar="DATA", reads="data")
    output: str = option(REQUIRED, "JSON file to write", short="-o", metavar="FILE", writes=True)
    epsilon: float | None = option(
        None, "epsilon of these measurements, a part of that of the fit; required"
    )
    delta: float | None = option(
        None, "delta of these measurements, a part of that of the fit (default: 0.2 / rows^1.5)"
    )
    public_schema: str = option(
        "",
        "a JSON file with the columns that are public and are not measured",
        metavar="FILE",
        reads="data",
    )
    leave_out: tuple[str, ...] = option(
        (), "a column to leave out, such as a name; repeatable", metavar="COLUMN"
    )
    secure_noise: bool = option(False, "noise from the system's cryptographic generator")
    overwrite: bool = option(False, "replace a schema that was measured before")


@dataclass(frozen=True)
class PrivateTableRequest:
    """Options of ``lowerbound private-table``."""

    data: str = option(
        REQUIRED,
        "a table, or a model that --save wrote",
        positional=True,
        metavar="DATA",
        reads="data",
    )
    output: str = option(
        REQUIRED, "table to write: .csv, .parquet", short="-o", metavar="FILE", writes=True
    )
    number: int | None = option(None, "rows to write (default: as many as were fitted)", short="-n")
    epsilon: float | None = option(None, "epsilon of differential privacy; required for a table")
    delta: float | None = option(None, "delta of differential privacy (default: 1 / rows^1.5)")
    public_schema: str = option(
        "",
        "a JSON file with ranges and categories of the columns, public or measured by "
        "private-schema; 'data' copies them from the rows, which epsilon does not cover",
        metavar="FILE",
        reads="data",
    )
    leave_out: tuple[str, ...] = option(
        (), "a column to leave out, such as a name; repeatable", metavar="COLUMN"
    )
    least_people: int = option_of(
        ReadingOptions,
        "least_people",
        help="rows that share a level, and that lie beyond either end of a range, for "
        "--public-schema data to copy it",
    )
    target: str | None = option(
        None, "the column whose relation to every other is measured first", metavar="COLUMN"
    )
    hybrid: bool = option(
        False,
        "half of the privacy for noisy gradients of a model of the target given the other columns; "
        "needs --target",
    )
    compare: str | None = option(
        None,
        "rows of the same source that are public or may be spent: fit naive Bayes, marginals and "
        "the hybrid, judge their rows on these, and write rows of the best; needs --target",
        metavar="HOLDOUT",
        reads="data",
    )
    pairs: bool = option(True, "measure no pairs of columns: naive Bayes given the target")
    secure_noise: bool = option(False, "noise from the system's cryptographic generator")
    save: str | None = option(None, "also write the model", metavar="FILE.json", writes=True)
    seed: int = option(0, "of the rows that are drawn; the noise does not depend on it")


@dataclass(frozen=True)
class CanariesRequest:
    """Options of ``lowerbound canaries``."""

    real: str = option(REQUIRED, "training rows", positional=True, metavar="REAL", reads="data")
    output: str = option(
        REQUIRED,
        "file of the training rows with canaries, to train on",
        short="-o",
        metavar="FILE",
        writes=True,
    )
    key: str = option(
        REQUIRED,
        "file of all canaries, for lowerbound audit; keep it secret",
        metavar="FILE",
        writes=True,
    )
    number: int = option(200, "canaries; a fair coin plants each of them", short="-n")
    seed: int = option(0, "of canaries and coins")


@dataclass(frozen=True)
class AuditOptions:
    """Sizes of an audit.

    Raises:
        OptionError: a number of rows is negative.
    """

    rows: int = option(20_000, "most rows of a table that learners and distances use; 0: all")
    attacked: int = option(
        5_000,
        "most training rows, and rows of the holdout, that are attacked (singling out uses all); "
        "0: all",
    )
    seed: int = option(0, "of all random draws")

    def __post_init__(self) -> None:
        for name in ("rows", "attacked"):
            if (value := getattr(self, name)) < 0:
                raise OptionError(f"--{name} must be at least 0 (0: all rows), not {value}")


@dataclass(frozen=True)
class AuditRequest(KindOptions):
    """Options of ``lowerbound audit``.

    In Python, the three tables may also be pandas frames.
    """

    real: str = option(
        REQUIRED,
        "the rows that the synthesizer was trained on",
        positional=True,
        metavar="REAL",
        reads="data",
    )
    synthetic: str = option(
        REQUIRED, "the synthetic rows", positional=True, metavar="SYNTHETIC", reads="data"
    )
    holdout: str | None = option(
        None,
        "rows of the same source that the synthesizer has not seen: the control group of every "
        "attack, and the test rows of every learner",
        metavar="FILE",
        reads="data",
    )
    label: str | None = option(
        None, "the column that learners predict: a class or a number", metavar="COLUMN"
    )
    output: str | None = option(None, "HTML file to write", short="-o", metavar="FILE", writes=True)
    record: bool = option(
        False, "add what the attacks found to the release record beside SYNTHETIC, and to its page"
    )
    canaries: str | None = option(
        None, "the canaries that lowerbound canaries has written", metavar="FILE", reads="data"
    )
    delta: float = option(0.0, "delta of the claimed guarantee, for the bound from canaries")
    at_most: float | None = option(
        None, "membership AUROC that no attack may exceed; exit code 1 if one does"
    )
    sizes: AuditOptions = field(default_factory=AuditOptions)
