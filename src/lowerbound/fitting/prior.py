r"""Train the prior of a fitted model on its latents: the second of two stages.

.. math:: \log p(x) \ge E_q[\log p(x \mid z)] + H(q(z \mid x)) + E_q[\log p(z)]

Only the last term depends on the prior. So the latents of every row are drawn once, and encoder and
decoder stay fixed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound.assembly.build import assemble
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.fitting.correction import rematched
from lowerbound.fitting.held_out_latents import compared
from lowerbound.fitting.latents import LatentLikelihood
from lowerbound.fitting.model import Fitted, PriorFit, held_out
from lowerbound.fitting.private_fit import without_release
from lowerbound.models import LearnsPrior, Model, require
from lowerbound.models.learned_prior import LearnedPrior, all_but_the_prior
from lowerbound.priors.base import PRIORS
from lowerbound.training import History, TrainingOptions, TrainingReporter, train
from lowerbound.training.settings.budget import USUAL, default_epochs
from lowerbound.training.settings.device import on_device

TASK = "train a prior on latents"
MOST_MINUTES = 20.0  # of training, unless a limit is given


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
        training: budget, step size and the rest; see ``with_budget`` for the default budget.
        draws: latents of each row.
        sha256: of the latents, for the record.
        folder: where checkpoints go; None keeps none.
        resume: continue from the checkpoint in ``folder``.
        reporter: shows progress.

    Raises:
        OptionError: the model cannot have that prior, or an option is unknown.
        Interrupted: Ctrl-C.
    """
    training = with_budget(training or TrainingOptions(), len(latents))
    own = require(fitted.model, LearnsPrior, TASK)
    options = dict(prior_options or {})
    made = with_untrained_prior(fitted, kind, options, training.seed)
    learning = require(made.model, LearnsPrior, TASK)
    _refuse_clips(made, kind)
    seen, unseen = held_out(latents, training)
    _start(learning, seen, draws)
    learned, history = LearnedPrior(learning), History()
    if not (solved := not any(True for _ in learned.parameters())):
        on_device(made.model, training.device)
        named = f"{kind} {json.dumps(options, sort_keys=True, default=str)}"
        history = train(
            learned,
            LatentLikelihood(draws=draws, prior=named),
            seen,
            training,
            validation=unseen,
            folder=folder,
            resume=resume,
            reporter=reporter,
        )
    before, after = fitted.options.model, made.options.model
    same = before.prompts == after.prompts
    found = {
        "former_kind": own.prior_name(before),
        **compared(own, learning, unseen, draws, training.seed, same_prompts=same),
    }
    if solved:  # no row was needed for early stopping
        _start(learning, latents, draws)
    found["fitted_model"] = fitted.options.fitted_model
    facts = PriorFit(kind, len(latents), sha256, training, **found)
    on_device(made.model.eval(), training.device)
    kept = without_release(rematched(made).options)
    return replace(made, options=replace(kept, prior_fit=facts, likeness=None)), history


def with_untrained_prior(
    fitted: Fitted, kind: str, options: Mapping[str, Any], seed: int = 0
) -> Fitted:
    """The same model with another prior, not trained yet.

    Raises:
        UnsupportedError: the model has no prior that can be trained on latents.
        OptionError: the model cannot have that prior, or an option is unknown.
        MissingExtraError: the prior needs a library that is not installed.
    """
    own = require(fitted.model, LearnsPrior, TASK)
    if options.get("fields"):
        edits = {"reads": True} if kind in PRIORS and hasattr(PRIORS[kind], "edited") else {}
        options = {"completes": True, **edits, **options}
    chosen = own.with_prior(fitted.options.model, kind, dict(options))
    with seeded(seed):
        model = assemble(fitted.schema, chosen)
    _take_all_but_the_prior(model, fitted.model)
    return replace(fitted, model=model, options=replace(fitted.options, model=chosen))


def learns_from_clips(fitted: Fitted) -> bool:
    """Whether the prior of the model is trained on clips, frames in the order of time."""
    prior = require(fitted.model, LearnsPrior, TASK).learned_prior
    return bool(getattr(prior, "learns_from_clips", False))


def _refuse_clips(made: Fitted, kind: str) -> None:
    if learns_from_clips(made):
        raise OptionError(
            f"the prior {kind!r} is trained on clips, frames in the order of time: run lowerbound "
            "prior MODEL CLIPS.npz, or call lowerbound.fitting.temporal_prior.fit_temporal_prior"
        )


def with_budget(training: TrainingOptions, rows: int) -> TrainingOptions:
    """The options with a limit of training: as many passes as a fit of these rows makes, and at
    most 20 minutes, unless a limit is given."""
    if training.epochs or training.updates or training.minutes:
        return training
    epochs = default_epochs(rows, min(training.batch_size or USUAL.batch_size, rows))
    return replace(training, epochs=epochs, minutes=MOST_MINUTES)


def _start(model: LearnsPrior, latents: Dataset, draws: int) -> None:
    """Start the prior from one latent of each row, and the noise among the draws of a row."""
    rows: Tensor = latents.x.unflatten(1, (draws, -1))
    noise = rows.double().var(1).mean(0).sqrt() if draws > 1 else None
    model.start_prior(rows[:, 0], noise)


def _take_all_but_the_prior(model: Model, other: Model) -> None:
    """Give ``model`` the weights of ``other``, those of the prior left out."""
    theirs = other.state_dict()
    model.take_layout(theirs)
    with torch.no_grad():
        for name, value in all_but_the_prior(model).items():
            value.copy_(theirs[name])
