"""Results of the finished parts of long work, kept beside the output until the command ends.

The folder OUT.unfinished belongs to who owns OUT (``ownership``). What is in it belongs to the run
whose identity its record holds, and each part has the hash of that identity in its name, so that no
run takes a part of another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol, Self

import torch

from lowerbound import durable, untrusted
from lowerbound._version import __version__
from lowerbound.applications.common.application import UNFINISHED, Reporter
from lowerbound.applications.common.form import typed
from lowerbound.data.arrays import Array
from lowerbound.data.tables.duckdb import Address, is_address
from lowerbound.errors import DataError, OptionError, counted
from lowerbound.untrusted import folders

IDENTITY = "identity.json"
PART = ".safetensors"
VALUES = "values.jsonl"  # of calls that a search has made, one on a line
NOT_IN_PARTS = (
    "--resume is for work that is done part by part, such as a table; this data is read as a "
    "whole: leave --resume out"
)
NO_OUTPUT = "--resume needs an output: name it with -o"
NO_DATABASE = (
    "--resume cannot see whether the files of a query without a database have changed: leave it "
    "out, or name one file of rows"
)
HASHED = 2**26  # bytes of inputs whose content is compared; of more, the time of change
ANYHOW = ("resume", "engine", "workers", "address", "on_error")  # no finished part depends on them

Arrays = Mapping[str, Array]


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
        run: hash of what the arrays depend on.

    Attributes:
        rows: how many rows, or other units, are kept.
    """

    def __init__(self, folder: Path | None, run: str = "") -> None:
        self.folder, self.run = folder, run
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
        return self.folder / f"{part.first:012d}+{len(part)}.{self.run}{PART}"

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
        if request.output and folder.is_dir() and all(map(_own, folder.iterdir())):
            if rows := _kept_rows(folder):
                what = counted(rows, unit.removesuffix("s"))
                reporter.say(f"{what} of an interrupted run are removed with {folder}")
            folders.remove_tree(folder)
        return
    identity = _identity(command, request) | dict(facts or {})
    goes_on = _prepare(folder, identity, request.resume, reporter, unit)
    parts = FinishedParts(folder, _hash(identity))
    again = typed(command, replace(request, resume=True))
    try:
        yield parts
    except BaseException as error:
        if not (parts.rows or goes_on):
            folders.remove_tree(folder)
            raise
        kept = f"{_done(parts.rows, unit)} done and kept in {folder}. To go on: {again}"
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"{str(error) or 'interrupted'}; {kept}") from None
        reporter.say(kept)
        raise
    folders.remove_tree(folder)


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
        return True
    if resume:
        reporter.say(
            f"there is no {folder} to resume, so all {unit} are computed again from the start"
        )
    elif folder.is_dir():
        _note_begun_again(folder, identity, reporter, unit)
    folders.remove_tree(folder)
    try:
        with _errors_of(folder):
            folder.mkdir(parents=True)
            durable.write_text(record, json.dumps(identity))
    except OSError:
        folders.remove_tree(folder)
        raise
    return False


def _hash(identity: Mapping[str, Any]) -> str:
    """The run in the names of its parts."""
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _kept_rows(folder: Path) -> int:
    """How many rows are in the parts of an unfinished output."""
    names = (path.stem.partition("+")[2] for path in folder.glob(f"[0-9]*+*{PART}"))
    counts = (name.partition(".")[0] for name in names)
    rows = sum(int(count) for count in counts if count.isdecimal())
    with suppress(OSError, DataError):
        rows += untrusted.content(folder / VALUES, DataError).count(b"\n")
    return rows


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
    rows = _kept_rows(folder)
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
    usual = path.name in (IDENTITY, VALUES) or path.suffix == PART
    return usual or bool(durable.LEFT.fullmatch(path.name))


def _identity(command: str, request: Any) -> dict[str, Any]:
    """What the results depend on: the options, the files they name, and the version."""
    given = {name: value for name, value in asdict(request).items() if name not in ANYHOW}
    given["output"] = str(Path(request.output))
    files = {
        f"file for {name}": _stamps(value)
        for name, value in given.items()
        if isinstance(value, str) and name != "output" and value
    }
    facts = {"command": command, "version": __version__, **given, **files}
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    return plain


def _stamps(value: str) -> list[Any]:
    """``stamp`` of the file or folder that an option names; of a database, also of its log."""
    if not is_address(value):
        return stamp(Path(value).expanduser())
    file = Path(Address.read(value).file).expanduser()
    return stamp(file, file.with_name(f"{file.name}.wal"))


def stamp(*paths: Path) -> list[Any]:
    """What tells files, or the files of folders, from others: names, sizes and hashes of content.

    Once files of 64 MiB are hashed, the time of change takes the place of the hash. A model folder
    has its manifest before its weights, and the hashes of these are in it.
    """
    found: list[Any] = []
    left = HASHED
    for path in paths:
        with suppress(OSError):
            for each in sorted(path.iterdir()) if path.is_dir() else [path]:
                if each.is_file():
                    at = each.stat()
                    left -= at.st_size
                    content = durable.sha256(each) if left >= 0 else at.st_mtime_ns
                    found.append([each.name, at.st_size, content])
    return found
