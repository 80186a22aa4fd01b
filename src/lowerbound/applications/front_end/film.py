"""Films and sheets of predicted frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lowerbound.applications.io.animations import ANIMATIONS, write_animation
from lowerbound.applications.io.files import replacing
from lowerbound.applications.io.grids import eight_bit, grid
from lowerbound.applications.io.rows import NPZ, write_columns
from lowerbound.data import Schema
from lowerbound.data.arrays import Array
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


def write_film(path: Path, found: PredictedFrames, per_second: float) -> tuple[str, ...]:
    """Write frames as a film, or as a sheet with a column for each predicted frame."""
    if path.suffix.lower() != SHEET:
        return write_animation(path, list(_film(found)), per_second)
    with replacing(path) as place:
        sheet_of_frames(found).save(place, format="PNG")
    return (str(path),)


def write_arrays(path: Path, schema: Schema, found: PredictedFrames) -> tuple[str, ...]:
    """Write an .npz file: ``prediction``, ``truth``, ``draws`` (if any), (windows, frames, ...) and
    (windows, draws, frames, ...), with ``episode`` and the first predicted ``frame`` of each."""

    def decoded(x: Tensor, leading: int) -> Array:
        rows: Array = schema.decode(x.flatten(0, leading - 1), rounded=True)
        return rows.reshape(*x.shape[:leading], *rows.shape[1:])

    arrays = {"prediction": decoded(found.mean, 2), "truth": decoded(found.future, 2)}
    if len(found.draws):
        arrays["draws"] = decoded(found.draws.movedim(0, 1), 3)
    places = {"episode": found.episode.numpy(), "frame": (found.start + found.context).numpy()}
    return write_columns(path, {**arrays, **places})


def joined_frames(parts: list[PredictedFrames]) -> PredictedFrames:
    """The windows of all parts."""
    windows = {name: torch.cat([getattr(part, name) for part in parts]) for name in _OF_WINDOWS}
    return PredictedFrames(**windows, draws=torch.cat([part.draws for part in parts], 1))


_OF_WINDOWS = ("episode", "start", "truth", "reconstruction", "mean")


def some_windows(found: PredictedFrames, count: int) -> PredictedFrames:
    """At most ``count`` windows, drawn at random: equal steps would show equal times."""
    order = torch.randperm(len(found.episode), generator=torch.Generator().manual_seed(0))
    chosen = order[:count].sort().values
    windows = {name: getattr(found, name)[chosen] for name in _OF_WINDOWS}
    return PredictedFrames(**windows, draws=found.draws[:, chosen])


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
    return lambda window, time: eight_bit(values[window, time : time + 1])[0]
