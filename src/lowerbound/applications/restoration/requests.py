"""The requests to fill, clean and restore rows, and the checks that they share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lowerbound.applications.common.form import (
    REQUIRED,
    DeviceRequest,
    EngineRequest,
    OnError,
    PhotographsRequest,
    ResumableRequest,
    unreadable,
)
from lowerbound.config import option
from lowerbound.data.reading_flags import DialectOptions, KindOptions
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.manifest import MANIFEST
from lowerbound.parts import CHAINS, TEMPERATURES

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema

AUTO = ("auto", "learn")  # the second is the former word
SAMPLES = 200  # default K


@dataclass(frozen=True)
class RestorationRequest(DeviceRequest, PhotographsRequest):
    """Request to restore data by a model, or photographs without one."""

    output: str = option("", "file or folder to write", short="-o", metavar="OUT", writes=True)
    allow_resize: bool = option(
        False, "bring pictures of another size to the size of the model's pictures"
    )

    def check_output(self) -> None:
        """Raise OptionError if no output is named."""
        if not self.output:
            raise OptionError("-o is missing: name the file or the folder to write")

    def check_photographs(self, of_models: Sequence[str]) -> None:
        """Check a request without a model.

        Args:
            of_models: names of fields that only a model takes.

        Raises:
            OptionError: one of them is set.
            DataError: the only argument is a model folder.
        """
        if (Path(self.source) / MANIFEST).exists():
            raise DataError(f"{self.source} is a model folder: name the data after it")
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name in of_models:
            if getattr(self, name) != defaults[name]:
                flag = f"--{name.replace('_', '-')}"
                raise OptionError(f"{flag} needs a model: name its folder before the data")

    def check_sizes(self, schema: Schema) -> None:
        """Check that picture files have the size of the model's pictures, or may be resized.

        Raises:
            DataError: a picture has another size.
        """
        from lowerbound.data.pictures.folders import look_at
        from lowerbound.data.pictures.whole import picture_paths

        if self.allow_resize or schema.image is None or not schema.image.resizes:
            return
        height, width = schema.event_shape[1:]
        for path in picture_paths(self.source):
            for tall, wide in look_at([path]).sizes:
                if (tall, wide) != (height, width):
                    raise DataError(
                        f"{path} has {wide}x{tall} pixels, and {self.model} was fitted to pictures "
                        f"of {width}x{height}: leave {self.model} out if it is a photograph, which "
                        "then keeps its size, or add --allow-resize to get a picture of "
                        f"{width}x{height} pixels"
                    )


@dataclass(frozen=True)
class ImputerRequest(DeviceRequest, KindOptions):
    """Options of ``lowerbound imputer``."""

    data: str = option(
        REQUIRED,
        "a table, whose cells may be missing",
        positional=True,
        metavar="DATA",
        reads="data",
    )
    output: str = option(
        REQUIRED, "model folder to write", short="-o", metavar="MODEL", writes=True
    )
    minutes: float | None = option(None, "minutes of training (default: from the number of rows)")
    seed: int = option(0, "of the fit")
    resume: bool = option(False, "continue the fit that was interrupted in this folder")
    overwrite: bool = option(False, "replace the model in this folder")
    file: DialectOptions = field(default_factory=DialectOptions)


@dataclass(frozen=True)
class ImputeRequest(RestorationRequest, ResumableRequest, EngineRequest):
    """Request to fill missing cells."""

    output: str = option(
        "",
        "the completed data: .csv or .parquet for a table, .npz for an array, a .png sheet, .npz "
        "or a folder for pictures; without a model NAME.png, or a folder for a folder of pictures",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    strategy: Literal["mean", "median", "sample"] = option(
        "mean", "value of a missing cell: its mean, its median, or a draw"
    )
    draws: int = option(
        0,
        "number of completed data sets to draw besides, which also give "
        "the width of each column's intervals",
    )
    samples: int = option(SAMPLES, "K, latents drawn per row")
    mask: str | None = option(
        None,
        "hidden cells of pictures and arrays: a picture whose black pixels are hidden, a "
        "rectangle top,left,height,width of pixels, or booleans, for all rows or one each",
        metavar="MASK",
        reads="data",
    )
    on_error: OnError = unreadable()
    seed: int = option(0, "of the draws")


@dataclass(frozen=True)
class DenoiseRequest(RestorationRequest):
    """Request to remove noise from rows."""

    output: str = option(
        "",
        "the rows without noise: a .png sheet, .npz or a folder for pictures, .csv, .parquet or "
        ".npz for tables, .wav, .npz or a folder for sound; without a model NAME.png, or a folder "
        "for a folder of pictures",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    noise: str = option(
        AUTO[0],
        "standard deviation of the noise in the data's own units (of 255 for picture files, of 1 "
        "for sound), or auto to estimate it from the data",
        metavar="LEVEL",
    )
    outliers: float = option(
        0.0, "share of the pixels that are outliers of any value, such as speckle"
    )
    draws: int = option(0, "number of rows x to draw besides from p(x | y), for each noisy row y")
    chains: int = option(CHAINS, "K, chains of latents per row")
    temperatures: int = option(TEMPERATURES, "T, steps of each chain")
    on_error: OnError = unreadable()
    seed: int = option(0, "of everything that is drawn")
