"""Pictures of any size as small files, about as they were: a rate is chosen, the rest is lost.

::

    compress photos.lb photo.png -o photo.lbz --times 50
    compress photos.lb folder/ -o files/             a file each
    decompress photos.lb photo.lbz -o photo.png
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.base import Report, Reporter
from lowerbound.applications.compression.codecs import Codec, codec_for
from lowerbound.applications.compression.losses import mean_psnr
from lowerbound.applications.compression.shipped import picture_codec
from lowerbound.applications.io.compressed_files import SUFFIX
from lowerbound.applications.io.rows import eight_bit, write_picture
from lowerbound.coding.files.container import open_container
from lowerbound.coding.stack import constriction
from lowerbound.coding.transform import encoded, read_pictures, write_encoded
from lowerbound.data.arrays import listed
from lowerbound.data.pictures.folders import SUFFIXES, OnError, find_pictures, read_whole
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting import Fitted
from lowerbound.models import Model, TransformCoder
from lowerbound.models.transform import STEPS

Array = np.ndarray[Any, Any]
USUAL_QUALITY = 50
INVENTS = (
    "this decoder adds texture that looks likely: it may invent detail, so do not read anything "
    "from it"
)


class AsksForRate(Protocol):
    """A request that may say how small, in one of three ways."""

    @property
    def quality(self) -> int | None:
        """From 0, the coarsest, to 100, the finest."""

    @property
    def times(self) -> float | None:
        """How many times smaller than the picture at least."""

    @property
    def bytes(self) -> int | None:
        """Of a file at most."""


@dataclass(frozen=True)
class PicturesReport(Report):
    """Pictures were written as files, or read from them.

    Attributes:
        files: where; the first few where there are many.
        pictures: how many.
        bytes: of all files.
        raw_bytes: of the pictures, a byte per pixel and color.
        bits_per_pixel: 8 bytes / pixels.
        psnr: of what comes back, decibels, the mean over pictures.
        quality: of each picture, or the lowest and the highest of them.
        codec: the model's name in the files.
        seconds: it took.
        invents: the decoder adds texture that no file holds.
    """

    files: tuple[str, ...]
    pictures: int
    bytes: int
    raw_bytes: int
    bits_per_pixel: float
    psnr: float
    quality: tuple[int, ...]
    codec: str
    seconds: float
    invents: bool = False

    def text(self) -> str:
        quality = " to ".join(map(str, self.quality))
        warning = f"\n{INVENTS}" if self.invents else ""
        return (
            f"{self.pictures:,} pictures in {self.bytes:,} bytes, {self.bits_per_pixel:.3f} bits "
            f"per pixel, {self.raw_bytes / self.bytes:.1f} times smaller: "
            f"{listed(self.files, self.pictures)}\n"
            f"lossy: they come back about as they were, PSNR {self.psnr:.2f} dB, quality {quality}"
            f"\ncodec {self.codec}{warning}"
        )


def quality_of(level: int) -> int:
    """A level of the step as people count: 100 is the finest, 0 the coarsest."""
    return round(100 * (1 - level / (STEPS - 1)))


def level_of(quality: int) -> int:
    """The level of a quality.

    Raises:
        OptionError: there is none such.
    """
    if not 0 <= quality <= 100:
        raise OptionError(f"quality is from 0 to 100, not {quality}")
    return round((1 - quality / 100) * (STEPS - 1))


def picture_paths(data: str) -> list[Path] | None:
    """The picture files that a person named; None: it is something else."""
    place = Path(data)
    if place.is_dir():
        return [place / path for path in find_pictures(place)] or None
    return [place] if place.is_file() and place.suffix.lower() in SUFFIXES else None


def readable(
    paths: Sequence[Path], channels: int, on_error: OnError, reporter: Reporter, task: str
) -> Iterator[tuple[Path, Array]]:
    """Each picture at its own size, with the model's colors.

    Raises:
        DataError: one cannot be read, and is not to be left out; or none can.
    """
    some = False
    for done, path in enumerate(paths, 1):
        try:
            picture = read_whole(path, channels)
        except DataError as error:
            if on_error == "raise":
                raise
            reporter.say(f"left out: {error}")
            continue
        some = True
        yield path, picture
        reporter.advance(task, done, len(paths))
    if not some:
        raise DataError("none of the pictures can be read")


def compress_pictures(
    data: str,
    output: str,
    model: str | None,
    rate: AsksForRate,
    on_error: OnError,
    reporter: Reporter,
    fitted: Fitted | None,
) -> PicturesReport:
    """Write a picture, or each of a folder, as a file; by the shipped codec without a model.

    Raises:
        DataError: there are none, or one cannot be read.
        OptionError: the rate is asked for twice, or the output's name makes no sense.
    """
    began = time.perf_counter()
    check_rate(rate)
    constriction()  # named before any work is done, where it is missing
    paths = picture_paths(data)
    if paths is None:
        raise DataError(f"{data}: a transform coder compresses a picture or a folder of pictures")
    targets = dict(zip(paths, _targets(Path(data), paths, output), strict=True))
    written: dict[Path, Written] = {}
    codec: Codec | None = None
    channels, codec_of = picture_codec(fitted, model)
    for path, picture in readable(paths, channels, on_error, reporter, "compressing"):
        codec = codec_of(picture)
        targets[path].parent.mkdir(parents=True, exist_ok=True)
        written[targets[path]] = write_one(codec, picture, targets[path], rate)
    assert codec is not None
    every = list(written.values())
    qualities = sorted({quality_of(one.level) for one in every})
    return PicturesReport(
        files=tuple(map(str, written))[:8],
        pictures=len(every),
        bytes=sum(one.bytes for one in every),
        raw_bytes=sum(one.numbers for one in every),
        bits_per_pixel=8 * sum(one.bytes for one in every) / sum(one.pixels for one in every),
        psnr=float(np.mean([one.psnr for one in every])),
        quality=tuple(qualities if len(qualities) < 2 else (qualities[0], qualities[-1])),
        codec=codec.hash.hex(),
        seconds=time.perf_counter() - began,
        invents=invents(codec.model),
    )


@dataclass(frozen=True)
class Written:
    """A picture's file, and what comes back from it."""

    bytes: int
    level: int
    numbers: int
    pixels: int
    psnr: float
    back: Array


def write_one(codec: Codec, picture: Array, target: Path, rate: AsksForRate) -> Written:
    """Write one picture (height, width, channels) at a rate, and read it back."""
    model = codec.model
    assert isinstance(model, TransformCoder)
    x = as_row(picture)

    @cache
    def chunks(level: int) -> list[tuple[bytes, int]]:
        return encoded(model, x, level)

    level = level_for(rate, picture.size, lambda at: sum(len(data) for data, _ in chunks(at)))
    write_encoded(target, model, x, level, chunks(level))
    file = open_container(target)
    (back,) = eight_bit(read_pictures(file, model))
    psnr = mean_psnr(picture[None], back[None])
    pixels = picture.shape[0] * picture.shape[1]
    return Written(file.size, level, picture.size, pixels, psnr, back)


def decompress_pictures(file: str, output: str, folder: Path, reporter: Reporter) -> list[str]:
    """Write the pictures of a file, or of each in a folder, as PNG; the files' names.

    Raises:
        BitstreamError: one is damaged, or was compressed with another model.
        OptionError: the output's name makes no sense.
    """
    place, out = Path(file), _place(Path(file), output, ".png")
    found = sorted(place.rglob(f"*{SUFFIX}")) if place.is_dir() else [place]
    if not found:
        raise DataError(f"{place} has no {SUFFIX} files")
    alone = out.suffix.lower() == ".png"
    if (alone and len(found) > 1) or (out.suffix and not alone):
        raise OptionError(f"{out}: pictures are written as NAME.png or into a folder")
    names: list[str] = []
    for done, path in enumerate(found, 1):
        container = open_container(path)
        codec = codec_for(folder, container.header.model_hash, container.name)
        assert isinstance(codec.model, TransformCoder)
        pictures = eight_bit(read_pictures(container, codec.model))
        if alone and len(pictures) > 1:
            raise OptionError(f"{path} holds {len(pictures)} pictures: name a folder for them")
        for number, picture in enumerate(pictures):
            more = f"_{number:05d}" if len(pictures) > 1 else ""
            inside = path.parent.relative_to(place) if place.is_dir() else Path()
            target = out if alone else out / inside / f"{path.stem}{more}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            names += write_picture(target, picture)
        reporter.advance("decompressing", done, len(found))
    return names


def level_for(rate: AsksForRate, numbers: int, size: Callable[[int], int]) -> int:
    """The finest level whose file is as small as asked for.

    Args:
        rate: what was asked for.
        numbers: bytes of the picture as it is.
        size: of the payload at a level, bytes.

    Raises:
        OptionError: not even the coarsest is.
    """
    if rate.bytes is None and rate.times is None:
        return level_of(USUAL_QUALITY if rate.quality is None else rate.quality)
    most = rate.bytes if rate.bytes is not None else numbers / (rate.times or 1.0)
    most -= HEADER
    low, high = 0, STEPS - 1
    if size(high) > most:
        raise OptionError(
            f"at its coarsest this picture takes {size(high) + HEADER:,} bytes, and "
            f"{math.floor(most + HEADER):,} are asked for"
        )
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if size(middle) <= most else (middle + 1, high)
    return high


HEADER = 48  # bytes, at most, of a picture's file beside its payload


def check_rate(rate: AsksForRate) -> None:
    """Raise OptionError where the rate is asked for twice, or is none."""
    said = [name for name in ("quality", "times", "bytes") if getattr(rate, name) is not None]
    if len(said) > 1:
        raise OptionError(f"{' and '.join(said)} both say how small: give one of them")
    if (rate.times is not None and rate.times <= 0) or (rate.bytes is not None and rate.bytes <= 0):
        raise OptionError("times and bytes are above 0")
    if rate.quality is not None:
        level_of(rate.quality)


def refuse_parts(part: str, codebooks: int | None) -> None:
    """Raise OptionError where rows or codes are asked for, of which pictures in files have none."""
    if part != "all":
        raise OptionError("pictures of any size are compressed whole: leave --part out")
    if codebooks is not None:
        raise OptionError("codebooks is for models with codes, and this one has none (vq_vae has)")


def invents(model: Model) -> bool:
    """Whether what comes back holds texture that its decoder made up."""
    return isinstance(model, TransformCoder) and model.decoder.grain is not None


def as_row(picture: Array) -> Tensor:
    """(height, width, channels) uint8 as (1, channels, height, width) in [0, 1]."""
    return torch.from_numpy(np.moveaxis(picture, -1, 0).copy())[None].float() / 255


def _targets(data: Path, paths: list[Path], named: str) -> list[Path]:
    """Where each picture's file goes."""
    output = _place(data, named, SUFFIX)
    if not data.is_dir():
        if output.suffix.lower() != SUFFIX:
            raise OptionError(f"{output}: a compressed picture is written as NAME{SUFFIX}")
        return [output]
    if output.suffix:
        raise OptionError(f"{output}: the files of a folder of pictures are written into a folder")
    return list(_apart(data, paths, output))


def _place(source: Path, named: str, suffix: str) -> Path:
    """The output that a person named; else the source's name with another suffix, beside it."""
    if named:
        return Path(named)
    beside = source.with_suffix(suffix)
    if source.is_dir() or beside.exists():
        why = f"{source} is a folder" if source.is_dir() else f"{beside} is there already"
        raise OptionError(f"name the output with -o: {why}")
    return beside


def _apart(data: Path, paths: list[Path], output: Path) -> Iterator[Path]:
    """Names of their own: pictures that differ in their suffix alone keep it."""
    stems = [path.relative_to(data).with_suffix("") for path in paths]
    for path, stem in zip(paths, stems, strict=True):
        twice = stems.count(stem) > 1
        yield output / f"{path.relative_to(data) if twice else stem}{SUFFIX}"
