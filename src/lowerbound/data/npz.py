"""Arrays in .npz and .npy files, found under common keys."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from lowerbound import untrusted
from lowerbound.data.arrays import Array
from lowerbound.data.raw import RawData
from lowerbound.errors import DataError

DATA_KEYS = ("x", "X", "images", "data", "frames", "obs")
LABEL_KEYS = ("y", "Y", "labels", "label", "target")
FACTOR_KEYS = ("factors",)
SPARSE_KEYS = {"data", "shape", "format"}  # of a sparse matrix of scipy
SPARSE_FORMS = {"csr": ("indices", "indptr"), "csc": ("indices", "indptr"), "coo": ("row", "col")}
NPY = b"\x93NUMPY"
MAGIC = (b"PK", NPY)  # of .npz, which is a zip archive, and .npy


def read_npz(path: Path, split: str | None = None) -> RawData:
    """Read the rows and, if present, the labels in a numpy file.

    Keys: ``x``, ``X``, ``images``, ``data``, ``frames`` or ``obs`` with ``y``, ``Y``, ``labels``,
    ``label`` or ``target``; with parts, ``x_train`` or ``train_images`` and so on. A single array
    needs no key.
    Known factors of the rows are ``factors`` with ``factor_names``, and with ``names_F`` if the
    values of the factor F have names.

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
            if file.peek(len(NPY)).startswith(NPY):
                check_declared(file, os.fstat(file.fileno()).st_size, str(path))
                file.seek(0)
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return RawData(loaded, source=str(path))
            check_members(loaded, str(path))
            return _choose(loaded, path, split)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read as numpy arrays: {error}") from error


def check_members(arrays: Any, path: str) -> None:
    """Check the sizes that the arrays of an .npz file declare, before one is read.

    Raises:
        DataError: one needs more memory than the limit, or is not of the size that it declares.
    """
    for member in arrays.zip.infolist():
        if not member.filename.endswith(".npy"):
            continue
        with arrays.zip.open(member) as file:
            check_declared(file, member.file_size, f"{path}: {member.filename}")


def check_declared(file: IO[bytes], size: int, what: str) -> None:
    """Check the size that an array in numpy's format declares, against that of its file.

    Args:
        file: of the array, at its start.
        size: of the file, bytes.
        what: the array, as messages name it.

    Raises:
        DataError: it needs more memory than the limit, or the file is shorter.
    """
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    if version >= (2, 0):
        read = np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    needed = math.prod(shape) * dtype.itemsize
    untrusted.check_memory(needed, what, DataError)
    if not dtype.hasobject and needed > size:
        raise DataError(f"{what} is cut short: it declares {needed:,} bytes, and has {size:,}")


def _choose(arrays: Any, path: Path, split: str | None) -> RawData:
    keys = list(arrays.files)
    if {*keys} >= SPARSE_KEYS:
        return RawData(_dense(arrays, path), source=str(path))
    for part in (split,) if split else (None, "train"):
        key = _first(keys, DATA_KEYS, part)
        if key is not None:
            label = _first(keys, LABEL_KEYS, part)
            source = f"{path}:{part}" if part else str(path)
            found = RawData(arrays[key], None if label is None else arrays[label], source=source)
            return _with_factors(found, arrays, path, part)
    if len(keys) == 1 and split is None:
        return RawData(arrays[keys[0]], source=str(path))
    shapes = ", ".join(f"{key} {arrays[key].shape}" for key in keys) or "nothing"
    wanted = f"x_{split}" if split else "x"
    raise DataError(f"{path} has no array named {wanted!r} (or images, data); it has {shapes}")


def _dense(arrays: Any, path: Path) -> Array:
    """The matrix of a sparse one, as ``scipy.sparse.save_npz`` writes it.

    Raises:
        DataError: it is of another form than rows, columns or coordinates, or is damaged, or needs
            more memory than the limit.
    """
    from scipy import sparse

    form = str(np.asarray(arrays["format"]).astype(str))
    shape, values = tuple(int(side) for side in arrays["shape"].ravel()), arrays["data"]
    if form not in SPARSE_FORMS or len(shape) != 2 or min(shape) < 0:
        raise DataError(
            f"{path} is a sparse matrix of the form {form!r:.20} and shape {shape}, and those of "
            f"{', '.join(SPARSE_FORMS)} and two sides are read: convert it by .tocsr()"
        )
    untrusted.check_memory(float(math.prod(shape)) * values.itemsize, str(path), DataError)
    lacking = [key for key in SPARSE_FORMS[form] if key not in arrays.files]
    if lacking:
        raise DataError(f"{path} is a sparse matrix without its array {lacking[0]!r}")
    first, second = (arrays[key].astype(np.int64) for key in SPARSE_FORMS[form])
    if form == "coo":
        return np.asarray(sparse.coo_matrix((values, (first, second)), shape=shape).toarray())
    made = sparse.csr_matrix if form == "csr" else sparse.csc_matrix
    matrix = made((values, first, second), shape=shape)
    matrix.check_format(full_check=True)  # places beyond the matrix would be written elsewhere
    return np.asarray(matrix.toarray())


def _with_factors(found: RawData, arrays: Any, path: Path, part: str | None) -> RawData:
    """The rows with the factors that the file holds, if it names them.

    Raises:
        DataError: the factors are not whole numbers from -1, or do not match their names.
    """
    key = _first(arrays.files, FACTOR_KEYS, part)
    if key is None or "factor_names" not in arrays.files:
        return found
    names = tuple(str(name) for name in arrays["factor_names"])
    keys = [f"names_{name}" for name in names]
    values = tuple(tuple(map(str, arrays[k])) if k in arrays.files else () for k in keys)
    factors = arrays[key]
    if factors.dtype.kind not in "iu" or factors.ndim != 2 or factors.shape[1] != len(names):
        raise DataError(
            f"{path}: {key} is {factors.dtype} of shape {factors.shape}; it needs whole numbers, a "
            f"column for each of the {len(names)} factor_names"
        )
    for name, codes, known in zip(names, factors.T, values, strict=True):
        if known and codes.size and not -1 <= int(codes.min()) <= int(codes.max()) < len(known):
            raise DataError(
                f"{path}: {key} has the value {int(codes.max())} of {name}, and names_{name} has "
                f"{len(known)} names, counted from 0 (-1 is unknown)"
            )
    factors = factors.astype(np.int64)
    return replace(found, factors=factors, factor_names=names, factor_values=values)


def _first(keys: Sequence[str], names: Sequence[str], part: str | None) -> str | None:
    """The first key that matches one of ``names`` in the requested part."""
    wanted = [f"{n}_{part}" for n in names] + [f"{part}_{n}" for n in names] if part else names
    return next((key for key in wanted if key in keys), None)
