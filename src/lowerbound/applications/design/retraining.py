r"""Weighted retraining: between the parts of a search the model learns its best rows again.

.. math:: w_i \propto \frac{1}{k N + \operatorname{rank}_i}

with the rank 0 of the highest score among N rows, known ones and those that the search found. The
model goes on from its weights with rows drawn by w, so that more of its latent space decodes to
rows with high scores.

Source: Tripp et al. 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from lowerbound.applications.design.engine import MOST_KNOWN, Designer, SearchOptions
from lowerbound.applications.design.goals import DesignTask
from lowerbound.applications.design.result import DesignResult, Stop
from lowerbound.data.dataset import Dataset, joined
from lowerbound.errors import DataError, OptionError, TrainingError
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.model import fit
from lowerbound.models.base import Model

UPDATES = 200  # of each retraining
RANK_WEIGHT = 1e-3  # k
USUAL_BATCH = 128


def search_and_retrain(
    fitted: Fitted,
    dataset: Dataset,
    task: DesignTask,
    options: SearchOptions,
    times: int,
    *,
    known: Dataset | None = None,
    starts: Sequence[int] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    found: Callable[[Designer], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> DesignResult:
    """A search in ``times`` + 1 parts with equal calls, and a retraining between two of them.

    Args:
        fitted: the model that the search starts with; it does not change.
        dataset: known rows; the search learns from at most 10,000 of them, evenly spread.
        task: goals and limits.
        options: how to search.
        times: number of retrainings; 0: one search with the model as it is.
        known: further rows that are known, without values.
        starts: known rows that the search starts from, beside those that it finds; None: the best
            of all.
        progress: called with (what, done, all of them).
        found: called with the first designer.
        say: called with a line before each retraining.

    Raises:
        UnsupportedError: the model or its rows cannot be used for a design.
        OptionError: the number of retrainings is negative, or leaves a part without calls; the
            model is that of a private fit, which would see its rows again.
        DataError: see ``Designer``. An error or Ctrl-C after the first proposals is in the result.
    """
    _check(fitted, options, times)
    show = progress or (lambda what, done, all_: None)
    first = Designer.of(
        fitted.model,
        dataset,
        task,
        known=known,
        seed=options.seed,
        progress=partial(show, "rows of DATA"),
    )
    if found is not None:
        found(first)
    results: list[DesignResult] = []
    stopped: Stop | None = None
    try:
        few, say = dataset.thinned(MOST_KNOWN), say or (lambda line: None)
        for result in _parts(first, fitted, few, task, options, times, starts, show, say):
            results.append(result)
    except (DataError, TrainingError, KeyboardInterrupt) as error:
        if not any(result.candidates for result in results):
            raise
        stopped = error  # the calls that were made may have been expensive
    return replace(
        results[0],
        candidates=tuple(each for result in results for each in result.candidates),
        calls=options.calls,
        stopped=stopped or results[-1].stopped,
    )


def _parts(
    first: Designer,
    fitted: Fitted,
    dataset: Dataset,
    task: DesignTask,
    options: SearchOptions,
    times: int,
    starts: Sequence[int] | None,
    show: Callable[[str, int, int], None],
    say: Callable[[str], None],
) -> Iterator[DesignResult]:
    """The result of each part of a search."""
    designer, oracle = first, first.oracle(options)
    for part in range(times + 1):
        oracle.calls = round(options.calls * (part + 1) / (times + 1))
        result = designer.search(
            options, starts=starts, oracle=oracle, progress=partial(show, "calls")
        )
        yield result
        if part == times or result.stopped is not None:
            return
        dataset, values = _with_found(designer, dataset, result)
        say(f"retraining {part + 1} of {times} on {len(dataset):,} rows, best ones most often")
        if starts is not None:
            starts = [*starts, *range(len(designer.values), len(values))]
        seed = options.seed + part + 1
        scores = replace(first, values=values).known_scores()
        fitted = retrained(fitted, dataset, scores, seed=seed)
        designer = Designer.of(fitted.model, dataset, task, values=values, seed=seed)
        designer = replace(designer, task=first.task)


def _check(fitted: Fitted, options: SearchOptions, times: int) -> None:
    if not 0 <= times < options.calls:
        raise OptionError(
            f"{times} retrainings with {options.calls:,} calls: there must be at least one call "
            "before each, so give fewer retrainings or more calls"
        )
    if times and fitted.options.privacy.private:
        raise OptionError(
            "a private model cannot be retrained, which would use its rows without accounting: "
            "search without retraining"
        )


def _with_found(
    designer: Designer, dataset: Dataset, result: DesignResult
) -> tuple[Dataset, Tensor]:
    """Known rows and their values, with the new rows that a search judged."""
    new = [c for c in result.ranked() if not c.known]
    rows, kept = designer.form.dataset([c.row for c in new])
    if rows is None:
        return dataset, designer.values
    quantities = None
    if dataset.quantities is not None:
        quantities = torch.full((len(kept), dataset.quantities.shape[1]), float("nan"))
    plain = replace(dataset, label=None, target=None, ids=None, source="")
    both = joined([plain, replace(rows, quantities=quantities, ids=None, source="")])
    values = [new[i].outcome.values for i in kept]
    return both, torch.cat([designer.values, torch.tensor(values, dtype=torch.float64)])


def retrained(fitted: Fitted, dataset: Dataset, scores: Tensor, *, seed: int = 0) -> Fitted:
    """A copy of a model that went on learning, from rows that are drawn by their rank.

    Args:
        fitted: the model, which does not change.
        dataset: rows.
        scores: of the rows, the higher the better; -inf counts as the worst.
        seed: of the rows and the noise.
    """
    options = fitted.options
    batch = min(options.training.batch_size or USUAL_BATCH, len(dataset))
    generator = torch.Generator().manual_seed(seed)
    rows = torch.multinomial(rank_weights(scores), UPDATES * batch, True, generator=generator)
    training = replace(
        options.training,
        epochs=None,
        updates=UPDATES,
        minutes=None,
        batch_size=batch,
        warm_up=0,
        weight_average=0.0,
        validation=0.0,
        patience=0,
        seed=seed,
    )
    made = replace(
        options, model=options.fitted_model, training=training, folds=None, prior_fit=None
    )

    def start(model: Model) -> None:
        known = fitted.model.state_dict()
        model.take_layout(known)
        with torch.no_grad():
            for name, value in model.state_dict().items():
                if name in known and known[name].shape == value.shape:
                    value.copy_(known[name])

    return fit(dataset.subset(rows), made, start=start)


def rank_weights(scores: Tensor) -> Tensor:
    """Weights that add up to 1, (rows,) float64."""
    rank = torch.empty(len(scores), dtype=torch.float64)
    order = scores.argsort(descending=True, stable=True)
    rank[order] = torch.arange(len(scores), dtype=torch.float64)
    weights = 1 / (RANK_WEIGHT * len(scores) + rank)
    return weights / weights.sum()
