"""Published files in a folder or an archive, with a check of their hashes.

A *place* is a folder, or a tar or zip archive with the same files. A *member* is a file in it,
identified by the last part of its path. Nothing is unpacked to disk or unpickled.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from lowerbound.errors import DataError
from lowerbound.untrusted import tar

_DAMAGES = (*tar.DAMAGES, zipfile.BadZipFile)


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
