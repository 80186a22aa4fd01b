"""CIFAR-10 in the binary version of its authors.

A batch is 10,000 records of 3,073 bytes: the label, 0 to 9, then the 32x32 red values by rows, the
green ones, the blue ones (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html). The
version "for Python" has the same pictures in pickles, which can run code, so it is never opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _archives import check_md5, read_members

from lowerbound.data import CATALOG
from lowerbound.data.arrays import Array
from lowerbound.data.catalog import (
    choose_part,
    data_folders,
    fetch,
    first_place,
    write_whole,
)
from lowerbound.data.raw import RawData
from lowerbound.durable import cache_folder
from lowerbound.errors import DataError

ARCHIVE, FOLDER = "cifar-10-binary.tar.gz", "cifar-10-batches-bin"
PICKLED = ("cifar-10-batches-py", "cifar-10-python.tar.gz")
CLASSES = "batches.meta.txt"
FILES = {
    "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("test_batch.bin",),
}
_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32  # bytes: the label, then the pixels
_MOST_PACKED = 256 << 20  # bytes; the archive has 170 MB


@dataclass(frozen=True)
class CifarSet:
    """CIFAR-10 in a folder or archive of binary batches.

    Attributes:
        name: of the set.
        home: address of the folder that serves the archive.
        sha256: of the archive, checked when it is downloaded.
        md5: of each batch, checked whenever it is read.
        rows: records in each batch.
    """

    name: str
    home: str
    sha256: str
    md5: Mapping[str, str]
    rows: int = 10_000

    def locate(self) -> Path:
        """Find the unpacked folder or the archive, or download the archive to the cache.

        Raises:
            DataError: it is not found and cannot be downloaded.
        """
        return first_place(data_folders(), (FOLDER, ARCHIVE)) or self._download()

    def read(self, split: str | None) -> RawData:
        """Read the pictures (rows, 3, 32, 32) and labels of "train" (also for None) or "test".

        Raises:
            DataError: the split is unknown, or batches are altered, missing or not available.
        """
        split = choose_part(self.name, split)
        place = self.locate()
        (_, classes), *batches = read_members(place, (CLASSES, *FILES[split]))
        names = _class_names(classes, place)
        records = np.concatenate([self._records(*batch, place) for batch in batches])
        return RawData(
            records[:, 1:].reshape(-1, *_SHAPE),
            labels=np.array(names)[records[:, 0]],
            class_names=names,
            levels=256,
            channels="first",
            source=f"{self.name}:{split}",
        )

    def _records(self, name: str, content: bytes, place: Path) -> Array:
        """(rows, 3073) bytes of one batch."""
        if len(content) != self.rows * _RECORD:
            raise DataError(
                f"{name} in {place} has {len(content):,} bytes, not {self.rows * _RECORD:,}: "
                "it is cut short or something else"
            )
        check_md5(content, self.md5[name], f"{name} in {place}", self.name)
        return np.frombuffer(content, dtype=np.uint8).reshape(-1, _RECORD)

    def _download(self) -> Path:
        url = self.home + ARCHIVE
        try:
            content = fetch(url, _MOST_PACKED)
        except DataError as error:
            raise DataError(self._missing(str(error))) from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise DataError(f"{url} is not that of {self.name}: its SHA-256 differs")
        path = cache_folder() / ARCHIVE
        write_whole(path, content)
        return path

    def _missing(self, failure: str) -> str:
        places = " or ".join(str(folder) for folder in data_folders())
        pickled = first_place(data_folders(), PICKLED)
        said = f"{pickled} is the pickled version, which is never opened; " if pickled else ""
        return (
            f"the data set {self.name} is missing: {said}put the binary version, {ARCHIVE} or its "
            f"folder {FOLDER}, into {places} ({failure})"
        )


def _class_names(content: bytes, place: Path) -> tuple[str, ...]:
    names = tuple(content.decode("ascii", "replace").split())
    if len(names) != 10:
        raise DataError(f"{CLASSES} in {place} names {len(names)} classes, not 10")
    return names


CIFAR10 = CifarSet(
    "cifar10",
    home="https://www.cs.toronto.edu/~kriz/",
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    md5={
        "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
        "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
        "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
        "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
        "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
        "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
    },
)
"""50,000 + 10,000 photographs of ten things, 32x32 color (Krizhevsky 2009)."""
CATALOG.register(CIFAR10.name)(CIFAR10.read)
