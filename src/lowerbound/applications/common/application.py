"""The interface of applications, the uses of a fitted model.

An application consists of a frozen ``Request`` (its options), one function, and a frozen
``Report`` (its result)::

    Request ──> function(request, reporter[, fitted]) ──> Report

The application's line in ``lowerbound.applications`` is enough for user interfaces: flags and forms
come from the Request's fields, JSON and text from the Report.
"""

from __future__ import annotations

import dataclasses
import inspect
import keyword
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lowerbound import durable, processes
from lowerbound.applications.common.form import LOCAL, PROCESSOR, Entry, entries
from lowerbound.errors import LowerboundError, ModelFolderError, NotFiniteError, OptionError
from lowerbound.fitting.manifest import is_folder_of_ours
from lowerbound.processes import ownership
from lowerbound.registry import Registry
from lowerbound.untrusted import folders

if TYPE_CHECKING:
    from lowerbound.fitting.fitted import Fitted
    from lowerbound.training.reporter import TrainingReporter as TrainingReporter


UNFINISHED = ".unfinished"
"""The end of the name of the folder beside an output in which finished parts of it are kept."""

ABSURD = 1e8  # no training reaches it
"""Beyond it, an error inside a library is taken for one of numbers that overflow."""


class Reporter(Protocol):
    """Receives the messages and the progress of an application."""

    def say(self, sentence: str) -> None:
        """Show one sentence."""

    def advance(self, task: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` rows (or other units) of a task are finished."""

    def training(self) -> TrainingReporter:
        """The reporter of a training run."""


class Silent:
    """A reporter that shows nothing."""

    def say(self, sentence: str) -> None: ...

    def advance(self, task: str, done: int, total: int) -> None: ...

    def training(self) -> TrainingReporter:
        from lowerbound.training.reporter import SilentReporter

        return SilentReporter()


@dataclass(frozen=True)
class Report(ABC):
    """The result of a request: a frozen dataclass that JSON can represent."""

    @abstractmethod
    def text(self) -> str:
        """The result as a few lines of text."""

    @property
    def passed(self) -> bool:
        """False if a requested check failed."""
        return True

    def to_mapping(self) -> dict[str, Any]:
        """Every field as a JSON value; numbers that are not finite become None."""
        return {
            field.name: jsonable(getattr(self, field.name)) for field in dataclasses.fields(self)
        }


@dataclass(frozen=True, kw_only=True)
class WrittenReport(Report):
    """A report with the files that were written.

    Attributes:
        files: paths of the files; at most the first eight.
        files_written: number of files.
    """

    files: tuple[str, ...]
    files_written: int

    @property
    def where(self) -> str:
        """The first file, and the number of further files."""
        more = f" and {self.files_written - 1:,} more" if self.files_written > 1 else ""
        return f"{self.files[0]}{more}"


@dataclass(frozen=True)
class SheetReport(WrittenReport):
    """A report of rows written beside what was made of them; a sheet may show only some.

    Attributes:
        shown: number of the rows that the output has, evenly spread; None: it has all.
    """

    shown: int | None = dataclasses.field(default=None, kw_only=True)

    def about_shown(self, rows: str) -> str:
        """How many of the ``rows``, in words, the output has."""
        return f"{self.shown:,} of {rows} shown, evenly spread (a folder or .npz holds all)"


def written(files: Sequence[str]) -> dict[str, Any]:
    """The fields of a ``WrittenReport`` for its files."""
    return {"files": tuple(files[:8]), "files_written": len(files)}


def jsonable(value: Any) -> Any:
    """The value as JSON types."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: jsonable(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [jsonable(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (int, str, bool, type(None))) else str(value)


@dataclass(frozen=True)
class Application:
    """One application, ready to run.

    Attributes:
        name: name of the command.
        request: class of its requests.
        function: ``(request, reporter)`` or ``(request, reporter, fitted)`` to a Report.
        needs_model: whether it takes ``fitted``, the model that ``request.model`` names.
    """

    name: str
    request: type[Any]
    function: Callable[..., Report]
    needs_model: bool

    def __call__(
        self, request: Any, reporter: Reporter | None = None, fitted: Fitted | None = None
    ) -> Report:
        """Carry out ``request``.

        Args:
            request: an instance of ``self.request``.
            reporter: receives messages and progress.
            fitted: a loaded model; None: read it from the folder ``request.model``, unless the
                request names no folder (its ``named_model`` is None).

        Raises:
            OSError: what the request writes cannot be written there, which is checked before
                anything is read.
            OptionError: it would replace a file of data that it reads, or add one to its folder, or
                two of its results are one file, or another run writes one of them.
            ModelFolderError: there is a link inside a folder that it names.
        """
        reporter = reporter or Silent()
        for path in written_by(request):
            durable.check_place(path)
        check_results_apart(request)
        check_data_stays(request)
        with (
            ownership.owned(owned_by(request), f"lowerbound {self.name}"),
            durable.guarded_by(partial(_check_file_stays, sources=read_by(request))),
            folders.closed(*named_folders(request)),
        ):
            return self._answer(request, reporter, fitted)

    def _answer(self, request: Any, reporter: Reporter, fitted: Fitted | None) -> Report:
        if not self.needs_model:
            return self.function(request, reporter)
        folder = getattr(request, "named_model", request.model)
        if fitted is None and folder is not None:
            from lowerbound.fitting.folder import read

            here = getattr(request, "engine", LOCAL) == LOCAL
            fitted = read(folder, getattr(request, "device", PROCESSOR) if here else PROCESSOR)
        try:
            return self.function(request, reporter, fitted)
        except Exception as error:
            known = isinstance(error, LowerboundError | OSError | MemoryError)
            if fitted is None or (known and not isinstance(error, NotFiniteError)):
                raise
            weights = [w.detach() for w in fitted.model.parameters() if w.numel()]
            largest = max((float(w.abs().max()) for w in weights), default=0.0)
            if largest < ABSURD:  # a defect of the package, or codes or cells that are too large
                raise
            raise ModelFolderError(
                f"the model in {folder} gives values that are NaN or infinite: its weights reach "
                f"{largest:.2g}; refit with a lower --learning-rate, or copy it again if they were "
                "altered"
            ) from error


def written_by(request: Any) -> list[Path]:
    """The paths for what a request writes."""
    return [Path(path) for entry, path in _texts(request) if entry.writes]


def owned_by(request: Any) -> list[Path]:
    """The files and folders that no other run may write meanwhile: all that a request writes and
    does not share with later runs, the model that it trains a part of, and the table whose release
    record it extends. Of processes that train together, the first writes."""
    if not processes.speaks():
        return []
    trained = [Path(request.model)] if getattr(request, "trains_model", False) else []
    table = getattr(request, "synthetic", None) if getattr(request, "record", False) else None
    extended = [Path(table)] if isinstance(table, str | Path) else []
    written = [Path(path) for entry, path in _texts(request) if entry.writes and not entry.reads]
    return [*written, *trained, *extended]


def read_by(request: Any) -> list[str]:
    """The names of the data that a request reads."""
    return [text for entry, text in _texts(request) if entry.reads == "data"]


def named_folders(request: Any) -> list[Path]:
    """The folders of models, agents and the like that a request names in any of its fields, and
    those of the finished parts of its outputs.

    Raises:
        ModelFolderError: one of the latter is a link.
    """
    # links among data are the user's own
    texts = [text for entry, text in _texts(request) if entry.reads != "data"]
    # agents are named as NAME=FOLDER,FOLDER
    words = {word for text in texts for word in (text, *re.split("[=,]", text)) if word}
    named = [path for path in map(Path, sorted(words)) if is_folder_of_ours(path)]
    parts = [Path(f"{path}{UNFINISHED}") for path in written_by(request)]
    for link in filter(folders.is_link, parts):  # beside what was named
        raise folders.refused(link)
    return named + parts


def _texts(request: Any) -> Iterator[tuple[Entry, str]]:
    """The texts and paths in the fields of a request, those of nested options included."""
    for entry in entries(type(request)):
        value = entry.of(request)
        for text in value if isinstance(value, tuple | list) else (value,):
            if isinstance(text, str | Path) and str(text):
                yield entry, str(text)


def check_results_apart(request: Any) -> None:
    """Check that no two fields name one file; a folder may hold the results of both.

    Raises:
        OptionError: they do.
    """
    fields: dict[Path, Entry] = {}
    for entry, text in _texts(request):
        path = Path(text)
        if not entry.writes:
            continue
        first = fields.setdefault(path.expanduser().resolve(), entry)
        if first != entry and path.suffix:
            raise OptionError(
                f"{entry.flag} {path} would replace the file of {first.flag}: choose another name"
            )


def check_data_stays(request: Any) -> None:
    """Check that results neither replace a file of data that they are made of nor join its rows.

    Raises:
        OptionError: they would.
    """
    sources = read_by(request)
    for path in written_by(request):
        _check_file_stays(path, sources)
        for folder in filter(partial(_lies_in, path), sources):
            from lowerbound.data.tables.parquet import is_parquet

            if is_parquet(folder):
                raise OptionError(
                    f"{path} lies in the folder of the data, {folder}, which is read as a table "
                    "only while it holds no other files: name a place outside it"
                )


def _check_file_stays(path: Path, sources: Sequence[str]) -> None:
    """Check that a file that is written is none of the data, nor lies in a folder of it.

    Raises:
        OptionError: it is.
    """
    for source in sources:
        durable.check_not_data(path, source)
        if path.is_file() and _lies_in(path, source):
            from lowerbound.data.pictures.folders import SUFFIXES
            from lowerbound.data.tables.parquet import PARQUET_SUFFIXES, is_parquet

            suffixes = PARQUET_SUFFIXES if is_parquet(source) else (*SUFFIXES, ".wav", ".tar")
            if path.suffix.lower() in suffixes:
                raise OptionError(f"{path} is a file of the data: name another file")


def _lies_in(path: Path, data: str) -> bool:
    """Whether the data is a folder, and the path is that folder or lies in it."""
    try:
        folder, place = Path(data).expanduser().resolve(), path.expanduser().resolve()
        return folder.is_dir() and folder in (place, *place.parents)
    except (OSError, RuntimeError, ValueError):  # no path: whoever reads it says why
        return False


@dataclass(frozen=True)
class Listing:
    """An application's entry in the registry; its module is imported on first use.

    Attributes:
        module: module of its function, which has the name of the command.
        request: class of its requests, with its module, which imports no torch.
        help: help text in the list of commands.
    """

    module: str
    request: str
    help: str


APPLICATIONS: Registry[Listing] = Registry("command")

OTHER_FILES: dict[str, str] = {}
"""Suffix of a file that is no model: the module whose ``described_file(path)`` reports it."""


def request_of(name: str) -> type[Any]:
    """The class of the requests of an application, which is not imported itself.

    Raises:
        OptionError: no application has this name; the message suggests the nearest one.
    """
    module, _, request = APPLICATIONS[name].request.rpartition(".")
    kind: type[Any] = getattr(import_module(module), request)
    return kind


def load(name: str) -> Application:
    """Import an application.

    The function has the name of the command, with an underscore after a keyword of Python; its
    signature says whether it takes a model.

    Raises:
        OptionError: no application has this name; the message suggests the nearest one.
    """
    called = name.replace("-", "_").replace(" ", "_") + "_" * keyword.iskeyword(name)
    function = getattr(import_module(APPLICATIONS[name].module), called)
    needs_model = "fitted" in inspect.signature(function).parameters
    return Application(name, request_of(name), function, needs_model)
