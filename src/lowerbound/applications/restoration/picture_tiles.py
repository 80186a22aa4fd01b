"""Pictures of any size, denoised tile by tile in bounded memory, each to a PNG of its kind.

A tile is computed with as much of its surroundings as the network sees, so that tiles give what one
pass over the whole picture gives, up to rounding.

The level of white noise comes from the picture alone: of all patches, the covariance's smallest
eigenvalues are those of directions in which only noise varies. Without a picture in them, their
mean and their median agree; so the largest are left out, one by one, until they do. Source: Chen,
Zhu and Heng 2015, "An efficient statistical method for image noise level estimation".

``shipped/denoiser/README.md`` describes the training data of the package's denoiser and its quality
on other photographs; ``benchmarks/ship_denoiser.py`` makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from lowerbound import durable, untrusted
from lowerbound.applications.common.application import Reporter
from lowerbound.applications.common.files import check_apart, replacing
from lowerbound.applications.common.form import OnError
from lowerbound.data.arrays import Array, listed
from lowerbound.data.pictures.whole import WholePicture, names_beside, picture_paths
from lowerbound.errors import DataError, ModelFolderError, OptionError, counted
from lowerbound.models.picture_denoiser import PictureDenoiser
from lowerbound.networks.pictures.noise_unet import COLORS, STRIDE

PATCH = 8  # pixels of a patch's side
MOST_PATCHES = 100_000  # for the noise level
CLIPPED = 2.0  # levels from black or white within which noise may be clipped
FEWEST = 40  # patches for each of their numbers: of fewer, the smallest eigenvalues are too small
WHITE = 255
SUFFIX = ".png"
Made = TypeVar("Made")
TILE = 512  # pixels of a tile's side, about 300 MB of memory
PASSES = 8  # quarter turns, and those of the mirror image


def noise_level(picture: Array) -> float:
    """The standard deviation of the noise, as a share of white.

    Patches near black or white, where noise may be clipped, are left out if there are others.

    Args:
        picture: (height, width, colors), 0 black, 1 white; sides of at least 8 pixels.
    """
    windows = np.lib.stride_tricks.sliding_window_view(picture, (PATCH, PATCH), axis=(0, 1))
    step = max(1, round((windows.shape[0] * windows.shape[1] / MOST_PATCHES) ** 0.5))
    chosen = windows[::step, ::step]  # (rows, columns, colors, 8, 8)
    patches = chosen.reshape(-1, chosen.shape[2], PATCH * PATCH).astype(np.float32)
    level, means = _level(patches), patches.mean(2)
    inside = (np.minimum(means, 1 - means) > CLIPPED * level).all(1)
    enough = inside.sum() >= FEWEST * patches[0].size
    return _level(patches[inside]) if enough else level


def _level(patches: Array) -> float:
    """By patches (n, colors, pixels)."""
    rows = patches.reshape(len(patches), -1)
    centered = rows - rows.mean(0)
    values = np.linalg.eigvalsh(centered.T @ centered / len(rows)).clip(0)
    counts = np.arange(1, len(values) + 1)
    means = np.cumsum(values) / counts
    medians = np.array([np.median(values[:count]) for count in counts])
    only_noise = np.flatnonzero(means <= medians)  # the smallest alone always agrees
    return float(np.sqrt(means[only_noise[-1]]))


DENOISER = Path(__file__).parents[2] / "shipped" / "denoiser"
HASH_DIGITS = 16  # of the SHA-256 in the file's name


def write_shipped(model: PictureDenoiser) -> Path:
    """Write a denoiser into the package, in 16-bit floating-point numbers, in place of the former.

    The file is named by its hash.
    """
    for former in DENOISER.glob("*.safetensors"):
        former.unlink()
    path = DENOISER / "new.safetensors"
    durable.write_tensors(path, {name: own.half() for name, own in model.state_dict().items()})
    return path.rename(DENOISER / f"{durable.sha256(path)[:HASH_DIGITS]}.safetensors")


@cache
def shipped_denoiser() -> PictureDenoiser:
    """The denoiser of photographs.

    Raises:
        OptionError: this installation does not include it.
        ModelFolderError: its file is damaged.
    """
    path = next(iter(sorted(DENOISER.glob("*.safetensors"))), None)
    if path is None:
        raise OptionError("this copy of lowerbound has no denoiser of its own: name a model folder")
    if durable.sha256(path)[:HASH_DIGITS] != path.stem:
        raise ModelFolderError(f"{path} is damaged: install lowerbound again")
    content = untrusted.content(path, ModelFolderError)
    stored = untrusted.weights(content, str(path), ModelFolderError)
    model = PictureDenoiser()
    model.load_state_dict({name: tensor.float() for name, tensor in stored.items()})
    return model.eval()


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


class CleanPicture(NamedTuple):
    """Mean and deviation of each pixel, (height, width, colors) float32; 0 black, 1 white."""

    mean: Array
    deviation: Array


@torch.no_grad()
def clean_picture(
    model: PictureDenoiser, noisy: Array, level: float, tile: int = TILE, passes: int = PASSES
) -> CleanPicture:
    """The posterior of a clean picture.

    Each pass sees the picture turned or mirrored. The mean of their means is closer than each; the
    deviation is that of one pass, root mean square, and so a little too large.

    Args:
        model: the denoiser.
        noisy: (height, width, 1 or 3), 0 black, 1 white.
        level: standard deviation of the noise, in the same units.
        tile: side of a tile, a multiple of 4.
        passes: 1 to 8.
    """
    height, width, colors = noisy.shape
    around = ((0, -height % STRIDE), (0, -width % STRIDE), (0, 0))
    whole = np.pad(noisy, around, mode="symmetric").astype(np.float32)
    x = torch.from_numpy(np.moveaxis(whole, -1, 0).copy())[None].expand(-1, COLORS, -1, -1)
    found = torch.empty(2, *x.shape[1:])
    sigma = torch.tensor([level], dtype=torch.float32)
    for inner, outer, within in _tiles(x.shape[2], x.shape[3], tile, model.network.reach):
        part = _posterior(model, x[(..., *outer)], sigma, passes)
        found[(..., *inner)] = part[(..., *within)]
    return CleanPicture(*(_laid_out(part, height, width, colors) for part in found))


def _posterior(model: PictureDenoiser, x: Tensor, sigma: Tensor, passes: int) -> Tensor:
    """Mean and deviation, (2, 3, height, width), of (1, 3, height, width)."""
    total = torch.zeros(2, *x.shape[1:])
    for number in range(passes):
        mirrored, turns = divmod(number, 4)
        seen = torch.rot90(x.flip(3) if mirrored else x, turns, (2, 3))
        found = model(seen, sigma)
        part = torch.rot90(torch.cat([found.mean, found.variance]), -turns, (2, 3))
        total += part.flip(3) if mirrored else part
    mean, variance = total / passes
    return torch.stack([mean, variance.sqrt()])


def _laid_out(part: Tensor, height: int, width: int, colors: int) -> Array:
    """(3, height, width) without the padding, in the picture's layout and number of colors."""
    values = part[:, :height, :width].permute(1, 2, 0)
    values = values if colors == COLORS else values.mean(-1, keepdim=True)
    laid: Array = values.contiguous().numpy()
    return laid


Place = tuple[slice, slice]


def _tiles(height: int, width: int, tile: int, reach: int) -> Iterator[tuple[Place, Place, Place]]:
    """Each tile in the picture, the tile with its surroundings, and the first within the second."""
    reach += -reach % STRIDE
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            pairs = [_span(top, height, tile, reach), _span(left, width, tile, reach)]
            inner, outer, within = zip(*pairs, strict=True)
            yield inner, outer, within


def _span(start: int, length: int, tile: int, reach: int) -> tuple[slice, slice, slice]:
    end = min(start + tile, length)
    first, last = max(start - reach, 0), min(end + reach, length)
    return slice(start, end), slice(first, last), slice(start - first, end - first)
