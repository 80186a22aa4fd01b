"""The same data as PCA and as an autoencoder of the same network see it: a fair comparison.

Only what the VAE adds differs: an autoencoder has the same encoder, decoder and likelihood, and no
prior; PCA has the same number of latent units, and no network.
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
Fit = Callable[[Dataset, FitOptions], Fitted]


def options_of(kind: str, options: FitOptions, dataset: Dataset) -> FitOptions | None:
    """The same options for a model of another kind, of as many latent units as it can have; None
    where it cannot be fitted to the rows."""
    own = options.model
    if own.model not in RIVALS:  # what describes several levels means nothing for one
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
        reporter: hears of the progress.
        kinds: which models, in the order to show them; the model's own comes first where it is not
            among them.
    """
    own = fitted.options.model.model
    found = {} if own in kinds else {title_of(own): fitted}
    for kind in kinds:
        options = options_of(kind, fitted.options, training)
        if kind == own:
            found[title_of(kind)] = fitted
        elif options is not None:
            reporter.say(f"fitting {title_of(kind)} for comparison")
            found[title_of(kind)] = fit(training, options, reporter=reporter.training())
    return found
