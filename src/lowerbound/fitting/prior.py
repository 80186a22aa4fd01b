r"""Train the prior of a fitted model on its latents: the second of two stages.

.. math:: \log p(x) \ge E_q[\log p(x \mid z)] + H(q(z \mid x)) + E_q[\log p(z)]

Only the last term depends on the prior. So the latents of every row are drawn once, and encoder and
decoder stay fixed. Held-out latents compare log p(z) under this prior and the one before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.fitting.assembly import assemble
from lowerbound.fitting.correction import rematched
from lowerbound.fitting.fitted import Fitted, held_out
from lowerbound.fitting.options import PriorFit
from lowerbound.fitting.private_fit import without_release
from lowerbound.models.base import Model
from lowerbound.models.heads import LearnedPrior, all_but_the_prior, density_of_prior
from lowerbound.models.powers import LearnsPrior, require
from lowerbound.objectives.base import Bound, Objective
from lowerbound.priors.base import PRIORS
from lowerbound.trace import Batch
from lowerbound.training.device import on_device
from lowerbound.training.held_out import evaluating
from lowerbound.training.loop import train
from lowerbound.training.options import TrainingOptions
from lowerbound.training.plan import USUAL, default_epochs
from lowerbound.training.reporter import History, TrainingReporter

ROWS_AT_ONCE = 256
MOST_ROWS = 2_000
TASK = "train a prior on latents"
MOST_MINUTES = 20.0  # of training, unless a limit is given


def compared(
    former: LearnsPrior,
    made: LearnsPrior,
    latents: Dataset | None,
    draws: int,
    seed: int,
    *,
    same_prompts: bool = True,
) -> dict[str, Any]:
    """The fields of ``PriorFit`` that compare two priors on the same held-out latents.

    Args:
        former: the model with the prior that it had before.
        made: the model with the new prior.
        latents: the held-out rows, (rows, draws * numbers); None: there are none.
        draws: latents of each row.
        seed: of the estimates where a density is a bound.
        same_prompts: whether the former prior takes the prompts of the new one; else it gets none.
    """
    kinds = {"density": density_of_prior(made), "former_density": density_of_prior(former)}
    if latents is None:
        return kinds
    rows = latents.thinned(MOST_ROWS)
    after = _log_prior(made, rows, draws, seed)
    before = _log_prior(former, rows if same_prompts else replace(rows, prompt=None), draws, seed)
    spread = float((after - before).std()) / math.sqrt(len(rows)) if len(rows) > 1 else None
    means = {"validation": float(after.mean()), "former": float(before.mean()), "error": spread}
    return {**kinds, **means, "held_out": len(rows)}


@torch.no_grad()
def _log_prior(model: LearnsPrior, latents: Dataset, draws: int, seed: int) -> Tensor:
    """Mean of log p(z) over the draws of each row, or of unbiased estimates of a bound on it,
    (rows,), float64."""
    assert isinstance(model, Model)
    device = next((value.device for value in model.parameters()), torch.device("cpu"))
    found = []
    with seeded(seed), evaluating(model):
        for part in torch.arange(len(latents)).split(ROWS_AT_ONCE):
            batch = latents.batch(part).on(device)
            z = batch.filled.unflatten(1, (draws, -1))
            each = [model.prior_terms(z[:, i], batch.prompt).log_prob for i in range(draws)]
            found.append(torch.stack(each).double().mean(0).cpu())
    return torch.cat(found)


class LatentLikelihood(Objective):
    r"""E_q[log p(z)] over draws z ~ q(z | x), the only term of the ELBO that the prior enters.

    A batch holds several draws of each row side by side, (batch, draws * numbers). Each visit takes
    one of them at random; outside training the first counts.

    Args:
        draws: of each row.
        prior: name and options of the prior, so that a checkpoint of another is not continued.
    """

    def __init__(self, *, draws: int = 1, prior: str = "") -> None:
        super().__init__()
        self.draws = draws
        self.prior = prior

    def forward(self, model: Model, batch: Batch) -> Bound:
        assert isinstance(model, LearnedPrior)
        draws = batch.filled.unflatten(1, (self.draws, -1))
        rows = torch.arange(len(draws), device=draws.device)
        visit = torch.randint(self.draws, rows.shape, device=draws.device) if self.training else 0
        log_prob, loss = model.terms(draws[rows, visit], batch.prompt)
        value = log_prob.detach()
        return Bound(value, -value, value.new_zeros(0, len(value)), loss.mean())


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
    # give ``model`` the weights of ``other``, those of the prior left out
    theirs = fitted.model.state_dict()
    model.take_layout(theirs)
    with torch.no_grad():
        for name, value in all_but_the_prior(model).items():
            value.copy_(theirs[name])
    return replace(fitted, model=model, options=replace(fitted.options, model=chosen))


def learns_from_clips(fitted: Fitted) -> bool:
    """Whether the prior of the model is trained on clips, frames in the order of time."""
    prior = require(fitted.model, LearnsPrior, TASK).learned_prior
    return bool(getattr(prior, "learns_from_clips", False))


def _refuse_clips(made: Fitted, kind: str) -> None:
    if learns_from_clips(made):
        raise OptionError(
            f"the prior {kind!r} is trained on clips, frames in the order of time: run lowerbound "
            "prior MODEL CLIPS.npz, or call "
            "lowerbound.applications.generation.temporal_prior.fit_temporal_prior"
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
