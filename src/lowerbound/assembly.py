"""From a schema and options to a model: networks, likelihood and sizes chosen from the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from torch import nn

from lowerbound.config import construct, from_mapping, option
from lowerbound.data.columns import named
from lowerbound.data.dataset import Dataset, spread_rows
from lowerbound.data.hot_deck import hot_deck
from lowerbound.data.schema import Schema
from lowerbound.errors import DataError, OptionError, unknown
from lowerbound.likelihoods import LIKELIHOODS, Likelihood
from lowerbound.likelihoods.discretized_logistic import DiscretizedLogistic
from lowerbound.likelihoods.location_scale import LocationScale
from lowerbound.linear_start import start_from_linear
from lowerbound.models import (
    MODELS,
    Autoencoder,
    HierarchicalVariationalAutoencoder,
    LadderVariationalAutoencoder,
    Model,
    ProbabilisticPCA,
    SemiSupervisedRegression,
    SemiSupervisedVariationalAutoencoder,
    TransformCoder,
    VariationalAutoencoder,
    VectorQuantizedVariationalAutoencoder,
)
from lowerbound.models.labeled import Between
from lowerbound.networks import NETWORKS, Convolutional, Decoder, Encoder, Frames, Network
from lowerbound.networks.chain import Chain
from lowerbound.networks.classes import Classes
from lowerbound.networks.feature_maps import MapDecoder, MapEncoder
from lowerbound.networks.frame_maps import FrameMapDecoder, FrameMapEncoder
from lowerbound.networks.inputs import Columns, Input, Masked
from lowerbound.networks.labels import Labels
from lowerbound.networks.ladder import Ladder
from lowerbound.networks.map_stack import MapStack
from lowerbound.networks.measurements import Measurements
from lowerbound.networks.patch_paths import PatchEncoder
from lowerbound.networks.sizes import as_picture, reductions
from lowerbound.networks.tabular import Tabular
from lowerbound.networks.transform_sizes import TransformSizes
from lowerbound.posteriors import GRADIENTS, POSTERIORS, QUANTIZERS, Posterior
from lowerbound.posteriors.finite_scalar import LEVELS
from lowerbound.priors import CODE_PRIORS, PRIORS, Prior
from lowerbound.ridge_start import start_from_ridge
from lowerbound.self_masking import AT_RANDOM, MISSINGNESS
from lowerbound.trace import Batch

AUTO = "auto"
MEASURED = "semi_supervised_regression"  # the model whose label is a measurement
LABELED = ("semi_supervised", MEASURED)  # models of which the label is a latent
INITIAL_ROWS = 10_000
MOST_INITIAL = 2**26  # numbers of these rows together
MOST_FACTORS = 32  # latent numbers of a table unless given
LADDER_CHANNELS = 8  # of the coarsest latent of a picture
CODE_DIM = 16  # numbers of the vector that a code stands for
MOST_SLOTS = 16  # codes of a row that is no picture, unless given


@dataclass(frozen=True)
class ModelOptions:
    """What the model is made of; "auto" and None are chosen from the data.

    The words are the registries' names; the ``*_options`` go to the part of that name.
    """

    model: str = option("vae", "what is fitted", choices=MODELS)
    latent_dim: int | None = option(
        None, "numbers that a row is shrunk to (default: from the data)"
    )
    network: str = option(AUTO, "of encoder and decoder", choices=(AUTO, *NETWORKS))
    likelihood: str = option(AUTO, "p(x | z)", choices=(AUTO, *LIKELIHOODS))
    prior: str = option("standard_normal", "p(z)", choices=PRIORS)
    posterior: str = option(AUTO, "q(z | x)", choices=(AUTO, *POSTERIORS))
    missingness: str = option(
        AT_RANDOM,
        "why cells are missing, if you know it, since no data can tell: because their values are "
        "high, low, or either",
        choices=MISSINGNESS,
    )
    conditional: bool = option(False, "tell encoder and decoder the class: p(x | y)")
    model_options: Mapping[str, Any] = field(default_factory=dict)
    network_options: Mapping[str, Any] = field(default_factory=dict)
    likelihood_options: Mapping[str, Any] = field(default_factory=dict)
    prior_options: Mapping[str, Any] = field(default_factory=dict)
    posterior_options: Mapping[str, Any] = field(default_factory=dict)


def resolve(schema: Schema, options: ModelOptions) -> ModelOptions:
    """The same options with every "auto" and None decided from the schema.

    Raises:
        OptionError: an unknown name, or a latent dimension below one.
    """
    MODELS[options.model]
    _check_powers(schema, options)
    network = options.network
    if network == AUTO:
        network = default_network(schema, options.model)
    if options.model == "ladder":
        _check_ladder(options, network)
    if options.model == "vq_vae":
        _check_codes(options, network)
    if options.model == "semi_supervised":
        _check_classes(schema)
    if options.model == MEASURED and schema.measurement is None:
        raise OptionError(
            f"{MEASURED} learns a measurement, and the data has none: name a label column that "
            "holds numbers, or give y"
        )
    if options.model in LABELED:
        _check_label(options, network)
    if options.model == "transform":
        options = _checked_transform(schema, options)
    _check_missingness(schema, options, network)
    likelihood = default_likelihood(schema) if options.likelihood == AUTO else options.likelihood
    posterior = options.posterior
    if posterior == AUTO:
        posterior = "full" if network == "tabular" else "gaussian"
    latent_dim = options.latent_dim
    if latent_dim is None:
        latent_dim = default_latent_dim(schema, options.model, network)
        if options.model == "vq_vae":
            latent_dim = code_dim(options.model_options)
    likelihood_options = options.likelihood_options
    if options.likelihood == AUTO and likelihood == "gaussian" and schema.missing:
        # a cell is imputed as well as its column can be known, and columns differ in that
        likelihood_options = {"scale": "feature", **likelihood_options}
    return replace(
        options,
        latent_dim=latent_dim,
        network=network,
        likelihood=likelihood,
        likelihood_options=likelihood_options,
        posterior=posterior,
    )


def _check_powers(schema: Schema, options: ModelOptions) -> None:
    """Refuse what the model cannot do, or not with this data."""
    if options.latent_dim is not None and options.latent_dim < 1:
        raise OptionError(f"latent_dim must be at least 1, not {options.latent_dim}")
    if options.conditional and options.model == "pca":
        raise OptionError("pca cannot be told the class: choose vae or autoencoder")
    if options.conditional and schema.condition is None:
        raise OptionError("a conditional model needs labels: name a label column or give y")
    if options.model == "pca" and not schema.gaussian:
        raise OptionError(
            "pca is for columns of real numbers, and this table has others: read it with "
            "kinds='real', or fit a vae"
        )


def _check_missingness(schema: Schema, options: ModelOptions, network: str) -> None:
    if options.missingness not in MISSINGNESS:
        raise unknown("missingness", options.missingness, MISSINGNESS)
    if options.missingness == AT_RANDOM:
        return
    if options.model != "vae" or network != "tabular":
        raise OptionError(
            f"missingness {options.missingness!r} is for the model 'vae' with the network 'tabular'"
            f", of rows with missing cells, and not for {options.model!r} with {network!r}"
        )
    if not schema.missing:
        raise OptionError(
            f"missingness {options.missingness!r} says why cells are missing, and the data was "
            "read as complete rows: read it with missing='model' (--missing model)"
        )
    bent = [column.name for column in schema.modeled if column.spline is not None]
    if bent:
        raise OptionError(
            f"{named(bent)}: bent to normal by the values that were seen, beyond which missing "
            "ones are to lie; read the data with bend=False"
        )


def _check_ladder(options: ModelOptions, network: str) -> None:
    if network not in ("mlp", "convolutional"):
        raise OptionError(f"a ladder takes the network 'mlp' or 'convolutional', not {network!r}")
    if options.prior != "standard_normal" or options.posterior not in (AUTO, "gaussian"):
        raise OptionError(
            "a ladder has Gaussian priors and posteriors of its own at every level; leave prior "
            "and posterior out"
        )


def _check_codes(options: ModelOptions, network: str) -> None:
    if network == "tabular":
        raise OptionError("a vq_vae takes any network but 'tabular', which answers with a Gaussian")
    if options.prior != "standard_normal" or options.posterior not in (AUTO, "gaussian"):
        raise OptionError(
            "the latents of a vq_vae are codes: leave prior and posterior out, and choose the "
            f"model's own prior over codes: {' or '.join(CODE_PRIORS)}"
        )


def _check_classes(schema: Schema) -> None:
    if len(schema.class_names) < 2:
        found = f"one class ({schema.class_names[0]})" if schema.class_names else "none"
        raise OptionError(
            f"semi_supervised learns two classes or more, and the data has labels of {found}: name "
            "a label column, give y, or sort pictures into a folder per class (sound too, and name "
            "--spectrograms)"
        )


def _check_label(options: ModelOptions, network: str) -> None:
    if options.conditional:
        raise OptionError(f"{options.model} infers the label: leave conditional out")
    if network == "tabular" or options.posterior not in (AUTO, "gaussian"):
        raise OptionError(
            f"the posteriors of {options.model} are diagonal Gaussians: leave posterior out, and "
            "take any network but 'tabular'"
        )
    if options.prior == "vamp":
        raise OptionError(
            "the prior vamp asks the encoder about rows without a label; choose standard_normal, "
            "mixture or flow"
        )


def _checked_transform(schema: Schema, options: ModelOptions) -> ModelOptions:
    """With the likelihood and the numbers per block that it has."""
    if schema.kind != "images":
        raise OptionError("a transform coder is for pictures: choose vae or vq_vae for other rows")
    if options.likelihood not in (AUTO, "gaussian") or options.conditional:
        raise OptionError(
            "a transform coder has a gaussian likelihood with the noise of rounding, and is told "
            "no class: leave likelihood and conditional out"
        )
    sizes = from_mapping(TransformSizes, options.model_options)
    most = sizes.coefficients(schema.event_shape)
    kept = min(options.latent_dim or most, most)
    return replace(options, likelihood="gaussian", latent_dim=kept)


def default_latent_dim(schema: Schema, model: str = "vae", network: str = "mlp") -> int:
    """About a third of the features of a small row, growing with the root of a large one; half of a
    table's columns; channels of the coarsest latent of a ladder."""
    features = schema.dimension
    if network == "tabular":
        return min(math.ceil(features / 2), MOST_FACTORS)
    if model == "ladder" and network == "convolutional":
        return LADDER_CHANNELS
    return max(1, min(math.ceil(features / 3), 2 * math.ceil(math.sqrt(features) / 2), 64))


def code_dim(options: Mapping[str, Any]) -> int:
    """Numbers of the vector that a code stands for: as many as the grid or the signs have."""
    levels, codes = options.get("levels", LEVELS), options.get("codes", 512)
    if options.get("quantizer") == "fsq" and isinstance(levels, (list, tuple)):
        return len(levels)
    if options.get("quantizer") == "lfq" and isinstance(codes, int):
        return (max(codes, 2) - 1).bit_length()
    return CODE_DIM


def default_network(schema: Schema, model: str = "vae") -> str:
    """Convolutional for pictures of at least 16 pixels a side, frames for sound, tabular for the
    VAE of a table or of vectors with missing cells, else an MLP."""
    if schema.kind == "audio":
        return "frames"
    if model == "vae" and len(schema.event_shape) == 1 and (schema.mixed or schema.missing):
        return "tabular"
    return "convolutional" if min(schema.event_shape[1:], default=0) >= 16 else "mlp"


def default_likelihood(schema: Schema) -> str:
    """By columns for a table, probability mass for binary and integer data, one learned scale for
    real numbers."""
    if schema.kind == "table" and schema.levels is None and (schema.mixed or schema.missing):
        return "mixed"
    if schema.binary:
        return "bernoulli"
    if schema.levels is not None:
        return "discretized_logistic"
    return "gaussian"


def of_numbers_only(options: ModelOptions) -> bool:
    """Whether the model takes every column for a real number, so that a table is read as such."""
    return options.model == "pca" or options.likelihood not in (AUTO, "mixed")


def measures(options: ModelOptions) -> bool:
    """Whether the label is a number to be predicted, so that it is read as such."""
    return options.model == MEASURED


def bends(options: ModelOptions) -> bool:
    """Whether columns may be bent to normal by the values that were seen: not where the others are
    missing because they lie elsewhere."""
    return options.missingness == AT_RANDOM


def assemble(schema: Schema, options: ModelOptions) -> Model:
    """Build the model that the resolved options describe; weights are torch's defaults.

    The same schema and options always give the same shapes, so a model folder can be read back.

    Raises:
        OptionError: a name or an option of a part is unknown.
    """
    options = resolve(schema, options)
    return _BUILDERS[options.model](_Parts(schema, options))


@dataclass(frozen=True)
class _Parts:
    """The parts that resolved options name; each call makes a new one."""

    schema: Schema
    options: ModelOptions

    @property
    def latent_dim(self) -> int:
        assert self.options.latent_dim is not None
        return self.options.latent_dim

    @property
    def condition_dim(self) -> int:
        """Numbers that networks are told."""
        told = self.schema.condition if self.options.conditional else None
        return 0 if told is None else told.size

    @cached_property
    def network(self) -> Network:
        network: Network = from_mapping(
            NETWORKS[self.options.network], self.options.network_options
        )
        return network

    @cached_property
    def inputs(self) -> Input | None:
        """What the encoder is fed; None: the row as it is."""
        if self.options.likelihood == "mixed":
            return Columns(self.schema.columns, tells_missing=self.tells_missing)
        masked = self.schema.missing or self.network.reads_mask
        if not masked:
            return None
        return Masked(self.schema.event_shape, tells_missing=self.tells_missing)

    @property
    def tells_missing(self) -> bool:
        """Whether the encoder is told which cells nobody has, besides which it does not see."""
        return self.options.missingness != AT_RANDOM

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of what the encoder is fed."""
        return self.schema.event_shape if self.inputs is None else self.inputs.shape

    def encoder(self, numbers: int) -> Encoder:
        shape, network = self.input_shape, self.network
        if isinstance(network, Tabular):
            linear = getattr(self.inputs, "linear", None)
            return network.encoder(
                shape,
                numbers,
                self.condition_dim,
                linear=linear,
                tells_missing=self.tells_missing,
            )
        return network.encoder(shape, numbers, self.condition_dim)

    def decoder(self, likelihood: Likelihood, latent_dim: int) -> Decoder:
        return self.network.decoder(latent_dim, likelihood.parameter_shape, self.condition_dim)

    def likelihood(self) -> Likelihood:
        kind = LIKELIHOODS[self.options.likelihood]
        likelihood = kind.from_schema(self.schema, self.options.likelihood_options)
        if self.options.missingness != AT_RANDOM:
            likelihood.explain_missing(self.options.missingness)
        return likelihood

    def posterior(self, latent_dim: int) -> Posterior:
        kind = POSTERIORS[self.options.posterior]
        posterior: Posterior = construct(kind, latent_dim, options=self.options.posterior_options)
        return posterior

    def prior(self, latent_dim: int) -> Prior:
        kind, shape = PRIORS[self.options.prior], self.schema.event_shape
        prior: Prior = construct(kind, latent_dim, shape, options=self.options.prior_options)
        return prior


def _pca(parts: _Parts) -> Model:
    return ProbabilisticPCA(parts.schema.event_shape, parts.latent_dim)


def _autoencoder(parts: _Parts) -> Model:
    latent_dim, likelihood = parts.latent_dim, parts.likelihood()
    decoder = parts.decoder(likelihood, latent_dim)
    return Autoencoder(parts.encoder(latent_dim), decoder, likelihood, latent_dim, parts.inputs)


def _vae(parts: _Parts) -> Model:
    likelihood, posterior = parts.likelihood(), parts.posterior(parts.latent_dim)
    decoder, prior = parts.decoder(likelihood, parts.latent_dim), parts.prior(parts.latent_dim)
    encoder = parts.encoder(posterior.numbers)
    return VariationalAutoencoder(encoder, posterior, prior, decoder, likelihood, parts.inputs)


def _hierarchical(parts: _Parts) -> Model:
    chain = from_mapping(Chain, parts.options.model_options)
    dims = chain.dims(parts.latent_dim)
    likelihood, posterior = parts.likelihood(), parts.posterior(dims[0])
    return HierarchicalVariationalAutoencoder(
        parts.encoder(posterior.numbers),
        posterior,
        parts.prior(dims[-1]),
        parts.decoder(likelihood, dims[0]),
        likelihood,
        chain.upward(dims),
        chain.downward(dims),
        parts.inputs,
    )


def _ladder(parts: _Parts) -> Model:
    ladder = from_mapping(Ladder, parts.options.model_options)
    flat = parts.options.network == "mlp"
    shape = ladder.shape(parts.input_shape, parts.latent_dim, parts.condition_dim, flat)
    return LadderVariationalAutoencoder(shape, parts.likelihood(), parts.inputs)


@dataclass(frozen=True)
class Codes:
    """The latent of a model whose latent is codes, apart from the codebooks."""

    quantizer: str = option("vq", "how vectors become codes: " + ", ".join(QUANTIZERS))
    prior: str = option("uniform", "p(z) over codes: " + ", ".join(CODE_PRIORS))
    gradient: str = option("straight_through", "past quantization: " + ", ".join(GRADIENTS))
    stride: int = option(4, "how many times smaller than a picture its map of codes is, per side")
    maps: int = option(
        1, "maps of a picture, each half as high and wide as the next; 2: two levels, VQ-VAE-2"
    )
    dropout: float = option(
        0.0, "share of training rows that use only their first codebooks, as many as is drawn"
    )
    free: int = option(
        0, "updates at first that quantize nothing; codes then start from what the encoder says"
    )
    slots: int | None = option(
        None, "codes of a row that is no picture; a sixteenth of its features unless given"
    )
    linear: bool = option(
        False, "encode a picture as the PCA of its patches, as they are, and start decoding there"
    )

    breadth: int = option(
        1, "sums of codes that are followed, outside training; 1: each codebook takes its nearest"
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

    def slots_of(self, features: int) -> int:
        """Codes of a row of that many features."""
        return self.slots or min(math.ceil(features / 16), MOST_SLOTS)

    def patch_of(
        self, likelihood: Likelihood, inputs: Input | None, *, pictures: bool = True
    ) -> int:
        """Side of the patches that are encoded each for itself; 0: there are none.

        Raises:
            OptionError: they are asked for and cannot be.
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


def _semi_supervised(parts: _Parts) -> Model:
    sizes, told = from_mapping(Classes, parts.options.model_options), len(parts.schema.class_names)
    classifier = sizes.classifying(parts.network, parts.input_shape, told)
    return SemiSupervisedVariationalAutoencoder(
        classifier,
        *_around_label(parts, sizes, told),
        classes=told,
        feature_dim=_feature_dim(parts, sizes),
        class_prior=sizes.prior(parts.schema.class_names),
    )


def _semi_supervised_regression(parts: _Parts) -> Model:
    sizes = from_mapping(Measurements, parts.options.model_options)
    linear = getattr(parts.inputs, "linear", math.prod(parts.input_shape))
    regressor = sizes.regressing(parts.network, parts.input_shape, linear)
    around, below = _around_label(parts, sizes, 1), _feature_dim(parts, sizes)
    return SemiSupervisedRegression(regressor, *around, feature_dim=below)


def _around_label(
    parts: _Parts, sizes: Labels, told: int
) -> tuple[Encoder, Prior, Decoder, Likelihood, Input | None, Between | None]:
    """Encoder, prior, decoder, likelihood, inputs, and the networks between the latents of M1+M2,
    of a model whose label has so many numbers."""
    network, style, likelihood = parts.network, parts.latent_dim, parts.likelihood()
    owed, shape, below = likelihood.parameter_shape, parts.input_shape, _feature_dim(parts, sizes)
    between = None
    if sizes.stacked:
        between = Between(sizes.upward(below, style, told), sizes.downward(below, style, told))
        encoder, decoder = network.encoder(shape, 2 * below), network.decoder(below, owed)
    else:
        encoder = network.encoder(shape, 2 * style, told)
        decoder = network.decoder(style, owed, told)
    return encoder, parts.prior(style), decoder, likelihood, parts.inputs, between


def _feature_dim(parts: _Parts, sizes: Labels) -> int:
    """Numbers of z_1; 0 where there is none."""
    return (sizes.feature_dim or 2 * parts.latent_dim) if sizes.stacked else 0


@dataclass(frozen=True)
class _CodeNetworks:
    """The networks of a model whose latent is codes.

    Attributes:
        encoder, decoder: between rows and the vectors of all places.
        shapes: places of each map, coarse to fine.
        between: from each map to the next.
    """

    encoder: Encoder
    decoder: Decoder
    shapes: tuple[tuple[int, ...], ...]
    between: Sequence[nn.Module] = ()


def _vq_vae(parts: _Parts) -> Model:
    own = {field.name for field in fields(Codes)}
    given = parts.options.model_options
    codes = from_mapping(Codes, {name: given[name] for name in given if name in own})
    rest = {name: given[name] for name in given if name not in own}
    likelihood, kind = parts.likelihood(), QUANTIZERS[codes.quantizer]
    books = [construct(kind, parts.latent_dim, options=rest) for _ in range(codes.maps)]
    networks = _code_networks(parts, codes, likelihood)
    priors = [
        CODE_PRIORS[codes.prior](shape, quantizer.codes)
        for shape, quantizers in zip(networks.shapes, books, strict=True)
        for quantizer in quantizers
    ]
    return VectorQuantizedVariationalAutoencoder(
        networks.encoder,
        [quantizer for quantizers in books for quantizer in quantizers],
        priors,
        networks.decoder,
        likelihood,
        GRADIENTS[codes.gradient],
        parts.inputs,
        codes.dropout,
        breadth=codes.breadth,
        free=codes.free,
        between=networks.between,
    )


def _code_networks(parts: _Parts, codes: Codes, likelihood: Likelihood) -> _CodeNetworks:
    if isinstance(parts.network, Convolutional):
        return _map_networks(parts, parts.network, codes, likelihood)
    if codes.maps > 1:
        raise OptionError("maps are of pictures: they take the network 'convolutional'")
    dim, owed, told = parts.latent_dim, likelihood.parameter_shape, parts.condition_dim
    if isinstance(parts.network, Frames):
        shape = (parts.network.transform.places(parts.schema.dimension),)
        encoder = FrameMapEncoder(parts.network, dim, told)
        return _CodeNetworks(encoder, FrameMapDecoder(parts.network, dim, owed, told), (shape,))
    codes.patch_of(likelihood, parts.inputs, pictures=False)
    slots = codes.slots_of(parts.schema.dimension)
    numbers = slots * dim
    return _CodeNetworks(parts.encoder(numbers), parts.decoder(likelihood, numbers), ((slots,),))


def _map_networks(
    parts: _Parts, network: Convolutional, codes: Codes, likelihood: Likelihood
) -> _CodeNetworks:
    picture, owed = parts.input_shape, likelihood.parameter_shape
    dim, told = parts.latent_dim, parts.condition_dim
    levels = reductions(as_picture(picture).size, codes.stride, network.width)
    patch = codes.patch_of(likelihood, parts.inputs)
    if codes.maps > 1:
        stack = MapStack(network, levels, codes.maps, dim)
        encoder, decoder = stack.encoder(picture, told), stack.decoder(owed, told)
        return _CodeNetworks(encoder, decoder, stack.shapes, stack.between())
    return _CodeNetworks(
        PatchEncoder(picture, patch, dim, told)
        if patch
        else MapEncoder(network, picture, levels, dim, told),
        MapDecoder(network, dim, owed, levels, told, picture, patch),
        (levels[-1].size,),
    )


def _transform(parts: _Parts) -> Model:
    sizes = from_mapping(TransformSizes, parts.options.model_options)
    transform, restoration = sizes.build(parts.schema.event_shape, parts.latent_dim)
    return TransformCoder(transform, sizes.width, restoration, parts.likelihood())


_BUILDERS: dict[str, Callable[[_Parts], Model]] = {
    "semi_supervised": _semi_supervised,
    "semi_supervised_regression": _semi_supervised_regression,
    "pca": _pca,
    "autoencoder": _autoencoder,
    "vae": _vae,
    "hierarchical": _hierarchical,
    "ladder": _ladder,
    "vq_vae": _vq_vae,
    "transform": _transform,
}


def initialize(model: Model, dataset: Dataset) -> None:
    """Start the model from the data: output biases at the marginals, scales, pseudo-inputs.

    Raises:
        DataError: the data lies outside the likelihood's support.
    """
    if isinstance(model, ProbabilisticPCA):
        if dataset.observed is not None:
            raise DataError("pca needs every cell: fill the missing values, or fit a vae")
        model.fit(dataset.all().filled)
        return
    batch = _rows(dataset, INITIAL_ROWS)
    x = hot_deck(batch)
    likelihood, decoder = model.likelihood, model.decoder
    assert isinstance(likelihood, Likelihood)
    likelihood.check(x)
    likelihood.initialize(x)
    bias = likelihood.initial_bias(x)
    set_bias = getattr(decoder, "set_output_bias", None)
    if bias is not None and callable(set_bias):
        set_bias(bias)
    if model.inputs is not None:
        model.inputs.initialize(batch.filled, batch.observed)
    if isinstance(model, VariationalAutoencoder):
        model.prior.initialize(x)
        start_from_linear(model, batch)
    if isinstance(model, SemiSupervisedVariationalAutoencoder) and dataset.label is not None:
        model.start_classes(dataset.label)
    if isinstance(model, SemiSupervisedRegression):
        start_from_ridge(model, dataset)
    if isinstance(model, VectorQuantizedVariationalAutoencoder):
        if isinstance(model.encoder, PatchEncoder) and isinstance(decoder, MapDecoder):
            decoder.start_from_patches(model.encoder, x)
        model.start_codes(batch)
    if isinstance(model, TransformCoder):
        model.start_transform(batch)


def _rows(dataset: Dataset, most: int) -> Batch:
    """At most that many rows in model units, spread over the data set."""
    most = min(most, max(1, MOST_INITIAL // dataset.schema.dimension))
    return dataset.batch(spread_rows(len(dataset), most), None)
