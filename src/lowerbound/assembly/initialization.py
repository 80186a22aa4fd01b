"""Start a model from the data, before the first update."""

from __future__ import annotations

from lowerbound.assembly.linear_start import start_from_linear
from lowerbound.assembly.ridge_start import start_from_ridge
from lowerbound.data.dataset import Dataset, spread_rows
from lowerbound.data.hot_deck import hot_deck
from lowerbound.errors import DataError
from lowerbound.likelihoods import Likelihood
from lowerbound.models import (
    Model,
    ProbabilisticPrincipalComponents,
    SemiSupervisedRegression,
    SemiSupervisedVariationalAutoencoder,
    TransformCoder,
    VariationalAutoencoder,
    VectorQuantizedVariationalAutoencoder,
)
from lowerbound.networks.pictures.feature_maps import MapDecoder
from lowerbound.networks.pictures.patch_paths import PatchEncoder
from lowerbound.trace import Batch

INITIAL_ROWS = 10_000
MOST_INITIAL = 2**26  # numbers of these rows together


def initialize(model: Model, dataset: Dataset) -> None:
    """Start the model from the data: output biases at the marginals, scales, pseudo-inputs.

    Raises:
        DataError: the data lies outside the likelihood's support.
    """
    if isinstance(model, ProbabilisticPrincipalComponents):
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
