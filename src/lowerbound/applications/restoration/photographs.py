"""Photographs of any size without their noise, by the denoiser that comes with the package.

::

    denoise photo.png -o clean.png --noise 25
    denoise photos/ -o clean/                        one PNG for each
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lowerbound.applications.common.application import Reporter, WrittenReport, written
from lowerbound.applications.common.form import OnError
from lowerbound.applications.restoration.picture_tiles import (
    PATCH,
    WHITE,
    all_made,
    clean_picture,
    light,
    noise_level,
    shipped_denoiser,
    targets_of,
    without,
    write_whole,
)
from lowerbound.data.arrays import Array, listed
from lowerbound.data.pictures.whole import read_whole_picture
from lowerbound.errors import DataError, OptionError, counted
from lowerbound.models.picture_denoiser import STRONGEST


@dataclass(frozen=True)
class CleanPicturesReport(WrittenReport):
    """Pictures without their noise were written.

    Attributes:
        pictures: number of pictures.
        left_out: those that were skipped.
        noise: standard deviation of the noise, of 255; the mean over pictures.
        learned: whether it was estimated from each picture.
        psnr: PSNR in dB that the posterior expects of its mean; the mean over the pictures with
            noise; None: there was none, and every picture is unchanged.
        moved: root mean square change of the pixels, of 255; the mean over pictures.
        megapixels: of all pictures.
        seconds: of the work.
    """

    pictures: int
    left_out: tuple[str, ...]
    noise: float
    learned: bool
    psnr: float | None
    moved: float
    megapixels: float
    seconds: float

    def text(self) -> str:
        if self.psnr is None:
            which = "picture is" if self.pictures == 1 else "pictures are"
            found = "no noise found" if self.learned else "no noise to remove"
            return (
                f"{found}; the {which} unchanged: {listed(self.files, self.files_written)}"
                f"{without(self.left_out)}"
            )
        how = "estimated from the picture" if self.learned else "as given"
        return (
            f"noise of standard deviation {self.noise:.3g} of {WHITE} ({how}) removed from "
            f"{counted(self.pictures, 'picture')}, {self.megapixels:.2f} megapixels in "
            f"{self.seconds:.1f} s; expected PSNR {self.psnr:.1f} dB: "
            f"{listed(self.files, self.files_written)}"
            f"{without(self.left_out)}"
        )


@dataclass(frozen=True)
class _Figures:
    """Of one picture, in shares of white."""

    noise: float
    psnr: float | None
    moved: float
    pixels: int


def denoise_pictures(
    data: str, output: str, noise: float | None, on_error: OnError, reporter: Reporter
) -> CleanPicturesReport:
    """Write the posterior mean of each picture at its own size and in its own mode.

    Args:
        data: a picture, or a folder of pictures.
        output: NAME.png, or a folder for a folder.
        noise: standard deviation, of 255; None: estimated from each picture.
        on_error: "skip" leaves out what cannot be read.
        reporter: receives the progress.

    Raises:
        DataError: there are no pictures, or one cannot be read.
        OptionError: the output or the level is invalid.
    """
    began = time.perf_counter()
    targets = targets_of(data, output)
    if noise is not None and not 0 <= noise <= STRONGEST:
        raise OptionError(
            f"--noise {noise:g}: without a model, noise of 0 to {STRONGEST:g} of {WHITE} is removed"
        )

    def cleaned(path: Path, target: Path) -> _Figures:
        picture = read_whole_picture(path)
        noisy = light(picture)
        level = _estimated(path, noisy, reporter) if noise is None else noise / WHITE
        pixels = noisy.shape[0] * noisy.shape[1]
        if not level:
            write_whole(target, picture, noisy)
            return _Figures(noise=0.0, psnr=None, moved=0.0, pixels=pixels)
        found = clean_picture(shipped_denoiser(), noisy, level)
        write_whole(target, picture, found.mean)
        return _Figures(
            noise=level,
            psnr=-10 * float(np.log10(np.square(found.deviation).mean())),
            moved=float(np.sqrt(np.square(found.mean - noisy).mean())),
            pixels=pixels,
        )

    done = all_made(targets, on_error, reporter, "denoising", cleaned)
    figures = list(done.made.values())
    expected = [one.psnr for one in figures if one.psnr is not None]
    return CleanPicturesReport(
        pictures=len(figures),
        left_out=done.left_out,
        noise=WHITE * float(np.mean([one.noise for one in figures])),
        learned=noise is None,
        psnr=float(np.mean(expected)) if expected else None,
        moved=WHITE * float(np.mean([one.moved for one in figures])),
        megapixels=sum(one.pixels for one in figures) / 1e6,
        seconds=time.perf_counter() - began,
        **written([str(targets[path]) for path in done.made]),
    )


def _estimated(path: Path, noisy: Array, reporter: Reporter) -> float:
    """The noise level of a picture, as a share of white.

    Raises:
        DataError: the picture is too small.
    """
    if min(noisy.shape[:2]) < 2 * PATCH:
        height, width = noisy.shape[:2]
        raise DataError(
            f"{path} has {width}x{height} pixels, too few to estimate its noise: give "
            "--noise, or leave such pictures out with --on-error skip"
        )
    level = noise_level(noisy)
    if level > STRONGEST / WHITE:
        reporter.say(
            f"{path}: the noise is about {WHITE * level:.3g} of {WHITE}; a level of {STRONGEST:g} "
            "is removed, the strongest without a model"
        )
    return min(level, STRONGEST / WHITE)
