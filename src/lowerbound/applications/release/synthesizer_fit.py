"""The fit of a model from which synthetic rows of a table are drawn, and its options."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lowerbound.data.columns.notation import without_beyond
from lowerbound.data.dataset import Dataset
from lowerbound.data.protection.protect import ProtectionOptions, protected_table
from lowerbound.data.synthetic.constraints import Relation, sides
from lowerbound.data.synthetic.form import TableForm, read_for_synthesis
from lowerbound.errors import OptionError
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.model import fit
from lowerbound.fitting.options import FitOptions
from lowerbound.fitting.prior import fit_prior
from lowerbound.inference.codes import draw_latents, refuse_collapsed
from lowerbound.models.options import ModelOptions
from lowerbound.parts import AUTO
from lowerbound.priors.base import PRIORS
from lowerbound.training.options import TrainingOptions
from lowerbound.training.reporter import TrainingReporter

EPOCHS, EPOCHS_OF_FEW = 20, 30  # and of few rows
FEW_ROWS = 2_000  # below this number, every row is for training
FEWEST_UPDATES = 500  # of a table with many columns, unless it has fewer rows
CELLS = 20_000  # columns times updates; about a minute on one processor core
BATCH_SIZE, SMALLEST_BATCH, BATCHES = 256, 32, 20
DECAY_ROWS = 700  # rows with a weight decay of 1
CANDIDATES = ("mixture", "flow")  # beside the prior of the fit, N(0, I)
STANDARD = "standard_normal"
GAIN, ERRORS = 0.01, 2.0  # nats and standard errors by which a prior must gain on held-out rows
PRIOR_MINUTES = 0.2  # for each prior


@dataclass(frozen=True, kw_only=True)
class SynthesizerOptions(ProtectionOptions):
    """What is said of a table, and of the fit of a model that draws synthetic rows of it.

    Attributes:
        prior: name of a prior; "auto": the one of N(0, I), a mixture and a flow under which
            held-out latents are most probable. N(0, I) stays if z carries no information.
        minutes: of training; None: from the number of rows and columns.
        device: where the model computes.
    """

    prior: str = AUTO
    minutes: float | None = None
    device: str = TrainingOptions.device


USUAL = SynthesizerOptions()


def synthesis_options(
    dataset: Dataset,
    options: SynthesizerOptions = USUAL,
    inequalities: tuple[tuple[int, int], ...] = (),
    relations: tuple[Relation, ...] = (),
) -> FitOptions:
    """Options with which draws from the model resemble the rows of a table.

    A VAE whose columns depend on each other (``autoregressive_columns``); encoder and decoder are
    small, because z has little left to explain. Missing cells are drawn as missing.

    Training takes 20 epochs, fewer if that takes more than about a minute. It stops early when a
    tenth of the rows, held out, has no gain. Tables of few rows need every row: all are for
    training, for 30 epochs in small batches. On held-out rows of German credit, more epochs made
    learners better and membership attacks stronger; on Adult and California housing, the held-out
    log p(x) was highest after 10 to 20 epochs. Weight decay, which helps on few rows and hurts on
    many, is inversely proportional to the rows.

    Args:
        dataset: training rows, read with ``missing="model"``.
        options: minutes of training, the seed of order and noise, and the device.
        inequalities: places of a modeled column and of another that it is at most.
        relations: of modeled columns that follow another.
    """
    few = len(dataset) < FEW_ROWS
    batch = min(BATCH_SIZE, max(SMALLEST_BATCH, len(dataset) // BATCHES))
    made = updates(len(dataset), len(dataset.schema.modeled), batch)
    return FitOptions(
        ModelOptions(
            model="vae",
            latent_dim=4,
            network="mlp",
            network_options={"hidden": (32,)},
            likelihood="autoregressive_columns",
            likelihood_options={
                "gaps": has_gaps(dataset),
                "inequalities": inequalities,
                "relations": relations,
            },
        ),
        objective="elbo",
        training=TrainingOptions(
            updates=None if options.minutes is not None else made,
            minutes=options.minutes,
            batch_size=batch,
            learning_rate=2e-3,
            weight_average=0.98,
            weight_decay=min(1.0, DECAY_ROWS / max(1, len(dataset))),
            masking=0.0,
            validation=0.0 if few else 0.1,
            patience=0 if few else 4,
            seed=options.seed,
            device=options.device,
        ),
    )


def updates(rows: int, columns: int, batch: int) -> int:
    """The number of updates: of all epochs, fewer if they would take more than about a minute."""
    epochs = EPOCHS_OF_FEW if rows < FEW_ROWS else EPOCHS
    return min(math.ceil(epochs * rows / batch), max(FEWEST_UPDATES, CELLS // max(1, columns)))


def has_gaps(dataset: Dataset) -> bool:
    """Whether a cell is missing."""
    return dataset.observed is not None and not bool(dataset.observed.all())


def fit_synthesizer(
    frame: Any,
    options: SynthesizerOptions = USUAL,
    *,
    folder: Path | None = None,
    resume: bool = False,
    reporter: TrainingReporter | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Fitted:
    """Fit a VAE with the likelihood ``autoregressive_columns``, and choose its prior.

    Args:
        frame: the rows, a pandas frame with any types.
        options: what is said of them, and of the fit.
        folder: for checkpoints.
        resume: continue from the checkpoint in ``folder``.
        reporter: shows progress.
        say: receives what is decided.

    Raises:
        DataError: the rows cannot be modeled, are too few to be protected, or do not fulfill a
            constraint.
        OptionError: a constraint cannot be parsed, or a column or prior does not exist.
        Interrupted: Ctrl-C.
    """
    if options.prior != AUTO:
        PRIORS[options.prior]  # an unknown name is refused before the fit
    frame = without_beyond(frame.set_axis([str(name) for name in frame.columns], axis=1))
    table = protected_table(frame, options)
    with warnings.catch_warnings():
        if table.people is not None:  # the table has been read before
            warnings.simplefilter("ignore")
        dataset = read_for_synthesis(table.frame, table.kinds, options.compared, options.dialect)
    place = {column.name: index for index, column in enumerate(dataset.schema.modeled)}
    constraints, combinations = options.constraints, options.combinations
    if table.people is not None:  # protection leaves some columns constant or empty
        gone = set(frame.columns) - set(place)
        constraints = [each for each in constraints if gone.isdisjoint(sides(each))]
        left = [[name for name in names if name in place] for names in combinations]
        combinations = [names for names in left if len(names) > 1]
    form = TableForm.learn(table.frame, dataset.schema, constraints, combinations, table.people)
    form = form.with_fresh(table.fresh)
    pairs = tuple((place[each.lower], place[each.upper]) for each in form.inequalities)
    relations = tuple((residual, place[a], place[b]) for residual, a, b in form.relations)
    chosen = synthesis_options(dataset, options, pairs, relations)
    fitted = fit(dataset, chosen, folder=folder, resume=resume, reporter=reporter)
    fitted = replace(fitted, schema=table.record.on(form.on(fitted.schema)))
    return _with_prior(fitted, dataset, options.prior, options.minutes, say)


def _with_prior(
    fitted: Fitted,
    dataset: Dataset,
    prior: str,
    minutes: float | None,
    say: Callable[[str], None],
) -> Fitted:
    if prior == STANDARD:
        return fitted
    latents = draw_latents(fitted.model, dataset, seed=fitted.options.training.seed)
    try:
        refuse_collapsed(latents)
    except OptionError:
        say("prior: N(0, I), because the columns explain each other and z carries nothing")
        return fitted
    training = TrainingOptions(
        seed=fitted.options.training.seed,
        minutes=PRIOR_MINUTES if minutes is None else minutes / 4,
        threads=fitted.options.training.threads,
        device=fitted.options.training.device,
    )
    made = [
        fit_prior(fitted, latents.dataset(), kind, training=training, draws=latents.z.shape[1])[0]
        for kind in (CANDIDATES if prior == AUTO else (prior,))
    ]
    return made[0] if prior != AUTO else _best(fitted, made, say)


def _best(fitted: Fitted, made: Sequence[Fitted], say: Callable[[str], None]) -> Fitted:
    """The model whose prior gains most on held-out latents; the given one if none gains."""
    best, most, standard = fitted, 0.0, None
    for each in made:
        facts = each.options.prior_fit
        if facts is None or facts.validation is None or facts.former is None:
            continue
        gain, standard = facts.validation - facts.former, facts.former
        if gain > max(most, GAIN, ERRORS * (facts.error or 0.0)):
            best, most = each, gain
    kept = best.options.prior_fit
    name = "N(0, I)" if best is fitted or kept is None else kept.kind
    if standard is not None:
        say(f"prior: {name}, {most:.3f} nats above N(0, I) on held-out rows")
    return best
