"""Learning from few labels: digits, ten tables, X-rays, sounds and MNIST, beside other learners.

A group is a data set with a number of labels; each of its draws hides other labels (and, but for
MNIST, splits the rows anew). Every group also has our classifier on the labeled rows alone, the
majority class, logistic regression and boosted trees. Answers are kept draw by draw, so that a run
goes on where it stopped. Settings, those of the others too, were chosen on draws from 1,000 on, of
which none is reported. ``minutes`` is processor time over two.

    python benchmarks/few_labels.py --group digits_62            its missing draws
    python benchmarks/few_labels.py --group mnist_100 --draws 5
    python benchmarks/few_labels.py --group digits_62 --rivals   the missing draws of the others
    python benchmarks/few_labels.py --list                       what there is, and what is done
    python benchmarks/few_labels.py --summarize                  the result of what is done
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _cells import Answer
from _few_labels import XRAYS, Rows, digits, mnist, pneumonia, small_table, spoken_digits
from _label_rivals import ALONE, LEARNERS, accuracies, choice, own
from _label_tables import TABLES
from _record import COMMITS, RESULTS, SECONDS, Metric, arguments, commit, part_of, write
from _rivals import Better, in_words, paired

from lowerbound import VAE, SemiSupervisedVAE
from lowerbound.applications.labels.classify import calibration
from lowerbound.data import load

NAME = "few_labels"
FEATURES = Path("runs") / NAME / "mnist_bits.lb"
SHARE = 0.05  # of the training rows of tables, X-rays and sounds that keep their label
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
TABLE: dict[str, Any] = {}  # the defaults
MNIST: dict[str, Any] = {
    "latent_dim": 16,
    "augmentation": 1.0,
    "stacked": True,
    "network": "mlp",
    "network_options": {"hidden": [500, 500]},
    "learning_rate": 2e-3,
    "batch_size": 256,
    "precision": "float32",
    "compile": "off",
    "model_options": {"width": 16},
    "training_options": {"updates": 3000},
}
SMALL_PICTURES: dict[str, Any] = {
    **MNIST,
    "likelihood": "continuous_bernoulli",
    "objective_options": {"confidence_threshold": 0.7},
    "training_options": {"updates": 800},
}
X_RAYS: dict[str, Any] = {**SMALL_PICTURES, "training_options": {"updates": 2000}}
# M2 of Kingma et al. 2014, and nothing else: one hidden layer of 500 softplus units in each
# network, 50 latents, the bound and 0.1 times the cross-entropy of the labels; neither perturbed
# nor augmented rows, no graph, no teacher
PERCEPTRON: dict[str, Any] = {"hidden": [500], "activation": "softplus"}
M2: dict[str, Any] = {
    "latent_dim": 50,
    "network": "mlp",
    "network_options": PERCEPTRON,
    "likelihood": "bernoulli",
    "binarize": "dynamic",
    "learning_rate": 3e-4,
    "batch_size": 100,
    "precision": "float32",
    "compile": "off",
    "model_options": {"classifier": "mlp", "classifier_options": PERCEPTRON},
    "objective_options": {"classifier": 0.1, "graph": 0.0, "consistency": 0.0, "noise": 0.0},
    "training_options": {"updates": 10_000},
}
CHOSEN = "settings"  # the part of a group's cell of rivals that holds theirs


@dataclass(frozen=True)
class Group:
    """A data set with a number of labels.

    Attributes:
        rows: the number of a draw -> its rows.
        settings: of ``SemiSupervisedVAE``.
        title: what is measured.
        draws: how many are reported.
        target: the bar.
        error: the error is reported instead of the accuracy.
        features: the VAE of the features of M1+M2, trained once for all draws; None: there is none.
        same_rows: a group with the same rows and so the same answers of scikit-learn's learners.
    """

    rows: Callable[[int], Rows]
    settings: dict[str, Any]
    title: str
    draws: int = 5
    target: float | None = None
    error: bool = False
    features: Callable[[], VAE] | None = None
    same_rows: str = ""


def judged(model: SemiSupervisedVAE, rows: Rows) -> Answer:
    """Accuracy and calibration on the test rows."""
    probability = torch.from_numpy(model.predict_proba(rows.test_x))
    found = calibration(probability, torch.from_numpy(rows.test_y).long())
    return {"accuracy": found.accuracy, "calibration_error": found.error, "nats": found.nats}


def ours(group: Group, draw: int) -> Answer:
    """Our accuracy and calibration on one draw."""
    shared = {"features": group.features()} if group.features else {}  # no part of a draw's minutes
    rows, began = group.rows(draw), time.process_time()
    model = SemiSupervisedVAE(random_state=draw, **group.settings, **shared)
    found = judged(model.fit(rows.x, rows.given), rows)
    return {**found, "minutes": minutes_since(began), "commit": commit()}


def others(group: Group, name: str, draw: int) -> Answer:
    """Accuracies of all others on one draw."""
    rows, chosen = group.rows(draw), rival_settings(name)
    known = rivals_on(group.same_rows, draw)["accuracy"] if group.same_rows else None
    began = time.process_time()  # neither the choice nor another group is part of it
    if known is None:
        found = accuracies(rows, chosen)
    else:
        found = {rival: value for rival, value in known.items() if rival in LEARNERS}
    if not rows.complete:  # else our own classifier has the same rows
        found |= own(rows, draw, group.settings)
    return {"accuracy": found, "minutes": minutes_since(began), "commit": commit()}


def rivals_on(name: str, draw: int) -> Answer:
    """What all others have on a draw of a group; measured, where no earlier run has."""
    measure = partial(others, GROUPS[name], name, draw)
    return part_of(NAME, f"{name}_rivals", str(draw), measure)


def rival_settings(name: str) -> Answer:
    """The settings of scikit-learn's on a group; chosen, where no earlier run has."""
    name = GROUPS[name].same_rows or name
    return part_of(NAME, f"{name}_rivals", CHOSEN, lambda: choice(GROUPS[name].rows))


def minutes_since(began: float) -> float:
    return round((time.process_time() - began) / 120, 2)


def mnist_rows(labels: int, draw: int) -> Rows:
    return mnist(labels, draw, pictures("train"), pictures("test"))


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
            network=MNIST["network"],
            network_options=MNIST["network_options"],
            likelihood="bernoulli",
            binarize="dynamic",  # of grey values, neighbors have the same class much less often
            posterior="gaussian",
            model_options={"linear_start": False},  # neighbors likewise
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


def mnist_group(labels: int, target: float) -> Group:
    title = f"MNIST, {labels:,} labels, M1+M2 with the classifier's terms: error"
    settings = {**MNIST, "binarize": "dynamic"}
    rows = partial(mnist_rows, labels)
    return Group(rows, settings, title, target=target, error=True, features=mnist_features)


def m2_group(labels: int, target: float) -> Group:
    title = f"MNIST, {labels:,} labels, M2 as published: error"
    return Group(
        partial(mnist_rows, labels), M2, title, 3, target, error=True, same_rows=f"mnist_{labels}"
    )


def table_group(name: str) -> Group:
    return Group(partial(small_table, name, SHARE), TABLE, f"{name}, 5 % labels: accuracy")


GROUPS: dict[str, Group] = {
    "digits_62": Group(partial(digits, 62), DIGITS, "digits, 5 % labels: accuracy", 10, 0.942),
    "digits_251": Group(
        partial(digits, 251), MORE_DIGITS, "digits, 20 % labels: accuracy", target=0.975
    ),
    "digits_1257": Group(
        partial(digits, 1257), MORE_DIGITS, "digits, all labels: accuracy", target=0.985
    ),
    **{f"table_{name}": table_group(name) for name in TABLES},
    "pneumonia": Group(partial(pneumonia, SHARE), X_RAYS, "chest X-rays, 5 % labels: accuracy"),
    "spoken": Group(
        partial(spoken_digits, SHARE),
        SMALL_PICTURES,
        "spoken digits, 5 % labels, speakers held out: accuracy",
    ),
    "mnist_100": mnist_group(100, 0.0333),
    "mnist_1000": mnist_group(1_000, 0.024),
    "mnist_published_m2_100": m2_group(100, 0.1197),
    "mnist_published_m2_1000": m2_group(1_000, 0.036),
}


def kept(cell: str) -> dict[str, Answer]:
    """What is done of a cell, by draw."""
    place = RESULTS / NAME / f"{cell}.json"
    found = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    return {
        draw: answer for draw, answer in found.items() if draw not in (CHOSEN, COMMITS, SECONDS)
    }


def done(name: str) -> dict[str, Answer]:
    """The draws of a group that are done, the accuracies of others beside ours."""
    rivals = kept(f"{name}_rivals")
    return {
        draw: {**answer, "rivals": rivals[draw]["accuracy"]}
        for draw, answer in kept(name).items()
        if draw in rivals
    }


def run(name: str, draws: int, rivals: bool) -> None:
    """The missing draws of a group, by us and by the others, or by the others alone."""
    group = GROUPS[name]
    for draw in range(min(draws or group.draws, group.draws)):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "no variation")
            if not rivals:
                part_of(NAME, name, str(draw), partial(ours, group, draw))
            rivals_on(name, draw)


def metric(name: str) -> Metric:
    """Mean over the draws that are done, and their standard deviation."""
    group, answers = GROUPS[name], list(done(name).values())
    values = np.array([answer["accuracy"] for answer in answers])
    sign: Better = "lower" if group.error else "higher"
    judged = values if sign == "higher" else 1 - values
    known = rival_settings(name)
    rivals = [
        paired(
            rival,
            in_words(
                {**known.get(rival, {}), **limit_of(rival)},
                "chosen on training rows of other draws",
            ),
            judged.tolist(),
            [1 - a["rivals"][rival] if group.error else a["rivals"][rival] for a in answers],
            sign,
            "draw",
        )
        for rival in (answers[0]["rivals"] if len(answers) > 1 else ())
    ]
    return Metric(
        f"{group.title} ({len(answers)} draws)",
        float(judged.mean()),
        "share",
        sign,
        float(values.std(ddof=1)) if len(values) > 1 else None,
        group.target,
        rivals=rivals,
    )


def limit_of(rival: str) -> dict[str, str]:
    """The most rows that a learner gets, for its settings."""
    most = LEARNERS[rival].most if rival in LEARNERS else 0
    return {"rows": f"{most:,} at most"} if most else {}


def no_harm() -> Metric | None:
    """Share of (table, draw) pairs not worse than the own supervised head by a deviation of it."""
    pairs = []
    for name in TABLES:
        answers = list(done(f"table_{name}").values())
        if not answers:
            continue
        heads = [a["rivals"][ALONE] for a in answers]
        least = np.array(heads) - (np.std(heads, ddof=1) if len(heads) > 1 else 0.0)
        pairs += list(np.array([a["accuracy"] for a in answers]) >= least)
    if not pairs:
        return None
    title = f"tables, 5 % labels: pairs not harmed (of {len(pairs)})"
    return Metric(title, float(np.mean(pairs)), "share", "higher", None, 0.8)


def summarize() -> None:
    answers = {name: done(name) for name in GROUPS if done(name)}
    harm = no_harm()
    metrics = [metric(name) for name in answers] + ([harm] if harm else [])
    errors = (
        f"{name}: {np.mean([a['calibration_error'] for a in found.values()]):.3f}"
        for name, found in answers.items()
    )
    each = (
        f"{name}: {np.mean([a['minutes'] for a in found.values()]):.2f}"
        for name, found in answers.items()
    )
    missing = [name for name, group in GROUPS.items() if len(done(name)) < group.draws]
    write(
        NAME,
        metrics,
        data=[
            {
                "file": "mnist.npz, scikit-learn's sets, uci_german, credit_default, uci_adult, "
                "uci_breast-cancer-wisconsin, uci_abalone, uci_winequality-white, diabetes130, "
                f"{XRAYS}, the spoken digits",
                "split": "-",
            }
        ],
        seeds=sorted({int(draw) for found in answers.values() for draw in found}),
        minutes=sum(a["minutes"] for found in answers.values() for a in found.values()),
        notes="Spreads are standard deviations over draws. Settings of scikit-learn's learners "
        "have the highest mean accuracy on training rows of draws 1,000 to 1,002 of the same "
        "group; the result holds them. M2 as published: perceptrons of 500 softplus units, no "
        f"augmentation. Minutes a draw, processor time over two: {'; '.join(each)}. Expected "
        "calibration error, folds on tables with five labels of each class: "
        f"{'; '.join(errors)}. Groups with draws missing: {', '.join(missing) or 'none'}.",
        extra={"rivals": {name: rival_settings(name) for name in answers}, "answers": answers},
    )


def quick(seed: int) -> None:
    """A short fit, printed only."""
    rows = digits(62, 1_000 + seed)
    model = SemiSupervisedVAE(random_state=seed, **DIGITS | {"training_options": {"updates": 100}})
    found = judged(model.fit(rows.x, rows.given), rows)
    print(f"quick, not quoted: {found['accuracy']:.3f} of digits after 100 updates")


def main() -> None:
    parser = arguments("Learning from few labels.")
    parser.add_argument("--group", choices=GROUPS)
    parser.add_argument("--draws", type=int, default=0, help="at most so many; 0: the group's own")
    parser.add_argument("--rivals", action="store_true", help="the other learners alone")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--summarize", action="store_true", help="write the result of what is done")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.quick:
        quick(chosen.seed)
    elif chosen.list:
        for name, group in GROUPS.items():
            own_draws, rivals = len(kept(name)), len(kept(f"{name}_rivals"))
            print(f"{name:26} {own_draws} of {group.draws} draws done, {rivals} by the others")
    elif chosen.summarize:
        summarize()
    else:
        for name in [chosen.group] if chosen.group else GROUPS:
            run(name, chosen.draws, chosen.rivals)
        if not chosen.rivals:
            summarize()


if __name__ == "__main__":
    main()
