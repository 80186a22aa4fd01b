"""Results of the finished parts of long work, kept beside the output until the command ends."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import torch

import lowerbound
from lowerbound import durable, untrusted
from lowerbound.applications.base import Reporter
from lowerbound.applications.form import typed
from lowerbound.config import option
from lowerbound.data.arrays import Array
from lowerbound.data.tables.duckdb import Address, is_address
from lowerbound.errors import DataError, OptionError, counted

IDENTITY = "identity.json"
PROCESS, MACHINE = "process", "machine"  # keys of the record: who writes, or wrote, to the folder
UNFINISHED = ".unfinished"
PART = ".safetensors"
NOT_IN_PARTS = (
    "--resume is for work that is done part by part, such as a table; this data is read as a "
    "whole: leave --resume out"
)
NO_OUTPUT = "--resume needs an output: name it with -o"
NO_DATABASE = (
    "--resume cannot see whether the files of a query without a database have changed: leave it "
    "out, or name one file of rows"
)
ANYHOW = ("resume", "engine", "workers", "address", "on_error")  # no finished part depends on them

Arrays = Mapping[str, Array]


@dataclass(frozen=True, kw_only=True)
class ResumableRequest:
    """The option of an application that keeps the results of finished parts."""

    resume: bool = option(
        False, "go on where the same command was interrupted, if it works part by part"
    )


class Part(Protocol):
    """Rows or pictures that are computed together."""

    @property
    def first(self) -> int:
        """The number of the first one among all, from 0."""

    def __len__(self) -> int:
        """How many there are."""

    def sent(self) -> Self:
        """What another process needs of it."""


class FinishedParts:
    """Arrays that were computed for parts.

    Args:
        folder: where they are kept; None: they are not kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.rows = 0

    def has(self, part: Part) -> bool:
        """Whether an interrupted run kept the arrays of a part."""
        return self.folder is not None and self._path(part).is_file()

    def kept(self, part: Part, compute: Callable[[], Arrays]) -> Arrays:
        """The arrays of a part: those of an interrupted run, or computed now and kept.

        Raises:
            OSError: they cannot be written.
        """
        if self.folder is None:
            return compute()
        path = self._path(part)
        found = self._read(path)
        if found is None:
            found = compute()
            tensors = {  # the format keeps no order, and columns have one
                f"{place:03d} {name}": torch.from_numpy(values)
                for place, (name, values) in enumerate(found.items())
            }
            with _errors_of(self.folder):
                durable.write_tensors(path, tensors)
        self.rows += len(part)
        return found

    def _path(self, part: Part) -> Path:
        assert self.folder is not None
        return self.folder / f"{part.first:012d}+{len(part)}{PART}"

    @staticmethod
    def _read(path: Path) -> Arrays | None:
        """The arrays in a file; None if it is missing or damaged, so that they are computed."""
        if not path.is_file():
            return None
        try:
            tensors = untrusted.tensors(untrusted.content(path, DataError), str(path), DataError)
        except (OSError, DataError):
            return None
        return {name[4:]: tensors[name].numpy() for name in sorted(tensors)}


@contextmanager
def finished_parts(
    command: str,
    request: Any,
    reporter: Reporter,
    *,
    in_parts: bool = True,
    unit: str = "rows",
    facts: Mapping[str, Any] | None = None,
) -> Iterator[FinishedParts]:
    """Context with the kept parts of a command; they are removed when it has ended well.

    The parts are in the folder OUT.unfinished. With ``request.resume`` those of an interrupted run
    are used, if it had the same options, data, model and version.

    Args:
        command: its name.
        request: its options, among them ``output`` and ``resume``.
        reporter: says what is kept after an error.
        in_parts: whether the work is done in parts; otherwise nothing is kept.
        unit: what the parts hold.
        facts: what the results depend on besides the options and the files they name.

    Raises:
        OptionError: there is nothing that can be resumed, or the interrupted run was another one.
        KeyboardInterrupt: with the command that goes on.
    """
    # "out/" is the same output as "out"
    folder = Path(f"{Path(request.output or '')}{UNFINISHED}")
    obstacle = _obstacle(request, in_parts)
    if obstacle:
        if request.resume:
            raise OptionError(obstacle)
        yield FinishedParts(None)
        if request.output:
            _remove_stale(folder)
        return
    identity = _identity(command, request) | dict(facts or {})
    goes_on = _prepare(folder, identity, request.resume, reporter, unit)
    parts = FinishedParts(folder)
    again = typed(command, replace(request, resume=True))
    try:
        yield parts
    except BaseException as error:
        if not (parts.rows or goes_on):
            shutil.rmtree(folder, ignore_errors=True)
            raise
        kept = f"{_done(parts.rows, unit)} done and kept in {folder}. To go on: {again}"
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"interrupted; {kept}") from None
        reporter.say(kept)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _done(rows: int, unit: str) -> str:
    """How many are done, with the verb: "1 picture is", "2,048 rows are"."""
    if not rows:
        return f"the {unit} of the interrupted run are"
    return f"{counted(rows, unit.removesuffix('s'))} {'is' if rows == 1 else 'are'}"


def _obstacle(request: Any, in_parts: bool) -> str:
    """Why the parts of a command are not kept; "": they are."""
    if not in_parts:
        return NOT_IN_PARTS
    if not request.output:
        return NO_OUTPUT
    addresses = [value for value in asdict(request).values() if is_address(value)]
    return "" if all(Address.read(each).file for each in addresses) else NO_DATABASE


def _prepare(
    folder: Path, identity: dict[str, Any], resume: bool, reporter: Reporter, unit: str
) -> bool:
    """Check the folder of an interrupted run, or begin a new one; whether the run goes on.

    Raises:
        OptionError: the folder belongs to another run, or is no such folder.
        DataError: its record is damaged.
    """
    record = folder / IDENTITY
    if folder.exists() and not (folder.is_dir() and all(map(_own, folder.iterdir()))):
        raise OptionError(f"{folder} is not an unfinished output: move it away")
    if resume and record.is_file():
        if others := _differences(record, identity):
            raise OptionError(
                f"{folder} belongs to a run that differs in {', '.join(others)}: leave --resume "
                "out to begin again"
            )
        _write_record(record, identity)
        return True
    if resume:
        reporter.say(
            f"there is no {folder} to resume, so all {unit} are computed again from the start"
        )
    elif folder.is_dir():
        _note_begun_again(folder, identity, reporter, unit)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with _errors_of(folder):
            folder.mkdir(parents=True)
            _write_record(record, identity)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return False


def _write_record(record: Path, identity: dict[str, Any]) -> None:
    """Write what the results depend on, and that this process computes them."""
    own = {PROCESS: os.getpid(), MACHINE: durable.machine()}
    durable.write_text(record, json.dumps(identity | own))


def _remove_stale(folder: Path) -> None:
    """Remove what an interrupted run kept for an output that is complete now, unless that run may
    still write to it."""
    with suppress(OSError, DataError):  # mostly there is none
        if not all(map(_own, folder.iterdir())):
            return
        found = untrusted.read_mapping(folder / IDENTITY, DataError)
        process, machine = found.get(PROCESS, 0), found.get(MACHINE, "")
        if not (isinstance(process, int) and isinstance(machine, str)):
            return
        if not durable.at_work(folder, process, machine):
            shutil.rmtree(folder, ignore_errors=True)


def _differences(record: Path, identity: dict[str, Any]) -> list[str]:
    """In what an interrupted run differs from this one.

    Raises:
        DataError: its record is damaged.
    """
    before = untrusted.read_mapping(record, DataError)
    return [name for name in identity if before.get(name) != identity[name]]


def _note_begun_again(
    folder: Path, identity: dict[str, Any], reporter: Reporter, unit: str
) -> None:
    """Say what is lost, because the run does not go on where an interrupted one ended."""
    counts = [path.stem.partition("+")[2] for path in folder.glob(f"[0-9]*+*{PART}")]
    rows = sum(int(count) for count in counts if count.isdecimal())
    if not rows:
        return
    try:
        others = _differences(folder / IDENTITY, identity)
    except (OSError, DataError):  # nothing can go on with it
        return
    why = f"that run differs in {', '.join(others)}" if others else "--resume would go on with them"
    reporter.say(f"{_done(rows, unit)} done in {folder}, and computed again here: {why}")


@contextmanager
def _errors_of(folder: Path) -> Iterator[None]:
    """Context whose errors of writing name the folder, and no temporary file in it."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(folder), None
        raise


def _own(path: Path) -> bool:
    """Whether a file is one of an unfinished output; a crash may leave any of them."""
    return path.name == IDENTITY or path.suffix == PART or bool(durable.LEFT.fullmatch(path.name))


def _identity(command: str, request: Any) -> dict[str, Any]:
    """What the results depend on: the options, the files they name, and the version."""
    given = {name: value for name, value in asdict(request).items() if name not in ANYHOW}
    given["output"] = str(Path(request.output))
    files = {
        f"file for {name}": _stamps(value)
        for name, value in given.items()
        if isinstance(value, str) and name != "output" and value
    }
    facts = {"command": command, "version": lowerbound.__version__, **given, **files}
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    return plain


def _stamps(value: str) -> list[Any]:
    """``stamp`` of the file or folder that an option names; of a database, also of its log."""
    if not is_address(value):
        return stamp(Path(value).expanduser())
    file = Path(Address.read(value).file).expanduser()
    return [*stamp(file), *stamp(file.with_name(f"{file.name}.wal"))]


def stamp(path: Path) -> list[Any]:
    """Names, sizes and times of change of a file, or of the files of a folder."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        found = [(each.name, each.stat()) for each in files if each.is_file()]
    except OSError:
        return []
    return [[name, each.st_size, each.st_mtime_ns] for name, each in found]
