"""Tensors of rows in plain files, which the system reads into memory as they are used.

A tensor here is a view of a file (``mmap``), so it takes no memory of the program: the system keeps
in its cache what fits, and reads the rest again. The files are read-only; writing into such a
tensor ends the program. Room on the disk is looked for before anything is written there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from lowerbound import untrusted
from lowerbound.data.arrays import Array
from lowerbound.errors import DataError

ROWS_AT_ONCE = 1 << 15


def check_space(
    needed: float,
    what: str,
    folder: Path,
    advice: str = "choose a folder on another disk (--cache)",
) -> None:
    """Check that the disk of a folder has room.

    Args:
        needed: bytes.
        what: that needs them.
        folder: where they go; it need not exist.
        advice: what to do if there is none.

    Raises:
        DataError: it has not.
    """
    place = next(each for each in (folder / "x").absolute().parents if each.is_dir())
    free = shutil.disk_usage(place).free
    if needed > free:
        sizes = [f"{size / untrusted.GIGABYTE:,.1f} GB" for size in (needed, free)]
        raise DataError(
            f"{what} needs about {sizes[0]} on the disk of {place}, and {sizes[1]} are free: "
            f"{advice}"
        )


class RowFile:
    """A file to which rows are appended.

    Args:
        path: of the file, which is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self.shape: tuple[int, ...] = ()
        self.dtype = ""
        self._file = path.open("wb")

    def __enter__(self) -> RowFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, rows: Tensor) -> None:
        """Write rows, (count, *event), all of one type and event."""
        values: Array = np.ascontiguousarray(rows.numpy())
        self.dtype = self.dtype or str(values.dtype)
        self.shape = self.shape or values.shape[1:]
        if (str(values.dtype), values.shape[1:]) != (self.dtype, self.shape):
            raise ValueError(f"rows of {values.dtype} {values.shape[1:]} among {self.dtype}")
        values.tofile(self._file)
        self.rows += len(values)


def mapped(path: Path, dtype: str, shape: Sequence[int]) -> Tensor:
    """The tensor in a file.

    Args:
        path: of the file.
        dtype: numpy's name of the type of its numbers.
        shape: (rows, *event).

    Raises:
        ValueError: the file has another size.
    """
    expected = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
    if path.stat().st_size != expected:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes, not {expected:,}")
    values = np.memmap(path, dtype=dtype, mode="r", shape=tuple(shape))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(values)


def gathered(tensor: Tensor, rows: Tensor, folder: Path) -> Tensor:
    """The rows of a tensor, (count, *event), in a file of their own.

    The file has no name, so its space is free again when the tensor is no longer used.

    Args:
        tensor: (rows, *event).
        rows: indices, long.
        folder: of the file.
    """
    handle, name = tempfile.mkstemp(prefix="rows.", suffix=".part", dir=folder)
    os.close(handle)
    path = Path(name)
    try:
        with RowFile(path) as file:
            for part in rows.split(ROWS_AT_ONCE):
                file.append(tensor.index_select(0, part))
        return mapped(path, file.dtype, (file.rows, *file.shape))
    finally:
        with suppress(OSError):  # Windows keeps a file that is in use; the folder goes later
            path.unlink()
