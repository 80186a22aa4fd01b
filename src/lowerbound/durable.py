"""Durable writes: a file is complete or absent, even if the process is killed while writing."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a command that only describes a file need not import torch
    from torch import Tensor


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Context that yields a temporary file, and renames it to ``path``, synced, at the end.

    A rename within a file system is atomic, so a reader sees the old file or the new one. If the
    block fails, the temporary file is removed and ``path`` is unchanged.
    """
    temporary = path.with_name(f".{path.name}.part")
    temporary.unlink(missing_ok=True)  # it may be a link, and writing would follow it
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file durably, UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], facts: dict[str, str] | None = None
) -> None:
    """Write tensors durably in the safetensors format, with ``facts`` in its header.

    Raises:
        OSError: the file cannot be written, for example because the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        temporary.touch()
        usual = temporary.stat().st_mode  # save_file lets only the owner read the file
        try:
            save_file(_separate(tensors), temporary, facts)
            temporary.chmod(usual)
        except SafetensorError as error:  # it wraps the system's errors
            raise OSError(errno.EIO, str(error), str(path)) from error


def sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows syncs names by itself, and cannot open a folder
    handle = os.open(path, os.O_RDONLY)
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
