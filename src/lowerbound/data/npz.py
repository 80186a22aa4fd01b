"""Arrays in .npz and .npy files, found under common keys."""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from lowerbound import untrusted
from lowerbound.data.arrays import Array
from lowerbound.data.raw import RawData
from lowerbound.errors import DataError
from lowerbound.untrusted.unpacking import BROKEN_ZIP, open_zip

DATA_KEYS = ("x", "X", "images", "data", "frames", "obs")
LABEL_KEYS = ("y", "Y", "labels", "label", "target")
FACTOR_KEYS = ("factors",)
SPARSE_KEYS = {"data", "shape", "format"}  # of a sparse matrix of scipy
SPARSE_FORMS = {"csr": ("indices", "indptr"), "csc": ("indices", "indptr"), "coo": ("row", "col")}
NPZ, NPY = ".npz", ".npy"
MAGIC = b"\x93NUMPY"  # that an array in a file begins with
BYTES_OF_CELL = 32.0  # of memory, measured: a number of a table, its copies, and what is made of it
LONGEST_HEADER = 1 << 16  # bytes that describe an array


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
    if path.suffix.lower() != NPZ or _is_npy(path):
        found = RawData(_read_npy(path), source=str(path))
    else:
        with open_arrays(path) as arrays:
            found = _choose(arrays, path, split)
    if found.x.ndim == 2:
        check_cells(found.x.size, str(path))
    return found


def check_cells(count: int, what: str) -> None:
    """Check the memory of a table of numbers, which is encoded column by column.

    Raises:
        DataError: it takes more than the limit.
    """
    untrusted.check_memory(BYTES_OF_CELL * count, what, DataError)


class Arrays(Mapping[str, Array]):
    """The arrays of an .npz file by name; the memory of all that are read is counted.

    Args:
        archive: the file, from ``open_zip``.
        path: of the file, in messages.

    Raises:
        DataError: on reading: a member is no array, is pickled, is not of the size that it
            declares, or all that were read take more memory than the limit.
    """

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive, self._path, self._taken = archive, path, 0
        self._members = {name.removesuffix(NPY): name for name in archive.namelist()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members  # a Mapping would read the array

    def __getitem__(self, name: str) -> Array:
        member = self._archive.getinfo(self._members[name])
        what = f"{self._path}: {member.filename}"
        # numpy parses a header as Python does, and passes on errors of its tokenizer
        with untrusted.guarded(what, DataError):
            return self._read(member, what)

    def _read(self, member: zipfile.ZipInfo, what: str) -> Array:
        with self._archive.open(member) as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise DataError(f"{what} is no array: leave it out of the file")
            file.seek(0)
            shape, _, dtype = declared(file, member.file_size, what)
        self._taken += math.prod(shape) * dtype.itemsize
        untrusted.check_memory(self._taken, what, DataError)
        with self._archive.open(member) as file:
            found: Array = np.lib.format.read_array(file, allow_pickle=False)
        return found


@contextmanager
def open_arrays(path: Path) -> Iterator[Arrays]:
    """Context with the arrays of an .npz file.

    Raises:
        DataError: it is no such file, or is damaged.
        OSError: there is no such file.
    """
    with open_zip(path, DataError, "numpy arrays") as archive:
        yield Arrays(archive, path)


def array_names(source: Any) -> frozenset[str]:
    """The names of the arrays in an .npz file; none in anything else."""
    if not isinstance(source, str | Path) or Path(source).suffix.lower() != NPZ:
        return frozenset()
    try:
        with open_arrays(Path(source).expanduser()) as arrays:
            return frozenset(arrays)
    except (OSError, RuntimeError, DataError):  # reading it raises the error
        return frozenset()


def _is_npy(path: Path) -> bool:
    """Whether a file is a single array, whatever it is called.

    Raises:
        DataError: it is neither that nor a zip file.
    """
    with untrusted.opened(path, DataError) as file:
        start = file.read(len(MAGIC))
    if not start.startswith((MAGIC, b"PK")):  # numpy would call it pickled
        raise DataError(f"{path} cannot be read as numpy arrays: it is not a numpy file")
    return start == MAGIC


def _read_npy(path: Path) -> Array:
    """The array of an .npy file.

    Raises:
        DataError: it is damaged or pickled, or takes more memory than the limit.
    """
    try:
        with untrusted.opened(path, DataError) as file:
            declared(file, os.fstat(file.fileno()).st_size, str(path))
            file.seek(0)
            found: Array = np.lib.format.read_array(file, allow_pickle=False)
            return found
    except DataError:
        raise
    except BROKEN_ZIP as error:
        raise DataError(f"{path} cannot be read as numpy arrays: {error}") from error


def declared(file: IO[bytes], size: int, what: str) -> tuple[tuple[int, ...], bool, Any]:
    """What an array in numpy's format declares: shape, whether columns are contiguous, dtype.

    Args:
        file: of the array, at its start.
        size: of the file, bytes.
        what: the array, as messages name it.

    Raises:
        DataError: it needs more memory than the limit, or the file is shorter.
        ValueError: it is not in numpy's format.
    """
    version = np.lib.format.read_magic(file)
    start = file.read(2 if version < (2, 0) else 4)  # the length of the header
    length = int.from_bytes(start, "little")
    if length > LONGEST_HEADER:
        raise ValueError("its header is too long")
    header = io.BytesIO(start + file.read(length))
    read = np.lib.format.read_array_header_1_0
    if version >= (2, 0):
        read = np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(header)
    needed = math.prod(shape) * dtype.itemsize
    untrusted.check_memory(needed, what, DataError)
    if not dtype.hasobject and needed > size:
        raise DataError(f"{what} is cut short: it declares {needed:,} bytes, and has {size:,}")
    return shape, by_columns, dtype


def _choose(arrays: Arrays, path: Path, split: str | None) -> RawData:
    keys = list(arrays)
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


def _dense(arrays: Arrays, path: Path) -> Array:
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
    lacking = [key for key in SPARSE_FORMS[form] if key not in arrays]
    if lacking:
        raise DataError(f"{path} is a sparse matrix without its array {lacking[0]!r}")
    first, second = (arrays[key].astype(np.int64) for key in SPARSE_FORMS[form])
    if form == "coo":
        return np.asarray(sparse.coo_matrix((values, (first, second)), shape=shape).toarray())
    kind = sparse.csr_matrix if form == "csr" else sparse.csc_matrix
    matrix = kind((values, first, second), shape=shape)
    matrix.check_format(full_check=True)  # places beyond the matrix would be written elsewhere
    return np.asarray(matrix.toarray())


def _with_factors(found: RawData, arrays: Arrays, path: Path, part: str | None) -> RawData:
    """The rows with the factors that the file holds, if it names them.

    Raises:
        DataError: the factors are not whole numbers from -1, or do not match their names.
    """
    key = _first(list(arrays), FACTOR_KEYS, part)
    if key is None or "factor_names" not in arrays:
        return found
    names = tuple(str(name) for name in arrays["factor_names"])
    keys = [f"names_{name}" for name in names]
    values = tuple(tuple(map(str, arrays[k])) if k in arrays else () for k in keys)
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
