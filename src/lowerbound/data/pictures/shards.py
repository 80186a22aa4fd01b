"""Pictures in tar files, such as the shards of WebDataset: they are unpacked once, into the cache.

::

    a.tar: 000.jpg 000.cls 001.jpg 001.cls ...   ──> CACHE/shards/HASH/CLASS/a-000.jpg ...
    a.tar: cat/x.png dog/y.png ...               ──> CACHE/shards/HASH/cat/x.png ...

Files of one key (the name up to the first dot) are adjacent and belong together, as in WebDataset
(https://github.com/webdataset/webdataset). The text of ``KEY.cls`` is the picture's class; without
it, the first folder of its name is, as in a folder of pictures. Other files are left out.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lowerbound import untrusted
from lowerbound.data.arrays import listed
from lowerbound.data.pictures.folders import HIDDEN, SUFFIXES, TAR, OnError
from lowerbound.data.row_files import check_space
from lowerbound.durable import cache_folder, new_folder
from lowerbound.errors import DataError
from lowerbound.untrusted import folders, tar
from lowerbound.untrusted.tar import DAMAGES

CLASS = ".cls"
DAMAGED = ".damaged"  # the file that names what was left out
LARGEST_CLASS = 200  # bytes of a class file
MORE_SPACE = "free some, or set XDG_CACHE_HOME to a folder on another disk"


@dataclass
class _Key:
    """The pictures of one key, and the text of its class."""

    pictures: list[tuple[PurePosixPath, bytes]] = field(default_factory=list)
    label: str | None = None


def shards_of(path: Path) -> list[Path]:
    """The tar files at ``path``: itself, or all in a folder that has nothing else to read."""
    if path.is_file():
        return [path] if _is_shard(path) else []
    if not path.is_dir():
        return []
    inside = [each for each in sorted(path.iterdir()) if each.name[0] not in HIDDEN]
    found = [each for each in inside if _is_shard(each) and each.is_file()]
    others = bool(found) and any(
        each.is_dir() or each.suffix.lower() in SUFFIXES for each in inside
    )
    return [] if others else found


def is_unpacked(source: str) -> bool:
    """Whether a source of rows is tar files, which are written to the cache."""
    try:
        return bool(shards_of(Path(source).expanduser()))
    except (OSError, RuntimeError, ValueError):  # no path at all
        return False


def unpacked(shards: Sequence[Path], on_error: OnError = "raise") -> Path:
    """The folder of the pictures in tar files; it is kept in the cache.

    Args:
        shards: the files; those of another size or time of change are unpacked anew.
        on_error: "skip" leaves out what cannot be read of a damaged file, and a warning names it.

    Raises:
        DataError: a file is damaged or cut short, has no pictures, or the disk is full.
    """
    place = _place_of(shards, on_error)
    if not place.is_dir():
        needed = sum(each.stat().st_size for each in shards)
        check_space(needed, listed([each.name for each in shards]), place, MORE_SPACE)
        with new_folder(place, keep=True) as folder:
            _unpack_all(shards, folder, on_error)
    broken = (place / DAMAGED).read_text("utf-8").splitlines()
    if broken:
        warnings.warn(
            f"{listed(broken)} damaged: the pictures from there on are left out",
            UserWarning,
            stacklevel=4,
        )
    return place


@contextmanager
def unpacked_shards(shards: Sequence[Path], on_error: OnError = "raise") -> Iterator[Path]:
    """Context with the folder of ``unpacked``, which is removed if it is new and cannot be read."""
    new = not _place_of(shards, on_error).is_dir()
    place = unpacked(shards, on_error)
    try:
        yield place
    except DataError:
        if new:
            shutil.rmtree(place, ignore_errors=True)
        raise


def _place_of(shards: Sequence[Path], on_error: OnError) -> Path:
    """Where the pictures of these files are, or will be."""
    facts = [(str(each.resolve()), each.stat().st_size, each.stat().st_mtime_ns) for each in shards]
    key = hashlib.sha256(repr((facts, on_error)).encode()).hexdigest()[:16]
    return cache_folder() / "shards" / key


def _is_shard(path: Path) -> bool:
    return TAR.search(path.name) is not None


def _unpack_all(shards: Sequence[Path], folder: Path, on_error: OnError) -> None:
    """Write the pictures of all files, and the names of damaged ones in a hidden file.

    Raises:
        DataError: a file is damaged and ``on_error`` is "raise", or there are no pictures.
    """
    broken: list[str] = []
    count = sum(
        _unpack(shard, folder, prefix, on_error, broken)
        for shard, prefix in zip(shards, _prefixes(shards), strict=True)
    )
    if not count:
        raise DataError(
            f"{listed([each.name for each in shards])}: no pictures "
            f"({', '.join(sorted(SUFFIXES))}) in it"
        )
    (folder / DAMAGED).write_text("\n".join(broken), "utf-8")


def _prefixes(shards: Sequence[Path]) -> list[str]:
    """What tells the pictures of each file from those of the others: the file's name."""
    if len(shards) == 1:
        return [""]
    stems = [TAR.sub("", shard.name) for shard in shards]
    names = stems if len(set(stems)) == len(stems) else [shard.name for shard in shards]
    return [f"{name}-" for name in names]


def _unpack(shard: Path, folder: Path, prefix: str, on_error: OnError, broken: list[str]) -> int:
    """Write the pictures of one file; their number."""
    count = 0
    for key in _readable_keys(shard, on_error, broken):
        size = sum(len(content) for _, content in key.pictures)
        check_space(size, str(shard), folder, MORE_SPACE)
        for name, content in key.pictures:
            target = folder / _place(name, key.label, prefix)
            if target.exists():
                raise DataError(f"{shard} has two pictures {name}")
            folders.make(target.parent)
            target.write_bytes(content)
            count += 1
    return count


def _readable_keys(shard: Path, on_error: OnError, broken: list[str]) -> Iterator[_Key]:
    """The keys up to the first damage; errors of whoever writes them are not caught."""
    try:
        yield from _keys(shard)
    except DAMAGES as error:
        if on_error == "raise":
            raise DataError(
                f"{shard} cannot be read; it is damaged or cut short: {error} "
                "(on_error='skip' leaves the rest of it out)"
            ) from error
        broken.append(shard.name)


def _keys(shard: Path) -> Iterator[_Key]:
    """The keys of a tar file, one after another, so that one is in memory at a time."""
    labeled = False
    files = tar.members(shard, DataError)
    for name, group in itertools.groupby(files, lambda member: _key_of(member.name)):
        key = _Key()
        try:
            for member in group:
                _add(key, member, name, shard)
        except DAMAGES:  # after the last file of this key, if it is whole
            if key.label is not None or not labeled:
                yield key
            raise
        labeled = labeled or key.label is not None
        yield key


def _add(key: _Key, member: tar.Member, name: str, shard: Path) -> None:
    """Read a file of a key, if it is a picture or a class.

    Raises:
        DataError: the pictures of the key take more memory than the limit, or one has holes.
    """
    path = PurePosixPath(member.name)
    if any(part[0] in HIDDEN for part in path.parts if part != "."):
        return
    if path.name == f"{PurePosixPath(name).name}{CLASS}":
        key.label = _label(member, shard)
    elif path.suffix.lower() in SUFFIXES:
        if member.sparse:
            raise DataError(
                f"{shard}: {member.name} is stored with holes: pack it again without --sparse"
            )
        size = member.size + sum(len(content) for _, content in key.pictures)
        untrusted.check_memory(size, f"{shard}: {member.name}", DataError)
        key.pictures.append((path, member.content()))


def _key_of(name: str) -> str:
    """The name up to the first dot of its last part."""
    path = PurePosixPath(name)
    return str(path.parent / path.name.split(".")[0])


def _label(member: tar.Member, shard: Path) -> str:
    """The class in a file ``KEY.cls``, as the name of a folder.

    Raises:
        DataError: it is no short text.
    """
    content = b"" if member.size > LARGEST_CLASS or member.sparse else member.content()
    text = content.decode("utf-8", "replace").strip()
    name = re.sub(r"[^\w .,+-]", "_", text).lstrip("._")
    if not name:
        raise DataError(f"{shard}: {member.name} holds no class, which is a short text")
    return name


def _place(name: PurePosixPath, label: str | None, prefix: str) -> Path:
    """Where a picture is written, relative to the folder."""
    parts = [part for part in name.parts if part not in ("/", "..", ".")]
    if label is not None:
        parts = [label, "_".join(parts)]
    return Path(*parts[:-1], prefix + parts[-1])
