"""Downloading files completely, and the folders in which they are stored."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path

from lowerbound.durable import cache_folder
from lowerbound.errors import DataError

TIMEOUT = 30.0  # seconds without a byte
PARTS = ("train", "test")


def data_folders() -> list[Path]:
    """The folders in which named data sets are searched: LOWERBOUND_DATA, then the cache."""
    named = os.environ.get("LOWERBOUND_DATA")
    return [*([Path(named)] if named else []), cache_folder()]


def file_sha256(path: Path | str) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(url: str, most: int) -> bytes:
    """Download the bytes at ``url``.

    Raises:
        DataError: it is unreachable, incomplete, or larger than ``most`` bytes.
    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            content: bytes = answer.read(most + 1)
            length = answer.headers.get("Content-Length")
    except (OSError, ValueError) as error:  # URLError and timeouts are OSErrors
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DataError(f"{url} cannot be downloaded: {reason}") from error
    if len(content) > most or (length is not None and int(length) != len(content)):
        raise DataError(f"{url} has {length or 'too many'} bytes and {len(content)} came")
    return content


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is complete or absent, also if the process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def choose_part(name: str, split: str | None) -> str:
    """ "train" (also for None) or "test".

    Raises:
        DataError: ``split`` is neither.
    """
    split = split or "train"
    if split not in PARTS:
        raise DataError(f"{name} has the parts {' and '.join(PARTS)}, not {split!r}")
    return split


def first_place(folders: Iterable[Path], names: Sequence[str]) -> Path | None:
    """The first of ``names`` that is in the first of ``folders`` that has any of them."""
    candidates = (folder / name for folder in folders for name in names)
    return next((path for path in candidates if path.exists()), None)
