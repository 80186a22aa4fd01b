"""Durable writes: a file is complete or absent, even if the process is killed while writing."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import platform
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from lowerbound.errors import OptionError
from lowerbound.untrusted import folders

if TYPE_CHECKING:  # a command that only describes a file need not import torch
    from torch import Tensor

LONGEST_NAME = 150  # bytes of a name within that of its unfinished file
LONGEST_OUTPUT = 230  # bytes of an output's name: OUT.unfinished and the like lie beside it
LEFT = re.compile(r"\..+\.(\d+)\.([0-9a-f]{8})\.part", re.DOTALL)
OWN_MACHINE = 3  # letters of the random part of a name that tell which machine made it
ABANDONED = 7 * 24 * 3600.0  # seconds without a change after which another machine has ended
FILES = (
    *(".csv", ".gif", ".html", ".json", ".lbz", ".mp4", ".npz", ".parquet", ".png", ".smi"),
    *(".txt", ".wav", ".webm", ".webp"),
)
"""Suffixes of results that are one file; a folder is named without one, or ends in another."""

_guard: ContextVar[Callable[[Path], None] | None] = ContextVar("guard", default=None)


def cache_folder() -> Path:
    """The folder of what can be made or downloaded again: $XDG_CACHE_HOME/lowerbound, else
    ~/.cache/lowerbound."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lowerbound"


def user_states() -> Path | None:
    """$XDG_STATE_HOME/lowerbound or ~/.local/state/lowerbound; None: the user has no home."""
    base = os.environ.get("XDG_STATE_HOME")
    try:
        states = Path(base) if base else Path.home() / ".local" / "state"
    except RuntimeError:
        return None
    return states / "lowerbound"


@contextmanager
def guarded_by(check: Callable[[Path], None]) -> Iterator[None]:
    """Context in which ``check`` is called with each file that a write is about to replace.

    It raises an error if the file must stay. The names of some files are only known when they are
    written, so what a request reads is kept here, whichever name its results have.
    """
    token = _guard.set(check)
    try:
        yield
    finally:
        _guard.reset(token)


def check_replaced(path: Path) -> None:
    """Check that a file may be replaced, if there is one; see ``guarded_by``."""
    check = _guard.get()
    if check is not None and path.is_file():
        check(path)


def linked(path: Path) -> Path:
    """Where the link at ``path`` leads, which need not exist; ``path`` itself if it is no link.

    A result at a path that the user named belongs there. Files in a folder that somebody else may
    have made, such as a model folder, are written without this, so that no link there is followed.
    """
    return Path(os.path.realpath(path)) if path.is_symlink() else path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Context that yields a temporary file, and renames it to ``path``, synced, at the end.

    A rename within a file system is atomic, so a reader sees the old file or the new one. If the
    block fails, the temporary file is removed and ``path`` is unchanged. Its name is random, and it
    is created anew, so no link that somebody put there is followed. It has the permissions of the
    file that it replaces. Files that killed processes left in the folder are removed.

    Raises:
        OptionError: ``path`` is a pipe or a device, or ``guarded_by`` keeps it.
        ModelFolderError: it lies behind a link in a folder that is ``folders.closed``.
    """
    with _created(path) as (temporary, handle):
        os.close(handle)
        yield temporary


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file durably; its content goes to the file that was created, whatever happens to
    names in its folder."""
    with _created(path) as (temporary, handle), os.fdopen(handle, "wb") as file:
        try:
            file.write(content)
            file.flush()
        except OSError as error:
            error.filename = str(temporary)
            raise


@contextmanager
def _created(path: Path) -> Iterator[tuple[Path, int]]:
    """Context of ``replacing``, with a descriptor of the temporary file, which the block closes."""
    check_replaced(path)
    mode = _mode(path)
    _clear_once(os.path.abspath(path.parent))
    temporary = unfinished(path)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    handle = folders.opened(temporary, flags, 0o666)
    if mode is not None and hasattr(os, "fchmod"):
        os.fchmod(handle, mode)
    try:
        yield temporary, handle
        sync(temporary)
        folders.replace(temporary, path)
    except BaseException:
        folders.remove(temporary)
        raise
    sync(path.parent)


def check_place(path: Path) -> None:
    """Check that a file or a folder can be written at ``path``; nothing is left there.

    Folders above it that are missing can be made later, so the nearest one that exists is tried.

    Raises:
        OptionError: its name is longer than ``LONGEST_OUTPUT``.
        OSError: it cannot be written, or is a folder with the name of a file, see ``FILES``; the
            error names ``path``.
    """
    if (size := len(os.fsencode(path.name))) > LONGEST_OUTPUT:
        raise OptionError(
            f"the name {path.name:.20}... of an output has {size} bytes, more than "
            f"{LONGEST_OUTPUT}: choose a shorter one"
        )
    place = linked(path)
    if place.is_dir() and path.suffix.lower() in FILES:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    nearest = place if place.is_dir() else place.absolute().parent
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def unfinished(path: Path) -> Path:
    """A new name beside ``path`` for what will be renamed to it."""
    own = os.fsdecode(os.fsencode(path.name)[:LONGEST_NAME])
    token = machine() + secrets.token_hex(4)[OWN_MACHINE:]
    return path.with_name(f".{own}.{os.getpid()}.{token}.part")


@functools.cache
def machine() -> str:
    """Some letters for this machine, because a folder may be shared by several."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:OWN_MACHINE]


def clear_left(folder: Path) -> None:
    """Remove what ended processes left in a folder under names of ``unfinished``."""
    with suppress(OSError):  # a folder that cannot be listed may be one to write in
        for left in folder.iterdir():
            found = LEFT.fullmatch(left.name)
            if not found or at_work(left, int(found[1]), found[2]):
                continue
            if left.is_dir() and not left.is_symlink():
                folders.remove_tree(left)
            else:
                folders.remove(left)


@functools.cache
def _clear_once(folder: str) -> None:
    """Clear a folder before the first file in it: with each file, many would take long."""
    clear_left(Path(folder))


def at_work(left: Path, process: int, token: str) -> bool:
    """Whether a process may still write to an unfinished file or folder.

    Args:
        left: the file or folder.
        process: number of the process that made it.
        token: begins with the ``machine`` of that process; another text: it is not known.
    """
    if token.startswith(machine()):
        return _runs(process)
    return time.time() - left.stat().st_mtime < ABANDONED


def _runs(process: int) -> bool:
    """Whether a process is running; True where that cannot be found out."""
    if os.name == "nt":  # there a signal ends it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _mode(path: Path) -> int | None:
    """The permissions of a file that will be replaced; None: there is none.

    Raises:
        OptionError: it is a pipe or a device.
    """
    try:
        found = path.lstat().st_mode
    except OSError:
        return None
    if stat.S_ISREG(found):
        return stat.S_IMODE(found)
    if not (stat.S_ISDIR(found) or stat.S_ISLNK(found)):
        raise OptionError(f"{path} is a pipe or a device, and is not replaced: choose a file")
    return None


def write_text(path: Path, text: str) -> None:
    """Write a text file durably, UTF-8; what cannot be encoded is written as an escape."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


@contextmanager
def new_folder(path: Path, keep: bool = False) -> Iterator[Path]:
    """Context that yields an unfinished folder, and gives it its name at the end.

    A folder of that name is replaced. If the block fails, the unfinished folder is removed.

    Args:
        path: of the folder.
        keep: another process that was faster has made the same folder, which others may read
            already: it stays, and the unfinished one is removed.
    """
    folders.make(path.parent)
    clear_left(path.parent)
    temporary = unfinished(path)
    temporary.mkdir()
    try:
        yield temporary
        try:
            os.replace(temporary, path) if keep else swap(temporary, path)
        except OSError:
            if not (keep and path.is_dir()):
                raise
            folders.remove_tree(temporary)
    except BaseException:
        folders.remove_tree(temporary)
        raise
    sync(path.parent)


@contextmanager
def passing_folder() -> Iterator[Path]:
    """Context with a folder on the disk of the cache, which is removed at the end; that of a killed
    process is removed by the next. The system's folder of such files may be in memory."""
    folder = unfinished(cache_folder() / "rows")
    folders.make(folder.parent)
    clear_left(folder.parent)
    folder.mkdir()
    try:
        yield folder
    finally:
        folders.remove_tree(folder)


def swap(folder: Path, path: Path) -> None:
    """Give an unfinished folder its name; a folder of that name is moved aside, then removed.

    So no reader finds files of both. A process that is killed between two renames leaves none.

    Raises:
        OSError: it cannot be renamed; the former folder is as before.
    """
    if not path.is_dir():
        os.replace(folder, path)
        return
    former = unfinished(path)
    os.chmod(folder, stat.S_IMODE(path.stat().st_mode))
    os.replace(path, former)
    try:
        os.replace(folder, path)
    except BaseException:
        os.replace(former, path)
        raise
    folders.remove_tree(former)


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], facts: dict[str, str] | None = None
) -> None:
    """Write tensors durably in the safetensors format, with ``facts`` in its header.

    Raises:
        OSError: the file cannot be written, for example because the disk is full.
    """
    from safetensors.torch import save

    write_bytes(path, save(_separate(tensors), facts))


def sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with os.fdopen(folders.opened(path, os.O_RDONLY), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows syncs names by itself, and cannot open a folder
    handle = folders.opened(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, contiguous, and without shared memory, as the format requires."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        shared = value.untyped_storage().data_ptr() in seen
        whole = value.untyped_storage().nbytes() == value.nbytes
        separate[name] = value.clone() if shared or not whole else value
        seen.add(separate[name].untyped_storage().data_ptr())
    return separate


def check_not_data(output: Path, data: str) -> None:
    """Check that results do not replace the file that they are made of.

    Raises:
        OptionError: they would.
    """
    try:
        source = Path(data).expanduser().resolve()
        same = source.is_file() and source == output.expanduser().resolve()
    except (OSError, RuntimeError, ValueError):  # no path: whoever reads it says why
        return
    if same:
        raise OptionError(f"{output} is the data itself: name another file")
