"""Sparse rows as LIBSVM and svmlight write them: LABEL INDEX:VALUE INDEX:VALUE, a row a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lowerbound.errors import DataError

SUFFIXES = (".libsvm", ".svm", ".svmlight", ".t", "")
FEWEST_PAIRS = 0.5  # share of the lines that have a pair
SAMPLE = 1 << 16  # characters of a file
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_LINE = re.compile(
    rf"{_NUMBER}(?:,{_NUMBER})*(?:\s+qid:\d+)?(?P<pairs>(?:\s+\d+:{_NUMBER})*)\s*(?:#.*)?"
)


def refuse_sparse_lines(path: Path, lines: Sequence[str]) -> None:
    """Refuse a file of sparse rows, by its first lines.

    Raises:
        DataError: it is one; the message says how to convert it.
    """
    found = [_LINE.fullmatch(line.strip()) for line in lines if line.strip() and line[0] != "#"]
    pairs = [match is not None and bool(match["pairs"]) for match in found]
    if all(found) and sum(pairs) > FEWEST_PAIRS * len(pairs):
        raise DataError(
            f"{path} is a sparse matrix as LIBSVM writes it, a label and INDEX:VALUE in each line, "
            "which is not read as a table: in Python, X, y = sklearn.datasets.load_svmlight_file("
            f"{str(path)!r}) and numpy.savez('rows.npz', x=X.toarray(), y=y) make a file that is"
        )


def refuse_sparse_file(path: Path) -> None:
    """As ``refuse_sparse_lines``, for a file of another suffix than those of tables.

    Raises:
        DataError: it is one.
    """
    if path.suffix.lower() not in SUFFIXES:
        return
    try:
        with path.open(encoding="ascii") as file:
            refuse_sparse_lines(path, file.read(SAMPLE).split("\n")[:-1])
    except (OSError, UnicodeError):
        return
