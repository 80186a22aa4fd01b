"""One owner per output: while a run writes a file or a folder, no other run writes it.

The lock is a file beside the output, ``.NAME.lowerbound``, that its owner holds by a lock of the
system. So every process that can write the output meets it: of any user, under any spelling of the
path that the file system takes for the same, and on other machines if the file system has locks
between machines (NFS has, for example). The system opens the lock when its owner ends, however it
ends. The owner removes the file; one that a killed process left is taken over by the next run.

Where no file can be beside the output, as beside a folder in one that is read-only, the lock is in
the folder of this user's states, and runs of other users do not meet it. Where that is impossible
too, there is none.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from lowerbound import durable, untrusted
from lowerbound.errors import DataError, OptionError

ENDING = ".lowerbound"
PROCESS, MACHINE, HOST, COMMAND, SINCE = "process", "machine", "host", "command", "since"
SECONDS, BETWEEN = 0.1, 0.02  # in which an owner that is ending has removed its file
LONGEST_COMMAND = 40  # characters that are shown of what a file says

_held: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())


@contextmanager
def owned(paths: Iterable[Path], command: str = "Python") -> Iterator[None]:
    """Context in which no other run writes to ``paths``, nor another thread of this process.

    What lies in a folder that the caller owns already is its own; what lies in one that another run
    writes is not.

    Args:
        paths: files or folders, which need not exist.
        command: what the owner is, for the message to others.

    Raises:
        OptionError: another run writes one of them; the message says which.
    """
    mine = _held.get()
    places = {Path(os.path.realpath(path)): path for path in paths}
    new = sorted(place for place in places if mine.isdisjoint((place, *place.parents)))
    with ExitStack() as held:
        for place in new:  # in one order, so that of two runs one gets all
            _check_folders(place, places[place])
            held.enter_context(_locked(place, places[place], command))
        token = _held.set(mine.union(new))
        try:
            yield
        finally:
            _held.reset(token)


@contextmanager
def _locked(place: Path, path: Path, command: str) -> Iterator[None]:
    """Context with the lock of one output.

    Raises:
        OptionError: another run has it.
    """
    with ExitStack() as held:
        for file in _files(place):
            try:
                held.enter_context(_lock(file, path, command))
            except OSError:
                continue
            break
        yield


def _check_folders(place: Path, path: Path) -> None:
    """Check that no other run writes a folder in which an output lies.

    Raises:
        OptionError: one does.
    """
    from filelock import FileLock, Timeout

    for folder in place.parents:
        file = next(_files(folder))
        if not folder.name or not _owner(file):
            continue
        try:
            with FileLock(file, thread_local=False, fallback_to_soft=False).acquire(
                timeout=SECONDS
            ):
                continue
        except Timeout:
            raise _taken(path, _owner(file) or {}) from None
        except OSError:  # another user's file, or no locks
            continue


def _files(place: Path) -> Iterator[Path]:
    """Where the lock of an output may be, the best place first."""
    name, whole = os.fsencode(place.name), hashlib.sha256(os.fsencode(place)).hexdigest()
    if len(name) > durable.LONGEST_NAME:
        name = name[: durable.LONGEST_NAME] + hashlib.sha256(name).hexdigest()[:16].encode()
    yield place.parent / f".{os.fsdecode(name)}{ENDING}"
    states = durable.user_states()
    if states is not None:
        yield states / "locks" / whole


@contextmanager
def _lock(file: Path, path: Path, command: str) -> Iterator[None]:
    """Context with a lock.

    Raises:
        OptionError: another run has it.
        OSError: it cannot be written, or the file system has no locks.
    """
    from filelock import FileLock, Timeout

    with _folder_of(file):
        lock = FileLock(file, thread_local=False, fallback_to_soft=False)
        try:
            held = lock.acquire(timeout=SECONDS, poll_interval=BETWEEN)
        except Timeout:
            raise _taken(path, _owner(file) or {}) from None
        except PermissionError:  # another user's file: only what it says can be read
            owner = _owner(file)
            if owner and durable.at_work(file, owner[PROCESS], owner[MACHINE]):
                raise _taken(path, owner) from None
            raise
        with held:
            mine = _owner(file) is not None  # else it is a file of somebody's, which stays
            try:
                if mine:
                    _write(file, json.dumps(_self(command)))
                yield
            finally:
                if mine:
                    with suppress(OSError):  # Windows removes no open file; there the library does
                        file.unlink()


@contextmanager
def _folder_of(file: Path) -> Iterator[None]:
    """Context with the folders above a file; those that it makes and that stay empty are removed.

    Raises:
        OSError: they cannot be made.
    """
    made = [folder for folder in file.parents if not folder.exists()]
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for folder in made:
            with suppress(OSError):  # the output is there
                folder.rmdir()


def _write(file: Path, text: str) -> None:
    with suppress(OSError):  # on a full disk the lock holds without it
        file.write_text(text, encoding="utf-8")


def _self(command: str) -> dict[str, Any]:
    """Who this run is, for others."""
    return {
        PROCESS: os.getpid(),
        MACHINE: durable.machine(),
        HOST: platform.node(),
        COMMAND: command,
        SINCE: time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _owner(file: Path) -> dict[str, Any] | None:
    """What a lock says of its owner; empty if that has not been written; None: it is no lock."""
    try:
        if not file.stat().st_size:
            return {}
        found = untrusted.read_mapping(file, DataError)
    except (OSError, DataError):
        return None
    types = {PROCESS: int, MACHINE: str, HOST: str, COMMAND: str, SINCE: str}
    good = all(isinstance(found.get(name), kind) for name, kind in types.items())
    return found if good else None


def _taken(path: Path, owner: dict[str, Any]) -> OptionError:
    """The error for an output that another run writes."""
    who = "another process"
    if owner:
        where = "" if owner[MACHINE] == durable.machine() else f" on {owner[HOST]}"
        what = owner[COMMAND][:LONGEST_COMMAND]
        who = f"process {owner[PROCESS]}{where} ({what}, since {owner[SINCE][:LONGEST_COMMAND]})"
    return OptionError(f"{who} is writing {path}: wait until it ends, or name another output")
