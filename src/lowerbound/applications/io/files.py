"""Files that are there whole or not at all, in folders that are made where needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lowerbound import durable
from lowerbound.errors import OptionError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place to write, which becomes ``path`` when the block ends well.

    A full disk or an interruption leaves what was at ``path`` before.

    Raises:
        OSError: with ``path`` as its file name, whatever the place was called.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with durable.replacing(path) as place:
            yield place
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def page_path(output: str | None) -> Path | None:
    """Where a page is to be written, if anywhere.

    Raises:
        OptionError: its name makes no sense.
    """
    page = None if output is None else Path(output)
    if page is not None and page.suffix.lower() != ".html":
        raise OptionError(f"{page}: the page is written as NAME.html")
    return page


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, UTF-8."""
    with replacing(path) as place:
        place.write_text(text, encoding="utf-8")
