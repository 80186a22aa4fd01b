"""Folders that somebody else may have made: a link inside one is refused, and never followed.

A model folder that holds a link ``prior`` to another folder would have what is written to
``prior/`` written there, and what is removed removed there. ``closed`` therefore looks through such
a folder before anything in it is read or written. As long as it lasts, the functions here open each
part of a path below the folder by itself, and never through a link, so that nobody can put one in
between. The folder may itself be a link: whoever named it has chosen where it leads.

On POSIX each part is opened in the folder that was opened before it, by O_NOFOLLOW. Elsewhere each
part is looked at first; on Windows junctions are links too. A path that lies in no closed folder is
the user's own, and its links are followed. So are hard links, which cannot be told from files:
``durable`` writes a new file and renames it, so nothing is written through them.
"""

from __future__ import annotations

import errno
import functools
import inspect
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import ParamSpec, TypeVar

from lowerbound.errors import ModelFolderError

P = ParamSpec("P")
T = TypeVar("T")

BY_DESCRIPTOR = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
INSIDE = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", os.O_RDONLY)
REPARSE = {getattr(stat, f"IO_REPARSE_TAG_{kind}", None) for kind in ("SYMLINK", "MOUNT_POINT")}

_closed: ContextVar[frozenset[str]] = ContextVar("closed", default=frozenset())


@contextmanager
def closed(*folders: Path, look: bool = True) -> Iterator[None]:
    """Context in which no link inside the folders is followed.

    Folders that are named in one call may lie in each other. One that lies in a folder that is
    closed already is a part of it, which nobody named.

    Args:
        folders: their paths; one that does not exist may be made in the context.
        look: whether to look through the folders first; False: only at what is opened there.

    Raises:
        ModelFolderError: there is a link in one of them.
    """
    known = _closed.get()
    places = {folder: os.path.abspath(folder) for folder in folders}
    named = [f for f in folders if places[f] not in known and _root(places[f]) is None]
    for folder in named if look else ():
        check(folder)
    forms = {form(folder) for folder in named for form in (os.path.abspath, os.path.realpath)}
    token = _closed.set(known | forms)
    try:
        yield
    finally:
        _closed.reset(token)


def closing(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator of a function that reads or writes ``folder``, its argument, while it is closed."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def inside(*arguments: P.args, **keywords: P.kwargs) -> T:
        with closed(Path(signature.bind(*arguments, **keywords).arguments["folder"])):
            return function(*arguments, **keywords)

    return inside


def check(folder: Path) -> None:
    """Check that there is no link in a folder, at any depth.

    Raises:
        ModelFolderError: there is one; the message names it.
    """
    waiting = [folder]
    for place in waiting:
        with suppress(OSError):  # it is no folder, or cannot be listed: whoever reads it says so
            for found in sorted(place.iterdir()):
                if is_link(found):
                    raise refused(found)
                if found.is_dir():
                    waiting.append(found)


def check_names(folder: Path, names: Iterable[Path]) -> None:
    """Check that no name that will be written in a folder is a link, or lies behind one.

    Raises:
        ModelFolderError: one is or does; the message names the link.
    """
    for place in sorted({folder / part for name in names for part in (name, *name.parents)}):
        if place != folder and is_link(place):
            raise refused(place)


def is_link(path: Path | str) -> bool:
    """Whether a path is a symbolic link, or a junction of Windows."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return False
    return stat.S_ISLNK(found.st_mode) or getattr(found, "st_reparse_tag", None) in REPARSE - {None}


def refused(path: Path | str) -> ModelFolderError:
    """The error for a link inside a folder."""
    return ModelFolderError(
        f"{path} is a link, and links inside a folder are not followed: remove it, or copy the "
        "folder with what its links lead to (cp -RL FOLDER COPY) if you trust them"
    )


def opened(path: Path | str, flags: int, mode: int = 0o777) -> int:
    """A descriptor of a file or a folder, as ``os.open``.

    Raises:
        ModelFolderError: it is a link in a closed folder, or lies behind one.
        OSError: it cannot be opened.
    """
    flags |= getattr(os, "O_BINARY", 0)  # of Windows, where lines end otherwise
    with _inside(path) as (name, folder):
        if folder is None:
            return os.open(name, flags, mode)
        return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=folder)


def make(path: Path) -> None:
    """Make a folder, and those above it, unless they exist."""
    with _inside(path / "any", make=True) as (_, folder):
        if folder is None:
            path.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Remove a file, or the link itself, if there is one.

    Raises:
        ModelFolderError: it lies behind a link in a closed folder.
        OSError: it cannot be removed.
    """
    with suppress(FileNotFoundError), _inside(path) as (name, folder):
        os.unlink(name, dir_fd=folder)


def remove_tree(path: Path) -> None:
    """Remove a folder that is no link, and all in it as far as possible; nothing behind links.

    Raises:
        ModelFolderError: it lies behind a link in a closed folder.
    """
    with suppress(OSError), _inside(path) as (name, folder):
        shutil.rmtree(name, ignore_errors=True, dir_fd=folder)


def replace(path: Path, target: Path) -> None:
    """Give a file or a folder another name, as ``os.replace``."""
    with _inside(path) as (name, folder), _inside(target) as (new, where):
        if folder is None and where is None:
            os.replace(name, new)
        else:
            os.replace(name, new, src_dir_fd=folder, dst_dir_fd=where)


@contextmanager
def _inside(path: Path | str, make: bool = False) -> Iterator[tuple[str, int | None]]:
    """The name of a file, and a descriptor of the folder that it is in; or its path, and None.

    Args:
        path: of the file; only one in a closed folder has a descriptor.
        make: whether to make the folders below the closed one that are missing.

    Raises:
        ModelFolderError: a link would be followed.
        OSError: a folder cannot be opened; or in the context, with the path in place of the name.
    """
    where = os.path.abspath(path)
    root = _root(where)
    if root is None:
        yield str(path), None
        return
    parts = Path(where).relative_to(root).parts
    places = [os.path.join(root, *parts[: count + 1]) for count in range(len(parts))]
    if not BY_DESCRIPTOR:
        _refuse_links(places)
        yield where, None
        return
    handles = []
    try:
        if make:
            os.makedirs(root, exist_ok=True)
        handles.append(os.open(root, INSIDE))
        for part in parts[:-1]:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=handles[-1])
            handles.append(os.open(part, INSIDE | os.O_NOFOLLOW, dir_fd=handles[-1]))
        yield parts[-1], handles[-1]
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, getattr(errno, "EMLINK", None)):
            _refuse_links(places)
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        for handle in handles:
            os.close(handle)


def _root(where: str) -> str | None:
    """The closed folder that a path lies in; the innermost, which is named too."""
    roots = [root for root in _closed.get() if where.startswith(os.path.join(root, ""))]
    return max(roots, key=len, default=None)


def _refuse_links(places: Iterable[str]) -> None:
    for place in places:
        if is_link(place):
            raise refused(place)
