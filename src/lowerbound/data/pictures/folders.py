"""Reading folders of pictures with Pillow; one subfolder per class gives labels."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from lowerbound import untrusted
from lowerbound.data.arrays import Array, listed
from lowerbound.data.options import OnError as OnError
from lowerbound.data.pictures.decoding import (
    BYTES_OF_PIXEL,
    PictureHeader,
    Unreadable,
    any_number_of_pixels,
    each_answer,
    has_clear_pixel,
    open_picture,
    read_header,
    read_pixels,
)
from lowerbound.data.pictures.pixels import (
    Channels,
    Resize,
    choose_size,
    dimensions,
    fit_to,
    tiles_of,
)
from lowerbound.data.raw import RawData
from lowerbound.errors import DataError

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp")
) | {".ppm", ".pgm", ".pbm"}
UNREAD = frozenset(
    (".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".tga", ".ico", ".exr", ".hdr", ".eps")
) | {".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".svg", ".psd"}
TAR = re.compile(r"\.(tar|tar\.gz|tgz|tar\.bz2|tar\.xz)$", re.IGNORECASE)
SEVERAL = "{path} holds {frames:,} pictures, as animations and pages do: give them as files"
SPLITS = ("train", "validation", "val", "valid", "test")
LARGE = 2**18  # mean pixels from which threads are faster: small files hold Python's lock
DARK = 16  # upper 8 bits of a 16-bit value below which pictures of 12 bits lie
SHEET, OVERVIEW = "sheet.png", "lowerbound: pictures side by side"  # a file, and its comment
UNLABELED = ("unlabeled", "unlabelled")  # subfolders that are not a class
HIDDEN = "._"  # first letters of names that are left out
T = TypeVar("T")


def read_folder(
    folder: Path,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    resize: Resize = "pad",
    on_error: OnError = "raise",
    split: str | None = None,
) -> RawData:
    """Read every picture under ``folder``, sorted by path, as uint8 grey or color.

    Transparent pictures get a white background, palettes become colors, the camera's rotation is
    applied, and 16-bit grey values lose their lower byte. If all pictures are grey, so is the data.

    Args:
        folder: searched recursively; the first level of subfolders is the classes, except
            "unlabeled", whose pictures have no class.
        size: (height, width); None: the most common size.
        channels: 1 or 3; None: inferred from the pictures.
        resize: how to resize a picture of another size.
        on_error: "skip" leaves out unreadable pictures, and a warning counts and names them.
        split: the subfolder to read, if the first level is train/test and not classes.

    Raises:
        DataError: there are no pictures, or one is unreadable (the message names it).
    """
    root = split_folder(folder, split)
    paths = find_pictures(root)
    if not paths:
        raise DataError(f"{root} has no pictures ({', '.join(sorted(SUFFIXES))}); {_has(root)}")
    found = read_pictures([root / path for path in paths], size, channels, resize, on_error)
    x, names = found.x, [paths[i] for i in found.files]
    return RawData(
        x,
        labels=classes_of(names),
        channels="squeezed" if x.ndim == 3 else "last",
        resize=resize,
        ids=tuple(
            readable(name.as_posix()) + at for name, at in zip(names, found.places, strict=True)
        ),
        source=readable(str(root)),
    )


def classes_of(names: Sequence[Path]) -> list[str | None] | None:
    """The class of each file, the first level of its path, or None; None if there are no classes.

    A single subfolder is a class only if there is also an unlabeled subfolder.
    """
    folders = [readable(name.parts[0]) if len(name.parts) > 1 else None for name in names]
    unlabeled = [folder is not None and folder.lower() in UNLABELED for folder in folders]
    classes = [None if gone else name for name, gone in zip(folders, unlabeled, strict=True)]
    found = set(classes) - {None}
    named = len(found) > 1 or (len(found) == 1 and any(unlabeled))
    return classes if named else None


def readable(name: str) -> str:
    r"""The name of a file as text that can be written; bytes that are no UTF-8 become \xff."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def read_file(
    path: Path, size: tuple[int, int] | None, channels: int | None, resize: Resize
) -> RawData:
    """Read one picture as a data set of one row.

    Raises:
        DataError: it is unreadable.
    """
    found = read_pictures([path], size, channels, resize, "raise")
    layout: Channels = "squeezed" if found.x.ndim == 3 else "last"
    ids = tuple(readable(path.name) + at for at in found.places)
    return RawData(found.x, channels=layout, resize=resize, ids=ids, source=readable(str(path)))


def read_whole(path: Path, channels: int) -> Array:
    """Read one picture at its original size, (height, width, channels) uint8, grey or color.

    Raises:
        DataError: it is unreadable, or holds several pictures.
    """
    mode = "RGB" if channels > 1 else "L"
    attempt = _Attempt([path], "raise")
    (header,) = attempt.each(read_header).values()
    if header.frames > 1:
        raise DataError(SEVERAL.format(path=path, frames=header.frames))
    picture = attempt.each(lambda path: np.array(read_pixels(path, mode)))[0]
    return picture.reshape(*picture.shape[:2], channels)


class PictureHeaders(NamedTuple):
    """Information from the headers of picture files."""

    each: list[PictureHeader]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each, upright."""
        return [header.size for header in self.each]

    @property
    def colored(self) -> int:
        """How many are in color."""
        return sum(header.colored for header in self.each)

    def losses(self, channels: int) -> list[str]:
        """Losses of the conversion to 8 bits and this number of channels."""
        return _losses(self.each, channels > 1)


def look_at(paths: Sequence[Path]) -> PictureHeaders:
    """Read the headers of the pictures at these paths; unreadable ones are left out."""
    try:
        return PictureHeaders(list(_Attempt(paths, "skip").each(read_header).values()))
    except DataError:  # reading the pixels raises the error
        return PictureHeaders([])


def find_pictures(folder: Path) -> list[Path]:
    """Sorted paths of the picture files below ``folder``, relative to it, without hidden files.

    An overview that lowerbound wrote beside its results is left out. Links to folders are followed,
    but no folder is read twice. A warning names pictures of formats that are not read, and tar
    files, if there are other pictures.
    """
    found, unread, tars = [], [], []
    for place, files in _places(folder):
        found += [
            Path(place, name).relative_to(folder)
            for name in files
            if Path(name).suffix.lower() in SUFFIXES
            and name[0] != "."
            and not (name == SHEET and _is_overview(Path(place, name)))
        ]
        unread += [name for name in files if _unread(name)]
        tars += [name for name in files if TAR.search(name) and name[0] not in HIDDEN]
    if unread and found:
        warnings.warn(
            f"{listed(sorted(unread))} left out, because the format is not read: save such "
            "pictures as .png or .jpg",
            UserWarning,
            stacklevel=4,
        )
    if tars and found:
        warnings.warn(
            f"{listed(sorted(tars))} left out, because tar files are read only in a folder without "
            "other pictures: move them to a folder of their own, or unpack them",
            UserWarning,
            stacklevel=4,
        )
    return sorted(found)


def _is_overview(path: Path) -> bool:
    """Whether a file is an overview of the pictures beside it."""
    try:
        with open_picture(path) as picture:
            return picture.info.get("Comment") == OVERVIEW
    except (OSError, DataError):  # reading it as a picture raises the error
        return False


def _places(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """(folder, names of its files) of a folder and those below it, each once; folders that only a
    link leads to come last. A link to a folder that contains all is not followed."""
    above = {os.path.realpath(parent) for parent in Path(os.path.realpath(folder)).parents}
    waiting, seen = [str(folder)], set(above)
    while waiting:
        for place, folders, files in os.walk(waiting.pop(0)):
            real = os.path.realpath(place)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            yield place, files
            folders[:] = [name for name in folders if name[0] not in HIDDEN]
            paths = [os.path.join(place, name) for name in folders]
            waiting += filter(os.path.islink, paths)


class PictureStack(NamedTuple):
    """Pictures of one size."""

    x: Array  # uint8, (n, H, W) or (n, H, W, 3)
    files: list[int]  # indices of their files
    places: list[str]  # position within the file: empty, or a tile's corner


def read_pictures(
    paths: Sequence[Path],
    size: tuple[int, int] | None,
    channels: int | None,
    resize: Resize,
    on_error: OnError,
) -> PictureStack:
    """Read the pictures at these paths and resize them to one size.

    Raises:
        DataError: a picture is unreadable (all of them, with ``on_error="skip"``).
    """
    attempt = _Attempt(paths, on_error)
    headers = attempt.each(read_header)
    colored = any(h.colored for h in headers.values()) if channels is None else channels > 1
    target = size or choose_size([header.size for header in headers.values()], resize)
    of_model = target if channels is not None and resize != "tiles" else None
    _check_pixels(list(headers.values()), None if resize == "tiles" else target, colored)
    _warn_changes(list(headers.values()), colored, of_model)
    mode = "RGB" if colored else "L"
    threads = _threads([math.prod(header.size) for header in headers.values()])
    if resize == "tiles":
        tiles = _tiled(attempt, mode, target, threads)
        _warn_dark(tiles.x[[headers[position].deep for position in tiles.files]])
        return tiles
    pictures = attempt.each(
        lambda path: np.asarray(fit_to(read_pixels(path, mode, target), target, resize)), threads
    )
    attempt.warn()
    kept = list(pictures)
    x = np.empty((len(kept), *target, *((3,) if colored else ())), np.uint8)
    for row, position in enumerate(kept):
        x[row] = pictures.pop(position)  # freed at once, to save memory
    _warn_dark(x[[headers[position].deep for position in kept]])
    return PictureStack(x, kept, [""] * len(kept))


def _check_pixels(
    headers: Sequence[PictureHeader], target: tuple[int, int] | None, colored: bool
) -> None:
    """Check the memory of all pictures at one size, or at their own, before one is decoded.

    Raises:
        DataError: they take more than the limit.
    """
    sizes = [math.prod(target or header.size) for header in headers]
    untrusted.check_memory(
        sum(sizes) * (3 if colored else 1),
        f"{len(sizes):,} pictures of {max(sizes):,} pixels",
        DataError,
        ", or give a smaller --image-size",
    )


def _threads(pixels: Sequence[int]) -> int:
    """How many pictures of so many pixels to read at a time, within the limit of memory."""
    if sum(pixels) < LARGE * len(pixels):
        return 1
    at_once = untrusted.memory_limit() // (BYTES_OF_PIXEL * max(pixels))
    return max(1, min(torch.get_num_threads(), int(at_once)))


def _tiled(attempt: _Attempt, mode: str, size: tuple[int, int], threads: int) -> PictureStack:
    """Tiles of all pictures, at their original resolution."""
    cuts = attempt.each(lambda path: tiles_of(np.asarray(read_pixels(path, mode)), size), threads)
    attempt.warn()
    return PictureStack(
        np.concatenate([cut.x for cut in cuts.values()]),
        [position for position, cut in cuts.items() for _ in cut.corners],
        [f":{top},{left}" for cut in cuts.values() for top, left in cut.corners],
    )


@dataclass
class _Attempt:
    """Reading many files, some of which may be broken."""

    paths: Sequence[Path]
    on_error: OnError
    broken: dict[int, str] = field(default_factory=dict)

    def each(self, read: Callable[[Path], T], threads: int = 1) -> dict[int, T]:
        """Results of ``read`` for each readable file, by index.

        Args:
            read: of one file.
            threads: files read at a time.

        Raises:
            DataError: a file is unreadable and ``on_error`` is "raise", or all are.
        """
        left = [i for i in range(len(self.paths)) if i not in self.broken]
        files = [self.paths[i] for i in left]
        answers = {}
        with any_number_of_pixels(), closing(each_answer(read, files, threads)) as found:
            for i, answer in zip(left, found, strict=True):
                if isinstance(answer, Unreadable):
                    self._refuse(i, answer.error)
                else:
                    answers[i] = answer
        if not answers:
            raise DataError(f"none of the pictures can be read: {self._named()}")
        return answers

    def warn(self) -> None:
        """Warn about the files that were left out."""
        if self.broken:
            warnings.warn(
                f"{len(self.broken)} of {len(self.paths)} pictures cannot be read and are left "
                f"out: {self._named()}",
                UserWarning,
                stacklevel=4,
            )

    def _refuse(self, position: int, error: Exception) -> None:
        path = self.paths[position]
        if self.on_error == "raise":
            raise DataError(
                f"{path} cannot be read as a picture: {error} (on_error='skip' leaves it out)"
            ) from error
        self.broken[position] = path.name

    def _named(self) -> str:
        return listed(list(self.broken.values()))


def _warn_changes(
    headers: Sequence[PictureHeader], colored: bool, of_model: tuple[int, int] | None
) -> None:
    """Warn of what pictures lose or gain, and of those that are resized to a model's size.

    Args:
        headers: of the pictures.
        colored: whether they are read in color.
        of_model: (height, width) of the pictures of a fitted model; None: no model has a size.
    """
    grey = sum(not header.colored for header in headers)
    notes = [f"{grey} of {len(headers)} are grey and become color"] if colored and grey else []
    others = [h.size for h in headers if of_model is not None and h.size != of_model]
    if of_model is not None and others:
        known = len(set(others)) == 1
        sizes = f"from {dimensions(others[0])}" if known else f"from {len(set(others))} sizes"
        notes.insert(
            0,
            f"{len(others)} of {len(headers)} are resized {sizes} to "
            f"{dimensions(of_model)}, the size of the model's pictures",
        )
    notes += _losses(headers, colored)
    if notes:
        warnings.warn(f"pictures: {'; '.join(notes)}", UserWarning, stacklevel=4)


def _warn_dark(deep: Array) -> None:
    """Warn if 16-bit pictures, of which these are the upper 8 bits, use few of their values."""
    if deep.size and (brightest := int(deep.max())) < DARK:
        warnings.warn(
            f"as they are read, the 16-bit pictures have no value of {(brightest + 1) << 8:,} or "
            "more of 65,535, so they are nearly black: multiply the values, or save them as .npz, "
            "scaled to [0, 1]",
            UserWarning,
            stacklevel=4,
        )


def _losses(headers: Sequence[PictureHeader], colored: bool) -> list[str]:
    """Losses of the conversion of pictures to 8-bit grey or color."""
    notes = []
    bright = 0 if colored else sum(header.colored for header in headers)
    if bright:
        notes.append(f"{bright} of {len(headers)} are in color and become grey")
    if colored and (inks := sum(header.inks for header in headers)):
        notes.append(
            f"{inks} of {len(headers)} are in CMYK or LAB and become RGB, so colors may differ"
        )
    if _any_clear([header for header in headers if header.transparent]):
        notes.append("transparent ones are laid on white")
    if any(header.deep for header in headers):
        notes.append("16-bit ones keep their upper 8 bits")
    if several := sum(header.frames > 1 for header in headers):
        notes.append(
            f"{several} of {len(headers)} files hold several pictures (animations, pages), and the "
            "first is read: give each picture as a file of its own to read all"
        )
    return notes


def _any_clear(headers: Sequence[PictureHeader]) -> bool:
    """Whether a pixel of the pictures is transparent; reading broken ones raises the error."""
    threads = _threads([math.prod(header.size) for header in headers]) if headers else 1
    paths = [header.path for header in headers]
    with closing(each_answer(has_clear_pixel, paths, threads)) as answers:
        return any(answer is True for answer in answers)


def split_folder(folder: Path, split: str | None) -> Path:
    """The folder of the split; by default ``train``, if the first level is only splits."""
    inside = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] not in HIDDEN)
    named = {name.lower(): name for name in inside}
    if split is not None:
        if split not in inside:
            raise DataError(f"{folder} has no folder {split!r}; it has {listed(inside) or 'none'}")
        return folder / split
    if "train" in named and set(named) <= set(SPLITS):
        warnings.warn(
            f"{folder} has parts {listed(inside)}: only {named['train']} is read (split= reads "
            "another)",
            UserWarning,
            stacklevel=4,
        )
        return folder / named["train"]
    return folder


def _unread(name: str) -> bool:
    """Whether a file is a picture of a format that is not read, and not hidden."""
    return Path(name).suffix.lower() in UNREAD and name[0] != "."


def _has(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    if unread := [name for name in names if _unread(name)]:
        return f"save {listed(unread)} as .png or .jpg"
    return f"it has {listed(names)}" if names else "it is empty"
