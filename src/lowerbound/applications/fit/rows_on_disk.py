"""Where a fit holds the rows of its table: in memory, or in files beside the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lowerbound import processes
from lowerbound.applications.base import Reporter
from lowerbound.applications.io.sources import ReadingOptions, is_there
from lowerbound.data.on_disk.table import exceeds_memory, is_streamed
from lowerbound.data.tables.parquet import refuse_partitions
from lowerbound.errors import OptionError
from lowerbound.untrusted import folders

if TYPE_CHECKING:  # a name for annotations
    from lowerbound.applications.fit.fit import FitRequest

WHOLE = (
    *("binarize", "levels", "image_size", "resize", "spectrograms", "window", "stride"),
    *("entity", "time", "formula", "tokens", "text", "longest", "predict"),
)
"""Options of reading that rows on disk do not have."""


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
