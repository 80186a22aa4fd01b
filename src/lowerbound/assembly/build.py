"""From a schema and options to a model: networks, likelihood and sizes chosen from the data."""

from __future__ import annotations

import math
from collections.abc import Callable

from lowerbound.assembly.codes import vector_quantized
from lowerbound.assembly.options import ModelOptions, resolve
from lowerbound.assembly.parts import ModelParts
from lowerbound.config import from_mapping
from lowerbound.data.schema import Schema
from lowerbound.likelihoods import Likelihood
from lowerbound.models import (
    DeterministicAutoencoder,
    HierarchicalVariationalAutoencoder,
    LadderVariationalAutoencoder,
    Model,
    ProbabilisticPrincipalComponents,
    SemiSupervisedRegression,
    SemiSupervisedVariationalAutoencoder,
    TransformCoder,
    VariationalAutoencoder,
)
from lowerbound.models.labeled import StackedNetworks
from lowerbound.networks import Decoder, Encoder
from lowerbound.networks.chain import Chain
from lowerbound.networks.inputs import Input
from lowerbound.networks.labels.around import Labels
from lowerbound.networks.labels.classes import Classes
from lowerbound.networks.labels.regression import Measurements
from lowerbound.networks.pictures.ladder import Ladder
from lowerbound.networks.transform.sizes import TransformSizes
from lowerbound.priors import Prior


def assemble(schema: Schema, options: ModelOptions) -> Model:
    """Build the model that the resolved options describe; weights are torch's defaults.

    The same schema and options always give the same shapes, so a model folder can be read back.

    Raises:
        OptionError: a name or an option of a part is unknown.
    """
    options = resolve(schema, options)
    return _BUILDERS[options.model](ModelParts(schema, options))


def _pca(parts: ModelParts) -> Model:
    return ProbabilisticPrincipalComponents(parts.schema.event_shape, parts.latent_dim)


def _autoencoder(parts: ModelParts) -> Model:
    latent_dim, likelihood = parts.latent_dim, parts.likelihood()
    decoder = parts.decoder(likelihood, latent_dim)
    return DeterministicAutoencoder(
        parts.encoder(latent_dim), decoder, likelihood, latent_dim, parts.inputs
    )


def _vae(parts: ModelParts) -> Model:
    likelihood, posterior = parts.likelihood(), parts.posterior(parts.latent_dim)
    decoder, prior = parts.decoder(likelihood, parts.latent_dim), parts.prior(parts.latent_dim)
    encoder = parts.encoder(posterior.numbers)
    return VariationalAutoencoder(encoder, posterior, prior, decoder, likelihood, parts.inputs)


def _hierarchical(parts: ModelParts) -> Model:
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


def _ladder(parts: ModelParts) -> Model:
    ladder = from_mapping(Ladder, parts.options.model_options)
    flat = parts.options.network == "mlp"
    shape = ladder.shape(parts.input_shape, parts.latent_dim, parts.condition_dim, flat)
    return LadderVariationalAutoencoder(shape, parts.likelihood(), parts.inputs)


def _semi_supervised(parts: ModelParts) -> Model:
    sizes, told = from_mapping(Classes, parts.options.model_options), len(parts.schema.class_names)
    classifier = sizes.classifying(parts.network, parts.input_shape, told)
    return SemiSupervisedVariationalAutoencoder(
        classifier,
        *_around_label(parts, sizes, told),
        classes=told,
        feature_dim=_feature_dim(parts, sizes),
        class_prior=sizes.prior(parts.schema.class_names),
    )


def _semi_supervised_regression(parts: ModelParts) -> Model:
    sizes = from_mapping(Measurements, parts.options.model_options)
    linear = getattr(parts.inputs, "linear", math.prod(parts.input_shape))
    regressor = sizes.regressing(parts.network, parts.input_shape, linear)
    around, below = _around_label(parts, sizes, 1), _feature_dim(parts, sizes)
    return SemiSupervisedRegression(regressor, *around, feature_dim=below)


def _around_label(
    parts: ModelParts, sizes: Labels, told: int
) -> tuple[Encoder, Prior, Decoder, Likelihood, Input | None, StackedNetworks | None]:
    """Encoder, prior, decoder, likelihood, inputs, and the networks between the latents of M1+M2,
    of a model whose label has so many numbers."""
    network, style, likelihood = parts.network, parts.latent_dim, parts.likelihood()
    owed, shape, below = likelihood.parameter_shape, parts.input_shape, _feature_dim(parts, sizes)
    between = None
    if sizes.stacked:
        between = StackedNetworks(
            sizes.upward(below, style, told), sizes.downward(below, style, told)
        )
        encoder, decoder = network.encoder(shape, 2 * below), network.decoder(below, owed)
    else:
        encoder = network.encoder(shape, 2 * style, told)
        decoder = network.decoder(style, owed, told)
    return encoder, parts.prior(style), decoder, likelihood, parts.inputs, between


def _feature_dim(parts: ModelParts, sizes: Labels) -> int:
    """Numbers of z_1; 0 where there is none."""
    return (sizes.feature_dim or 2 * parts.latent_dim) if sizes.stacked else 0


def _transform(parts: ModelParts) -> Model:
    sizes = from_mapping(TransformSizes, parts.options.model_options)
    transform, restoration = sizes.build(parts.schema.event_shape, parts.latent_dim)
    return TransformCoder(transform, sizes.width, restoration, parts.likelihood())


_BUILDERS: dict[str, Callable[[ModelParts], Model]] = {
    "semi_supervised": _semi_supervised,
    "semi_supervised_regression": _semi_supervised_regression,
    "pca": _pca,
    "autoencoder": _autoencoder,
    "vae": _vae,
    "hierarchical": _hierarchical,
    "ladder": _ladder,
    "vq_vae": vector_quantized,
    "transform": _transform,
}
