"""Fit a model from which synthetic rows of a table are drawn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lowerbound.data import load
from lowerbound.data.columns.beyond_numbers import without_beyond
from lowerbound.data.columns.inference import Hint
from lowerbound.data.dataset import Dataset
from lowerbound.data.synthetic.constraints import sides
from lowerbound.data.synthetic.form import TableForm, kind_hints
from lowerbound.data.tables.dialect import Dialect
from lowerbound.data.tables.numbers import found_notations, with_numbers
from lowerbound.errors import OptionError
from lowerbound.fitting.model import Fitted, fit
from lowerbound.fitting.prior import fit_prior
from lowerbound.fitting.synthesis import synthesis_options
from lowerbound.inference.latents import draw_latents, refuse_collapsed
from lowerbound.models.base import AUTO
from lowerbound.priors import PRIORS
from lowerbound.training import TrainingOptions, TrainingReporter

CANDIDATES = ("mixture", "flow")  # beside the prior of the fit, N(0, I)
STANDARD = "standard_normal"
GAIN, ERRORS = 0.01, 2.0  # nats and standard errors by which a prior must gain on held-out rows
PRIOR_MINUTES = 0.2  # for each prior


def read_for_synthesis(
    frame: Any,
    kinds: Mapping[str, Hint] | None = None,
    compared: Sequence[str] = (),
    dialect: Dialect | None = None,
) -> Dataset:
    """The rows with the kinds of columns that synthetic rows need.

    Args:
        frame: the rows, a pandas frame.
        kinds: of columns, if the inferred ones are wrong.
        compared: names of the columns in constraints.
        dialect: of the file of the rows; None: they are from no text, or from a usual one.
    """
    with warnings.catch_warnings():
        # identifiers are not modeled, but they are replaced by fresh ones
        warnings.filterwarnings("ignore", "column.*: no value repeats, so")
        hints = kind_hints(_with_numbers(frame, dialect), dict(kinds or {}), compared)
        return load(frame, missing="model", kinds=hints or "infer", dialect=dialect)


def _with_numbers(frame: Any, dialect: Dialect | None) -> Any:
    """The frame with text such as 1.234,50 as numbers; ``load`` gives the warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return with_numbers(frame, found_notations(frame, dialect, ()))


def fit_synthesizer(
    frame: Any,
    *,
    constraints: Sequence[str] = (),
    combinations: Sequence[Sequence[str]] = (),
    kinds: Mapping[str, Hint] | None = None,
    dialect: Dialect | None = None,
    prior: str = AUTO,
    minutes: float | None = None,
    seed: int = 0,
    device: str = TrainingOptions.device,
    folder: Path | None = None,
    resume: bool = False,
    reporter: TrainingReporter | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Fitted:
    """Fit a VAE with the likelihood ``autoregressive_columns``, and choose its prior.

    Args:
        frame: the rows, a pandas frame with any types.
        constraints: ranges and inequalities, such as "age >= 18" or "start <= end".
        combinations: names of the columns of each fixed combination, such as ("city", "country").
        kinds: of columns, if the inferred ones are wrong.
        dialect: of the file of the rows, which synthetic rows are written in; None: a usual one.
        prior: name of a prior; "auto": the one of N(0, I), a mixture and a flow under which
            held-out latents are most probable. N(0, I) stays if z carries no information.
        minutes: of training; None: from the number of rows and columns.
        seed: of the fit.
        device: where the model computes.
        folder: for checkpoints.
        resume: continue from the checkpoint in ``folder``.
        reporter: shows progress.
        say: receives what is decided.

    Raises:
        DataError: the rows cannot be modeled, or do not fulfill a constraint.
        OptionError: a constraint cannot be parsed, or a column or prior does not exist.
        Interrupted: Ctrl-C.
    """
    if prior != AUTO:
        PRIORS[prior]  # an unknown name is refused before the fit
    frame = without_beyond(frame.set_axis([str(name) for name in frame.columns], axis=1))
    compared = [side for sentence in constraints for side in sides(sentence)]
    dataset = read_for_synthesis(frame, kinds, compared, dialect)
    form = TableForm.learn(frame, dataset.schema, constraints, combinations)
    place = {column.name: index for index, column in enumerate(dataset.schema.modeled)}
    pairs = [(place[each.lower], place[each.upper]) for each in form.inequalities]
    relations = tuple((residual, place[a], place[b]) for residual, a, b in form.relations)
    options = synthesis_options(dataset, minutes, seed, device, tuple(pairs), relations)
    fitted = fit(dataset, options, folder=folder, resume=resume, reporter=reporter)
    fitted = replace(fitted, schema=form.on(fitted.schema))
    return _with_prior(fitted, dataset, prior, minutes, say)


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
