"""Hidden pixels of photographs of any size, filled by the denoiser that comes with the package.

::

    impute photo.png --mask scratches.png -o whole.png
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

from lowerbound.applications.base import Reporter, WrittenReport, written
from lowerbound.applications.form import OnError
from lowerbound.applications.io.masks import hides_nothing, masks_in, read_mask
from lowerbound.applications.restoration.shipped import shipped_denoiser
from lowerbound.applications.restoration.whole_pictures import (
    all_made,
    light,
    targets_of,
    without,
    write_whole,
)
from lowerbound.data import load
from lowerbound.data.arrays import Array, listed
from lowerbound.data.pictures.pixels import ImageFormat
from lowerbound.data.pictures.whole import WholePicture, read_whole_picture
from lowerbound.errors import DataError, OptionError, counted
from lowerbound.inference.restoration.inpainting import inpainted

MOST = 0.5  # share of hidden pixels above which a mask is perhaps inverted


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
        return (
            f"{self.filled:,} hidden pixels ({self.share:.0%}) of "
            f"{counted(self.pictures, 'picture')} filled in {self.seconds:.1f} s: "
            f"{listed(self.files, self.files_written)}"
            f"{without(self.left_out)}{self._doubt}"
        )

    @property
    def _doubt(self) -> str:
        if self.share <= MOST:
            return ""
        return "\nmost pixels were hidden: those that --mask shows in black; is the mask inverted?"


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
