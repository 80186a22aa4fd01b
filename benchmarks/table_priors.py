"""Adult through a prior that was trained on the latents of a fitted VAE: synthetic rows, judged.

Encoder and decoder stay fixed, and only the prior changes. There are two decoders: that of
``lowerbound fit``, which draws columns independently given z, and that of ``lowerbound
synthesizer``, which draws one column after another. Two judges, both gradient boosting: one learns
income from as many synthetic rows as there are training rows, and its AUROC on real test rows
stands beside that of one which learned from the real ones; the other learns to distinguish
synthetic rows from real test rows, where an AUROC of 0.5 is perfect. Each prior draws five times.

Settings were chosen with --held-out, which judges a third of the training rows that no part has
seen.

    python benchmarks/table_priors.py --cell fit_diffusion     one cell, resumable
    python benchmarks/table_priors.py                          all missing cells, then the result
"""

from __future__ import annotations

import json
import lzma
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _cells import done, drive, fit_on, spent
from _mixed_tables import ADULT
from _record import Metric, commit, keep_answer, write
from _rivals import Rival, in_words, paired

from lowerbound.applications.release.synthesizer_fit import SynthesizerOptions, synthesis_options
from lowerbound.applications.release.usefulness import BOOSTING, Task
from lowerbound.data import Dataset, file_sha256, load
from lowerbound.data.catalog import data_folders, first_place
from lowerbound.data.tables.frames import to_frame
from lowerbound.errors import DataError
from lowerbound.evaluation.samples.column_judge import CodedColumns, distinguished as two_sample
from lowerbound.fitting import FitOptions, Fitted
from lowerbound.fitting.prior import fit_prior
from lowerbound.inference.codes import draw_latents
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

NAME = "table_priors"
RUNS = Path("runs") / NAME
FILES = {"train": "uci_adult-train.csv.xz", "test": "uci_adult-test.csv.xz"}
LABEL = "income"
HELD_OUT = 1 / 3
BAR = 0.915  # AUROC of boosting trained on synthetic rows
SEED = 0
DRAWS = 5
STAGES = {"fit": "columns independent given z", "synthesizer": "columns one after another"}


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


@dataclass(frozen=True)
class Case:
    """A decoder and a prior."""

    stage: str
    arm: str

    @property
    def title(self) -> str:
        return f"{STAGES[self.stage]}: {ARMS[self.arm].title}"


CASES = {f"{stage}_{arm}": Case(stage, arm) for stage in STAGES for arm in ARMS}


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


def learned_income(rows: Any, real: Any, like: Any) -> float:
    """AUROC on real rows of boosting that learned income from ``rows``, coded as ``like``."""
    codes = CodedColumns.learn(like)
    task = Task(codes, LABEL, codes.encode(real), SEED)
    return task.score(BOOSTING, codes.encode(rows))[1]


def distinguished(rows: Any, real: Any, like: Any) -> float:
    """AUROC of boosting that distinguishes ``rows`` from real ones, each row scored by a model
    that was trained without it."""
    codes = CodedColumns.learn(like)
    return two_sample(codes, codes.encode(real), codes.encode(rows), SEED).value


# cells --------------------------------------------------------------------------------------------


def settings(**chosen: Any) -> TrainingOptions:
    usual = {"batch_size": 256, "validation": 0.05, "threads": 1, "seed": SEED}
    return TrainingOptions(**{**usual, **chosen})


def stage_options(name: str, training: Dataset) -> FitOptions:
    """The default VAE of a table with 16 latents, or the default of ``lowerbound synthesizer``."""
    if name == "synthesizer":
        options = synthesis_options(training, SynthesizerOptions(seed=SEED))
        return replace(options, training=replace(options.training, threads=1))
    return FitOptions(ModelOptions(latent_dim=16), training=settings(epochs=60))


def first_stage(name: str, training: Dataset, suffix: str) -> Fitted:
    """The decoder, trained once for all priors."""
    return fit_on(RUNS / f"{name}{suffix}", training, stage_options(name, training))[0]


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


def run_cell(name: str, case: Case, held_out: bool) -> dict[str, Any]:
    """Train one prior, draw as many rows as there are for training, and judge them."""
    suffix = "_held_out" if held_out else ""
    rows, real = frames(held_out)
    training = load(rows)
    fitted = first_stage(case.stage, training, suffix)
    made, clock = second_stage(name, ARMS[case.arm], fitted, training, suffix)
    facts = made.options.prior_fit
    judged = [judgement(drawn(made, len(rows), draw), real, rows) for draw in range(DRAWS)]
    answer = {
        "cell": name,
        "title": case.title,
        "minutes": round(clock["processor"] / 120, 2),
        "wall_minutes": round(clock["wall"] / 60, 2),
        "auroc": [one[0] for one in judged],
        "two_sample": [one[1] for one in judged],
        "real_auroc": learned_income(rows, real, rows),
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


def drawn(made: Fitted, rows: int, draw: int) -> Any:
    """A frame of rows from the prior."""
    return to_frame(made.schema, sample_prior(made.model, rows, seed=SEED + draw).x)


def judgement(synthetic: Any, real: Any, like: Any) -> tuple[float, float]:
    """AUROC of what was learned from the rows, and of what distinguishes them."""
    return learned_income(synthetic, real, like), distinguished(synthetic, real, like)


# the result ---------------------------------------------------------------------------------------


def summarize() -> None:
    """The result of the cells that are done."""
    cells = done(NAME)
    assert cells, "no cell is done"
    write(
        NAME,
        [metric for name in CASES if name in cells for metric in metrics(name, cells)],
        data=[{"file": name, "sha256": file_sha256(place(name))} for name in FILES.values()],
        seeds=[SEED],
        minutes=sum(cell["minutes"] for cell in cells.values()),
        notes=f"Mean and standard deviation of {DRAWS} draws of as many rows as there are for "
        "training, from one training of each decoder and each prior. Minutes are processor time of "
        "the prior over two. "
        + "; ".join(f"{name}: {cell['minutes']} minutes" for name, cell in cells.items()),
        extra={"cells": list(cells.values())},
    )


def metrics(name: str, cells: Mapping[str, Any]) -> Iterator[Metric]:
    """Both judges of a cell; the diffusion prior has the targets, the other priors are rivals."""
    cell, case = cells[name], CASES[name]
    diffusion = case.arm == "diffusion"
    yield Metric(
        f"{cell['title']}: AUROC of boosting trained on synthetic rows",
        statistics.mean(cell["auroc"]),
        "",
        "higher",
        statistics.stdev(cell["auroc"]),
        BAR if diffusion else None,
        {"trained on real rows": cell["real_auroc"]},
    )
    yield Metric(
        f"{cell['title']}: AUROC of boosting that distinguishes synthetic rows",
        statistics.mean(cell["two_sample"]),
        "",
        "lower",
        statistics.stdev(cell["two_sample"]),
        None,
        {"training rows": cell["real_two_sample"]},
        rivals(case, cells) if diffusion else (),
        [ARMS[arm].title for arm in ("mixture", "flow")] if diffusion else (),
    )


def rivals(case: Case, cells: Mapping[str, Any]) -> list[Rival]:
    """The other priors of the same decoder, paired by draw."""
    ours = cells[f"{case.stage}_{case.arm}"]["two_sample"]
    found = []
    for name, arm in ARMS.items():
        theirs = cells.get(f"{case.stage}_{name}")
        if name == case.arm or theirs is None:
            continue
        chosen = "settings chosen on held-out training rows"
        words = in_words({"kind": arm.kind or "as fitted", **arm.options, **arm.training}, chosen)
        found.append(paired(arm.title, words, ours, theirs["two_sample"], "lower", "draw"))
    return found


def quick() -> None:
    """A few updates of a flow and both judges, printed only."""
    rows, real = (frame.iloc[:1_000] for frame in frames(held_out=True))
    fitted = fit_briefly(load(rows))
    synthetic = to_frame(fitted.schema, sample_prior(fitted.model, len(rows), seed=SEED).x)
    print(
        f"quick, not quoted: AUROC {learned_income(synthetic, real, rows):.3f}, distinguished "
        f"{distinguished(synthetic, real, rows):.3f}"
    )


def fit_briefly(training: Dataset) -> Fitted:
    from lowerbound.fitting import fit

    brief = settings(updates=50)
    fitted = fit(training, replace(stage_options("fit", training), training=brief))
    latents = draw_latents(fitted.model, training)
    draws = latents.z.shape[1]
    return fit_prior(fitted, latents.dataset(), "flow", {}, brief, draws=draws)[0]


def main() -> None:
    drive(
        NAME,
        __doc__ or "",
        CASES,
        summarize,
        lambda seed: quick(),
        lambda benchmark, name, case, held_out: run_cell(name, case, held_out),
    )


if __name__ == "__main__":
    main()
