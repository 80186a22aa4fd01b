r"""Picture files: read one by one, where decoded pictures go, and the loss of a lossy file.

.. math:: \text{PSNR} = 10 \log_{10} \frac{255^2}{\text{mean squared error of a picture's levels}}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from lowerbound.applications.common.application import Reporter
from lowerbound.applications.common.drawings import write_picture
from lowerbound.applications.common.files import check_same, fill_folder
from lowerbound.applications.compression.codec import Output
from lowerbound.data.arrays import Array
from lowerbound.data.pictures.folders import OnError, read_whole
from lowerbound.data.pictures.pixels import eight_bit
from lowerbound.errors import DataError, OptionError

LINES = 256  # of a picture
MOST = 99.0  # dB: value for a picture without error


@dataclass(frozen=True)
class Loss:
    """Difference between rows and their decompressed version.

    Attributes:
        psnr: mean PSNR over pictures on the scale 0 to 255, dB; None if rows are no pictures.
        kept: share of the variance that is kept; 1 without loss.
    """

    psnr: float | None
    kept: float

    def text(self) -> str:
        if self.psnr is not None:
            return f"PSNR {self.psnr:.2f} dB"
        return f"{self.kept:.2%} of the variance kept"


def loss_of(x: Tensor, back: Tensor, pictures: bool) -> Loss:
    """The loss of rows (rows, *event) in model units."""
    error = (x - back).double().square().mean()
    spread = (x - x.mean(0)).double().square().mean()
    kept = 1.0 - float(error / spread) if spread > 0 else float(error == 0)
    return Loss(mean_psnr(eight_bit(x), eight_bit(back)) if pictures else None, kept)


def mean_psnr(pictures: Array, back: Array) -> float:
    """Mean PSNR of pictures (rows, H, W, C) uint8 over rows, dB."""
    return float(psnr(pictures, back).mean())


def psnr(pictures: Array, back: Array) -> Array:
    """PSNR of each of the pictures (rows, H, W, C) uint8, dB."""
    errors = np.array([_squared_error(*pair) for pair in zip(pictures, back, strict=True)])
    return _in_decibels(errors)


def psnr_of_parts(parts: Iterable[tuple[Array, Array]]) -> float:
    """PSNR of parts of a picture together, dB; each a part, (H, W, C) uint8, before and after."""
    total, numbers = 0.0, 0
    for before, after in parts:
        total += before.size * _squared_error(before, after)
        numbers += before.size
    return float(_in_decibels(np.array(total / numbers)))


def _in_decibels(errors: Array) -> Array:
    """PSNR of mean squared errors of levels, at most ``MOST``."""
    found: Array = 10 * np.log10(255.0**2 / errors.clip(255.0**2 / 10 ** (MOST / 10)))
    return found


def _squared_error(picture: Array, back: Array) -> float:
    """The mean squared difference of the levels; some lines at once, for the memory's sake."""
    total = 0
    for top in range(0, len(picture), LINES):
        lines = slice(top, top + LINES)
        total += int(np.square(picture[lines].astype(np.int64) - back[lines]).sum())
    return total / picture.size


def readable(
    paths: Sequence[Path], channels: int, on_error: OnError, reporter: Reporter, task: str
) -> Iterator[tuple[Path, Array]]:
    """Yield each picture at its own size, with the model's colors.

    Raises:
        DataError: a picture cannot be read and ``on_error`` is "raise"; or none can be read.
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


def check_pictures_output(output: Output, pictures: int, file: str) -> bool:
    """Whether the output is one picture, NAME.png; otherwise it is a folder.

    Raises:
        OptionError: it is neither, or it is one picture for several.
    """
    alone = not output.is_folder and output.path.suffix.lower() == ".png"
    if alone and pictures > 1:
        raise OptionError(f"{file} holds {pictures:,} pictures: name a folder for them")
    if not output.is_folder and not alone:
        raise OptionError(f"{output.path}: pictures are written as NAME.png or into a folder")
    return alone


def write_decoded(
    output: Path, alone: bool, names: Sequence[str], pictures: Iterable[Array]
) -> tuple[str, ...]:
    """Write one picture, or a folder of pictures; the names of the files.

    The originals may lie in that folder under the same names, so its files are not replaced by
    others.

    Args:
        output: the picture, or the folder.
        alone: whether it is one picture; see ``check_pictures_output``.
        names: of the files in a folder.
        pictures: each (height, width, channels) uint8.

    Raises:
        OptionError: the folder holds a file of the same name with other content.
    """

    def write(place: Path) -> tuple[str, ...]:
        files: list[str] = []
        for name, picture in zip(names, pictures, strict=True):
            files += write_picture(place / name, picture)
            check_same(place / name, output / name)
        return tuple(files)

    if alone:
        return write_picture(output, next(iter(pictures)))
    return fill_folder(output, write, note=False)  # other files may be of this run
