"""The requests to exchange models with other programs."""

from __future__ import annotations

from dataclasses import dataclass

from lowerbound.applications.common.form import (
    REQUIRED,
    FolderRequest,
)
from lowerbound.config import option


@dataclass(frozen=True)
class ExportRequest(FolderRequest):
    """Write a model for another program."""

    output: str = option(
        "", "write a folder that diffusers loads", short="-o", metavar="FOLDER", writes=True
    )
    onnx: str = option(
        "", "write encoder and decoder as ONNX graphs", metavar="FOLDER", writes=True
    )
    torch: str = option(
        "", "write encoder and decoder by torch.export", metavar="FOLDER", writes=True
    )
    first_stage: bool = option(
        False, "write the autoencoder alone, of a model whose prior is a diffusion model"
    )
    given: tuple[str, ...] = option(
        (),
        "an attribute that all pictures of the pipeline should have, for a prior that was trained "
        "with --label or --attributes; repeatable",
        metavar="ATTRIBUTE=VALUE",
    )
    prompt: str = option(
        "",
        "what all pictures of the pipeline should be, for a prior that was trained with --captions",
        metavar="TEXT",
    )


@dataclass(frozen=True)
class ImportRequest:
    """Read an autoencoder of diffusers, such as the one of Stable Diffusion, as a model."""

    folder: str = option(
        REQUIRED,
        "folder of a diffusers AutoencoderKL or VQModel, or of a pipeline that has one",
        positional=True,
        metavar="FOLDER",
        reads="model",
    )
    output: str = option(
        REQUIRED, "model folder to write", short="-o", metavar="MODEL", writes=True
    )
    image_size: int | None = option(
        None, "height and width of the model's pictures (default: the folder's)"
    )
    scale: float = option(
        0.05, "standard deviation of p(x | z), as a share of white; the folder does not have one"
    )
    overwrite: bool = option(False, "replace the model in the folder of -o")
