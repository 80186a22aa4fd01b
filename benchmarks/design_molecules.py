"""Searches in the latent space of the molecules' VAE, judged by RDKit, beside simpler searches.

The model is that of ``molecules.py --cell moses_predicting``; its predictions are fitted to 10,000
training molecules of MOSES. Starts are test molecules. Methods have equal calls, and a call is a
distinct molecule that RDKit judges.

- heads: predictions of logP, SA and QED of test molecules from their codes, and the share of these
  in the 90 % interval
- qed: 200 starts with QED in [.5, .6], 20 calls each, Tanimoto similarity to the start at least .4.
  A start without an accepted molecule, or without a better one, gains 0. Success: a gain of .15
- logp: target 3.0 within .25, 300 calls, only molecules that are new; 5 seeds
- mpo: the score of GuacaMol's Osimertinib MPO, 300 calls after 100 known molecules with scores; the
  area under the mean of the best ten so far, 5 seeds

--held-out takes other training molecules instead of test molecules.

    python benchmarks/design_molecules.py --list
    python benchmarks/design_molecules.py --cell qed_gradient
    python benchmarks/design_molecules.py                       all missing cells, then the result
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from _cells import done, drive, write_cells
from _record import Metric, commit, keep_answer
from _rivals import Rival, paired
from molecules import molecules, run_folder, tokens

from lowerbound.applications.design.engine import Designer, SearchOptions
from lowerbound.applications.design.goals import GAUSSIAN_90, DesignTask, Goal, Limit
from lowerbound.data import Dataset
from lowerbound.data.dataset import joined
from lowerbound.data.sciences.molecules import KnownMolecules, property_values
from lowerbound.data.sciences.smiles import chemistry, molecule_or_none, quiet
from lowerbound.data.sequences.token_kind import texts_of
from lowerbound.fitting import Fitted, folder as model_folder
from lowerbound.inference.codes import encode_rows

NAME = "design_molecules"
SEEDS = 5
KNOWN, FEW_KNOWN = 10_000, 100  # molecules with known values
STARTS, LOW, HIGH, SIMILAR = 200, 0.5, 0.6, 0.4
CALLS = {"qed": 20, "logp": 300, "mpo": 300}
TARGET, TOLERANCE = 3.0, 0.25
GAIN = 0.15
OSIMERTINIB = "COc1cc(N(C)CCN(C)C)c(NC(=O)C=C)cc1Nc2nccc(n2)c3cn(C)c4ccccc34"
METHODS = {
    "heads": ("ensemble",),
    "qed": ("gradient", "random", "mutation"),
    "logp": ("gradient", "random", "mutation", "prior"),
    "mpo": ("gradient", "qlogei", "turbo", "random", "mutation", "prior"),
}
SETTINGS = {
    "random": "random steps of several lengths from the best codes, decoded; the same calls",
    "mutation": "random changes of SELFIES of the best molecules; the same calls",
    "prior": "draws from the prior, decoded; the same calls",
}
TO_BEAT = ("random", "mutation")
CELLS = {f"{task}_{method}": (task, method) for task, names in METHODS.items() for method in names}

Answer = dict[str, Any]


# molecules ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ground:
    """What every search starts from.

    Attributes:
        fitted: the model.
        known: training molecules.
        others: molecules that starts are taken from.
    """

    fitted: Fitted
    known: Dataset
    others: Dataset


@cache
def ground(held_out: bool) -> Ground:
    fitted = model_folder.read(run_folder("moses_predicting") / "model.lb")
    lines = molecules("train")
    random.Random(0).shuffle(lines)
    known = tokens(lines[: 2 * KNOWN], fitted.schema).thinned(KNOWN)
    test = lines[-2 * KNOWN :] if held_out else molecules("test")
    random.Random(1).shuffle(test)
    return Ground(fitted, known, tokens(test[: 2 * KNOWN], fitted.schema).thinned(KNOWN))


def values(name: str) -> Callable[[Sequence[str]], Any]:
    return lambda rows: property_values(name, rows)[name]


def similarity_to(seed: str) -> Callable[[Sequence[str]], Any]:
    known = KnownMolecules([seed])
    return lambda rows: known.similarities(rows)[:, 0]


# tasks --------------------------------------------------------------------------------------------


def heads(_: str, held_out: bool) -> Answer:
    """Predictions that a design makes, on molecules that they were not fitted to."""
    here = ground(held_out)
    found: Answer = {}
    for name in ("logp", "sa", "qed"):
        task = DesignTask((Goal(name, values(name)),))
        designer = Designer.of(here.fitted.model, here.known, task)
        mean, deviation = designer.fitted.head(encode_rows(here.fitted.model, here.others).mean)
        truth = torch.as_tensor(values(name)(texts_of(here.others)))
        error = (truth - mean[:, 0]).abs()
        found[name] = {
            "r_squared": float(1 - error.square().mean() / truth.var(correction=0)),
            "covered": float((error <= GAUSSIAN_90 * deviation[:, 0]).double().mean()),
        }
    return found | {"rows": len(here.others)}


def qed(method: str, held_out: bool) -> Answer:
    """Better molecules that stay similar to their start."""
    here = ground(held_out)
    texts = texts_of(here.others)
    score = values("qed")(texts)
    rows = np.flatnonzero((score >= LOW) & (score <= HIGH))[:STARTS]
    starts = here.others.subset(rows)
    designer = Designer.of(
        here.fitted.model,
        joined([here.known, starts]),
        DesignTask((Goal("qed", values("qed")),)),
        values=torch.tensor(values("qed")([*texts_of(here.known), *texts_of(starts)])).unsqueeze(1),
    )
    gains, gaps = [], []
    for i, row in enumerate(rows):
        limit = Limit("similarity", similarity_to(texts[row]), low=SIMILAR)
        options = SearchOptions(method=method, calls=CALLS["qed"], batch=10, seed=i)
        found = designer.search(options, starts=[len(here.known) + i], limits=[limit])
        best = max((c.score for c in found.ranked()), default=0.0)
        gains.append(max(0.0, best - float(score[row])))
        gaps.append(found.gap)
    return {
        "starts": len(gains),
        "gains": gains,
        "gain": float(np.mean(gains)),
        "gain_error": float(np.std(gains) / len(gains) ** 0.5),
        "success": float(np.mean([gain >= GAIN for gain in gains])),
        "gap": float(np.nanmean(gaps)) if np.isfinite(gaps).any() else None,
    }


def logp(method: str, held_out: bool) -> Answer:
    """Molecules with a given logP."""
    here = ground(held_out)
    task = DesignTask((Goal("logp", values("logp"), target=TARGET, tolerance=TOLERANCE),))
    designer = Designer.of(here.fitted.model, here.known, task)
    inside, errors, gaps = [], [], []
    for seed in range(SEEDS):
        options = SearchOptions(method=method, calls=CALLS["logp"], novel=True, seed=seed)
        found = designer.search(options)
        misses = [abs(c.outcome.values[0] - TARGET) for c in found.ranked()]
        inside.append(float(np.mean([miss <= TOLERANCE for miss in misses])))
        errors.append(float(np.median(misses)))
        gaps.append(found.gap)
    return {"inside": inside, "median_error": errors, "gap": gaps}


def mpo(method: str, held_out: bool) -> Answer:
    """Several properties at once, with few known scores."""
    here = ground(held_out)
    areas, best, known = [], [], []
    for seed in range(SEEDS):
        order = torch.randperm(len(here.known), generator=torch.Generator().manual_seed(seed))
        few = here.known.subset(order[:FEW_KNOWN])
        task = DesignTask((Goal("osimertinib", osimertinib),))
        designer = Designer.of(here.fitted.model, few, task, seed=seed)
        options = SearchOptions(method=method, calls=CALLS["mpo"], novel=True, seed=seed)
        found = designer.search(options)
        areas.append(found.auc_top10)
        best.append(found.ranked()[0].score)
        known.append(found.best_known)
        print(f"mpo {method} {seed}: AUC {areas[-1]:.3f}, best {best[-1]:.3f}", flush=True)
    return {"auc": areas, "best": best, "best_known": known}


def osimertinib(rows: Sequence[str]) -> Any:
    """GuacaMol's Osimertinib MPO (Brown et al. 2019): a geometric mean of four scores."""
    with quiet():
        return np.array([_osimertinib(molecule_or_none(text)) for text in rows])


def _osimertinib(molecule: Any) -> float:
    if molecule is None:
        return float("nan")
    descriptors = chemistry("Chem.Descriptors")
    parts = [
        min(1.0, _similarity(molecule, 2, True) / 0.8),
        _half_bell(_similarity(molecule, 3, False), 0.85, 0.1, high=False),
        _half_bell(descriptors.TPSA(molecule), 100, 10, high=True),
        _half_bell(descriptors.MolLogP(molecule), 1, 1, high=False),
    ]
    return float(np.prod(parts) ** (1 / len(parts)))


def _half_bell(value: float, center: float, width: float, *, high: bool) -> float:
    """1 from the center upward (high) or downward, and a Gaussian's flank on the other side."""
    away = max(0.0, center - value) if high else max(0.0, value - center)
    return float(np.exp(-0.5 * (away / width) ** 2))


def _similarity(molecule: Any, radius: int, features: bool) -> float:
    generator, target = _counts(radius, features)
    bits = generator.GetSparseCountFingerprint(molecule)
    found: float = chemistry("DataStructs").TanimotoSimilarity(bits, target)
    return found


@cache
def _counts(radius: int, features: bool) -> tuple[Any, Any]:
    """A generator of Morgan fingerprints with counts, and that of osimertinib."""
    generators = chemistry("Chem.rdFingerprintGenerator")
    invariants = generators.GetMorganFeatureAtomInvGen() if features else None
    made = generators.GetMorganGenerator(radius=radius, atomInvariantsGenerator=invariants)
    return made, made.GetSparseCountFingerprint(molecule_or_none(OSIMERTINIB))


TASKS: dict[str, Callable[[str, bool], Answer]] = {
    "heads": heads,
    "qed": qed,
    "logp": logp,
    "mpo": mpo,
}


# cells --------------------------------------------------------------------------------------------


def run(_: str, name: str, cell: tuple[str, str], held_out: bool) -> Answer:
    """One method on one task; the answer is kept beside the results."""
    task, method = cell
    ground(held_out)
    clock = time.process_time()
    answer: Answer = {"cell": name, "task": task, "method": method}
    answer |= TASKS[task](method, held_out)
    answer |= {"minutes": round((time.process_time() - clock) / 120, 2), "commit": commit()}
    print(json.dumps(answer), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


# results ------------------------------------------------------------------------------------------


def metrics(answers: Mapping[str, Answer]) -> Iterator[Metric]:
    by_task = {
        task: {a["method"]: a for a in answers.values() if a["task"] == task} for task in TASKS
    }
    yield from _heads(by_task["heads"])
    yield from _qed(by_task["qed"])
    yield from _logp(by_task["logp"])
    yield from _mpo(by_task["mpo"])


def _heads(found: Mapping[str, Answer]) -> Iterator[Metric]:
    for answer in found.values():
        for name, bar in (("logp", 0.9), ("sa", 0.75), ("qed", 0.65)):
            what = f"{name} of {answer['rows']:,} test molecules from codes"
            beside = {"share in the 90 % interval": answer[name]["covered"]}
            yield Metric(f"{what}: R2", answer[name]["r_squared"], "", "higher", None, bar, beside)


def _qed(found: Mapping[str, Answer]) -> Iterator[Metric]:
    if "gradient" not in found:
        return
    own = found["gradient"]["gains"]
    what = f"QED from {LOW} to {HIGH}, {CALLS['qed']} calls"
    others = {method: a["gains"] for method, a in found.items() if method != "gradient"}
    rivals = _beside(own, others, "start")
    error = found["gradient"]["gain_error"]
    yield Metric(
        f"{what}: mean gain", float(np.mean(own)), "", "higher", error, GAIN, {}, rivals, TO_BEAT
    )
    shares = {method: [float(gain >= GAIN) for gain in gains] for method, gains in others.items()}
    reached = [float(gain >= GAIN) for gain in own]
    rivals = _beside(reached, shares, "start")
    share = float(np.mean(reached))
    yield Metric(f"{what}: successes", share, "share", "higher", None, 0.4, {}, rivals, TO_BEAT)


def _logp(found: Mapping[str, Answer]) -> Iterator[Metric]:
    if "gradient" not in found:
        return
    own = found["gradient"]
    others = {method: a["inside"] for method, a in found.items() if method != "gradient"}
    mean, spread = _spread(own["inside"])
    yield Metric(
        f"logP {TARGET:g} within {TOLERANCE}: molecules inside",
        mean,
        "share",
        "higher",
        spread,
        0.6,
        {"median error": float(np.mean(own["median_error"]))},
        _beside(own["inside"], others, "seed"),
    )


def _mpo(found: Mapping[str, Answer]) -> Iterator[Metric]:
    for method in ("qlogei", "turbo", "gradient"):
        if method not in found:
            continue
        own = found[method]
        simple = {m: found[m]["auc"] for m in ("random", "mutation", "prior") if m in found}
        mean, spread = _spread(own["auc"])
        yield Metric(
            f"Osimertinib MPO, {CALLS['mpo']} calls, {method}: AUC of the top 10",
            mean,
            "",
            "higher",
            spread,
            None,
            {"best": float(np.mean(own["best"])), "best known": float(np.mean(own["best_known"]))},
            _beside(own["auc"], simple, "seed"),
            ["random"] if method != "gradient" and "random" in found else [],
        )


def _beside(own: Sequence[float], others: Mapping[str, Sequence[float]], per: str) -> list[Rival]:
    """Simpler searches from the same starts or with the same seeds."""
    return [
        paired(method, SETTINGS[method], own, values, "higher", per)
        for method, values in others.items()
    ]


def _spread(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1))


def summarize() -> None:
    answers = done(NAME)
    note = (
        "Spread: standard error over starts (QED), standard deviation over seeds (others). The bar "
        "of Bayesian methods is the upper end of random search's 95 % interval."
    )
    write_cells(NAME, list(metrics(answers)), [], note, seeds=range(SEEDS))


def quick(seed: int) -> None:
    """The score of the target molecule itself, printed only."""
    print("quick, not quoted:", osimertinib([OSIMERTINIB, "CCO", "C("]))


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick, run)
