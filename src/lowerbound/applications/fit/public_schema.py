"""The public schema of a private fit: a schema file, or declarations of columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lowerbound import untrusted
from lowerbound.data.schema import Schema
from lowerbound.data.tables.declared import declared_schema
from lowerbound.data.tables.files import is_table
from lowerbound.data.tables.text_form import read_numbers
from lowerbound.errors import DataError
from lowerbound.fitting.private_fit import OF_THE_DATA
from lowerbound.training.private.marginals.declarations import Declarations, recorded_in
from lowerbound.training.private.options import PrivacyOptions


def public_schema(options: PrivacyOptions, label: str | None) -> Schema | None:
    """The schema that ``--public-schema`` names; None: it is learned from the rows.

    The file is the ``schema.json`` of a model folder, or has declarations as in
    ``lowerbound.data.tables.declared``.

    Raises:
        OptionError: it, or another option of private training, is given without ``--epsilon``.
        DataError: the file cannot be read, or a declaration is wrong.
    """
    options.check_use()
    given = options.public_schema
    if given in ("", OF_THE_DATA):
        return None
    try:
        found = untrusted.read_mapping(Path(given), DataError)
    except (OSError, DataError) as error:
        raise DataError(f"{given} is not a file of public columns: {error}") from error
    with untrusted.guarded(f"{given}, a file of public columns,", DataError):
        if "event_shape" in found:
            return Schema.from_mapping(found)
        return declared_schema(found["columns"], label)


def admitted_rows(source: str, options: PrivacyOptions) -> Any:
    """The table with the columns of a measured schema as declared; None: no schema was measured.

    Raises:
        DataError: the data is not a table, or lacks a declared column.
    """
    given = options.public_schema
    if not options.private or given == OF_THE_DATA or recorded_in(given) is None:
        return None
    if not is_table(source):
        raise DataError(f"{given} has the columns of a table, and {source} is not a table")
    declared = Declarations.read(given)
    return declared.admitted(read_numbers(source, skipped=declared.other_than_numbers)[0])
