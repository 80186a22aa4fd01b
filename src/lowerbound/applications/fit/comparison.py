"""Comparison of a model with PCA and an autoencoder, fitted to the same data.

The autoencoder has the same encoder, decoder and likelihood as the VAE, but no prior. PCA has the
same number of latent units, but no network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lowerbound.applications.base import Reporter
from lowerbound.data import Dataset
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.models import MODELS
from lowerbound.models.base import title_of

RIVALS = ("vae", "autoencoder", "pca")
PLANAR = ("autoencoder", "vae", "pca")
UNSUITABLE = "it needs rows without missing cells, of two or more values, all of them numbers"
Fit = Callable[[Dataset, FitOptions], Fitted]


def options_of(kind: str, options: FitOptions, dataset: Dataset) -> FitOptions | None:
    """The options for a rival model, with the latent units that it can have; None if unsuitable."""
    own = options.model
    if own.model not in RIVALS:  # options of several levels do not apply to one level
        own = replace(own, latent_dim=None, model_options={})
    model = MODELS[kind].rival_options(dataset, replace(own, model=kind))
    if model is None:
        return None
    if "prior" in MODELS[kind].uses:
        return replace(options, model=model)
    # it has no rate, so nothing weighs one or draws samples for it
    return replace(options, model=model, objective=MODELS[kind].objective, objective_options={})


PLANE = 2


def flat(
    fitted: Fitted, training: Dataset, reporter: Reporter, kinds: tuple[str, ...] = PLANAR
) -> dict[str, Fitted]:
    """Models of these kinds with two latent units, whose codes can be drawn as maps, by name.

    The VAE uses the textbook's prior N(0, I), so that a regular grid covers its latent plane.
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
        chosen = options_of(kind, options, training)
        if chosen is None:
            continue
        reporter.say(f"fitting {title_of(kind)} with {PLANE} latent units for the maps")
        found[f"{title_of(kind)} with {PLANE} units"] = fit(
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
        reporter: receives messages and progress.
        kinds: the models, in the order of the report; the model's own kind comes first if it is
            not in the list.
    """
    own = fitted.options.model.model
    found = {} if own in kinds else {title_of(own): fitted}
    for kind in kinds:
        options = options_of(kind, fitted.options, training)
        if kind == own:
            found[title_of(kind)] = fitted
        elif options is None:
            reporter.say(f"{title_of(kind)} is left out: {UNSUITABLE}")
        else:
            reporter.say(f"fitting {title_of(kind)} for comparison")
            found[title_of(kind)] = fit(training, options, reporter=reporter.training())
    return found
