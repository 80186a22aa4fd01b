"""A VAE of molecules on MOSES: draws from the prior, reconstructions, and properties from codes.

Molecules are SELFIES of at most 40 tokens. Draws are judged by the definitions of MOSES, on 10,000
draws; they are new if MOSES' training part (all of it) does not have them. A reconstruction is
exact if greedy decoding from the mean code, without any given token, returns every token. Beside
it stands the share of tokens that are likeliest if the true tokens before are given, which is often
reported instead. Heads learn a property from mean codes of training molecules and are tested on
others. In the cell ``moses_predicting`` the codes predict logP, SA and QED during the fit (100,000
molecules have values), and a diffusion prior is trained on codes after it; its model is kept for
``design_molecules.py``.

Network and beta were chosen in short runs on training molecules, before this benchmark was written;
--held-out scores training molecules that no part has seen.

    python benchmarks/molecules.py --list
    python benchmarks/molecules.py --cell moses     one cell, resumable
    python benchmarks/molecules.py                  all missing cells, then the result
"""

from __future__ import annotations

import json
import random
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _cells import Answer, Cell, done, drive, fit_on, spent, write_cells
from _record import Metric, commit, keep_answer
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from lowerbound.applications.design.molecules import molecule_quality
from lowerbound.data import Dataset, Schema, load
from lowerbound.data.catalog import data_folders, first_place
from lowerbound.data.dataset import spread_rows
from lowerbound.data.sciences.molecules import property_values
from lowerbound.data.sciences.smiles import canonical_smiles
from lowerbound.data.sequences.token_kind import texts_of
from lowerbound.data.tables.files import read_frame
from lowerbound.errors import DataError
from lowerbound.evaluation.aggregate import units
from lowerbound.fitting import Fitted, fit, folder as model_folder
from lowerbound.fitting.prior import fit_prior
from lowerbound.inference.codes import draw_latents, encode_rows
from lowerbound.inference.likelihood import data_sha256, score
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.inference.regression import quantity_quality
from lowerbound.models.options import ModelOptions
from lowerbound.trace import Mean
from lowerbound.training import TrainingOptions

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
    "moses": cell("positions, beta .3", 0.3, 4, network_options={"channels": 0}),
    "moses_predicting": cell("predicting properties, beta .3", 0.3, 4),
}
PREDICTING = {"moses_predicting"}
PRIOR_ROWS = 100_000
PRIOR = TrainingOptions(
    epochs=20, batch_size=256, learning_rate=1e-3, validation=0.05, patience=0, schedule="cosine",
    weight_average=0.999, threads=1,
)  # fmt: skip


def run(benchmark: str, name: str, chosen: Cell, held_out: bool) -> Answer:
    """Fit and measure; the answer is kept beside the results."""
    predict = PROPERTIES if name in PREDICTING else ()
    prepared = time.process_time()
    training, scored = parts(held_out, predict)
    prepared = time.process_time() - prepared
    folder = run_folder(name, held_out)
    fitted, clock = fit_on(folder, training, chosen.options())
    model_folder.write(folder / "model.lb", fitted)
    print(f"{name}: trained in {clock['processor'] / 60:.1f} processor minutes", flush=True)
    answer: Answer = {
        "cell": name,
        "title": chosen.title,
        "epochs": chosen.epochs,
        "seed": chosen.seed,
        "minutes": round(clock["processor"] / 120, 2),
        "wall_minutes": round(clock["wall"] / 60, 2),
        "reading_minutes": round(prepared / 120, 2),
        "training_molecules": len(training),
        "rows": len(scored),
        "rows_sha256": data_sha256(scored),
        **bound_of(fitted, scored, chosen.score_samples),
        **reconstruction(fitted, scored),
        "draws": draws(fitted, scored),
        "heads": heads(fitted, training, scored),
        "commit": commit(),
    }
    if predict:
        answer["own_head"] = own_head(fitted, scored)
        answer["prior"] = with_prior(folder, fitted, training, scored)
    print(json.dumps(answer), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


# data ---------------------------------------------------------------------------------------------


def run_folder(name: str, held_out: bool = False) -> Path:
    """The folder of a cell's fit."""
    return Path("runs") / NAME / (name + ("_held_out" if held_out else ""))


def parts(held_out: bool, predict: tuple[str, ...] = ()) -> tuple[Dataset, Dataset]:
    """Training molecules, and those that are scored."""
    lines = molecules("train")
    random.Random(0).shuffle(lines)
    training = tokens(lines[: ROWS + HELD_OUT], predict=predict)
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


def tokens(
    lines: list[str], schema: Schema | None = None, predict: tuple[str, ...] = ()
) -> Dataset:
    """Those of at most ``LONGEST`` tokens."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if schema is not None:
            return load(lines, schema=schema, on_error="skip")
        return load(lines, tokens="selfies", longest=LONGEST, predict=predict)


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


def own_head(fitted: Fitted, scored: Dataset) -> dict[str, dict[str, float]]:
    """R2 of the predictions that the model learned in its fit, and the share in their bands."""
    values = property_values(PROPERTIES, texts_of(scored))
    columns = [
        one.scale.standardized(torch.tensor(values[one.name])) for one in fitted.schema.quantities
    ]
    known = replace(scored, schema=fitted.schema, quantities=torch.stack(columns, 1).float())
    quality = quantity_quality(fitted.model, known)
    return {name: {"R2": each.r2, "covered": each.covered} for name, each in quality.items()}


def with_prior(folder: Path, fitted: Fitted, training: Dataset, scored: Dataset) -> dict[str, Any]:
    """Draws from a diffusion prior that is trained on codes of training molecules."""
    place = folder / "prior"
    with spent(place) as clock:
        latents = draw_latents(fitted.model, training.thinned(PRIOR_ROWS))
        made, _ = fit_prior(
            fitted, latents.dataset(), "diffusion", {}, PRIOR, draws=latents.z.shape[1],
            folder=place, resume=(place / "checkpoint").exists(),
        )  # fmt: skip
    model_folder.write(folder / "model.lb", made)
    return {"minutes": round(clock["processor"] / 120, 2), "draws": draws(made, scored)}


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
        yield from _realism(title, drawn)
        if "prior" in answer:
            yield from _realism(f"{title}, diffusion prior", answer["prior"]["draws"])
        for name, each in answer["heads"].items():
            best = max(each.values())
            own = answer.get("own_head", {}).get(name)
            beside = each if own is None else {**each, "in the fit": own["R2"]}
            yield Metric(f"{title}: R2 of {name}", best, "R2", "higher", None, BARS[name], beside)
        for name, own in answer.get("own_head", {}).items():
            what = f"{title}: 95 % bands of {name}"
            yield Metric(what, own["covered"], "share", "higher", None, None)


def _realism(title: str, drawn: Mapping[str, Any]) -> Iterator[Metric]:
    """How far draws are from test molecules; of a learned prior also whether they are molecules."""
    if "prior" in title:
        counts = {name: drawn[name] for name in ("unique", "novel")}
        yield Metric(f"{title}: valid draws", drawn["valid"], "share", "higher", None, 1.0, counts)
    for name, distance in drawn["distances"].items():
        real = {"training molecules": drawn["distances_of_training_molecules"][name]}
        what = f"{title}: distance of {name} of draws"
        yield Metric(what, distance, "unit of the property", "lower", None, None, real)


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
