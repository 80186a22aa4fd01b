"""Films and sheets of predicted frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lowerbound.applications.common.columnar_files import Columnar, columnar
from lowerbound.applications.common.drawings import (
    ANIMATIONS,
    check_animation,
    grid,
    in_color,
    write_animation,
)
from lowerbound.applications.common.files import replacing
from lowerbound.applications.common.rows import NPZ
from lowerbound.data.arrays import Array
from lowerbound.data.pictures.pixels import eight_bit
from lowerbound.data.schema import Schema
from lowerbound.errors import OptionError
from lowerbound.inference.frames import PredictedFrames

if TYPE_CHECKING:
    from PIL.Image import Image

SHEET = ".png"
ERROR_SCALE = 4  # so that errors of a few percent are visible


def check_outputs(outputs: tuple[str, ...], schema: Schema) -> None:
    """Check the names of the files to write, before any work is done.

    Raises:
        OptionError: a suffix is unknown, or frames that are not pictures have a film.
        UnsupportedError: the encoder that a film needs is not installed.
    """
    for name in outputs:
        suffix = Path(name).suffix.lower()
        if suffix not in (SHEET, NPZ, *ANIMATIONS):
            raise OptionError(
                f"{name}: predicted frames are written as a film ({', '.join(ANIMATIONS)}), as a "
                f"{SHEET} sheet, or as {NPZ}"
            )
        if suffix != NPZ and not schema.data_kind.pictures:
            raise OptionError(f"{name}: frames that are no pictures are written as {NPZ}")
        check_animation(Path(name))


def write_film(path: Path, found: PredictedFrames, per_second: float) -> tuple[str, ...]:
    """Write frames as a film, or as a sheet with a column for each predicted frame."""
    if path.suffix.lower() != SHEET:
        return write_animation(path, list(_film(found)), per_second)
    with replacing(path) as place:
        sheet_of_frames(found).save(place, format="PNG")
    return (str(path),)


class FrameFiles:
    """The files of predicted frames, written while windows are predicted: arrays part by part, and
    films at the end, for which only the windows that they show are kept.

    Args:
        outputs: names of the files.
        schema: of the frames.
        shown: numbers of the windows on films and sheets, in order.
    """

    def __init__(self, outputs: Sequence[str], schema: Schema, shown: Tensor) -> None:
        self.paths = [Path(name) for name in outputs]
        self.schema, self.shown = schema, shown
        self._kept: list[PredictedFrames] = []
        self._windows = 0
        self._open = ExitStack()
        self._arrays: list[Columnar] = []

    def __enter__(self) -> FrameFiles:
        arrays = [path for path in self.paths if path.suffix.lower() == NPZ]
        self._arrays = [self._open.enter_context(columnar(path)) for path in arrays]
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def add(self, found: PredictedFrames) -> None:
        """Take the predictions of the next windows."""
        for file in self._arrays:
            file.add(arrays_of(self.schema, found))
        here = self.shown - self._windows
        here = here[(here >= 0) & (here < len(found.episode))]
        self._windows += len(found.episode)
        if len(here) and len(self._arrays) < len(self.paths):
            self._kept.append(windows_of(found, here))

    def write_films(self, per_second: float) -> tuple[str, ...]:
        """Write films and sheets; returns the names of all files."""
        for path in self.paths:
            if path.suffix.lower() != NPZ:
                write_film(path, joined_frames(self._kept), per_second)
        return tuple(map(str, self.paths))


def arrays_of(schema: Schema, found: PredictedFrames) -> dict[str, Array]:
    """``prediction``, ``truth`` and ``draws`` (if any) in the data's own units, (windows, frames,
    ...) and (windows, draws, frames, ...), with ``episode`` and the first predicted ``frame``."""

    def decoded(x: Tensor, leading: int) -> Array:
        rows: Array = schema.decode(x.flatten(0, leading - 1), rounded=True)
        return rows.reshape(*x.shape[:leading], *rows.shape[1:])

    arrays = {"prediction": decoded(found.mean, 2), "truth": decoded(found.future, 2)}
    if len(found.draws):
        arrays["draws"] = decoded(found.draws.movedim(0, 1), 3)
    places = {"episode": found.episode.numpy(), "frame": (found.start + found.context).numpy()}
    return {**arrays, **places}


_OF_WINDOWS = ("episode", "start", "truth", "reconstruction", "mean")


def joined_frames(parts: Sequence[PredictedFrames]) -> PredictedFrames:
    """The windows of all parts."""
    windows = {name: torch.cat([getattr(part, name) for part in parts]) for name in _OF_WINDOWS}
    return PredictedFrames(**windows, draws=torch.cat([part.draws for part in parts], 1))


def windows_of(found: PredictedFrames, chosen: Tensor) -> PredictedFrames:
    """The windows of these numbers."""
    windows = {name: getattr(found, name)[chosen] for name in _OF_WINDOWS}
    return PredictedFrames(**windows, draws=found.draws[:, chosen])


def some_windows(windows: int, count: int) -> Tensor:
    """Numbers of at most ``count`` windows, drawn at random: equal steps would show equal times."""
    order = torch.randperm(windows, generator=torch.Generator().manual_seed(0))
    return order[:count].sort().values


def _lines(found: PredictedFrames) -> dict[str, Tensor]:
    """What is shown of each window, (windows, context + frames, *event): in the context a
    prediction is the reconstruction, and the last frame is the frame itself."""

    def after(context: Tensor, future: Tensor) -> Tensor:
        return torch.cat([context[:, : found.context], future], 1)

    prediction = after(found.reconstruction, found.mean)
    lines = {"truth": found.truth, "reconstruction": found.reconstruction, "prediction": prediction}
    if len(found.draws):
        lines["a draw"] = after(found.reconstruction, found.draws[0])
    lines["last frame"] = after(found.truth, found.last)
    error = ERROR_SCALE * (prediction - found.truth).abs()
    return {**lines, f"{ERROR_SCALE} x error": error}


def _film(found: PredictedFrames) -> Iterator[Image]:
    """An image for each time: a row for each window, a column for each kind of frame."""
    lines = {name: _pictures(values) for name, values in _lines(found).items()}
    names = [f"episode {n}" for n in found.episode.tolist()]
    for time in range(found.truth.shape[1]):
        at = time - found.context + 1
        corner = f"frame {at:+d}" if at > 0 else "seen"
        rows = [[values(window, time) for values in lines.values()] for window in range(len(names))]
        yield grid(rows, tuple(lines), names, corner)


def sheet_of_frames(found: PredictedFrames, every: int = 1) -> Image:
    """A block of rows for each window: a row for each kind of frame, a column for each predicted
    frame whose number is a multiple of ``every``."""
    lines = {name: _pictures(values) for name, values in _lines(found).items()}
    times = range(found.context + every - 1, found.truth.shape[1], every)
    rows, names = [], []
    for window, episode in enumerate(found.episode.tolist()):
        for name, values in lines.items():
            rows.append([values(window, time) for time in times])
            names.append(f"{episode}: {name}")
    return grid(rows, [f"+{time - found.context + 1}" for time in times], names, "episode")


def _pictures(values: Tensor) -> Callable[[int, int], Array]:
    """The 8-bit picture of a window and a time."""
    return lambda window, time: eight_bit(in_color(values[window, time : time + 1]))[0]
