"""The same data as PCA and as an autoencoder of the same network see it: a fair comparison.

Only what the VAE adds differs: an autoencoder has the same encoder, decoder and likelihood, and no
prior; PCA has the same number of latent units, and no network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lowerbound.applications.base import Reporter
from lowerbound.assembly.options import AUTO
from lowerbound.classical.self_masking import AT_RANDOM
from lowerbound.data import Dataset
from lowerbound.fitting import FitOptions, Fitted, fit

NAMES = {
    "vae": "VAE",
    "autoencoder": "autoencoder",
    "pca": "PCA",
    "hierarchical": "hierarchical VAE",
    "ladder": "ladder VAE",
    "vq_vae": "VQ-VAE",
    "semi_supervised": "semi-supervised VAE",
    "semi_supervised_regression": "semi-supervised regression",
    "transform": "Transform coder",
}
RIVALS = ("vae", "autoencoder", "pca")
PLANAR = ("autoencoder", "vae", "pca")
Fit = Callable[[Dataset, FitOptions], Fitted]


def options_of(kind: str, options: FitOptions, dataset: Dataset) -> FitOptions:
    """The same options for a model of another kind, of as many latent units as it can have."""
    own = options.model
    if own.model not in RIVALS:  # what describes several levels means nothing for one
        own = replace(own, latent_dim=None, model_options={})
    if own.network == "tabular" and kind != "vae":  # that one answers with a posterior
        own = replace(own, network=AUTO, network_options={}, posterior=AUTO, posterior_options={})
        own = replace(own, missingness=AT_RANDOM)
    model = replace(own, model=kind)
    if kind == "pca":
        most = max(1, dataset.schema.dimension - 1)
        units = min(model.latent_dim or most, most)
        model = replace(model, latent_dim=units, conditional=False)
        return replace(options, model=model)
    if kind == "autoencoder":  # it has no rate, so nothing weighs one or draws samples for it
        return replace(options, model=model, objective="elbo", objective_options={})
    return replace(options, model=model)


def able(kind: str, dataset: Dataset) -> bool:
    """Whether a kind of model can be fitted: PCA knows several complete columns of real numbers."""
    schema, complete = dataset.schema, dataset.observed is None
    return kind != "pca" or (schema.dimension > 1 and schema.gaussian and complete)


PLANE = 2


def flat(
    fitted: Fitted, training: Dataset, reporter: Reporter, kinds: tuple[str, ...] = PLANAR
) -> dict[str, Fitted]:
    """The same kinds of models with two latent units, whose codes are a map, by name.

    The VAE has the textbook's prior N(0, I) here, so that its plane can be laid out evenly.
    """
    model = replace(
        fitted.options.model,
        model="vae",
        model_options={},
        latent_dim=PLANE,
        prior="standard_normal",
        prior_options={},
    )
    options = replace(fitted.options, model=model)
    if training.schema.dimension <= PLANE or fitted.options.model.latent_dim == PLANE:
        return {}
    found = {}
    for kind in kinds:
        if not able(kind, training):
            continue
        reporter.say(f"for the maps: {NAMES[kind]} with {PLANE} latent units")
        chosen = options_of(kind, options, training)
        found[f"{NAMES[kind]} with {PLANE} units"] = fit(
            training, chosen, reporter=reporter.training()
        )
    return found


def side_by_side(
    fitted: Fitted, training: Dataset, reporter: Reporter, kinds: tuple[str, ...] = RIVALS
) -> dict[str, Fitted]:
    """The model and its rivals, each fitted to the same rows by the same options, by name.

    Args:
        fitted: the model itself, which is not fitted again.
        training: the rows that it was fitted on.
        reporter: hears of the progress.
        kinds: which models, in the order to show them; the model's own comes first where it is not
            among them.
    """
    own = fitted.options.model.model
    found = {} if own in kinds else {NAMES[own]: fitted}
    for kind in kinds:
        if kind == own:
            found[NAMES[kind]] = fitted
        elif able(kind, training):
            reporter.say(f"for comparison: {NAMES[kind]}")
            options = options_of(kind, fitted.options, training)
            found[NAMES[kind]] = fit(training, options, reporter=reporter.training())
    return found
