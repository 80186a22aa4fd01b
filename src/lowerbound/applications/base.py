"""The seam of everything that a fitted model is put to.

An application is three things: a frozen ``Request`` (what a person can request), one function that
does it, and a frozen ``Report`` (what came of it)::

    Request ──> function(request, reporter[, fitted]) ──> Report

Its line in ``lowerbound.applications`` is all that the faces need: flags and forms come from the
Request's fields, the JSON and the sentences from the Report.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from lowerbound.registry import Registry

if TYPE_CHECKING:
    from lowerbound.fitting import Fitted
    from lowerbound.training.progress.reporter import TrainingReporter as TrainingReporter


class Reporter(Protocol):
    """Where an application says how it is getting on."""

    def say(self, sentence: str) -> None:
        """One sentence for the person who waits."""

    def advance(self, task: str, done: int, total: int) -> None:
        """``done`` of ``total`` rows or the like."""

    def training(self) -> TrainingReporter:
        """The reporter of a training run."""


class Silent:
    """A reporter for callers that want none."""

    def say(self, sentence: str) -> None: ...

    def advance(self, task: str, done: int, total: int) -> None: ...

    def training(self) -> TrainingReporter:
        from lowerbound.training.progress.reporter import SilentReporter

        return SilentReporter()


@dataclass(frozen=True)
class Report(ABC):
    """What came of a request: a frozen dataclass that JSON can hold."""

    @abstractmethod
    def text(self) -> str:
        """The same for people: a few lines."""

    @property
    def passed(self) -> bool:
        """False where a requested check failed."""
        return True

    def to_mapping(self) -> dict[str, Any]:
        """Every field, as JSON knows it: numbers that are not finite become None."""
        return {
            field.name: jsonable(getattr(self, field.name)) for field in dataclasses.fields(self)
        }


@dataclass(frozen=True, kw_only=True)
class WrittenReport(Report):
    """One of files that were written.

    Attributes:
        files: where they are; the first few where there are many.
        files_written: how many files there are.
    """

    files: tuple[str, ...]
    files_written: int

    @property
    def where(self) -> str:
        """The first file, and how many more there are."""
        more = f" and {self.files_written - 1:,} more" if self.files_written > 1 else ""
        return f"{self.files[0]}{more}"


def written(files: Sequence[str]) -> dict[str, Any]:
    """What a ``WrittenReport`` says of its files."""
    return {"files": tuple(files[:8]), "files_written": len(files)}


def jsonable(value: Any) -> Any:
    """The value in the types that JSON has."""
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
        name: what a person types.
        request: the dataclass that it takes.
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
            reporter: hears of the progress.
            fitted: a model that is loaded already; None reads the folder ``request.model``, unless
                the request names none (its ``named_model`` is None).
        """
        reporter = reporter or Silent()
        if not self.needs_model:
            return self.function(request, reporter)
        folder = getattr(request, "named_model", request.model)
        if fitted is None and folder is not None:
            from lowerbound.model_folder.folder import read

            fitted = read(folder)
        return self.function(request, reporter, fitted)


@dataclass(frozen=True)
class Listing:
    """An application's line in the list; its module is imported when it is first used.

    Attributes:
        module: where its function lives, under the command's own name.
        help: the sentence that the list of commands shows.
    """

    module: str
    help: str


APPLICATIONS: Registry[Listing] = Registry("command")


def load(name: str) -> Application:
    """Import an application, and read its Request and its needs off the function's signature.

    Raises:
        OptionError: no application has that name; the nearest is suggested.
    """
    function = getattr(import_module(APPLICATIONS[name].module), name.replace("-", "_"))
    parameters = inspect.signature(function).parameters
    request = typing.get_type_hints(function)[next(iter(parameters))]
    return Application(name, request, function, "fitted" in parameters)
