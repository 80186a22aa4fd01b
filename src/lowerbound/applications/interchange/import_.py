"""Read an autoencoder of ``diffusers`` as a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.applications.common import fit_folder
from lowerbound.applications.common.application import Report, Reporter
from lowerbound.applications.interchange.config_file import (
    CODEBOOK,
    CONFIG,
    AutoencoderConfig,
    KLConfig,
    codebook_of,
    decoder_of,
    encoder_of,
    read_config,
    read_weights,
)
from lowerbound.applications.interchange.requests import ImportRequest
from lowerbound.data.pictures.pixels import ImageFormat
from lowerbound.data.schema import Schema
from lowerbound.errors import OptionError
from lowerbound.fitting import folder as model_folder
from lowerbound.fitting.assembly import assemble, resolve
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.options import FitOptions
from lowerbound.likelihoods.base import raw_scale
from lowerbound.models.base import MODELS, Model
from lowerbound.priors.mixture import SCALE_FLOOR, MixturePrior
from lowerbound.training.reporter import History

PIPELINE = ("vae", "vqvae")  # folders of the autoencoder inside that of a pipeline
DENOISERS = ("unet", "transformer")  # folders of its diffusion model


@dataclass(frozen=True)
class ImportReport(Report):
    """An autoencoder was imported.

    Attributes:
        model: the folder written.
        architecture: of the folder read.
        picture: channels, height and width.
        latent: channels, height and width.
        weights: how many numbers.
        left: folders of a diffusion model beside the autoencoder, which are not read.
    """

    model: str
    architecture: str
    picture: tuple[int, ...]
    latent: tuple[int, ...]
    weights: int
    left: tuple[str, ...] = ()

    def text(self) -> str:
        shapes = ("x".join(map(str, shape)) for shape in (self.picture, self.latent))
        left = (
            f"\nnot read: {', '.join(self.left)}; train a prior with lowerbound prior "
            "--kind diffusion"
        )
        return (
            f"{self.architecture} with {self.weights:,} weights: pictures {next(shapes)}, "
            f"latent map {next(shapes)}{left if self.left else ''}\nmodel: {self.model}"
        )


def import_(request: ImportRequest, reporter: Reporter) -> ImportReport:
    """Read the folder, check it, and write a model folder.

    Raises:
        ModelFolderError: the folder is not one of diffusers, of another architecture, or damaged;
            or that of the output holds something else, or a model that must not be replaced.
        OptionError: a size or a scale that is not possible.
        MissingExtraError: diffusers is not installed.
    """
    output = Path(request.output)
    state = fit_folder.may_write(output, resume=False, overwrite=request.overwrite)
    folder = autoencoder_folder(Path(request.folder))
    config = read_config(folder)
    schema = _schema(config, request.image_size)
    fitted = imported(config, read_weights(folder, config), schema, request.scale)
    model_folder.write(output, fitted)
    if state != "absent":
        fit_folder.forget(output)
    numbers = sum(value.numel() for value in fitted.model.parameters())
    height, width = config.network().map_size(schema.event_shape, config.network().map_stride)
    return ImportReport(
        model=request.output,
        architecture=config.architecture,
        picture=schema.event_shape,
        latent=(config.dim, height, width),
        weights=numbers,
        left=tuple(name for name in DENOISERS if (folder.parent / name / CONFIG).is_file()),
    )


def autoencoder_folder(folder: Path) -> Path:
    """The folder itself, or the autoencoder's inside the folder of a pipeline."""
    if (folder / CONFIG).is_file():
        return folder
    return next((folder / n for n in PIPELINE if (folder / n / CONFIG).is_file()), folder)


def imported(
    config: AutoencoderConfig, weights: dict[str, Tensor], schema: Schema, scale: float
) -> Fitted:
    """The model with these weights.

    Raises:
        OptionError: the scale is not positive, or the pictures' sides do not fit the stride.
    """
    if not scale > 0:
        raise OptionError(f"--scale is a positive share of white, not {scale}")
    options = replace(config.options(), likelihood="gaussian", likelihood_options={"tau": scale})
    if isinstance(config, KLConfig) and _latent_moments(config) is not None:
        options = replace(options, prior="mixture", prior_options={"components": 1})
    options = resolve(schema, options)
    model = assemble(schema, options)
    _load(model, config, weights)
    fit_options = FitOptions(options, objective=MODELS[options.model].objective)
    return Fitted(model.eval(), schema, fit_options, History())


@torch.no_grad()
def _load(model: Model, config: AutoencoderConfig, weights: dict[str, Tensor]) -> None:
    for half in (encoder_of(model), decoder_of(model)):
        half.load_state_dict({name: weights[name] for name in half.state_dict()})
    if CODEBOOK in weights:
        vectors = weights[CODEBOOK]
        codebook = codebook_of(model)
        codebook.shares.fill_(1 / codebook.codes)
        codebook.sums.fill_(1.0)
        codebook.sums.copy_(vectors.double() / codebook.book[:, :1].double())
    prior = getattr(model, "prior", None)
    if isinstance(config, KLConfig) and isinstance(prior, MixturePrior):
        moments = _latent_moments(config)
        assert moments is not None
        places = prior.latent_dim // config.dim
        mean, spread = (value.repeat_interleave(places) for value in moments)
        prior.loc.copy_(mean)
        prior.raw_scale.copy_(raw_scale(spread, SCALE_FLOOR))


def _latent_moments(config: KLConfig) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation of each channel that the config has; None: N(0, 1).

    A pipeline of diffusers standardizes latents by (z - mean) * scaling_factor / std.
    """
    shift = 0.0 if config.shift_factor is None else config.shift_factor
    mean = torch.tensor(config.latents_mean or (shift,) * config.dim)
    spread = torch.tensor(config.latents_std or (1.0,) * config.dim) / config.scaling_factor
    if bool((mean == 0).all()) and bool((spread == 1).all()):
        return None
    return mean, spread


def _schema(config: AutoencoderConfig, size: int | None) -> Schema:
    """8-bit pictures of the size that the config or the user gives."""
    sides = (size, size) if size is not None else config.sample_size
    height, width = (sides, sides) if isinstance(sides, int) else sides
    network = config.network()
    stride = network.map_stride
    if min(height, width) < 1 or height % stride or width % stride:
        raise OptionError(
            f"--image-size is a multiple of {stride}, the stride of this model, not "
            f"{height}x{width}"
        )
    return Schema(
        kind="images",
        event_shape=(config.in_channels, height, width),
        levels=256,
        white=255.0,
        dtype="uint8",
        image=ImageFormat("squeezed" if config.in_channels == 1 else "last"),
    )
