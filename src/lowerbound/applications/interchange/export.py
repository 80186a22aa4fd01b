"""Write a model for another program: as a folder of ``diffusers``, as ONNX, or by torch.export."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound import durable
from lowerbound.applications.common.application import Report, Reporter
from lowerbound.applications.common.conditions import prompt_of, typed_values
from lowerbound.applications.common.files import fill_folder
from lowerbound.applications.common.fit_rows import rows_of_fit
from lowerbound.applications.interchange.config_file import (
    CODEBOOK,
    CONFIG,
    WEIGHTS,
    AutoencoderConfig,
    KLConfig,
    VQConfig,
    codebook_of,
    decoder_of,
    encoder_of,
    written_config,
)
from lowerbound.applications.interchange.graphs import (
    ONNX,
    GraphReport,
    TorchExport,
    export_graphs,
    refuse_others_files,
)
from lowerbound.applications.interchange.pipeline import (
    AUTOENCODER,
    FILES,
    PIPELINE,
    difference_of_draws,
    diffusion_prior,
    refuse_other_pipelines,
    standardized,
    write_prior,
)
from lowerbound.applications.interchange.requests import ExportRequest
from lowerbound.config import to_mapping
from lowerbound.distributions.reparameterization import draw, seeded
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.fitting.fitted import Fitted
from lowerbound.likelihoods.base import LocationScale
from lowerbound.likelihoods.discretized_logistic import DiscretizedLogistic
from lowerbound.models.base import Model
from lowerbound.models.powers import Decodes, Encodes, HasPrior, Quantizes, require
from lowerbound.networks.denoisers import diffusers
from lowerbound.posteriors.gaussian import ClampedGaussianPosterior
from lowerbound.priors.diffusion.prior import DiffusionPrior
from lowerbound.trace import Batch
from lowerbound.untrusted import folders

MOST_NUMBERS, ROWS = 2**22, 16
PRIOR_DRAWS = 64
ZERO, ONE = torch.zeros(1), torch.ones(1)


@dataclass(frozen=True)
class ExportReport(Report):
    """A model was exported.

    Attributes:
        folder: the folder written.
        architecture: its class in diffusers.
        scaling_factor: 1 / standard deviation of the latents of the written autoencoder.
        latents: which latents these are.
        difference: the largest absolute difference between the numbers of this model and of
            diffusers for one picture: latent, log-variance, and picture in [-1, 1]; of a pipeline
            also one drawn picture.
    """

    folder: str
    architecture: str
    scaling_factor: float
    latents: str
    difference: float

    def text(self) -> str:
        return (
            f"{self.architecture} in {self.folder}: diffusers gives the same numbers within "
            f"{self.difference:.0e}\nscaling_factor {self.scaling_factor:.5g}, from {self.latents}"
        )


def export(
    request: ExportRequest, reporter: Reporter, fitted: Fitted
) -> ExportReport | GraphReport:
    """Write the folder, load it with the other program and compare the numbers.

    Raises:
        OptionError: not one folder is given.
        UnsupportedError: the model has no form in the other program, or would give other numbers.
        DataError: the folder contains other files.
    """
    if sum(map(bool, (request.output, request.onnx, request.torch))) != 1:
        raise OptionError(
            "export writes one folder: give -o FOLDER for diffusers, --onnx FOLDER or "
            "--torch FOLDER"
        )
    if request.output:
        return _export_to_diffusers(request, fitted)
    if request.first_stage or request.given or request.prompt:
        raise OptionError("--first-stage, --given and --prompt are for a folder of diffusers: -o")
    form = ONNX() if request.onnx else TorchExport()
    return export_graphs(Path(request.onnx or request.torch), fitted, form)


def _export_to_diffusers(request: ExportRequest, fitted: Fitted) -> ExportReport:
    folder, model = Path(request.output), fitted.model
    prior = None if request.first_stage else diffusion_prior(model)
    refuse_others_files(folder, {CONFIG, WEIGHTS} if prior is None else FILES)
    # raise an error where diffusers would give other numbers
    encoder_of(model)
    if model.inputs is not None:
        raise UnsupportedError(
            "the encoder takes a mask of missing cells, which the encoder in diffusers does not"
        )
    if not isinstance(model.declared_likelihood, (LocationScale, DiscretizedLogistic)):
        raise UnsupportedError(
            "the decoder in diffusers returns a picture: export needs a likelihood around a "
            "location, which are discretized_logistic, gaussian, laplace and student_t"
        )
    if isinstance(model, Quantizes):
        codebook_of(model)
    elif not isinstance(getattr(model, "posterior", None), ClampedGaussianPosterior):
        raise UnsupportedError(
            "diffusers clamps log-variances: export needs the posterior clamped_gaussian"
        )
    if request.prompt and fitted.options.model.prompts.fields:
        raise OptionError(
            "a pipeline draws for fixed attributes, and what a caption leaves open is drawn anew "
            "for each row: name the attributes with --given instead of --prompt"
        )
    prompt = prompt_of(fitted, typed_values(request.given), request.prompt, 1)
    if prior is not None:
        return _written_pipeline(folder, fitted, prior, prompt)
    if prompt is not None:
        raise OptionError("--given and --prompt are for a pipeline, and not for --first-stage")
    spread, latents = _latent_spread(fitted, request.model)
    config = _config(fitted, spread)
    _fill(folder, lambda place: _write(place, config, _weights(fitted)))
    difference = _difference(fitted, _load(config.architecture, folder))
    return ExportReport(
        str(folder), config.architecture, config.scaling_factor, latents, difference
    )


def _written_pipeline(
    folder: Path, fitted: Fitted, prior: DiffusionPrior, prompt: Tensor | None
) -> ExportReport:
    """Write autoencoder and prior, load both with diffusers, and compare."""
    refuse_other_pipelines(fitted.model, prior, prompt)
    prior.eval()
    loc, scale = prior.loc.flatten(), prior.scale.flatten()
    config = _config(fitted, 1.0)
    assert isinstance(config, KLConfig)
    config = replace(config, use_quant_conv=True, use_post_quant_conv=True)
    weights = standardized(_weights(fitted), loc, scale)

    def write(place: Path) -> None:
        _write(place / AUTOENCODER, config, weights)
        write_prior(place, prior, prompt)

    _fill(folder, write)
    theirs = _load(config.architecture, folder / AUTOENCODER)
    difference = max(
        _difference(fitted, theirs, loc, scale),
        difference_of_draws(fitted.model, prior, prompt, folder),
    )
    return ExportReport(str(folder), PIPELINE, 1.0, "latents that are standardized", difference)


def _fill(folder: Path, write: Callable[[Path], None]) -> None:
    """Write all files of a folder, which is complete or absent, or as before."""

    def names(place: Path) -> list[str]:
        write(place)
        return [str(path) for path in sorted(place.rglob("*")) if path.is_file()]

    fill_folder(folder, names, note=False, whole=True)


def _write(folder: Path, config: AutoencoderConfig, weights: dict[str, Tensor]) -> None:
    folders.make(folder)
    durable.write_tensors(folder / WEIGHTS, weights, {"format": "pt"})
    durable.write_text(folder / CONFIG, json.dumps(written_config(config), indent=2) + "\n")


def _config(fitted: Fitted, spread: float) -> AutoencoderConfig:
    options, network = to_mapping(fitted.options.model), encoder_of(fitted.model).options
    channels, height, width = fitted.schema.event_shape
    sizes: dict[str, Any] = {
        **network.sizes(),
        "in_channels": channels,
        "out_channels": channels,
        "down_block_types": network.down_blocks(),
        "up_block_types": network.up_blocks(),
        "sample_size": height if height == width else (height, width),
        "scaling_factor": 1 / spread,
        "force_upcast": False,
    }
    dim = int(options["latent_dim"])
    if isinstance(fitted.model, Quantizes):
        return VQConfig(
            **sizes,
            latent_channels=network.latent_channels or dim,
            num_vq_embeddings=codebook_of(fitted.model).codes,
            vq_embed_dim=dim,
        )
    return KLConfig(
        **sizes,
        latent_channels=dim,
        use_quant_conv=network.use_quant_conv,
        use_post_quant_conv=network.use_post_quant_conv,
    )


def _weights(fitted: Fitted) -> dict[str, Tensor]:
    """Weights by their names in diffusers; of the decoder's output only the location."""
    model, channels = fitted.model, fitted.schema.event_shape[0]
    found = {**encoder_of(model).state_dict(), **decoder_of(model).state_dict()}
    for name in ("decoder.conv_out.weight", "decoder.conv_out.bias"):
        found[name] = found[name][:channels]
    if isinstance(model, Quantizes):
        found[CODEBOOK] = codebook_of(model).book
    return found


def _load(architecture: str, folder: Path) -> Any:
    kind = getattr(diffusers(), architecture)
    return kind.from_pretrained(str(folder), local_files_only=True, low_cpu_mem_usage=False).eval()


@torch.no_grad()
def _difference(fitted: Fitted, theirs: Any, loc: Tensor = ZERO, scale: Tensor = ONE) -> float:
    """The largest difference between the numbers of both for one random picture.

    Args:
        fitted: this model.
        theirs: the same of diffusers; its latent is (z - loc) / scale, (channels | 1,) each.
    """
    model = require(fitted.model, Encodes, "be exported")
    x = torch.rand(1, *fitted.schema.event_shape, generator=torch.Generator().manual_seed(0))
    posterior = model.encode(Batch(x))
    z = posterior.mean
    emission: Any = require(fitted.model, Decodes, "be exported").decode(z)
    ours: list[Tensor] = [2 * emission.loc[0] - 1]
    if isinstance(fitted.model, Quantizes):
        answers = [theirs(2 * x - 1).sample]
    else:
        found = theirs.encode(2 * x - 1).latent_dist
        loc, scale = loc.reshape(-1, 1, 1), scale.reshape(-1, 1, 1)
        ours.append((z.view_as(found.mean) - loc) / scale)
        ours.append(posterior.variance.log().view_as(found.mean) - 2 * scale.log())
        answers = [theirs.decode(found.mean).sample, found.mean, found.logvar]
    return max(float((a - b).abs().max()) for a, b in zip(ours, answers, strict=True))


def _latent_spread(fitted: Fitted, folder: str) -> tuple[float, str]:
    """The standard deviation of the latents, and which latents these are."""
    try:
        rows = rows_of_fit(fitted, folder)
    except DataError:
        rows = None
    if rows is None:
        return _prior_spread(fitted.model), "the prior"
    count = max(ROWS, min(1024, MOST_NUMBERS // fitted.schema.dimension))
    few = rows.seen.thinned(count)
    found = [_drawn(fitted.model, few.batch(index)) for index in torch.arange(len(few)).split(ROWS)]
    return float(torch.cat(found).std()), f"{len(few):,} training rows"


@torch.no_grad()
def _drawn(model: Model, batch: Batch) -> Tensor:
    """One draw of the latents of rows, (rows, numbers)."""
    with seeded(0):
        return draw(require(model, Encodes, "be exported").encode(batch), 1)[0]


@torch.no_grad()
def _prior_spread(model: Model) -> float:
    """The standard deviation of all numbers of a latent under the prior."""
    if isinstance(model, Quantizes):
        return float(codebook_of(model).book.std())
    prior = require(model, HasPrior, "be exported").prior_distribution()
    try:
        variance, mean = prior.variance, prior.mean
        return math.sqrt(float(variance.mean() + mean.var(correction=0)))
    except NotImplementedError:
        with seeded(0):
            return float(prior.expand(torch.Size((1, PRIOR_DRAWS))).sample().std())
