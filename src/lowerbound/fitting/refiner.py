r"""Train the refiner of a fitted model of pictures: another second of two stages.

.. math:: \log p(x) \ge E_q[\log p(x \mid g(z))] - \mathrm{KL}(q(z \mid x) \| p(z))

Encoder, prior and the decoder's mean g stay fixed, so only the first term changes. Each visit of a
picture draws a new z.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lowerbound.data.dataset import Dataset, spread_rows
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import DataError
from lowerbound.fitting.assembly import assemble
from lowerbound.fitting.fitted import Fitted, held_out
from lowerbound.fitting.prior import with_budget
from lowerbound.fitting.private_fit import without_release
from lowerbound.fitting.source import RefinerFit
from lowerbound.models.base import Model
from lowerbound.models.refinement import Refined, RefinedEmission, unrefined
from lowerbound.objectives.base import Bound, Objective
from lowerbound.trace import Batch
from lowerbound.training.device import on_device
from lowerbound.training.loop import train
from lowerbound.training.options import TrainingOptions
from lowerbound.training.reporter import History, TrainingReporter

START_ROWS = 2_000  # pictures that the statistics of the residual are taken from
ROWS_AT_ONCE = 256


class Denoising(Objective):
    """The denoising error of a refiner; its value is a bound on the density p(x | z).

    Args:
        refiner: its options, so that a checkpoint of another is not continued.
        model: SHA-256 of the weights of the model, for the same reason.
    """

    def __init__(self, *, refiner: str = "", model: str = "") -> None:
        super().__init__()
        self.refiner = refiner
        self.model = model

    def forward(self, model: Model, batch: Batch) -> Bound:
        emission = model(batch).likelihood
        assert isinstance(emission, RefinedEmission)
        log_prob, loss = emission.training_terms(batch.filled)
        value = log_prob.detach()
        return Bound(value, -value, value.new_zeros(0, len(value)), loss.mean())


def fit_refiner(
    fitted: Fitted,
    pictures: Dataset,
    refiner_options: Mapping[str, Any] | None = None,
    training: TrainingOptions | None = None,
    *,
    folder: Path | None = None,
    resume: bool = False,
    reporter: TrainingReporter | None = None,
) -> tuple[Fitted, History]:
    """The same model with a trained refiner, and how training went.

    Args:
        fitted: a model of pictures; it stays unchanged.
        pictures: to train on; a share of them is held out for early stopping.
        refiner_options: of the refiner.
        training: budget, step size and the rest; see ``with_budget`` for the default budget.
        folder: where checkpoints go; None keeps none.
        resume: continue from the checkpoint in ``folder``.
        reporter: shows progress.

    Raises:
        UnsupportedError: the model is not of pictures.
        OptionError: an option is unknown or has a wrong value.
        DataError: there are no pictures.
        Interrupted: Ctrl-C.
    """
    training = with_budget(training or TrainingOptions(), len(pictures))
    options = dict(refiner_options or {})
    made = with_untrained_refiner(fitted, options, training.seed)
    if not len(pictures):
        raise DataError("there are no pictures to train a refiner on")
    seen, unseen = held_out(pictures, training)
    on_device(made.model, training.device)
    start(made.model, seen, training.seed)
    named = json.dumps(options, sort_keys=True, default=str)
    history = train(
        Refined(made.model),
        Denoising(refiner=named, model=_sha256(fitted.model)),
        seen,
        training,
        validation=unseen,
        folder=folder,
        resume=resume,
        reporter=reporter,
    )
    facts = RefinerFit(len(pictures), training, history.validation)
    made.model.eval()
    kept = without_release(made.options)
    return replace(made, options=replace(kept, refiner_fit=facts)), history


def with_untrained_refiner(fitted: Fitted, options: Mapping[str, Any], seed: int = 0) -> Fitted:
    """A copy of the model with a refiner that is not trained yet.

    Raises:
        UnsupportedError: the model is not of pictures.
        OptionError: an option is unknown or has a wrong value.
        MissingExtraError: ``diffusers`` is not installed.
    """
    chosen = replace(fitted.options.model, refiner=dict(options))
    with seeded(seed):
        model = assemble(fitted.schema, chosen)
    unrefined(model).load_state_dict(unrefined(fitted.model).state_dict())
    changed = replace(fitted.options, model=chosen, refiner_fit=None)
    return replace(fitted, model=model.eval(), options=changed)


def without_refiner(fitted: Fitted) -> Fitted:
    """The same model without its refiner."""
    if fitted.model.refiner is None:
        return fitted
    chosen = replace(fitted.options.model, refiner=None)
    options = replace(fitted.options, model=chosen, refiner_fit=None)
    return replace(fitted, model=unrefined(fitted.model), options=options)


@torch.no_grad()
def start(model: Model, pictures: Dataset, seed: int) -> None:
    """Take the statistics of the residual from pictures and draws from q(z | x)."""
    assert model.refiner is not None
    few = pictures.subset(spread_rows(len(pictures), START_ROWS))
    device = model.refiner.loc.device
    found = []
    with seeded(seed):
        for part in torch.arange(len(few)).split(ROWS_AT_ONCE):
            batch = few.batch(part).on(device).to(model.refiner.loc.dtype)
            found.append((batch.filled, model(batch).likelihood.mean[0]))
    x, guess = (torch.cat(parts) for parts in zip(*found, strict=True))
    model.refiner.start(x, guess)


def _sha256(model: Model) -> str:
    digest = hashlib.sha256()
    for name, value in unrefined(model).state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
