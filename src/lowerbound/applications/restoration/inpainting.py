r"""Hidden pixels of photographs of any size, filled by the denoiser that comes with the package.

::

    impute photo.png --mask scratches.png -o whole.png

The denoiser takes the place of a prior:

.. math::
    y_k = x_k + \sigma_k \varepsilon_k, \qquad
    x_{k+1} = E[x \mid y_k, \sigma_k] \text{ where hidden, the given pixels elsewhere}, \quad
    \sigma_k \downarrow

The hidden pixels start as a harmonic function of the pixels around them: each is the mean of its
neighbors. The noise makes :math:`y_k` an input that the denoiser knows; without it, repeated passes
drift away in large holes. The result is the mean over a few draws of the noise, so it is close to a
posterior mean.

Sources: Wang et al. 2023, "Zero-shot image restoration using denoising diffusion null-space model";
Kadkhodaie and Simoncelli 2021, "Stochastic solutions for linear inverse problems using the prior
implicit in a denoiser".
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array, diags_array, eye_array, kron
from scipy.sparse.linalg import spsolve

from lowerbound.applications.common.application import Reporter, WrittenReport, written
from lowerbound.applications.common.form import OnError
from lowerbound.applications.common.masks import hides_nothing, masks_in, read_mask
from lowerbound.applications.restoration.picture_tiles import (
    all_made,
    clean_picture,
    light,
    shipped_denoiser,
    targets_of,
    without,
    write_whole,
)
from lowerbound.data.arrays import Array, listed
from lowerbound.data.loading import load
from lowerbound.data.pictures.pixels import ImageFormat
from lowerbound.data.pictures.whole import WholePicture, read_whole_picture
from lowerbound.errors import DataError, OptionError, counted
from lowerbound.models.picture_denoiser import PictureDenoiser

STEPS, DRAWS = 8, 4
FIRST, LAST = 40 / 255, 5 / 255  # levels, which fall geometrically
MOST = 0.5  # share of hidden pixels above which a mask is perhaps inverted


def inpainted(model: PictureDenoiser, picture: Array, hidden: Array, seed: int = 0) -> Array:
    """The picture with its hidden pixels filled; the others are unchanged.

    Args:
        model: the denoiser.
        picture: (height, width, 1 or 3), 0 black, 1 white.
        hidden: (height, width), True where hidden; some pixels must be seen.
        seed: of the noise.
    """
    start, total = harmonic(picture, hidden), np.zeros(picture.shape)
    rng = np.random.default_rng(seed)
    for _ in range(DRAWS):
        x = start
        for level in np.geomspace(FIRST, LAST, STEPS):
            noisy = x + level * rng.normal(size=x.shape)
            found = clean_picture(model, noisy, float(level), passes=1)
            x = np.where(hidden[..., None], found.mean, picture)
        total += x / DRAWS
    return np.where(hidden[..., None], total, picture)


def harmonic(picture: Array, hidden: Array) -> Array:
    """The picture with each hidden pixel equal to the mean of its neighbors."""
    if not hidden.any():
        return picture
    height, width = hidden.shape
    differences = csr_array(
        kron(_second_differences(height), eye_array(width))
        + kron(eye_array(height), _second_differences(width))
    )
    unknown = hidden.ravel()
    filled = picture.reshape(height * width, -1).copy()
    rows = differences[unknown]
    filled[unknown] = spsolve(
        rows[:, unknown].tocsc(), -(rows[:, ~unknown] @ filled[~unknown])
    ).reshape(-1, filled.shape[1])
    return filled.reshape(picture.shape)


def _second_differences(length: int) -> diags_array:
    """Of a line without a neighbor beyond its ends, (length, length)."""
    along = np.ones(length - 1)
    own = -np.r_[along, 0] - np.r_[0, along]
    return diags_array([along, own, along], offsets=[-1, 0, 1])


@dataclass(frozen=True)
class InpaintReport(WrittenReport):
    """Photographs without gaps were written.

    Attributes:
        pictures: number of photographs.
        left_out: those that were skipped.
        filled: number of filled pixels.
        share: of all pixels.
        seconds: of the work.
    """

    pictures: int
    left_out: tuple[str, ...]
    filled: int
    share: float
    seconds: float

    def text(self) -> str:
        doubt = "most pixels were hidden: those that --mask shows in black; is the mask inverted?"
        return (
            f"{self.filled:,} hidden pixels ({self.share:.0%}) of "
            f"{counted(self.pictures, 'picture')} filled in {self.seconds:.1f} s: "
            f"{listed(self.files, self.files_written)}"
            f"{without(self.left_out)}" + (f"\n{doubt}" if self.share > MOST else "")
        )


def inpaint_pictures(
    data: str, output: str, mask: str | None, on_error: OnError, reporter: Reporter, seed: int = 0
) -> InpaintReport:
    """Fill the hidden pixels of each picture; the others are written unchanged.

    Args:
        data: a picture, or a folder of pictures.
        output: NAME.png, or a folder for a folder.
        mask: of all pictures; or a folder with one for each picture, as ``masks_in`` finds them.
        on_error: "skip" leaves out what cannot be read.
        reporter: receives the progress.
        seed: of the noise.

    Raises:
        DataError: a picture or the mask cannot be read, they do not fit, or no pixel is hidden.
        OptionError: there is no mask, or the output is invalid.
    """
    began = time.perf_counter()
    targets = targets_of(data, output)
    if mask is None:
        raise OptionError("--mask is missing: it says which pixels of a photograph are hidden")
    masks = dict(zip(targets, _masks(Path(mask).expanduser(), data, targets), strict=True))

    def look(path: Path, target: Path) -> int:
        return int(_hidden(masks[path], path, read_whole_picture(path)).sum())

    def filled(path: Path, target: Path) -> tuple[int, int]:
        picture = read_whole_picture(path)
        hidden = _hidden(masks[path], path, picture)
        whole = inpainted(shipped_denoiser(), light(picture), hidden, seed)
        write_whole(target, picture, whole)
        return int(hidden.sum()), hidden.size

    # filling takes seconds, and one mask that does not fit would end it halfway
    looked = all_made(targets, on_error, reporter, "reading masks", look)
    hides = {masks[path]: count for path, count in looked.made.items()}
    _note_empty(Path(mask).expanduser(), hides, reporter)
    usable = {path: targets[path] for path in looked.made}
    done = all_made(usable, on_error, reporter, "filling", filled)
    hidden = sum(count for count, _ in done.made.values())
    return InpaintReport(
        pictures=len(done.made),
        left_out=looked.left_out + done.left_out,
        filled=hidden,
        share=hidden / max(1, sum(pixels for _, pixels in done.made.values())),
        seconds=time.perf_counter() - began,
        **written([str(targets[path]) for path in done.made]),
    )


def _masks(mask: Path, data: str, pictures: Collection[Path]) -> list[Path]:
    """The mask of each picture.

    Raises:
        DataError: a folder has another number of masks.
    """
    if not mask.is_dir():
        return list(repeat(mask, len(pictures)))
    folder = Path(data) if Path(data).is_dir() else Path(data).parent
    found = masks_in(mask, [path.relative_to(folder).as_posix() for path in pictures])
    if len(found) != len(pictures):
        raise DataError(f"{mask} has {len(found):,} masks for {len(pictures):,} pictures")
    return found


def _note_empty(given: Path, counts: Mapping[Path, int], reporter: Reporter) -> None:
    """Name masks that hide no pixel.

    Args:
        given: the mask, or the folder of the masks.
        counts: number of pixels that each mask hides.
        reporter: is given the names.

    Raises:
        DataError: none of the masks hides a pixel.
    """
    empty = [mask for mask, count in counts.items() if not count]
    if len(empty) == len(counts):
        raise DataError(hides_nothing(empty[0] if len(empty) == 1 else given))
    if empty:
        reporter.say(
            f"{len(empty):,} of {len(counts):,} masks hide no pixel, and their pictures stay as "
            f"they are: {hides_nothing(empty[0])}"
            + (f"; also {listed(empty[1:])}" if empty[1:] else "")
        )


def _hidden(mask: Path, path: Path, picture: WholePicture) -> Array:
    """(height, width), True where hidden.

    Raises:
        DataError: the mask cannot be read, does not fit, or hides all.
    """
    *sides, colors = picture.values.shape
    schema = load(picture.values[None, ..., 0]).schema
    unresized = replace(  # a mask of another size too
        schema, event_shape=(colors, *sides), image=ImageFormat("last", "tiles")
    )
    (event,) = read_mask(mask, unresized, 1, (str(path),))
    hidden: Array = event.any(0).numpy()
    if hidden.all():
        raise DataError(f"{mask} hides the whole picture: leave some pixels to see")
    return hidden
