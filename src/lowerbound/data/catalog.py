"""The catalog of named data sets: from scikit-learn, downloaded, or rendered.

MNIST and Fashion-MNIST, and synthetic data on a known surface.

A set is one local npz, made from the four published IDX files. The IDX format has two zero bytes, a
type code (8: uint8), the number of axes, each axis as a big-endian 32-bit integer, then the values.
Every array is checked against the SHA-256 of its uncompressed original.

For tests of the manifold hypothesis, a rolled sheet has two coordinates, the turn t and the height
h, in three or more dimensions: (t cos t, h, t sin t), plus noise, then rotated at random.

Downloading files completely, and the folders in which they are stored.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import struct
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.npz import read_npz
from lowerbound.data.raw import RawData
from lowerbound.data.sprites import (
    FACTORS,
    SHAPES,
    SpriteGrid,
    render_sprites,
    split_sprites,
)
from lowerbound.durable import cache_folder
from lowerbound.errors import DataError, OptionError
from lowerbound.registry import Registry

TIMEOUT = 30.0  # seconds without a byte
PARTS = ("train", "test")


def data_folders() -> list[Path]:
    """The folders in which named data sets are searched: LOWERBOUND_DATA, then the cache."""
    named = os.environ.get("LOWERBOUND_DATA")
    return [*([Path(named)] if named else []), cache_folder()]


def file_sha256(path: Path | str) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(url: str, most: int) -> bytes:
    """Download the bytes at ``url``.

    Raises:
        DataError: it is unreachable, incomplete, or larger than ``most`` bytes.
    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            content: bytes = answer.read(most + 1)
            length = answer.headers.get("Content-Length")
    except (OSError, ValueError) as error:  # URLError and timeouts are OSErrors
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DataError(f"{url} cannot be downloaded: {reason}") from error
    if len(content) > most or (length is not None and int(length) != len(content)):
        raise DataError(f"{url} has {length or 'too many'} bytes and {len(content)} came")
    return content


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is complete or absent, also if the process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def choose_part(name: str, split: str | None) -> str:
    """ "train" (also for None) or "test".

    Raises:
        DataError: ``split`` is neither.
    """
    split = split or "train"
    if split not in PARTS:
        raise DataError(f"{name} has the parts {' and '.join(PARTS)}, not {split!r}")
    return split


def first_place(folders: Iterable[Path], names: Sequence[str]) -> Path | None:
    """The first of ``names`` that is in the first of ``folders`` that has any of them."""
    candidates = (folder / name for folder in folders for name in names)
    return next((path for path in candidates if path.exists()), None)


FILES = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}
_MOST_PACKED = 64 << 20  # bytes; the largest of the originals has 26 MB


def rolled_sheet(
    n: int, noise: float = 0.05, seed: int = 0, dimension: int = 3, height: float = 10.0
) -> tuple[Array, Array]:
    """Points on a rolled-up sheet (the "Swiss roll" of Tenenbaum et al. 2000).

    Args:
        n: number of points.
        noise: standard deviation of Gaussian noise in each of the ``dimension`` directions.
        seed: of everything random here.
        dimension: of the space around the sheet, at least 3; above that, randomly rotated.
        height: of the sheet along the axis of the roll; its radius runs from 4.7 to 14.1.

    Returns:
        (points (n, dimension), coordinates (n, 2)): turn in radians and height of each point.

    Raises:
        OptionError: fewer than 3 dimensions.
    """
    if dimension < 3:
        raise OptionError(f"a rolled sheet needs 3 dimensions or more, not {dimension}")
    random = np.random.default_rng(seed)
    turn = 1.5 * np.pi * (1 + 2 * random.random(n))
    along = height * random.random(n)
    sheet = np.stack([turn * np.cos(turn), along, turn * np.sin(turn)], axis=1)
    points = _embed(sheet, dimension, random) if dimension > 3 else sheet
    points = points + noise * random.standard_normal((n, dimension))
    return points, np.stack([turn, along], axis=1)


def flat_sheet(
    n: int, rank: int = 2, noise: float = 0.05, seed: int = 0, dimension: int = 3
) -> tuple[Array, Array]:
    """Points on a linear subspace, for which PCA is sufficient.

    Args:
        n: number of points.
        rank: dimension of the subspace; its axes have standard deviations rank, ..., 2, 1.
        noise: standard deviation of Gaussian noise in each direction.
        seed: of everything random here.
        dimension: of the space around it.

    Returns:
        (points (n, dimension), coordinates (n, rank)).

    Raises:
        OptionError: the rank is larger than the dimension.
    """
    if not 0 < rank <= dimension:
        raise OptionError(f"rank must lie in 1 to {dimension}, not {rank}")
    random = np.random.default_rng(seed)
    coordinates = random.standard_normal((n, rank)) * np.arange(rank, 0, -1)
    points = _embed(coordinates, dimension, random)
    return points + noise * random.standard_normal((n, dimension)), coordinates


def _embed(points: Array, dimension: int, random: np.random.Generator) -> Array:
    """Map with orthonormal rows, which keeps distances."""
    basis, _ = np.linalg.qr(random.standard_normal((dimension, points.shape[1])))
    embedded: Array = points @ basis.T
    return embedded


@dataclass(frozen=True)
class IdxSet:
    """A set of pictures published as four IDX files.

    Attributes:
        name: of the set, and of its npz.
        homes: addresses of folders that serve the files, tried in order.
        sha256: of each uncompressed IDX file, under its key in the npz.
        class_names: in the order of the labels.
    """

    name: str
    homes: tuple[str, ...]
    sha256: Mapping[str, str]
    class_names: tuple[str, ...]

    def locate(self) -> Path:
        """Find the npz, or download it to the cache.

        Raises:
            DataError: it is not found and cannot be downloaded.
        """
        return first_place(data_folders(), (f"{self.name}.npz",)) or self._download()

    def read(self, split: str | None) -> RawData:
        """Read and check the pictures and labels of "train" (also for None) or "test".

        Raises:
            DataError: the split is unknown, or the data is altered or not available.
        """
        split = choose_part(self.name, split)
        path = self.locate()
        raw = read_npz(path, split)
        for key, array in ((f"x_{split}", raw.x), (f"y_{split}", raw.labels)):
            self._check(key, array, path)
        return RawData(
            raw.x,
            labels=np.array(self.class_names)[raw.labels],
            class_names=self.class_names,
            source=f"{self.name}:{split}",
        )

    def _check(self, key: str, array: Array, place: object) -> None:
        if idx_sha256(array) != self.sha256[key]:
            raise DataError(
                f"{key} in {place} is not that of {self.name}: its SHA-256 differs; remove the file"
            )

    def _download(self) -> Path:
        failures = []
        for home in self.homes:
            try:
                arrays = {key: self._original(home + file, key) for key, file in FILES.items()}
            except DataError as error:
                failures.append(str(error))
                continue
            packed = io.BytesIO()
            np.savez_compressed(packed, allow_pickle=False, **arrays)
            path = cache_folder() / f"{self.name}.npz"
            write_whole(path, packed.getvalue())
            return path
        places = " or ".join(str(folder) for folder in data_folders())
        raise DataError(
            f"the data set {self.name} is missing: put {self.name}.npz into {places} "
            f"({'; '.join(failures)})"
        )

    def _original(self, url: str, key: str) -> Array:
        array = read_idx(fetch(url, _MOST_PACKED), url)
        self._check(key, array, url)
        return array


def read_idx(packed: bytes, place: object) -> Array:
    """Read the uint8 array in a gzipped IDX file.

    Raises:
        DataError: the file is damaged, incomplete, or of another format.
    """
    try:
        content = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{place} is not a complete gzip file: {error}") from error
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise DataError(f"{place} is not an IDX file of bytes")
    start = 4 + 4 * content[3]
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise DataError(f"{place} has {len(content) - start} values, its header says {shape}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def idx_sha256(array: Array) -> str:
    """SHA-256 of the array written as an uncompressed IDX file."""
    digest = hashlib.sha256(b"\0\0\x08" + bytes([array.ndim]))
    digest.update(struct.pack(f">{array.ndim}I", *array.shape))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


MNIST = IdxSet(
    "mnist",
    homes=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    sha256={
        "x_train": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "y_train": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "x_test": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "y_test": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    class_names=tuple("0123456789"),
)
"""60,000 + 10,000 handwritten digits, 28x28 grey (LeCun et al. 1998)."""
FASHION_MNIST = IdxSet(
    "fashion_mnist",
    homes=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    sha256={
        "x_train": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "y_train": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "x_test": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "y_test": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
)
"""60,000 + 10,000 articles of clothing, 28x28 grey (Xiao et al. 2017, MIT licence)."""


class NamedSet(Protocol):
    """Reads a data set, or one part of it."""

    def __call__(self, split: str | None = None) -> RawData:
        """Read the rows of ``split``; None: all, or the training part if parts are published."""


CATALOG: Registry[NamedSet] = Registry("data set")
_PUBLISHED = (MNIST, FASHION_MNIST)
WITH_PARTS = (*(published.name for published in _PUBLISHED), "sprites")
"""Data sets with a published test part."""


@CATALOG.register("digits")
def digits(split: str | None = None) -> RawData:
    """1,797 handwritten digits, 8x8 pixels of 17 grey levels (UCI, CC BY 4.0)."""
    from sklearn.datasets import load_digits

    _no_parts("digits", split)
    found = load_digits()
    return RawData(
        found.images.astype(np.uint8),
        labels=found.target,
        class_names=tuple("0123456789"),
        levels=17,
        source="digits",
    )


@CATALOG.register("breast_cancer")
def breast_cancer(split: str | None = None) -> RawData:
    """569 tumors, 30 measurements, malignant or benign (UCI, CC BY 4.0)."""
    from sklearn.datasets import load_breast_cancer

    return _table("breast_cancer", load_breast_cancer, split)


@CATALOG.register("wine")
def wine(split: str | None = None) -> RawData:
    """178 wines, 13 measurements, three growers (UCI, CC BY 4.0)."""
    from sklearn.datasets import load_wine

    return _table("wine", load_wine, split)


@CATALOG.register("iris")
def iris(split: str | None = None) -> RawData:
    """150 flowers, four measurements, three species (UCI, CC BY 4.0)."""
    from sklearn.datasets import load_iris

    return _table("iris", load_iris, split)


@CATALOG.register("diabetes")
def diabetes(split: str | None = None) -> RawData:
    """442 patients, ten measurements in their own units (Efron et al. 2004); no classes."""
    from sklearn.datasets import load_diabetes

    _no_parts("diabetes", split)
    frame = load_diabetes(as_frame=True, scaled=False).data
    return RawData(frame, source="diabetes")


for _set in _PUBLISHED:
    CATALOG.register(_set.name)(_set.read)


@CATALOG.register("sprites")
def sprites(split: str | None = None) -> RawData:
    """3,686 + 922 pictures of one shape, 32x32 bits, five known factors; rendered here."""
    grid = SpriteGrid()
    factors = split_sprites(grid, split)
    shapes = tuple(SHAPES)
    return RawData(
        render_sprites(grid, factors),
        labels=np.array(shapes)[factors[:, 0]],
        class_names=shapes,
        levels=2,
        source=f"sprites:{split or 'train'}",
        factors=factors,
        factor_names=FACTORS,
    )


def _table(name: str, reader: Callable[..., Any], split: str | None) -> RawData:
    _no_parts(name, split)
    found = reader(as_frame=True)
    names = tuple(str(target) for target in found.target_names)
    return RawData(found.data, labels=np.array(names)[found.target], class_names=names, source=name)


def _no_parts(name: str, split: str | None) -> None:
    if split is not None:
        raise DataError(
            f"{name} has no published parts, so no {split!r}; use Dataset.split(fraction, seed)"
        )
