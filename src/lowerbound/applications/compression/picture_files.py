"""Picture files: read them one by one, and choose where decoded pictures go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lowerbound.applications.base import Reporter
from lowerbound.applications.compression.codec import Output
from lowerbound.applications.io.drawings.grids import write_picture
from lowerbound.applications.io.files import check_same, fill_folder
from lowerbound.data.arrays import Array
from lowerbound.data.pictures.folders import OnError, read_whole
from lowerbound.errors import DataError, OptionError


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
