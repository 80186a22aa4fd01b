"""The options that denoising and imputation share, and their checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lowerbound.applications.common.form import DeviceRequest, PhotographsRequest
from lowerbound.config import option
from lowerbound.data.pictures.folders import look_at
from lowerbound.data.pictures.whole import picture_paths
from lowerbound.data.schema import Schema
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.manifest import MANIFEST


@dataclass(frozen=True)
class RestorationRequest(DeviceRequest, PhotographsRequest):
    """Request to restore data by a model, or photographs without one."""

    output: str = option("", "file or folder to write", short="-o", metavar="OUT")
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
