"""Files that look like tables, and are refused by name, because their rows would be read wrongly.

Folders of Delta Lake, Iceberg and Hudi keep the files of rows that were deleted. LIBSVM and
svmlight write sparse rows, LABEL INDEX:VALUE INDEX:VALUE, a row a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from lowerbound import untrusted
from lowerbound.errors import DataError

SUFFIXES = (".libsvm", ".svm", ".svmlight", ".t", "")
FEWEST_PAIRS = 0.5  # share of the lines that have a pair
SAMPLE = 1 << 16  # bytes of a file
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"  # in one way: else time doubles
_CLOCK = re.compile(r"(?:\s+[012]?\d:[0-5]\d)*")
_LINE = re.compile(
    rf"{_NUMBER}(?:,{_NUMBER})*(?:\s+qid:\d+)?(?P<pairs>(?:\s+\d+:{_NUMBER})*)\s*(?:#.*)?"
)
_QUOTED = re.compile("'((?:[^']|'')*)'")
_PATTERN = re.compile(r"[*?\[]")


def _is_iceberg(folder: Path) -> bool:
    return any((folder / "metadata").glob("*.metadata.json"))


FORMATS: dict[str, Callable[[Path], bool]] = {
    "a Delta Lake table": lambda folder: (folder / "_delta_log").is_dir(),
    "an Iceberg table": _is_iceberg,
    "a Hudi table": lambda folder: (folder / ".hoodie").is_dir(),
}
"""What the folder of a table of each format has, beside the files of its rows."""


def refuse_versioned(path: Path) -> None:
    """Refuse a table that keeps its earlier versions, or a file or a folder inside of one.

    Raises:
        DataError: it is one; the message says why its files are not read, and what to do.
    """
    try:
        whole = path.absolute()
        for folder in (whole, *whole.parents):
            for title, has in FORMATS.items():
                if has(folder):
                    raise _refusal(path, folder, title)
    except OSError:  # a folder that cannot be listed
        return


def refuse_versioned_in(query: str) -> None:
    """Refuse a query over the files of such a table.

    Raises:
        DataError: it names one.
    """
    for text in _QUOTED.findall(query):
        parts = Path(text.replace("''", "'")).expanduser().parts
        fixed = next((i for i, part in enumerate(parts) if _PATTERN.search(part)), len(parts))
        if fixed and (folder := Path(*parts[:fixed])).exists():
            refuse_versioned(folder)


def _refusal(path: Path, folder: Path, title: str) -> DataError:
    where = f"{path} is" if folder == path.absolute() else f"{path} is part of {folder}, which is"
    return DataError(
        f"{where} {title}: its Parquet files also hold rows that were deleted or overwritten since,"
        " so reading them would bring these rows back; write the table's current version to one "
        "Parquet file with the program that keeps it, and give that file"
    )


def refuse_sparse_lines(path: Path, lines: Sequence[str]) -> None:
    """Refuse a file of sparse rows, by its first lines.

    Raises:
        DataError: it is one; the message says how to convert it.
    """
    rows = [line.strip() for line in lines if line.strip() and line[0] != "#"]
    pairs: list[str] = []
    for row in rows:
        match = _LINE.fullmatch(row)
        if match is None or not _ascend(match["pairs"]):
            return
        pairs.append(match["pairs"])
    if sum(map(bool, pairs)) > FEWEST_PAIRS * len(rows) and not all(map(_CLOCK.fullmatch, pairs)):
        raise DataError(
            f"{path} is a sparse matrix as LIBSVM writes it, a label and INDEX:VALUE in each line, "
            "which is not read as a table: in Python, X, y = sklearn.datasets.load_svmlight_file("
            f"{str(path)!r}) and numpy.savez('rows.npz', x=X.toarray(), y=y) make a file that is"
        )


def _ascend(pairs: str) -> bool:
    """Whether the indices of a line ascend, as they do in such a file."""
    indices = [int(pair.partition(":")[0]) for pair in pairs.split()]
    return all(low < high for low, high in pairwise(indices))


def refuse_sparse_file(path: Path) -> None:
    """As ``refuse_sparse_lines``, for a file of another suffix than those of tables.

    Raises:
        DataError: it is one.
    """
    if path.suffix.lower() not in SUFFIXES:
        return
    try:
        with untrusted.opened(path, DataError) as file:
            refuse_sparse_lines(path, file.read(SAMPLE).decode("ascii").split("\n")[:-1])
    except (OSError, UnicodeError):
        return
