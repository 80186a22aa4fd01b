"""Published files: downloaded completely, or read from a folder or an archive, by their hashes.

A *place* is a folder, or a tar or zip archive with the same files. A *member* is a file in it,
identified by the last part of its path. Nothing is unpacked to disk or unpickled.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from lowerbound.durable import cache_folder
from lowerbound.errors import DataError
from lowerbound.untrusted import tar

TIMEOUT = 30.0  # seconds without a byte
PARTS = ("train", "test")
_DAMAGES = (*tar.DAMAGES, zipfile.BadZipFile)


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


def member_names(place: Path) -> list[str]:
    """Names of the files in a place, sorted.

    Raises:
        DataError: a damaged archive.
    """
    try:
        if place.is_dir():
            return sorted(path.name for path in place.iterdir() if path.is_file())
        if place.suffix == ".zip":
            with zipfile.ZipFile(place) as archive:
                return sorted(_last(name) for name in archive.namelist() if name[-1] != "/")
        return sorted(_last(member.name) for member in tar.members(place, DataError))
    except _DAMAGES as error:
        raise _damaged(place, error) from error


def read_members(place: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the files ``names``, in that order.

    From a folder or a zip, one file is in memory at a time. A tar is read once from its beginning,
    so all requested files are in memory.

    Raises:
        DataError: a file is missing, damaged or incomplete; the message names the place.
    """
    try:
        if place.is_dir():
            yield from ((name, (place / name).read_bytes()) for name in names)
        elif place.suffix == ".zip":
            yield from _from_zip(place, names)
        else:
            yield from _from_tar(place, names)
    except FileNotFoundError as error:
        raise DataError(f"{place} has no {Path(error.filename).name}") from error
    except _DAMAGES as error:
        raise _damaged(place, error) from error


def check_md5(content: bytes, md5: str | None, what: str, owner: str) -> None:
    """Check that a file is the published one; None: its hash is unknown.

    Raises:
        DataError: the MD5 differs.
    """
    if md5 is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise DataError(f"{what} is not that of {owner}: its MD5 differs; remove the file")


def _from_zip(place: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(place) as archive:
        paths = {_last(path): path for path in archive.namelist()}
        for name in names:
            _require(name, paths, place)
            yield name, archive.read(paths[name])


def _from_tar(place: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    found: dict[str, bytes] = {}
    for member in tar.members(place, DataError):
        if _last(member.name) in names:
            found[_last(member.name)] = member.content()
    for name in names:
        _require(name, found, place)
        yield name, found.pop(name)


def _require(name: str, present: Iterable[str], place: Path) -> None:
    if name not in present:
        raise DataError(f"{place} has no {name}")


def _last(path: str) -> str:
    return PurePosixPath(path).name


def _damaged(place: Path, error: Exception) -> DataError:
    return DataError(f"{place} cannot be read; it is damaged or cut short: {error}")
