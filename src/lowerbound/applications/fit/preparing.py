"""What a fit settles before training: options of parts, rows, processes and public schema.

Options are typed as ``part.option=value``, such as ``network.hidden=[200,200]``. Rows of a table
are held in memory, or in files beside the model. Several processes work on the cards or cores of
one machine, or of several. The public schema of a private fit is a schema file, or declarations of
columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowerbound import processes, untrusted
from lowerbound.applications.common.application import Reporter
from lowerbound.applications.common.fit_folder import split_setting
from lowerbound.applications.common.sources import is_there
from lowerbound.applications.fit.requests import ProcessOptions
from lowerbound.data.options import LEAST_PEOPLE
from lowerbound.data.reading_flags import ReadingOptions
from lowerbound.data.schema import Schema
from lowerbound.data.tables.declared import declared_schema
from lowerbound.data.tables.files import is_table
from lowerbound.data.tables.on_disk import exceeds_memory, is_streamed
from lowerbound.data.tables.parquet import refuse_partitions
from lowerbound.data.tables.text_form import read_numbers
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.options import FitOptions
from lowerbound.models.base import MODELS
from lowerbound.models.options import ModelOptions
from lowerbound.training.private.copied_schema import declarations_of, without
from lowerbound.training.private.declarations import Declarations
from lowerbound.training.private.options import OF_THE_DATA, PrivacyOptions
from lowerbound.untrusted import folders

if TYPE_CHECKING:
    from lowerbound.applications.fit.requests import FitRequest

WHOLE = (
    *("binarize", "levels", "image_size", "resize", "spectrograms", "window", "stride"),
    *("entity", "time", "formula", "tokens", "text", "longest", "predict"),
)
"""Options of reading that rows on disk do not have."""
OF_MODEL = ("model", "network", "likelihood", "prior", "posterior")
PARTS = (*OF_MODEL, "objective")


@contextmanager
def rows_folder(request: FitRequest, private: bool, reporter: Reporter) -> Iterator[Path | None]:
    """Context that yields the folder of the encoded rows; None: the rows are held in memory.

    A folder beside the model is deleted at the end, unless the fit was interrupted and can be
    resumed.

    Raises:
        OptionError: rows are to be on disk, and these cannot.
        DataError: the table cannot be read.
    """
    if not on_disk(request, private):
        yield None
        return
    model = Path(request.output)
    beside = model.with_name(f"{model.name}.rows")
    folder = beside if request.cache is None else Path(request.cache)
    reporter.say(f"rows: encoded to files in {folder}, and read from there")
    try:
        yield folder
    except KeyboardInterrupt:
        raise
    except BaseException:
        _delete(beside)
        raise
    _delete(beside)


def on_disk(request: FitRequest, private: bool) -> bool:
    """Whether the rows of a fit are held in files.

    Raises:
        OptionError: rows are to be on disk, and these cannot.
        DataError: the table cannot be read.
    """
    if request.rows_in == "memory" and request.cache is None:
        return False
    asked = request.rows_in == "disk" or request.cache is not None
    if asked and not is_streamed(request.data):
        refuse_partitions(request.data, on_disk=True)
    obstacle = _obstacle(request, private)
    if asked and (request.rows_in == "memory" or obstacle):
        reason = obstacle or "--cache is for rows on disk, and --rows-in memory is given"
        raise OptionError(f"{reason}: leave --rows-in and --cache out")
    if asked or obstacle:
        return asked
    return exceeds_memory(request.data, request.reading.dialect)


def _obstacle(request: FitRequest, private: bool) -> str:
    """Why the rows cannot be on disk; "" if they can."""
    if not is_streamed(request.data):
        wrong = "is neither" if is_there(request.data) else "does not exist"
        return f"only Parquet and csv are held on disk, and {request.data!s:.60} {wrong}"
    if private:
        return "a private fit reads its table as a whole"
    reading, usual = request.reading, ReadingOptions()
    given = [name for name in WHOLE if getattr(reading, name) != getattr(usual, name)]
    return f"--{given[0].replace('_', '-')} is not for rows on disk" if given else ""


def _delete(folder: Path) -> None:
    if processes.speaks():
        folders.remove_tree(folder)


def check_processes(options: ProcessOptions) -> None:
    """Check that a fit which asks for several processes is one of several.

    Raises:
        OptionError: it is not.
    """
    if options.several and not processes.launched():
        raise OptionError(
            "only the command line starts several processes: run lowerbound fit with --devices, "
            "or start your program by torchrun and leave devices and nodes out"
        )


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
    kinds = {name: _hint(said) for name, said in reading.kinds.items()}
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


def with_settings(options: FitOptions, settings: Sequence[str]) -> FitOptions:
    """The options with each setting added to the options of its part.

    Building the part checks whether it has such an option.

    Raises:
        OptionError: a setting is not ``part.option=value``, or there is no such part.
    """
    for setting in settings:
        part, name, value = split_setting(setting, PARTS)
        field = f"{part}_options"
        if part in OF_MODEL:
            changed: dict[str, Any] = {field: {**getattr(options.model, field), name: value}}
            options = replace(options, model=replace(options.model, **changed))
        else:
            options = replace(options, objective_options={**options.objective_options, name: value})
    return options


def check_parts(options: ModelOptions) -> None:
    """Check that the model is built from every part that is chosen.

    Raises:
        OptionError: it has a part of its own instead, which the message names.
    """
    usual, uses = ModelOptions(), MODELS[options.model].uses
    for part in OF_MODEL[1:]:
        chosen = getattr(options, part)
        if part not in uses and chosen != getattr(usual, part):
            raise OptionError(
                f"--model {options.model} has no choice of {part}: leave out --{part} {chosen}, or "
                "choose another --model"
            )
