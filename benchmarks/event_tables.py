"""Histories of customers and patients from a model of event tables, beside real ones.

Two tables: purchases (CDNOW: 69,659 of 23,544 customers) and hospital visits (diabetes 130-US: the
patients with two visits or more, in the order of the encounter's number). Entities are split at
random; a fifth of them judges. As many histories as there are judging entities are drawn.

- errors of transitions (total variation of pairs of kinds), waiting times (Wasserstein), amounts
  (Wasserstein of the sum of an entity) and events per entity (total variation), divided by those
  of independent sampling, which draws entity, time and other columns of an event independently of
  each other from the training events; half is the bar
- next event: boosting learns the kind of the next event, or that there is none, from synthetic or
  from real histories, and predicts it for the judging ones; five points of accuracy are the bar
- likelihood: the bound in nats per history beside that of independent events and of a Markov chain
  of each column, with the same cells of the same histograms

Settings were chosen with --held-out, which judges a fifth of the training entities.

    python benchmarks/event_tables.py --cell purchases_0    one cell, resumable
    python benchmarks/event_tables.py                       all missing cells, then the result
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _cells import done, drive, fit_on
from _record import Metric, commit, keep_answer, write
from _rivals import paired
from scipy.stats import wasserstein_distance
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor

from lowerbound.applications.generation.sample import sample_histories
from lowerbound.data import Dataset, Events, file_sha256, history_frame, load
from lowerbound.data.catalog import data_folders, first_place
from lowerbound.errors import DataError
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.inference.likelihood import score
from lowerbound.likelihoods.histories import Histories
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

NAME = "event_tables"
RUNS = Path("runs") / NAME
SHARE = 0.2  # of the entities that judge
SAMPLES = 100  # of z, for the bound
MOST_EVENTS = 20  # events per entity that are distinguished
HALF, POINTS = 0.5, 0.05
RIVALS = {
    "independent events": "the marginal of each column, smoothed",
    "Markov chain": "of each column; the strength of the marginal chosen on held-out entities",
}
STRENGTHS = (1.0, 10.0, 100.0, 1000.0)  # of the marginal in the Markov chain
END = "none"
Answer = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A table and what is measured of it; ``kind`` is derived from the columns of an event."""

    file: str
    entity: str
    time: str
    amount: str
    frame: Callable[[Path], pd.DataFrame]
    kind: Callable[[pd.DataFrame], pd.Series]

    @property
    def path(self) -> Path:
        """Where the file lies.

        Raises:
            DataError: it is in no data folder.
        """
        found = first_place(data_folders(), (self.file,))
        if found is None:
            raise DataError(f"the data set {self.file} is missing: put it into LOWERBOUND_DATA")
        return found


def purchases(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"customer": str})


def visits(path: Path) -> pd.DataFrame:
    """The patients with two visits or more; diagnoses as the groups of Strack et al. 2014."""
    frame = pd.read_csv(path, usecols=[*VISIT_COLUMNS, "diag_1"], low_memory=False)
    frame["diagnosis"] = frame.pop("diag_1").map(diagnosis)
    many = frame.groupby("patient_nbr")["encounter_id"].transform("size") >= 2
    return frame[many].reset_index(drop=True)


VISIT_COLUMNS = [
    "patient_nbr",
    "encounter_id",
    "race",
    "gender",
    "age",
    "admission_type_id",
    "discharge_disposition_id",
    "time_in_hospital",
    "num_lab_procedures",
    "num_procedures",
    "num_medications",
    "number_outpatient",
    "number_emergency",
    "number_inpatient",
    "number_diagnoses",
    "A1Cresult",
    "insulin",
    "change",
    "diabetesMed",
    "readmitted",
]
GROUPS = (
    (390, 460, "circulatory"),
    (785, 786, "circulatory"),
    (460, 520, "respiratory"),
    (786, 787, "respiratory"),
    (520, 580, "digestive"),
    (787, 788, "digestive"),
    (250, 251, "diabetes"),
    (800, 1000, "injury"),
    (710, 740, "musculoskeletal"),
    (580, 630, "genitourinary"),
    (788, 789, "genitourinary"),
    (140, 240, "neoplasms"),
)


def diagnosis(code: str) -> str:
    """The group of an ICD-9 code."""
    try:
        number = float(code)
    except ValueError:
        return "other"
    return next((name for low, high, name in GROUPS if low <= number < high), "other")


SOURCES = {
    "purchases": Source(
        "cdnow_transactions.csv.xz",
        "customer",
        "date",
        "dollars",
        purchases,
        lambda frame: frame["discs"].clip(upper=4).astype(str),
    ),
    "visits": Source(
        "diabetes130.csv.xz",
        "patient_nbr",
        "encounter_id",
        "time_in_hospital",
        visits,
        lambda frame: frame["diagnosis"].astype(str),
    ),
}


@dataclass(frozen=True)
class Arm:
    """A table, and how its model is trained."""

    source: str
    seed: int
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return self.source

    def options(self) -> FitOptions:
        usual = {"epochs": 15, "batch_size": 256, "learning_rate": 2e-3, "validation": 0.05}
        usual = {**usual, "gradient_clip": 5.0}
        fixed = {"threads": 1, "seed": self.seed, "precision": "float32", "compile": "off"}
        training = TrainingOptions(**{**usual, **fixed, **self.training})
        return FitOptions(
            ModelOptions(model_options={"dropout": 0.2, **self.model}), training=training
        )


ARMS = {f"{name}_{seed}": Arm(name, seed) for name in SOURCES for seed in range(3)}


# data ---------------------------------------------------------------------------------------------


@cache
def frames(name: str, held_out: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training events and those of the entities that judge."""
    source = SOURCES[name]
    training, judging = split(source.frame(source.path), source.entity, seed=99)
    return split(training, source.entity, seed=98) if held_out else (training, judging)


def split(frame: pd.DataFrame, entity: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = np.sort(frame[entity].unique())
    random = np.random.default_rng(seed)
    chosen = random.permutation(names)[: round(SHARE * len(names))]
    judges = frame[entity].isin(chosen)
    return frame[~judges].reset_index(drop=True), frame[judges].reset_index(drop=True)


def dataset(name: str, training: pd.DataFrame) -> Dataset:
    source = SOURCES[name]
    return load(Events(training, source.entity, source.time))


def independent(source: Source, training: pd.DataFrame, entities: int, seed: int) -> pd.DataFrame:
    """Events whose entity, time and other columns are drawn independently of each other."""
    random = np.random.default_rng(seed)
    count = round(len(training) * entities / training[source.entity].nunique())
    found = {
        name: random.choice(column.to_numpy(), count)
        for name, column in training.items()
        if name != source.entity
    }
    return pd.DataFrame({source.entity: random.integers(entities, size=count), **found})


# errors -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sequences:
    """What is measured of the events of a table, sorted by entity and time."""

    kind: np.ndarray
    amount: np.ndarray
    time: np.ndarray
    entity: np.ndarray

    @classmethod
    def of(cls, source: Source, frame: pd.DataFrame) -> Sequences:
        kind = source.kind(frame).to_numpy()
        time = days(frame[source.time])
        amount = frame[source.amount].to_numpy(float)
        order = np.lexsort((amount, kind, time, frame[source.entity].to_numpy()))
        entity = pd.factorize(frame[source.entity].to_numpy()[order])[0]
        return cls(kind[order], amount[order], time[order], entity)

    @property
    def goes_on(self) -> np.ndarray:
        """Whether the next row is the next event of the same entity, (rows - 1,)."""
        return self.entity[1:] == self.entity[:-1]

    @property
    def waits(self) -> np.ndarray:
        return np.diff(self.time)[self.goes_on]

    @property
    def pairs(self) -> pd.Series:
        return pd.Series(self.kind[:-1] + ">" + self.kind[1:])[self.goes_on]

    @property
    def counts(self) -> np.ndarray:
        return np.bincount(self.entity)

    @property
    def totals(self) -> np.ndarray:
        return np.bincount(self.entity, self.amount)


def days(times: pd.Series) -> np.ndarray:
    """Times as numbers; dates as days."""
    if times.between(18000101, 22000101).all():
        return pd.to_datetime(times.astype(str)).to_numpy().astype("datetime64[D]").astype(float)
    return times.to_numpy(float)


def variation(a: Any, b: Any) -> float:
    """Total variation between the shares of two samples."""
    shares = [pd.Series(values).value_counts(normalize=True) for values in (a, b)]
    return float(0.5 * shares[0].sub(shares[1], fill_value=0).abs().sum())


def errors(found: Sequences, real: Sequences) -> dict[str, float]:
    """Distances from real histories; Wasserstein's in means of the real values."""
    return {
        "transitions": variation(found.pairs, real.pairs),
        "waiting times": wasserstein_distance(found.waits, real.waits) / real.waits.mean(),
        "amounts": wasserstein_distance(found.totals, real.totals) / real.totals.mean(),
        "events per entity": variation(
            found.counts.clip(max=MOST_EVENTS), real.counts.clip(max=MOST_EVENTS)
        ),
    }


# the next event -----------------------------------------------------------------------------------


def prefixes(found: Sequences, kinds: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """What is known after each event, and the kind of the next one."""
    last = np.append(~found.goes_on, True)
    first = np.append(True, last[:-1])
    code = pd.Index(kinds).get_indexer(found.kind).astype(float)
    number = np.arange(len(last)) - np.maximum.accumulate(np.where(first, np.arange(len(last)), 0))
    before = np.where(first, np.nan, np.append(np.nan, code[:-1]))
    wait = np.where(first, np.nan, np.append(np.nan, np.diff(found.time)))
    start = found.time[np.arange(len(last)) - number]
    known = np.stack([code, before, found.amount, wait, number, found.time, start], 1)
    following = np.where(last, END, np.append(found.kind[1:], END))
    return known, following


def next_event(found: Sequences, real: Sequences, kinds: list[str]) -> float:
    """Accuracy on real histories of boosting that learned from ``found``."""
    x, y = prefixes(found, kinds)
    model = HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.1, categorical_features=[0, 1], random_state=0
    )
    inputs, truth = prefixes(real, kinds)
    return float(model.fit(x, y).score(inputs, truth))


# likelihood ---------------------------------------------------------------------------------------


def baselines(fitted: Fitted, training: Dataset, real: Dataset) -> dict[str, float]:
    """Nats per history of independent events and of a Markov chain of each column.

    The strength of the marginal in the chain is chosen on a tenth of the training histories.
    """
    likelihood = fitted.model.likelihood
    assert isinstance(likelihood, Histories)
    seen, chosen = training.split(0.1, 0)
    strengths = {s: _markov(likelihood, seen, chosen, s) for s in STRENGTHS}
    best = max(strengths, key=strengths.__getitem__)
    return {
        "independent events": _markov(likelihood, training, real, None),
        "Markov chain": _markov(likelihood, training, real, best),
    }


def _markov(
    likelihood: Histories, training: Dataset, real: Dataset, strength: float | None
) -> float:
    """Mean nats per history; with a strength, each cell is given the same cell of the event before,
    and the end is given the first column of the event."""
    total = 0.0
    columns = [_codes(likelihood, part) for part in (training, real)]
    value = likelihood.layout.wait + 1
    for feature, count in enumerate(likelihood.counts):
        found = []
        for (codes, mask), part in zip(columns, (training, real), strict=True):
            before = torch.roll(codes[..., feature], 1, 1) + 1
            before = torch.where(torch.roll(mask[..., feature], 1, 1), before, 0)
            before[:, 0] = 0
            if feature == len(likelihood.counts) - 1:
                before = codes[..., value] + 1
            there = mask[..., feature]
            values = part.schema.units(part.x)[..., feature][there]
            found.append((codes[..., feature][there], before[there], values))
        (own, given, _), (judged, judged_given, values) = found
        p = _shares(own, given, count, strength)
        log_p = p[judged_given, judged].log() + _log_within(likelihood, feature, values)
        total += float(log_p.sum())
    return total / len(real)


def _codes(likelihood: Histories, part: Dataset) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        described = likelihood.described(part.schema.units(part.x), part.mask)
    return described.codes, part.mask


def _shares(own: Tensor, given: Tensor, count: int, strength: float | None) -> Tensor:
    """p of each code given each code before, (before, codes)."""
    marginal = torch.bincount(own, minlength=count).double() + 0.5
    marginal = marginal / marginal.sum()
    states = max(int(given.max()), 0) + 2 + count
    if strength is None:
        return marginal.expand(states, count)
    table = torch.bincount(given * count + own, minlength=states * count).double()
    table = table.view(states, count) + strength * marginal
    return table / table.sum(1, keepdim=True)


def _log_within(likelihood: Histories, feature: int, values: Tensor) -> Tensor:
    """log of the density of each value within its cell; zero for levels."""
    group: Any = likelihood.group(feature)
    if not hasattr(group, "table") or not callable(group.table):
        return torch.zeros(len(values), dtype=torch.float64)
    table = group.table()
    found: Tensor = table.log_within(values.unsqueeze(1), table.codes(values.unsqueeze(1)))
    return found[:, 0]


# cells --------------------------------------------------------------------------------------------


def judged(fitted: Fitted, arm: Arm, training: pd.DataFrame, real: pd.DataFrame) -> Answer:
    """All measures of a fitted model."""
    source = SOURCES[arm.source]
    entities = real[source.entity].nunique()
    drawn = torch.cat(list(sample_histories(fitted.model, entities, seed=arm.seed)))
    synthetic = Sequences.of(source, history_frame(fitted.schema, drawn))
    known, truth = Sequences.of(source, training), Sequences.of(source, real)
    alone = Sequences.of(source, independent(source, training, entities, arm.seed))
    kinds = sorted(set(known.kind))
    rows = load(real, schema=fitted.schema)
    scores = score(fitted.model, rows, samples=SAMPLES, seed=arm.seed)
    return {
        "errors": errors(synthetic, truth),
        "independent": errors(alone, truth),
        "real": errors(known, truth),
        "next_event": next_event(synthetic, truth, kinds),
        "real_next_event": next_event(known, truth, kinds),
        "nats": float(scores.bound.mean()),
        "standard_error": float(scores.bound.std() / len(scores.bound) ** 0.5),
        "rate": float(scores.rates.sum(0).mean()),
        "baselines": baselines(fitted, dataset(arm.source, training), rows),
        "entities": entities,
    }


def run_cell(name: str, arm: Arm, held_out: bool) -> Answer:
    """Train one model, draw histories and judge them."""
    training, real = frames(arm.source, held_out)
    folder = RUNS / (name + ("_held_out" if held_out else ""))
    fitted, clock = fit_on(folder, dataset(arm.source, training), arm.options())
    answer = {
        "cell": name,
        "title": arm.title,
        "source": arm.source,
        "seed": arm.seed,
        "minutes": round(clock["processor"] / 120, 2),
        "wall_minutes": round(clock["wall"] / 60, 2),
        **judged(fitted, arm, training, real),
        "commit": commit(),
    }
    print(json.dumps(answer), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


# the result ---------------------------------------------------------------------------------------


def summarize() -> None:
    """The result of the cells that are done."""
    cells = done(NAME)
    assert cells, "no cell is done"
    sources = {cell["source"] for cell in cells.values()}
    write(
        NAME,
        [m for name in sorted(sources) for m in metrics(name, list(cells.values()))],
        data=[
            {"file": SOURCES[name].file, "sha256": file_sha256(SOURCES[name].path)}
            for name in sorted(sources)
        ],
        seeds=sorted({cell["seed"] for cell in cells.values()}),
        minutes=sum(cell["minutes"] for cell in cells.values()),
        notes="A fifth of the entities judges, and as many histories are drawn. An error is "
        "divided by that of independent sampling; beside it is that of the real training events. "
        "Spreads are standard deviations over seeds. Minutes are processor time over two.",
        extra={"cells": list(cells.values())},
    )


def metrics(name: str, cells: list[Answer]) -> Iterator[Metric]:
    """The measures of one table, means over seeds."""
    own = [cell for cell in cells if cell["source"] == name]

    def over(values: list[float]) -> tuple[float, float]:
        return float(np.mean(values)), float(np.std(values))

    for part in own[0]["errors"]:
        value, spread = over([cell["errors"][part] / cell["independent"][part] for cell in own])
        floor, _ = over([cell["real"][part] / cell["independent"][part] for cell in own])
        yield Metric(
            f"{name}: error of {part} over that of independent sampling",
            value,
            "",
            "lower",
            spread,
            HALF,
            {"real training events": floor},
        )
    value, spread = over([cell["next_event"] for cell in own])
    real, _ = over([cell["real_next_event"] for cell in own])
    yield Metric(
        f"{name}: accuracy of the next event, learned from synthetic histories",
        value,
        "",
        "higher",
        spread,
        real - POINTS,
        {"learned from real histories": real},
    )
    nats = [cell["nats"] for cell in own]
    rivals = [
        paired(one, RIVALS[one], nats, [cell["baselines"][one] for cell in own], "higher", "seed")
        for one in own[0]["baselines"]
    ]
    value, spread = over(nats)
    yield Metric(
        f"{name}: lower bound on log p of a history",
        value,
        "nats",
        "higher",
        spread,
        rivals=rivals,
        beats=list(RIVALS),
    )


def quick(seed: int) -> None:
    """A few updates on a few customers, printed only."""
    arm = replace(ARMS["purchases_0"], seed=seed, training={"epochs": None, "updates": 30})
    source = SOURCES[arm.source]
    training, real = frames(arm.source, held_out=True)
    some = [
        frame[frame[source.entity].isin(np.sort(frame[source.entity].unique())[:count])]
        for frame, count in ((training, 600), (real, 200))
    ]
    fitted = fit(dataset(arm.source, some[0]), arm.options())
    answer = judged(fitted, arm, *some)
    print(
        f"quick, not quoted: {answer['nats']:.2f} nats per history, next event "
        f"{answer['next_event']:.3f}, errors {answer['errors']}"
    )


def main() -> None:
    drive(
        NAME,
        __doc__ or "",
        ARMS,
        summarize,
        quick,
        lambda benchmark, name, arm, held_out: run_cell(name, arm, held_out),
    )


if __name__ == "__main__":
    main()
