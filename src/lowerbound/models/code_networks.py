"""Options and networks of a model whose latent is one or several maps of codes.

Each codebook of a map quantizes the residual of those before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from lowerbound.config import from_mapping, option
from lowerbound.distributions.point import Quantized
from lowerbound.errors import OptionError
from lowerbound.likelihoods.base import Likelihood, LocationScale
from lowerbound.likelihoods.discretized_logistic import DiscretizedLogistic
from lowerbound.networks.base import Decoder, Encoder, as_picture, reductions
from lowerbound.networks.frame_maps import FrameMapDecoder, FrameMapEncoder
from lowerbound.networks.inputs import Input
from lowerbound.networks.pictures.convolutional import Convolutional, MapDecoder, MapEncoder
from lowerbound.networks.pictures.map_stack import MapStack
from lowerbound.networks.pictures.patches import PatchEncoder
from lowerbound.networks.signals import Frames
from lowerbound.posteriors.finite_scalar import LEVELS, search
from lowerbound.posteriors.vector_quantized import GRADIENTS, QUANTIZERS, Quantizer
from lowerbound.priors.codes import CODE_PRIORS, CodePrior
from lowerbound.trace import Choose, Step

if TYPE_CHECKING:
    from lowerbound.models.parts import ModelParts

CODE_DIM = 16  # default length of a code's vector
MOST_SLOTS = 16  # largest default number of codes of a row that is not a picture


class CodebookPass(NamedTuple):
    """The result of one codebook in a pass.

    Attributes:
        step: its codes.
        penalty: added to the loss but not to the bound, (samples, rows); None: no penalty.
        vectors: the vectors it quantized, (1 | samples, rows, *shape, dim), without gradient.
        silent: rows that do not use this codebook, (rows,); None: every row uses it.
    """

    step: Step
    penalty: Tensor | None
    vectors: Tensor
    silent: Tensor | None


@dataclass(frozen=True, eq=False)
class CodeMap:
    """The codebooks in use of one map, coarse to fine.

    Attributes:
        shape: its places: (slots,), or (height, width).
        first: level of the first codebook.
        quantizers, priors: of each codebook in use; empty if the map is not used.
    """

    shape: tuple[int, ...]
    first: int
    quantizers: Sequence[Quantizer]
    priors: Sequence[CodePrior]

    def quantize(
        self,
        encoded: Tensor,
        choose: Choose,
        said: Tensor | None,
        breadth: int,
        above: Sequence[Tensor] = (),
        prompt: Tensor | None = None,
    ) -> tuple[Tensor, list[CodebookPass]]:
        """Quantize vectors (1 | samples, rows, *shape, dim); return quantized vectors and passes.

        Args:
            encoded: the vectors.
            choose: decides the codes.
            said: how many codebooks each row uses, (rows,), including those of the maps before;
                None: all.
            breadth: width of the beam search; 1: each codebook takes its nearest code.
            above: codes of the maps before, (samples, rows, *places) each.
            prompt: what a conditional prior is given of each row, (rows, fields).
        """
        rest, total = encoded, torch.zeros_like(encoded)
        passes: list[CodebookPass] = []
        for index, (quantizer, prior) in enumerate(zip(self.quantizers, self.priors, strict=True)):
            level = self.first + index
            expected = prior.given([*above, *(done.step.z for done in passes)], prompt)
            silent = None if said is None else said <= level
            posterior = Quantized(self._nearest(rest, index, breadth), silent, expected)
            z = choose(level, posterior, expected)
            vectors = quantizer.vectors(z)
            penalty = quantizer.penalty(rest, vectors)
            if penalty is not None:
                penalty = _where_said(penalty, silent).flatten(2).sum(-1)
            vectors = _where_said(vectors, silent)
            step = Step(z, posterior, expected)
            passes.append(CodebookPass(step, penalty, rest.detach(), silent))
            total, rest = total + vectors, rest - vectors.detach()
        return total, passes

    def vectors(self, codes: Sequence[Tensor]) -> Tensor:
        """The sum of the vectors of the first codebooks' codes, (...) each, to (..., dim)."""
        pairs = zip(self.quantizers, codes, strict=False)
        return torch.stack([quantizer.vectors(z) for quantizer, z in pairs]).sum(0)

    @torch.no_grad()
    def standardized(self, encoded: Tensor) -> Tensor:
        """The vectors to be quantized, after the first codebook has seen the encoder's output,
        (..., dim) each."""
        self.quantizers[0].standardize(encoded.flatten(0, -2))
        return self.quantizers[0].within(encoded)

    @torch.no_grad()
    def start(self, vectors: Tensor) -> Tensor:
        """Start the codebooks from the vectors to be quantized, (..., dim), each from its residual.

        Returns the quantized vectors, of the same shape.
        """
        rest, codes = vectors, []
        for quantizer in self.quantizers:
            quantizer.initialize(rest.flatten(0, -2))
            codes.append(quantizer.nearest(rest))
            rest = rest - quantizer.vectors(codes[-1])
        return self.vectors(codes)

    def _nearest(self, rest: Tensor, index: int, breadth: int) -> Tensor:
        """The codes from one codebook, by a search that includes the codebooks after it."""
        quantizers = self.quantizers[index:]
        if breadth == 1 or len(quantizers) == 1:
            return quantizers[0].nearest(rest)
        codes, *_ = search(quantizers, rest.detach().flatten(0, -2), breadth)
        return codes.reshape(rest.shape[:-1])


def _where_said(values: Tensor, silent: Tensor | None) -> Tensor:
    """Values (samples, rows, ...) with zeros in the rows ``silent``, (rows,)."""
    if silent is None:
        return values
    return values.masked_fill(silent.reshape(1, -1, *(1,) * (values.dim() - 2)), 0.0)


@dataclass(frozen=True)
class VectorQuantizedOptions:
    """Options of a latent made of codes, except those of the codebooks."""

    quantizer: str = option("vq", "how vectors become codes: " + ", ".join(QUANTIZERS))
    prior: str = option("uniform", "p(z) over codes: " + ", ".join(CODE_PRIORS))
    prior_options: Mapping[str, Any] = field(default_factory=dict)
    gradient: str = option(
        "straight_through", "gradient through quantization: " + ", ".join(GRADIENTS)
    )
    stride: int = option(4, "how many times smaller than a picture its map of codes is, per side")
    maps: int = option(
        1, "maps of a picture, each half as high and wide as the next; 2: two levels, VQ-VAE-2"
    )
    dropout: float = option(
        0.0, "share of training rows that use only a random number of their first codebooks"
    )
    free: int = option(
        0,
        "number of first updates without quantization, at most 40 % of the run; the codes then "
        "start from the encoder's vectors",
    )
    slots: int | None = option(
        None,
        "number of codes of a row that is not a picture; a sixteenth of its features unless given",
    )
    linear: bool | None = option(
        None,
        "encode a picture by a fixed PCA of its patches, and start the decoder there; start sound "
        "from a PCA of its spectra (default: true for sound)",
    )
    breadth: int = option(
        1,
        "width of the beam search over sums of codes, outside training; 1: each codebook "
        "takes its nearest code",
    )

    def __post_init__(self) -> None:
        if self.maps < 1:
            raise OptionError(f"maps is a number of maps of codes, at least 1, not {self.maps}")
        if self.breadth < 1:
            raise OptionError(f"breadth is a number of sums, at least 1, not {self.breadth}")
        if self.slots is not None and self.slots < 1:
            raise OptionError(f"slots is a number of codes, at least 1, not {self.slots}")
        if self.free < 0:
            raise OptionError(f"free is a number of updates, not {self.free}")
        if not 0.0 <= self.dropout <= 1.0:
            raise OptionError(f"dropout is a share of the rows, 0 to 1, not {self.dropout}")
        if self.dropout and self.quantizer != "residual" and self.maps == 1:
            raise OptionError("dropout leaves out codebooks: it takes quantizer=residual, or maps")
        if self.gradient == "rotation" and self.quantizer in ("fsq", "lfq"):
            raise OptionError(
                "gradient=rotation is for learned codebooks; a grid and signs have vectors of no "
                "direction or of one length, so leave it at straight_through"
            )

    @classmethod
    def split(cls, given: Mapping[str, Any]) -> tuple[VectorQuantizedOptions, dict[str, Any]]:
        """Split the given options into these and the rest, which belong to the codebooks."""
        own = {each.name for each in fields(cls)}
        options = from_mapping(cls, {name: given[name] for name in given if name in own})
        return options, {name: given[name] for name in given if name not in own}

    def slots_of(self, features: int) -> int:
        """Number of codes of a row with that many features."""
        return self.slots or min(math.ceil(features / 16), MOST_SLOTS)

    def patch_of(
        self, likelihood: Likelihood, inputs: Input | None, *, pictures: bool = True
    ) -> int:
        """Side of the patches that are encoded independently; 0: there are no patches.

        Raises:
            OptionError: patches are requested but not possible.
        """
        if not self.linear:
            return 0
        if self.maps > 1:
            raise OptionError("linear=true is for one map of codes: leave maps out")
        located = isinstance(likelihood, (LocationScale, DiscretizedLogistic))
        if not pictures or not located or inputs is not None:
            raise OptionError(
                "linear=true is for whole pictures with the network 'convolutional' and a "
                "likelihood around a location: discretized_logistic, gaussian, laplace or student_t"
            )
        return self.stride


def start_linear_path(encoder: nn.Module, decoder: nn.Module, x: Tensor, rate: float) -> None:
    """Start from principal components, where the networks have a linear path.

    Args:
        encoder, decoder: of the same model.
        x: rows, (rows, *event).
        rate: samples per second, if rows are signals.
    """
    if isinstance(encoder, PatchEncoder) and isinstance(decoder, MapDecoder):
        decoder.start_from_patches(encoder, x)
    if isinstance(encoder, FrameMapEncoder) and isinstance(decoder, FrameMapDecoder):
        decoder.start_from_frames(encoder, x, rate)


@dataclass(frozen=True)
class CodeNetworks:
    """The networks of a model whose latent is codes.

    Attributes:
        encoder, decoder: networks between rows and the vectors of all places.
        shapes: places of each map, coarse to fine.
        between: networks from each map to the next.
    """

    encoder: Encoder
    decoder: Decoder
    shapes: tuple[tuple[int, ...], ...]
    between: Sequence[nn.Module] = ()


def code_dim(options: Mapping[str, Any]) -> int:
    """Length of a code's vector; a grid and signs determine it."""
    levels, codes = options.get("levels", LEVELS), options.get("codes", 512)
    if options.get("quantizer") == "fsq" and isinstance(levels, (list, tuple)):
        return len(levels)
    if options.get("quantizer") == "lfq" and isinstance(codes, int):
        return (max(codes, 2) - 1).bit_length()
    return CODE_DIM


def code_networks(
    parts: ModelParts, codes: VectorQuantizedOptions, likelihood: Likelihood
) -> CodeNetworks:
    """Build the networks for the maps and places that the options name."""
    if isinstance(parts.network, Convolutional):
        return _map_networks(parts, parts.network, codes, likelihood)
    if parts.network.only_maps and codes.maps == 1:
        return _only_map_networks(parts, codes, likelihood)
    if codes.maps > 1:
        raise OptionError("maps are of pictures: they take the network 'convolutional'")
    dim, parameters, condition_dim = (
        parts.latent_dim,
        likelihood.parameter_shape,
        parts.condition_dim,
    )
    if isinstance(parts.network, Frames):
        shape = (parts.network.transform.places(parts.schema.dimension),)
        encoder = FrameMapEncoder(parts.network, dim, condition_dim, codes.linear is not False)
        return CodeNetworks(
            encoder, FrameMapDecoder(parts.network, dim, parameters, condition_dim), (shape,)
        )
    codes.patch_of(likelihood, parts.inputs, pictures=False)
    slots = codes.slots_of(parts.schema.dimension)
    numbers = slots * dim
    return CodeNetworks(parts.encoder(numbers), parts.decoder(likelihood, numbers), ((slots,),))


def _only_map_networks(
    parts: ModelParts, codes: VectorQuantizedOptions, likelihood: Likelihood
) -> CodeNetworks:
    """The networks of a family whose latent is one map."""
    codes.patch_of(likelihood, parts.inputs, pictures=False)
    network, picture, condition_dim = parts.network, parts.input_shape, parts.condition_dim
    shape, dim = network.map_size(parts.schema.event_shape, codes.stride), parts.latent_dim
    parameters = likelihood.parameter_shape
    return CodeNetworks(
        network.map_encoder(picture, codes.stride, dim, condition_dim),
        network.map_decoder(codes.stride, dim, parameters, condition_dim),
        (shape,),
    )


def _map_networks(
    parts: ModelParts, network: Convolutional, codes: VectorQuantizedOptions, likelihood: Likelihood
) -> CodeNetworks:
    picture, parameters = parts.input_shape, likelihood.parameter_shape
    dim, condition_dim = parts.latent_dim, parts.condition_dim
    levels = reductions(as_picture(picture).size, codes.stride, network.width)
    patch = codes.patch_of(likelihood, parts.inputs)
    if codes.maps > 1:
        stack = MapStack(network, levels, codes.maps, dim)
        encoder, decoder = (
            stack.encoder(picture, condition_dim),
            stack.decoder(parameters, condition_dim),
        )
        return CodeNetworks(encoder, decoder, stack.shapes, stack.between())
    return CodeNetworks(
        PatchEncoder(picture, patch, dim, condition_dim)
        if patch
        else MapEncoder(network, picture, levels, dim, condition_dim),
        MapDecoder(network, dim, parameters, levels, condition_dim, picture, patch),
        (levels[-1].size,),
    )
