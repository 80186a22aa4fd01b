"""A VAE of molecules on MOSES: draws from the prior, reconstructions, and properties from codes.

Molecules are SELFIES of at most 40 tokens. Draws are judged by the definitions of MOSES, on 10,000
draws; they are new if MOSES' training part (all of it) does not have them. A reconstruction is
exact if greedy decoding from the mean code, without any given token, returns every token. Beside
it stands the share of tokens that are likeliest if the true tokens before are given, which is often
reported instead. Heads learn a property from mean codes of training molecules and are tested on
others.

Network and beta were chosen in short runs on training molecules, before this benchmark was written;
--held-out scores training molecules that no part has seen.

    python benchmarks/molecules.py --list
    python benchmarks/molecules.py --cell moses     one cell, resumable
    python benchmarks/molecules.py                  all missing cells, then the result
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _cells import Answer, Cell, done, drive, fit_on, write_cells
from _record import Metric, commit, keep_answer
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from lowerbound.data import Dataset, Schema, load
from lowerbound.data.catalog.download import data_folders
from lowerbound.data.catalog.published import first_place
from lowerbound.data.dataset import spread_rows
from lowerbound.data.molecules.properties import property_values
from lowerbound.data.molecules.smiles import canonical_smiles
from lowerbound.data.tables.files import read_frame
from lowerbound.data.tokens.kind import texts_of
from lowerbound.errors import DataError
from lowerbound.evaluation.latents.units import units
from lowerbound.evaluation.samples.molecules import molecule_quality
from lowerbound.fitting import Fitted, fit
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.likelihood import data_sha256, score
from lowerbound.inference.samples import sample_prior
from lowerbound.models.options import ModelOptions
from lowerbound.trace import Mean

NAME = "molecules"
LONGEST = 40  # tokens
ROWS, SCORED, HELD_OUT = 400_000, 5_000, 5_000
DRAWN = 10_000
IMPORTANCE_SAMPLES = 100
HEADS = 20_000  # molecules from which heads learn
PROPERTIES = ("logp", "sa", "qed")
BARS = {"logp": 0.90, "sa": 0.75, "qed": 0.65}
TRAINING = {"schedule": "cosine", "precision": "float32", "compile": "off", "gradient_clip": 20.0}


def cell(title: str, beta: float, epochs: int, **model: Any) -> Cell:
    return Cell(
        title,
        epochs=epochs,
        objective_options={"beta": beta},
        model=ModelOptions(**model),
        score_samples=IMPORTANCE_SAMPLES,
        source="moses",
        training=TRAINING,
    )


CELLS: dict[str, Cell] = {
    "moses": cell("positions, beta .3", 0.3, 4),
}


def run(benchmark: str, name: str, chosen: Cell, held_out: bool) -> Answer:
    """Fit and measure; the answer is kept beside the results."""
    training, scored = parts(held_out)
    folder = Path("runs") / NAME / (name + ("_held_out" if held_out else ""))
    fitted, clock = fit_on(folder, training, chosen.options())
    print(f"{name}: trained in {clock['processor'] / 60:.1f} processor minutes", flush=True)
    answer: Answer = {
        "cell": name,
        "title": chosen.title,
        "epochs": chosen.epochs,
        "seed": chosen.seed,
        "minutes": round(clock["processor"] / 120, 2),
        "wall_minutes": round(clock["wall"] / 60, 2),
        "training_molecules": len(training),
        "rows": len(scored),
        "rows_sha256": data_sha256(scored),
        **bound_of(fitted, scored, chosen.score_samples),
        **reconstruction(fitted, scored),
        "draws": draws(fitted, scored),
        "heads": heads(fitted, training, scored),
        "commit": commit(),
    }
    print(json.dumps(answer), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


# data ---------------------------------------------------------------------------------------------


def parts(held_out: bool) -> tuple[Dataset, Dataset]:
    """Training molecules, and those that are scored."""
    lines = molecules("train")
    random.Random(0).shuffle(lines)
    training = tokens(lines[: ROWS + HELD_OUT])
    if held_out:
        return training.split(HELD_OUT / len(training), seed=99)
    test = molecules("test")
    random.Random(0).shuffle(test)
    return training, tokens(test[: 2 * SCORED], training.schema).thinned(SCORED)


def molecules(part: str) -> list[str]:
    """The molecules of a part of MOSES."""
    place = first_place(data_folders(), [f"moses_{part}.csv.gz"])
    if place is None:
        raise DataError(f"moses_{part}.csv.gz is in none of the folders of LOWERBOUND_DATA")
    return [str(each) for each in read_frame(place)["SMILES"]]


def tokens(lines: list[str], schema: Schema | None = None) -> Dataset:
    """Those of at most ``LONGEST`` tokens."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if schema is not None:
            return load(lines, schema=schema, on_error="skip")
        return load(lines, tokens="selfies", longest=LONGEST)


# measures -----------------------------------------------------------------------------------------


def bound_of(fitted: Fitted, scored: Dataset, samples: int) -> dict[str, float]:
    scores = score(fitted.model, scored, samples=samples, seed=0)
    rates = scores.rates.sum(0).double()
    return {
        "nats": -float(scores.bound.double().mean()),
        "standard_error": float(scores.bound.double().std() / len(scores.bound) ** 0.5),
        "negative_elbo": -float(scores.elbo.double().mean()),
        "samples": samples,
        "bits_per_token": scores.bits_per_dimension().mean,
        "rate": float(rates.mean()),
        "active_units": units(fitted.model, scored).count,
    }


@torch.no_grad()
def reconstruction(fitted: Fitted, scored: Dataset) -> dict[str, float]:
    """Exact greedy reconstructions, and tokens that are right if those before are given."""
    model, exact, right, count = fitted.model.eval(), 0, 0, 0
    for rows in torch.arange(len(scored)).split(500):
        batch = scored.batch(rows)
        assert batch.x is not None
        emission = model(batch, Mean()).likelihood
        exact += int((emission.best[0] == batch.x).all(1).sum())
        given = emission.likeliest(batch.x)
        inside = emission.likelihood.scored(batch.x, None)
        right += int(((given == batch.x) & inside).sum())
        count += int(inside.sum())
    return {"exact": exact / len(scored), "tokens_right_given_those_before": right / count}


def draws(fitted: Fitted, scored: Dataset) -> dict[str, Any]:
    """Quality of draws, and their distances beside those of real training molecules."""
    made = sample_prior(fitted.model, DRAWN, seed=0)
    texts = [str(text) for text in fitted.schema.decode(made.x)]
    known = {*molecules("train")}
    reference = texts_of(scored)
    found = molecule_quality(texts, reference=reference)
    different = {text for text in map(canonical, texts) if text}
    real = molecule_quality(sorted(known)[:: len(known) // SCORED], reference=reference)
    return {
        "valid": found.valid,
        "unique": found.unique,
        "novel": 1 - sum(text in known for text in different) / max(len(different), 1),
        "diversity": found.diversity,
        "distances": dict(found.distances),
        "distances_of_training_molecules": dict(real.distances),
        "examples": texts[:8],
    }


def canonical(text: str) -> str:
    try:
        return canonical_smiles(text)
    except DataError:
        return ""


def heads(fitted: Fitted, training: Dataset, scored: Dataset) -> dict[str, dict[str, float]]:
    """R2 of properties from mean codes: a ridge and a small network."""
    known = training.subset(spread_rows(len(training), HEADS))
    x, y = codes(fitted, known), property_values(PROPERTIES, texts_of(known))
    test, truth = codes(fitted, scored), property_values(PROPERTIES, texts_of(scored))
    found = {}
    for name in PROPERTIES:
        keep, real = ~np.isnan(y[name]), ~np.isnan(truth[name])
        found[name] = {
            title: float(
                r2_score(truth[name][real], head.fit(x[keep], y[name][keep]).predict(test[real]))
            )
            for title, head in _heads()
        }
    return found


def codes(fitted: Fitted, dataset: Dataset) -> Any:
    mean: Tensor = encode_rows(fitted.model, dataset).mean
    return mean.double().numpy()


def _heads() -> Iterator[tuple[str, Any]]:
    yield "ridge", make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    network = MLPRegressor(hidden_layer_sizes=(128, 128), early_stopping=True, random_state=0)
    yield "network", make_pipeline(StandardScaler(), network)


# results ------------------------------------------------------------------------------------------


def metrics(answers: Mapping[str, Answer]) -> Iterator[Metric]:
    for answer in answers.values():
        title, drawn = answer["title"], answer["draws"]
        teacher = {"tokens right given those before": answer["tokens_right_given_those_before"]}
        yield Metric(f"{title}: valid draws", drawn["valid"], "share", "higher", None, 1.0)
        yield Metric(f"{title}: unique draws", drawn["unique"], "share", "higher", None, 0.99)
        yield Metric(f"{title}: novel draws", drawn["novel"], "share", "higher", None, 0.95)
        yield Metric(f"{title}: rate", answer["rate"], "nats", "higher", None, 20.0)
        active = answer["active_units"]
        yield Metric(f"{title}: active units", active, "units", "higher", None, 32.0)
        exact = answer["exact"]
        yield Metric(
            f"{title}: exact reconstructions", exact, "share", "higher", None, 0.3, teacher
        )
        error = answer["standard_error"]
        beside = {"-ELBO": answer["negative_elbo"], "bits per token": answer["bits_per_token"]}
        yield Metric(f"{title}: -L_100", answer["nats"], "nats", "lower", error, None, beside)
        for name, distance in drawn["distances"].items():
            real = {"training molecules": drawn["distances_of_training_molecules"][name]}
            what = f"{title}: distance of {name} of draws"
            yield Metric(what, distance, "unit of the property", "lower", None, None, real)
        for name, each in answer["heads"].items():
            best = max(each.values())
            yield Metric(f"{title}: R2 of {name}", best, "R2", "higher", None, BARS[name], each)


def summarize() -> None:
    answers = done(NAME)
    data = [
        {"file": "moses_test.csv.gz", "split": "test", "sha256": answer["rows_sha256"]}
        for answer in answers.values()
    ]
    write_cells(NAME, list(metrics(answers)), data, "Spread is the standard error over molecules.")


def quick(seed: int) -> None:
    """A few updates on a few molecules that are made here, printed only."""
    draw = random.Random(seed)
    lines = ["C" * draw.randint(1, 8) + draw.choice(["", "O", "N", "C=O"]) for _ in range(200)]
    dataset = load(lines, tokens="smiles")
    options = replace(CELLS["moses"], epochs=1, seed=seed, batch_size=32).options()
    fitted = fit(dataset, options)
    print("quick, not quoted:", reconstruction(fitted, dataset))


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick, run)
