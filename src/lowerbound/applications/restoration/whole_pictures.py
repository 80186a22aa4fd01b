"""Pictures of any size, each to a PNG of its own size and mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from lowerbound.applications.base import Reporter
from lowerbound.applications.form import OnError
from lowerbound.applications.io.files import check_apart, replacing
from lowerbound.data.arrays import Array, listed
from lowerbound.data.pictures.whole import WholePicture, names_beside, picture_paths
from lowerbound.errors import DataError, OptionError, counted

WHITE = 255
SUFFIX = ".png"
Made = TypeVar("Made")


def light(picture: WholePicture) -> Array:
    """(height, width, 1 or 3) float32, black 0 and white 1; one color if all are equal."""
    values = picture.values[..., :1] if picture.equal_colors else picture.values
    return values.astype(np.float32) / WHITE


def write_whole(target: Path, picture: WholePicture, mean: Array) -> None:
    """Write a picture with other values, (height, width, 1 or 3) in [0, 1], as PNG."""
    values = np.rint(mean.clip(0, 1) * WHITE).astype(np.uint8)
    with replacing(target) as place:
        picture.with_values(values).save(place, format="PNG", icc_profile=picture.profile)


def targets_of(data: str, output: str) -> dict[Path, Path]:
    """The pictures in ``data``, a file or a folder, and the file that is written of each.

    Raises:
        DataError: the data does not exist, or has no pictures.
        OptionError: the output is neither NAME.png nor, for a folder, another folder.
    """
    place, target = Path(data), Path(output)
    paths = picture_paths(data)
    if not place.exists():
        raise DataError(f"there is no file or folder {data}")
    if not paths:
        raise DataError(
            f"{data} is neither a picture nor a folder of pictures; for other data, name a model "
            "folder before it"
        )
    check_apart(target, data)
    if not place.is_dir():
        if target.suffix.lower() != SUFFIX:
            raise OptionError(f"{output}: a picture is written as NAME{SUFFIX}")
        return {place: target}
    if target.suffix:
        raise OptionError(f"{output}: the pictures of a folder are written into a folder")
    names = names_beside(place, paths, SUFFIX)
    return {path: target / name for path, name in zip(paths, names, strict=True)}


@dataclass(frozen=True, eq=False)
class MadePictures(Generic[Made]):
    """Results of pictures.

    Attributes:
        made: the result of each picture, by its path.
        left_out: paths of the others.
    """

    made: dict[Path, Made]
    left_out: tuple[str, ...]


def all_made(
    targets: Mapping[Path, Path],
    on_error: OnError,
    reporter: Reporter,
    task: str,
    make: Callable[[Path, Path], Made],
) -> MadePictures[Made]:
    """What ``make(picture, file)`` returns for each picture and the file that is written of it.

    Raises:
        DataError: a picture cannot be used and ``on_error`` is "raise"; or none can be used. The
            message names the picture.
    """
    made: dict[Path, Made] = {}
    left_out: list[str] = []
    for done, (path, target) in enumerate(targets.items(), 1):
        try:
            made[path] = make(path, target)
        except DataError as error:
            why = str(error) if str(path) in str(error) else f"{path}: {error}"
            if on_error == "raise":
                raise DataError(why) from error
            reporter.say(f"{path} is left out: {why.removeprefix(f'{path}: ')}")
            left_out.append(str(path))
            continue
        reporter.advance(task, done, len(targets))
    if not made:
        raise DataError(f"no picture is left: all {len(left_out):,} were left out")
    return MadePictures(made, tuple(left_out))


def without(left_out: Sequence[str]) -> str:
    """A line that names the pictures that were left out, if there are any."""
    return (
        f"\nleft out: {counted(len(left_out), 'picture')}, {listed(left_out)}" if left_out else ""
    )
