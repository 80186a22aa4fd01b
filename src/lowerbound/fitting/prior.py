r"""Train the prior of a fitted model on its latents: the second of two stages.

.. math:: \log p(x) \ge E_q[\log p(x \mid z)] + H(q(z \mid x)) + E_q[\log p(z)]

Only the last term depends on the prior. So the latents of every row are drawn once, and encoder and
decoder stay fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lowerbound.assembly.build import assemble
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.fitting.latents import LatentLikelihood
from lowerbound.fitting.model import Fitted, PriorFit, held_out
from lowerbound.models import LearnsPrior, Model, require
from lowerbound.models.learned_prior import LearnedPrior, all_but_the_prior
from lowerbound.training import History, TrainingOptions, TrainingReporter, train

TASK = "train a prior on latents"


def fit_prior(
    fitted: Fitted,
    latents: Dataset,
    kind: str,
    prior_options: Mapping[str, Any] | None = None,
    training: TrainingOptions | None = None,
    *,
    draws: int = 1,
    sha256: str = "",
    folder: Path | None = None,
    resume: bool = False,
    reporter: TrainingReporter | None = None,
) -> tuple[Fitted, History]:
    """The same model with a prior that was trained on its latents, and how training went.

    Args:
        fitted: a model; it stays unchanged.
        latents: of its training rows, (rows, draws * numbers).
        kind: name of the prior.
        prior_options: of that prior.
        training: budget, step size and the rest.
        draws: latents of each row.
        sha256: of the latents, for the record.
        folder: where checkpoints go; None keeps none.
        resume: continue from the checkpoint in ``folder``.
        reporter: shows progress.

    Raises:
        OptionError: the model cannot have that prior, or an option is unknown.
        Interrupted: Ctrl-C.
    """
    training = training or TrainingOptions()
    own = require(fitted.model, LearnsPrior, TASK)
    chosen = own.with_prior(fitted.options.model, kind, dict(prior_options or {}))
    with seeded(training.seed):
        model = assemble(fitted.schema, chosen)
        _take_all_but_the_prior(model, fitted.model)
        learning = require(model, LearnsPrior, TASK)
        learning.start_prior(latents.x.unflatten(1, (draws, -1))[:, 0])
    seen, unseen = held_out(latents, training)
    learned, history = LearnedPrior(learning), History()
    if any(True for _ in learned.parameters()):  # else ``start_prior`` solved it
        history = train(
            learned,
            LatentLikelihood(draws=draws),
            seen,
            training,
            validation=unseen,
            folder=folder,
            resume=resume,
            reporter=reporter,
        )
    facts = PriorFit(kind, len(latents), sha256, training, history.validation)
    options = replace(fitted.options, model=chosen, prior_fit=facts)
    return Fitted(model.eval(), fitted.schema, options, fitted.history), history


def _take_all_but_the_prior(model: Model, other: Model) -> None:
    """Give ``model`` the weights of ``other``, those of the prior left out."""
    theirs = other.state_dict()
    with torch.no_grad():
        for name, value in all_but_the_prior(model).items():
            value.copy_(theirs[name])
