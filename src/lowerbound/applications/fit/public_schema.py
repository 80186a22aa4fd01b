"""The public schema of a private fit: a schema file, or declarations of columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lowerbound import untrusted
from lowerbound.applications.io.sources import ReadingOptions, column_hints
from lowerbound.data.protection.record import LEAST_PEOPLE
from lowerbound.data.schema import Schema
from lowerbound.data.tables.declared import declared_schema
from lowerbound.data.tables.files import is_table
from lowerbound.data.tables.text_form import read_numbers
from lowerbound.errors import DataError, OptionError
from lowerbound.training.private.marginals.copied_schema import declarations_of, without
from lowerbound.training.private.marginals.declarations import Declarations
from lowerbound.training.private.options import OF_THE_DATA, PrivacyOptions


@dataclass(frozen=True, eq=False)
class PublicSchema:
    """How a private fit reads its rows.

    Attributes:
        privacy: the options, with what was copied from the rows.
        schema: of the rows; None: it is learned from them.
        rows: the table with its columns as declared; None: it is read as it is.
    """

    privacy: PrivacyOptions
    schema: Schema | None = None
    rows: Any = None


def public_schema(source: str, privacy: PrivacyOptions, reading: ReadingOptions) -> PublicSchema:
    """The schema that ``--public-schema`` names, and the rows of a table as it declares them.

    It names the ``schema.json`` of a model folder, a file of declarations as in
    ``lowerbound.data.tables.declared``, or "data". Of the data, a table's schema is copied as far
    as ``--least-people`` rows share it; another kind of data has the schema that a fit learns.

    Raises:
        OptionError: an option of private training is given without ``--epsilon``, or one that this
            data does not have.
        DataError: a file cannot be read, a declaration is wrong, or a column identifies people.
    """
    privacy.check_use()
    given = privacy.public_schema
    if given == OF_THE_DATA and is_table(source) and not _is_special(reading):
        return _copied(source, privacy, reading)
    if reading.least_people != LEAST_PEOPLE and reading.entity is None:
        raise OptionError(
            "--least-people is for --entity, and for tables with --public-schema data: leave it out"
        )
    if privacy.leave_out and (given == OF_THE_DATA or not is_table(source)):
        raise OptionError(
            "--leave-out is for tables whose rows are people: take the column out of the data"
        )
    if given in ("", OF_THE_DATA):
        return PublicSchema(privacy)
    found = _read(given)
    with untrusted.guarded(f"{given}, a file of public columns,", DataError):
        if "event_shape" in found:
            return PublicSchema(privacy, Schema.from_mapping(found))
        columns = {name: found["columns"][name] for name in found["columns"]}
        columns = {name: said for name, said in columns.items() if name not in privacy.leave_out}
        schema = declared_schema(columns, reading.label)
    if found.get("measured") is None:
        return PublicSchema(privacy, schema)
    if not is_table(source):
        raise DataError(f"{given} has the columns of a table, and {source} is not a table")
    declared = Declarations.read(given)
    rows = read_numbers(source, skipped=declared.other_than_numbers)[0]
    return PublicSchema(privacy, schema, declared.admitted(rows))


def _read(given: str) -> Mapping[str, Any]:
    try:
        return untrusted.read_mapping(Path(given), DataError)
    except (OSError, DataError) as error:
        raise DataError(f"{given} is not a file of public columns: {error}") from error


def _is_special(reading: ReadingOptions) -> bool:
    """Whether rows of a table are not the rows of the data set."""
    asked = (reading.entity, reading.window, reading.tokens, reading.text, reading.formula)
    return any(asked) or bool(reading.predict)


def _copied(source: str, privacy: PrivacyOptions, reading: ReadingOptions) -> PublicSchema:
    """The schema of a table that is copied from its rows, without what few of them have."""
    hints = column_hints(reading)
    kinds = {} if isinstance(hints, str) else {name: _hint(said) for name, said in hints.items()}
    skipped = Declarations(kinds).other_than_numbers
    frame = without(read_numbers(source, reading.dialect, skipped)[0], privacy.leave_out)
    kinds = {name: said for name, said in kinds.items() if name in frame.columns}
    copied = declarations_of(frame, reading.least_people, kinds=kinds)
    if reading.label is not None and reading.label not in copied.columns:
        raise DataError(f"the label {reading.label!r} is not among the columns that are copied")
    assert copied.copied is not None
    schema = copied.copied.on(declared_schema(copied.columns, reading.label))
    rows = copied.admitted(frame)[[*copied.columns]]
    return PublicSchema(replace(privacy, copied=copied), schema, rows)


def _hint(said: Any) -> dict[str, Any]:
    """A kind as the flag gives it, or a mapping of a file of columns, as a declaration."""
    if not isinstance(said, str):
        return dict(said)
    kind, colon, form = said.partition(":")
    return {"kind": kind, "format": form} if colon else {"kind": kind}
