"""Adult through a prior that was trained on the latents of a fitted VAE: synthetic rows, judged.

Encoder and decoder stay fixed, and only the prior changes. Two judges, both gradient boosting: one
learns income from as many synthetic rows as there are training rows, and its AUROC on real test
rows stands beside that of one which learned from the real ones; the other learns to distinguish
synthetic rows from real test rows, where an AUROC of 0.5 is perfect.

Settings were chosen with --held-out, which judges a third of the training rows that no part has
seen.

    python benchmarks/table_priors.py --cell diffusion     one cell, resumable
    python benchmarks/table_priors.py                      all missing cells, then the result
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _cells import done, drive, fit_on, spent
from _mixed_tables import ADULT
from _record import Metric, commit, keep_answer, write

from lowerbound.data import Dataset, file_sha256, load
from lowerbound.data.catalog.download import data_folders
from lowerbound.data.catalog.published import first_place
from lowerbound.data.tables.frames import to_frame
from lowerbound.errors import DataError
from lowerbound.evaluation.release.coded_columns import CodedColumns
from lowerbound.evaluation.release.utility.distinguishing import distinguished as two_sample
from lowerbound.evaluation.release.utility.learners import BOOSTING
from lowerbound.evaluation.release.utility.usefulness import Task
from lowerbound.fitting import FitOptions, Fitted
from lowerbound.fitting.prior import fit_prior
from lowerbound.inference.latents import draw_latents
from lowerbound.inference.samples import sample_prior
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

NAME = "table_priors"
RUNS = Path("runs") / NAME
FILES = {"train": "uci_adult-train.csv.xz", "test": "uci_adult-test.csv.xz"}
LABEL = "income"
HELD_OUT = 1 / 3
BAR = 0.915  # AUROC of boosting trained on synthetic rows
SEED = 0

STAGE = ModelOptions(latent_dim=16)
STAGE_TRAINING: dict[str, Any] = {"epochs": 60}
BETA = 1.0


@dataclass(frozen=True)
class Arm:
    """A prior, its options and its training; without a kind the prior stays as it was fitted."""

    title: str
    kind: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


ARMS = {
    "normal": Arm("N(0, I)"),
    "mixture": Arm("mixture", "mixture", {"components": 200}, {"epochs": 60}),
    "flow": Arm("flow", "flow", {}, {"epochs": 60}),
    "diffusion": Arm(
        "diffusion",
        "diffusion",
        {"width": 256},
        {"epochs": 60, "learning_rate": 3e-3, "weight_average": 0.999},
    ),
}


# data ---------------------------------------------------------------------------------------------


def place(name: str) -> Path:
    """Where a file lies.

    Raises:
        DataError: it is in no data folder.
    """
    found = first_place(data_folders(), (name,))
    if found is None:
        raise DataError(f"the data set {name} is missing: put it into LOWERBOUND_DATA")
    return found


@cache
def frames(held_out: bool) -> tuple[Any, Any]:
    """Training rows and the rows that judge, as they stand in the files."""
    training = _frame("train")
    if not held_out:
        return training, _frame("test")
    order = np.random.default_rng(99).permutation(len(training))
    judged = int(HELD_OUT * len(training))
    return training.iloc[order[judged:]], training.iloc[order[:judged]]


def _frame(part: str) -> Any:
    with lzma.open(place(FILES[part]), "rt", encoding="utf-8") as file:
        read = pd.read_csv(file, header=None, names=ADULT, skipinitialspace=True)
    read[LABEL] = read[LABEL].str.rstrip(".")  # the test file ends its labels with a full stop
    return read.replace("?", None).reset_index(drop=True)


# judges -------------------------------------------------------------------------------------------


def learned_income(rows: Any, real: Any, like: Any) -> tuple[float, float]:
    """AUROC on real rows of boosting that learned income from ``rows``, and from ``like``."""
    codes = CodedColumns.learn(like)
    a, b, test = (codes.encode(frame) for frame in (like, rows, real))
    task = Task(codes, LABEL, test, SEED)
    return task.score(BOOSTING, b)[1], task.score(BOOSTING, a)[1]


def distinguished(rows: Any, real: Any, like: Any) -> float:
    """AUROC of boosting that distinguishes ``rows`` from real ones, each row scored by a model
    that was trained without it."""
    codes = CodedColumns.learn(like)
    return two_sample(codes, codes.encode(real), codes.encode(rows), SEED).value


# cells --------------------------------------------------------------------------------------------


def settings(**chosen: Any) -> TrainingOptions:
    usual = {"batch_size": 256, "validation": 0.05, "threads": 1, "seed": SEED}
    return TrainingOptions(**{**usual, **chosen})


def first_stage(training: Dataset, suffix: str) -> Fitted:
    """The decoder, trained once for all priors."""
    options = FitOptions(STAGE, "elbo", {"beta": BETA}, training=settings(**STAGE_TRAINING))
    return fit_on(RUNS / f"stage{suffix}", training, options)[0]


def second_stage(
    name: str, arm: Arm, fitted: Fitted, training: Dataset, suffix: str
) -> tuple[Fitted, dict[str, float]]:
    """The same model with the prior of an arm, and the seconds that it took."""
    folder = RUNS / f"{name}{suffix}"
    if not arm.kind:
        return fitted, {"wall": 0.0, "processor": 0.0}
    with spent(folder) as clock:
        latents = draw_latents(fitted.model, training, cache=folder / "latents.safetensors")
        made, _ = fit_prior(
            fitted,
            latents.dataset(),
            arm.kind,
            arm.options,
            settings(**arm.training),
            draws=latents.z.shape[1],
            folder=folder,
            resume=(folder / "checkpoint").exists(),
        )
    return made, clock


def run_cell(name: str, arm: Arm, held_out: bool) -> dict[str, Any]:
    """Train one prior, draw as many rows as there are for training, and judge them."""
    suffix = "_held_out" if held_out else ""
    rows, real = frames(held_out)
    training = load(rows)
    fitted = first_stage(training, suffix)
    made, clock = second_stage(name, arm, fitted, training, suffix)
    drawn = sample_prior(made.model, len(rows), seed=SEED).x
    synthetic = to_frame(made.schema, drawn)
    facts = made.options.prior_fit
    area, real_area = learned_income(synthetic, real, rows)
    answer = {
        "cell": name,
        "title": arm.title,
        "minutes": round(clock["processor"] / 120, 2),
        "wall_minutes": round(clock["wall"] / 60, 2),
        "auroc": area,
        "real_auroc": real_area,
        "two_sample": distinguished(synthetic, real, rows),
        "real_two_sample": distinguished(rows, real, rows),
        "nats": {"log p(z)": facts.validation, "before": facts.former} if facts else {},
        "rows": len(rows),
        "judged": len(real),
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
    write(
        NAME,
        [metric for cell in cells.values() for metric in metrics(cell)],
        data=[{"file": name, "sha256": file_sha256(place(name))} for name in FILES.values()],
        seeds=[SEED],
        minutes=sum(cell["minutes"] for cell in cells.values()),
        notes="One draw of as many rows as there are for training. The diffusion prior has the "
        "target; the other priors stand beside it. Minutes are processor time of the prior over "
        "two. " + "; ".join(f"{name}: {cell['minutes']} minutes" for name, cell in cells.items()),
        extra={"cells": list(cells.values())},
    )


def metrics(cell: Mapping[str, Any]) -> Iterator[Metric]:
    """Both judges of a cell."""
    target = BAR if cell["cell"] == "diffusion" else None
    yield Metric(
        f"{cell['title']}: AUROC of boosting trained on synthetic rows",
        cell["auroc"],
        "",
        "higher",
        None,
        target,
        {"trained on real rows": cell["real_auroc"]},
    )
    yield Metric(
        f"{cell['title']}: AUROC of boosting that distinguishes synthetic rows",
        cell["two_sample"],
        "",
        "lower",
        None,
        None,
        {"training rows": cell["real_two_sample"]},
    )


def quick() -> None:
    """A few updates of a flow and both judges, printed only."""
    rows, real = (frame.iloc[:1_000] for frame in frames(held_out=True))
    fitted = fit_briefly(load(rows))
    synthetic = to_frame(fitted.schema, sample_prior(fitted.model, len(rows), seed=SEED).x)
    print(
        f"quick, not quoted: AUROC {learned_income(synthetic, real, rows)[0]:.3f}, distinguished "
        f"{distinguished(synthetic, real, rows):.3f}"
    )


def fit_briefly(training: Dataset) -> Fitted:
    from lowerbound.fitting import fit

    brief = settings(updates=50)
    fitted = fit(training, FitOptions(STAGE, "elbo", {"beta": BETA}, training=brief))
    latents = draw_latents(fitted.model, training)
    draws = latents.z.shape[1]
    return fit_prior(fitted, latents.dataset(), "flow", {}, brief, draws=draws)[0]


def main() -> None:
    drive(
        NAME,
        __doc__ or "",
        ARMS,
        summarize,
        lambda seed: quick(),
        lambda benchmark, name, arm, held_out: run_cell(name, arm, held_out),
    )


if __name__ == "__main__":
    main()
