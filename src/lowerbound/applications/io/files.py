"""Files that are complete or absent, in folders that are created if needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lowerbound import durable
from lowerbound.errors import OptionError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Context that yields a temporary path, and renames it to ``path`` at the end.

    After an error, a full disk or an interruption, ``path`` is unchanged.

    Raises:
        OSError: the file cannot be written; the error names ``path``, not the temporary path.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with durable.replacing(path) as place:
            yield place
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def page_path(output: str | None) -> Path | None:
    """The path of a page, or None.

    Raises:
        OptionError: the suffix is not .html.
    """
    page = None if output is None else Path(output)
    if page is not None and page.suffix.lower() != ".html":
        raise OptionError(f"{page}: the page is written as NAME.html")
    return page


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, completely or not at all."""
    with replacing(path) as place:
        place.write_text(text, encoding="utf-8", errors="backslashreplace")
