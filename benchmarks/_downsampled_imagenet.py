"""ImageNet at 32x32 and 64x64 in the npz batches of its authors (Chrabaszcz et al. 2017).

Ten ``train_data_batch_*.npz`` and ``val_data.npz``, each with ``data`` (N, 3 S S) uint8, the red
values by rows, then green, then blue, and ``labels`` 1 to 1000 (https://arxiv.org/abs/1707.08819).
These are not the older PNG archives of van den Oord et al. (2016), which were scaled differently:
bits per dimension on the two cannot be compared. The publisher asks for agreement to its terms, so
the files are not downloaded. The test part is the published validation part.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from _archives import check_md5, member_names, read_members

from lowerbound.data import CATALOG
from lowerbound.data.arrays import Array
from lowerbound.data.catalog import choose_part, data_folders, first_place
from lowerbound.data.raw import RawData
from lowerbound.errors import DataError

SOURCE = "https://image-net.org/download-images"
FILES = {
    "train": tuple(f"train_data_batch_{i}.npz" for i in range(1, 11)),
    "test": ("val_data.npz",),
}
CLASSES = tuple(str(i) for i in range(1, 1001))
_PUBLISHED_ROWS = {"train": 1_281_167, "test": 50_000}


@dataclass(frozen=True)
class DownsampledImageNet:
    """ImageNet at one size.

    Attributes:
        name: of the set, and of a folder that may contain all its npz files.
        side: height and width.
        archives: of each part, without the ending: the zip, or its unpacked folder.
        md5: of each npz, if it is known.
        rows: of each part.
    """

    name: str
    side: int
    archives: Mapping[str, tuple[str, ...]]
    md5: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=lambda: _PUBLISHED_ROWS)

    def locate(self, split: str) -> dict[str, Path]:
        """The folder or zip of each npz of the part.

        Raises:
            DataError: an npz is not found; the message names its source.
        """
        found: dict[str, Path] = {}
        for place in self._places(split):
            for name in member_names(place):
                found.setdefault(name, place)
        missing = [name for name in FILES[split] if name not in found]
        if missing:
            raise DataError(self._missing(split, missing))
        return {name: found[name] for name in FILES[split]}

    def read(self, split: str | None) -> RawData:
        """Read the pictures (rows, 3, side, side) and labels of "train" (also for None) or "test".

        Memory holds the pictures and one batch.

        Raises:
            DataError: the split is unknown, or an npz is missing, altered, damaged or of another
                size.
        """
        split = choose_part(self.name, split)
        x = np.empty((self.rows[split], 3, self.side, self.side), np.uint8)
        labels = np.empty(len(x), np.int64)
        start = 0
        for data, classes in self._batches(split):
            end = start + len(data)
            if end <= len(x):
                x[start:end] = data.reshape(-1, *x.shape[1:])
                labels[start:end] = classes
            start = end
        if start != len(x):
            raise DataError(f"the {split} part of {self.name} has {start:,} rows, not {len(x):,}")
        return RawData(
            x,
            labels=labels,
            class_names=CLASSES,
            levels=256,
            channels="first",
            source=f"{self.name}:{split}",
        )

    def _members(self, split: str) -> Iterator[tuple[Path, str, bytes]]:
        for name, place in self.locate(split).items():
            for _, content in read_members(place, (name,)):
                yield place, name, content

    def _batches(self, split: str) -> Iterator[tuple[Array, Array]]:
        for place, name, content in self._members(split):
            what = f"{name} in {place}"
            check_md5(content, self.md5.get(name), what, self.name)
            data, labels = _arrays(content, what)
            self._check(data, labels, what)
            yield data, labels

    def _check(self, data: Array, labels: Array, what: str) -> None:
        width = 3 * self.side**2
        if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != width:
            raise DataError(
                f"{what} has data {data.shape} of {data.dtype}; {self.name} needs (N, {width}) of "
                "uint8"
            )
        whole = labels.dtype.kind in "iu" and labels.shape == data.shape[:1]
        if not whole or labels.size == 0 or labels.min() < 1 or labels.max() > len(CLASSES):
            raise DataError(f"{what} does not have one label from 1 to {len(CLASSES)} per picture")

    def _places(self, split: str) -> list[Path]:
        names = [n + end for n in (*self.archives[split], self.name) for end in ("", ".zip")]
        candidates = [folder / name for folder in data_folders() for name in names]
        return [path for path in candidates if path.exists()]

    def _missing(self, split: str, files: list[str]) -> str:
        archives = " and ".join(f"{name}.zip" for name in self.archives[split])
        places = " or ".join(str(folder) for folder in data_folders())
        plain = [name.removesuffix("_npz") for name in self.archives[split]]
        pickled = first_place(data_folders(), [n + end for n in plain for end in (".zip", "")])
        said = f"{pickled} is the pickled version, which is never opened; " if pickled else ""
        some = files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
        return (
            f"the data set {self.name} is missing {some}: {said}put {archives}, or what they "
            f"unpack to, into {places}; {SOURCE} has them and asks for agreement to its terms, so "
            "they are not downloaded"
        )


def _arrays(content: bytes, what: str) -> tuple[Array, Array]:
    """Read the pictures and labels in one npz; objects raise an error and are not unpickled."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return arrays["data"], arrays["labels"]
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{what} has no readable data and labels: {error}") from error


IMAGENET32 = DownsampledImageNet(
    "imagenet32",
    side=32,
    archives={"train": ("Imagenet32_train_npz",), "test": ("Imagenet32_val_npz",)},
    md5={
        "train_data_batch_1.npz": "464fde20de6eb44c28cc1a8c11544bb1",
        "train_data_batch_2.npz": "bdb56e71882c3fd91619d789d5dd7c79",
        "train_data_batch_3.npz": "83ff36d76ea26867491a281ea6e1d03b",
        "train_data_batch_4.npz": "98ff184fe109d5c2a0f6da63843880c7",
        "train_data_batch_5.npz": "62b8803e13c3e6de9498da7aaaae57c8",
        "train_data_batch_6.npz": "e0b06665f890b029f1d8d0a0db26e119",
        "train_data_batch_7.npz": "9731f469aac1622477813c132c5a847a",
        "train_data_batch_8.npz": "60aed934b9d26b7ee83a1a83bdcfbe0f",
        "train_data_batch_9.npz": "b96328e6affd718660c2561a6fe8c14c",
        "train_data_batch_10.npz": "1dc618d544c554220dd118f72975470c",
        "val_data.npz": "a8c04a389f2649841fb7a01720da9dd9",
    },
)
"""1,281,167 + 50,000 photographs, 32x32 color, 1,000 classes (Chrabaszcz et al. 2017)."""
IMAGENET64 = DownsampledImageNet(
    "imagenet64",
    side=64,
    archives={
        "train": ("Imagenet64_train_part1_npz", "Imagenet64_train_part2_npz"),
        "test": ("Imagenet64_val_npz",),
    },
)
"""1,281,167 + 50,000 photographs, 64x64 color, 1,000 classes (Chrabaszcz et al. 2017)."""
CATALOG.register(IMAGENET32.name)(IMAGENET32.read)
CATALOG.register(IMAGENET64.name)(IMAGENET64.read)
