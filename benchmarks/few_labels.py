"""Learning from few labels: digits, tables, X-rays, sounds and MNIST, beside other learners.

A group is a data set with a number of labels; each of its draws hides other labels (and, but for
MNIST, splits the rows anew). Answers are kept draw by draw, so that a run goes on where it stopped.
Settings were chosen on draws from 1,000 on, of which none is reported. ``minutes`` is processor
time over two.

    python benchmarks/few_labels.py --group digits_62          its missing draws
    python benchmarks/few_labels.py --group mnist_100 --draws 5
    python benchmarks/few_labels.py --list                     what there is, and what is done
    python benchmarks/few_labels.py --summarize                the result of what is done
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _few_labels import (
    TABLES,
    XRAYS,
    Rows,
    baselines,
    digits,
    mnist,
    pneumonia,
    small_table,
    spoken_digits,
)
from _record import RESULTS, Metric, arguments, commit, keep_answer, write

from lowerbound import VAE, SemiSupervisedVAE
from lowerbound.data import load
from lowerbound.inference.classes import calibration

NAME = "few_labels"
FEATURES = Path("runs") / NAME / "mnist_bits.lb"
SHARE = 0.05  # of the training rows of tables, X-rays and sounds that keep their label
SURE = 0.9  # probability from which self-training believes
DIGITS: dict[str, Any] = {
    "augmentation": 1.0,
    "learning_rate": 2e-3,
    "training_options": {"updates": 1500},
}
MORE_DIGITS: dict[str, Any] = {  # which more labels can fill
    **DIGITS,
    "model_options": {"width": 64},
    "training_options": {"updates": 3000},
}
TABLE: dict[str, Any] = {"learning_rate": 2e-3, "training_options": {"updates": 1000}}
MNIST: dict[str, Any] = {
    "latent_dim": 16,
    "augmentation": 1.0,
    "stacked": True,
    "learning_rate": 2e-3,
    "batch_size": 256,
    "precision": "float32",
    "compile": "off",
    "model_options": {"width": 16},
    "training_options": {"updates": 3000},
}
SMALL_PICTURES: dict[str, Any] = {
    **MNIST,
    "network": "mlp",
    "network_options": {"hidden": [500, 500]},
    "likelihood": "continuous_bernoulli",
    "objective_options": {"confidence_threshold": 0.7},
    "training_options": {"updates": 800},
}
LONGER: dict[str, dict[str, Any]] = {"pneumonia": {"training_options": {"updates": 2000}}}
# M2 alone: no graph and no teacher
M2: dict[str, Any] = {
    "latent_dim": 32,
    "augmentation": 1.0,
    "network": "mlp",
    "network_options": {"hidden": [256]},
    "likelihood": "continuous_bernoulli",
    "learning_rate": 1e-3,
    "batch_size": 128,
    "precision": "float32",
    "compile": "off",
    "objective_options": {"graph": 0.0, "consistency": 0.0},
    "training_options": {"updates": 1500},
}
Answer = dict[str, Any]


def judged(model: SemiSupervisedVAE, rows: Rows) -> Answer:
    """Accuracy and calibration on the test rows."""
    probability = torch.from_numpy(model.predict_proba(rows.test_x))
    found = calibration(probability, torch.from_numpy(rows.test_y).long())
    return {"accuracy": found.accuracy, "calibration_error": found.error, "nats": found.nats}


def fitted(rows: Rows, draw: int, settings: dict[str, Any]) -> SemiSupervisedVAE:
    return SemiSupervisedVAE(random_state=draw, **settings).fit(rows.x, rows.given)


def on_digits(labels: int, draw: int) -> Answer:
    rows, settings = digits(labels, draw), DIGITS if labels < 100 else MORE_DIGITS
    return {**judged(fitted(rows, draw, settings), rows), "baselines": baselines(rows)}


def on_table(name: str, draw: int) -> Answer:
    """Beside the same classifier taught by the labeled rows alone."""
    rows = small_table(name, SHARE, draw)
    own = SemiSupervisedVAE(random_state=draw, folds=0, **TABLE)  # its accuracy is all we ask
    alone = own.fit(rows.labeled_x, rows.y[rows.labeled])
    others = {"own classifier, labeled rows alone": accuracy(alone, rows), **baselines(rows)}
    return {**judged(fitted(rows, draw, TABLE), rows), "baselines": others}


def on_pictures(kind: str, draw: int) -> Answer:
    """Beside the same classifier taught by the labeled rows alone, and by its own answers too."""
    rows, settings = PICTURES[kind](SHARE, draw), {**SMALL_PICTURES, **LONGER.get(kind, {})}
    supervised = {**settings, "stacked": False}  # which the classifier does not see
    alone = SemiSupervisedVAE(random_state=draw, **supervised)
    alone.fit(rows.labeled_x, rows.y[rows.labeled])
    taught = SemiSupervisedVAE(random_state=draw, **supervised).fit(*self_taught(alone, rows))
    others = {
        "own classifier, labeled rows alone": accuracy(alone, rows),
        "own classifier, self-training": accuracy(taught, rows),
        **baselines(rows),
    }
    return {**judged(fitted(rows, draw, settings), rows), "baselines": others}


def self_taught(alone: SemiSupervisedVAE, rows: Rows) -> tuple[Any, Any]:
    """The labeled rows, and those of which a classifier is sure, with its answers for labels."""
    probability = alone.predict_proba(rows.x)
    answers = alone.classes_[probability.argmax(1)]
    answers[rows.labeled] = rows.y[rows.labeled]
    kept = probability.max(1) > SURE
    kept[rows.labeled] = True
    return rows.x[kept], answers[kept]


def accuracy(model: SemiSupervisedVAE, rows: Rows) -> float:
    return float((model.predict(rows.test_x) == rows.test_y).mean())


def on_mnist(labels: int, draw: int) -> Answer:
    rows = mnist(labels, draw, pictures("train"), pictures("test"))
    settings = {**MNIST, "binarize": "dynamic", "features": mnist_features()}
    return judged(fitted(rows, draw, settings), rows)


def on_mnist_by_m2(labels: int, draw: int) -> Answer:
    rows = mnist(labels, draw, pictures("train"), pictures("test"))
    return judged(fitted(rows, draw, M2), rows)


@cache
def pictures(split: str) -> tuple[Any, Any]:
    """Grey values from 0 to 1, and classes."""
    found = load("mnist", split=split)
    assert found.label is not None
    return found.x.squeeze(1).numpy().astype(np.float32) / 255, found.label.numpy()


@cache
def mnist_features() -> VAE:
    """M1: a VAE of the 60,000 training digits, trained once for all draws."""
    if not FEATURES.exists():
        began = time.process_time()
        vae = VAE(
            50,
            network="mlp",
            network_options={"hidden": [500, 500]},
            likelihood="bernoulli",
            binarize="dynamic",  # of grey values, neighbors have the same class much less often
            posterior="gaussian",
            epochs=15,
            batch_size=256,
            learning_rate=1.5e-3,
            validation=0.0,
            precision="float32",
            compile="off",
            random_state=0,
        ).fit(pictures("train")[0])
        vae.save(FEATURES)
        print(f"features: {(time.process_time() - began) / 120:.1f} minutes", flush=True)
    return VAE.load(FEATURES)


PICTURES: dict[str, Callable[[float, int], Rows]] = {
    "pneumonia": pneumonia,
    "spoken": spoken_digits,
}
GROUPS: dict[str, tuple[Callable[[Any, int], Answer], Any, int]] = {
    "digits_62": (on_digits, 62, 10),
    "digits_251": (on_digits, 251, 5),
    "digits_1257": (on_digits, 1257, 5),
    **{f"table_{name}": (on_table, name, 5) for name in TABLES},
    **{name: (on_pictures, name, 5) for name in PICTURES},
    "mnist_100": (on_mnist, 100, 5),
    "mnist_1000": (on_mnist, 1000, 5),
    "mnist_m2_100": (on_mnist_by_m2, 100, 5),
    "mnist_m2_1000": (on_mnist_by_m2, 1000, 5),
}


def done(group: str) -> dict[str, Answer]:
    """Answers by draw."""
    place = RESULTS / NAME / f"{group}.json"
    return json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}


def run(group: str, draws: int) -> None:
    """The draws of a group that are missing."""
    task, what, most = GROUPS[group]
    for draw in range(min(draws or most, most)):
        answers = done(group)
        if str(draw) in answers:
            continue
        if task is on_mnist:
            mnist_features()  # trained once, and no part of a draw's minutes
        began = time.process_time()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "no variation")
            answer = task(what, draw)
        minutes = round((time.process_time() - began) / 120, 2)
        answers[str(draw)] = {**answer, "minutes": minutes, "commit": commit()}
        print(f"{group}, draw {draw}: {json.dumps(answers[str(draw)])}", flush=True)
        keep_answer(NAME, group, answers)


TITLES = {
    "digits_62": ("digits, 5 % labels: accuracy", 0.942),
    "digits_251": ("digits, 20 % labels: accuracy", 0.975),
    "digits_1257": ("digits, all labels: accuracy", 0.985),
    "pneumonia": ("chest X-rays, 5 % labels: accuracy", None),
    "spoken": ("spoken digits, 5 % labels, speakers held out: accuracy", None),
    "mnist_100": ("MNIST, 100 labels, M1+M2 with the classifier's terms: error", 0.0333),
    "mnist_1000": ("MNIST, 1,000 labels, M1+M2 with the classifier's terms: error", 0.024),
    "mnist_m2_100": ("MNIST, 100 labels, M2 alone: error", 0.1197),
    "mnist_m2_1000": ("MNIST, 1,000 labels, M2 alone: error", 0.036),
}


def metric(group: str) -> Metric:
    """Mean over the draws that are done, and their standard deviation."""
    answers = list(done(group).values())
    title, target = TITLES.get(group, (f"{group[6:]}, 5 % labels: accuracy", None))
    error = group.startswith("mnist")
    values = np.array([answer["accuracy"] for answer in answers])
    others = answers[0].get("baselines", {})
    means = {name: float(np.mean([a["baselines"][name] for a in answers])) for name in others}
    return Metric(
        f"{title} ({len(answers)} draws)",
        float(1 - values.mean() if error else values.mean()),
        "share",
        "lower" if error else "higher",
        float(values.std(ddof=1)) if len(values) > 1 else None,
        target,
        means,
    )


def no_harm() -> Metric | None:
    """Share of (table, draw) pairs not worse than the own supervised head by a deviation of it."""
    pairs = []
    for name in TABLES:
        answers = list(done(f"table_{name}").values())
        heads = [a["baselines"]["own classifier, labeled rows alone"] for a in answers]
        least = np.array(heads) - (np.std(heads, ddof=1) if len(heads) > 1 else 0.0)
        pairs += list(np.array([a["accuracy"] for a in answers]) >= least)
    if not pairs:
        return None
    title = f"tables, 5 % labels: pairs not harmed (of {len(pairs)})"
    return Metric(title, float(np.mean(pairs)), "share", "higher", None, 0.8)


def summarize() -> None:
    groups = [group for group in GROUPS if done(group)]
    harm = no_harm()
    metrics = [metric(group) for group in groups] + ([harm] if harm else [])
    answers = {group: done(group) for group in groups}
    errors = (
        f"{group}: {np.mean([a['calibration_error'] for a in found.values()]):.3f}"
        for group, found in answers.items()
    )
    each = (
        f"{group}: {np.mean([a['minutes'] for a in found.values()]):.2f}"
        for group, found in answers.items()
    )
    missing = [group for group, (_, _, draws) in GROUPS.items() if len(done(group)) < draws]
    write(
        NAME,
        metrics,
        data=[
            {
                "file": "mnist.npz, scikit-learn's sets, uci_german, credit_default, "
                f"{XRAYS}, the spoken digits",
                "split": "-",
            }
        ],
        seeds=sorted({int(draw) for found in answers.values() for draw in found}),
        minutes=sum(a["minutes"] for found in answers.values() for a in found.values()),
        notes="Spreads are standard deviations over draws. Minutes a draw, processor time over "
        f"two: {'; '.join(each)}. Expected calibration error, folds on tables "
        f"with five labels of each class: {'; '.join(errors)}. "
        f"Groups with draws missing: {', '.join(missing) or 'none'}.",
        extra={"answers": answers},
    )


def quick(seed: int) -> None:
    """A short fit, printed only."""
    rows = digits(62, 1_000 + seed)
    model = fitted(rows, seed, {**DIGITS, "training_options": {"updates": 100}})
    print(f"quick, not quoted: {judged(model, rows)['accuracy']:.3f} of digits after 100 updates")


def main() -> None:
    parser = arguments("Learning from few labels.")
    parser.add_argument("--group", choices=GROUPS)
    parser.add_argument("--draws", type=int, default=0, help="at most so many; 0: the group's own")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--summarize", action="store_true", help="write the result of what is done")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.quick:
        quick(chosen.seed)
    elif chosen.list:
        for group, (_, _, draws) in GROUPS.items():
            print(f"{group:20} {len(done(group))} of {draws} draws done")
    elif chosen.summarize:
        summarize()
    else:
        for group in [chosen.group] if chosen.group else GROUPS:
            run(group, chosen.draws)
        summarize()


if __name__ == "__main__":
    main()
