"""Arrays in .npz and .npy files, found under common keys."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.raw import RawData
from lowerbound.errors import DataError

DATA_KEYS = ("x", "X", "images", "data")
LABEL_KEYS = ("y", "Y", "labels", "label", "target")
MAGIC = (b"PK", b"\x93NUMPY")  # of .npz, which is a zip archive, and .npy


def read_npz(path: Path, split: str | None = None) -> RawData:
    """Read the rows and, if present, the labels in a numpy file.

    Keys: ``x``, ``X``, ``images`` or ``data`` with ``y``, ``Y``, ``labels``, ``label`` or
    ``target``; with parts, ``x_train`` or ``train_images`` and so on. A single array needs no key.

    Args:
        path: the file; nothing in it is unpickled.
        split: the part to read if there are several; None: the training part.

    Raises:
        DataError: the file is damaged or pickled, or has no known key (the message lists its keys).
    """
    try:
        with open(path, "rb") as file:  # numpy leaves the file open when it is damaged
            if not file.peek(1).startswith(MAGIC):  # numpy would call it pickled
                raise ValueError("it is not a numpy file")
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return RawData(loaded, source=str(path))
            return _choose(loaded, path, split)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read as numpy arrays: {error}") from error


def _choose(arrays: Any, path: Path, split: str | None) -> RawData:
    keys = list(arrays.files)
    for part in (split,) if split else (None, "train"):
        key = _first(keys, DATA_KEYS, part)
        if key is not None:
            label = _first(keys, LABEL_KEYS, part)
            source = f"{path}:{part}" if part else str(path)
            return RawData(arrays[key], None if label is None else arrays[label], source=source)
    if len(keys) == 1 and split is None:
        return RawData(arrays[keys[0]], source=str(path))
    shapes = ", ".join(f"{key} {arrays[key].shape}" for key in keys) or "nothing"
    wanted = f"x_{split}" if split else "x"
    raise DataError(f"{path} has no array named {wanted!r} (or images, data); it has {shapes}")


def _first(keys: Sequence[str], names: Sequence[str], part: str | None) -> str | None:
    """The first key that matches one of ``names`` in the requested part."""
    wanted = [f"{n}_{part}" for n in names] + [f"{part}_{n}" for n in names] if part else names
    return next((key for key in wanted if key in keys), None)
