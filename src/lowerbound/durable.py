"""Files that are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a command that only describes a file does not wait for torch
    from torch import Tensor


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file in the same folder; leaving the block puts it, synced, in place of ``path``.

    A rename within a file system is atomic, so a reader sees the old file or the new one. If the
    block fails, the temporary file is removed and ``path`` is as it was.
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
    """Write tensors durably, in the safetensors format, ``facts`` in its header.

    Raises:
        OSError: they could not be written (a full disk, say).
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        temporary.touch()
        usual = temporary.stat().st_mode  # save_file gives reading rights to the owner alone
        try:
            save_file(_separate(tensors), temporary, facts)
            temporary.chmod(usual)
        except SafetensorError as error:  # how it wraps the system's errors
            raise OSError(errno.EIO, str(error), str(path)) from error


def sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows syncs names by itself, and cannot open a folder
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the processor, contiguous, and each with memory of its own, as the format wants it."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        shared = value.untyped_storage().data_ptr() in seen
        whole = value.untyped_storage().nbytes() == value.nbytes
        separate[name] = value.clone() if shared or not whole else value
        seen.add(separate[name].untyped_storage().data_ptr())
    return separate
