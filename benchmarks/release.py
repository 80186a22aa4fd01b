"""Synthetic tables without differential privacy, beside SDV's: useful, faithful and valid?

Five tables: Adult with its published test rows; credit default, diabetes-130 (the first encounter
of 20,000 patients), California housing and German credit with a fifth of the rows that judges. As
many rows are drawn as there are for training. Methods:

- own: ``TableSynthesizer`` with its default settings
- tvae, ctgan, gaussian_copula: SDV's with default settings, run by the Python of another
  environment, which LOWERBOUND_SDV_PYTHON names. Where CTGAN's 300 epochs would take more than 15
  minutes of processor time it has fewer, and its title says so
- mixture_copula: a Gaussian mixture of normal scores
- plain: ``lowerbound fit`` and ``lowerbound synthesize`` by their defaults, and copula: a Gaussian
  copula, for comparison with it
- real, independent: the training rows themselves, and every column shuffled by itself

Measured, on the judging rows:

- four learners trained on synthetic rows, beside the same trained on the training rows: accuracy,
  F1 of the rarest class and AUROC, or R²
- AUROC of boosting that distinguishes synthetic from judging rows: 0.5 is perfect
- errors of columns, pairs and triples, and of associations of pairs (trend)

And beside the training rows: validity of every cell, and the reports of sdmetrics, run by the other
Python too, if there is one. Seconds are processor time on one thread.

--held-out judges training rows that no method has seen, to choose settings.

    python benchmarks/release.py --cell german_own_0     one cell
    python benchmarks/release.py --summarize             the table and the result of what is done
    python benchmarks/release.py                         all missing cells, then both
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _cells import done, drive
from _record import commit, keep_answer, machine, write
from _release_measures import judged, validity
from _release_metrics import Table, line, metrics, of_plain_fits, over_tables
from _release_tables import SOURCES, frames
from _synthesizers import (
    Made,
    Synthesizer,
    copula,
    independent,
    mixture_copula,
    outside,
    own,
    plain,
    real,
    reports,
)
from table_priors import place

from lowerbound.applications.release.usefulness import BOOSTING, LINEAR
from lowerbound.data import file_sha256

NAME = "release"
RUNS = Path("runs") / NAME
SEEDS = (0, 1, 2)
# CTGAN's epochs where 300 take more than 15 minutes of processor time
EPOCHS = {"adult": 150, "credit": 180, "diabetes": 180}
DEFAULT_EPOCHS = 300

Answer = dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """A method on a table."""

    source: str
    method: str
    title: str
    seed: int
    synthesizer: Synthesizer = field(compare=False)


def arms() -> Iterator[Arm]:
    """The methods of each table; ours with three seeds."""
    for source in SOURCES:
        epochs = EPOCHS.get(source, DEFAULT_EPOCHS)
        shorter = f", {epochs} of {DEFAULT_EPOCHS} epochs" if epochs != DEFAULT_EPOCHS else ""
        yield Arm(source, "real", "training rows", 0, real)
        yield Arm(source, "independent", "independent columns", 0, independent)
        yield Arm(source, "mixture_copula", "mixture copula", 0, mixture_copula)
        yield Arm(source, "copula", "Gaussian copula", 0, copula)
        yield Arm(source, "plain", "lowerbound fit", 0, plain)
        yield Arm(source, "gaussian_copula", "GaussianCopula", 0, outside("gaussian_copula"))
        yield Arm(source, "tvae", "TVAE", 0, outside("tvae"))
        yield Arm(source, "ctgan", f"CTGAN{shorter}", 0, outside("ctgan", epochs=epochs))
        for seed in SEEDS:
            yield Arm(source, "own", "our synthesizer", seed, own)


ARMS = {f"{arm.source}_{arm.method}_{arm.seed}": arm for arm in arms()}


# cells --------------------------------------------------------------------------------------------


def run_cell(name: str, arm: Arm, held_out: bool) -> Answer:
    """Fit, draw as many rows as there are for training, and measure them."""
    training, judging = frames(arm.source, held_out)
    folder = RUNS / (name + ("_held_out" if held_out else ""))
    folder.mkdir(parents=True, exist_ok=True)
    made = arm.synthesizer(training, arm.seed, folder)
    print(f"{name}: fitted in {made.fit.get('processor', 0.0):.0f} processor seconds", flush=True)
    written = folder / "made.parquet"
    made.rows.to_parquet(written)
    answer = {
        "cell": name,
        "source": arm.source,
        "method": arm.method,
        "title": arm.title,
        "seed": arm.seed,
        "rows": len(training),
        "judging": len(judging),
        **judged(training, made.rows, judging, SOURCES[arm.source].label),
        "validity": validity(training, made.rows),
        "reports": reports(training, written, folder),
        **costs(made),
        "machine": machine(),
        "commit": commit(),
    }
    print(json.dumps(answer), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


def costs(made: Made) -> Answer:
    """Seconds of the fit and of the draws, and minutes on two cores."""
    spent = made.sample.get("processor", 0.0)
    return {
        "facts": dict(made.facts),
        "fit": made.fit,
        "sample": made.sample,
        "rows_per_second": len(made.rows) / spent if spent else None,
        "minutes": round((made.fit.get("processor", 0.0) + spent) / 120, 2),
    }


# the result ---------------------------------------------------------------------------------------


def summarize() -> None:
    """The table of the cells that are done, and the result if ours are among them."""
    cells = done(NAME)
    assert cells, "no cell is done"
    for cell in cells.values():
        print(line(cell))
    tables = [Table.of(source, cells) for source in SOURCES]
    tables = [table for table in tables if "own" in table.cells]
    if not tables:
        print("no cell of our synthesizer is done: no result is written")
        return
    files = [name for table in tables for name in SOURCES[table.source].files]
    shown = [metric for table in tables for metric in metrics(table)]
    write(
        NAME,
        [*over_tables(tables), *of_plain_fits(tables), *shown],
        data=[{"file": name, "sha256": file_sha256(place(name))} for name in files],
        seeds=sorted({cell["seed"] for cell in cells.values()}),
        minutes=sum(cell["minutes"] for cell in cells.values()),
        notes="As many synthetic rows as training rows, judged on rows that no method has seen; "
        "reports and validity beside the training rows. Ours: mean and standard deviation over "
        "seeds; the others: one seed. Minutes are processor time over two. "
        f"{libraries(cells)} at default settings, but for the epochs in a title.",
        extra={"cells": list(cells.values())},
    )


def libraries(cells: Mapping[str, Answer]) -> str:
    """The versions of the other libraries."""
    found = {cell["facts"].get("library") for cell in cells.values()}
    found |= {cell["reports"].get("library") for cell in cells.values()}
    return ", ".join(sorted(filter(None, found)))


def quick(seed: int) -> None:
    """Few rows by the methods that need nothing else, printed only."""
    source = "german"
    training, judging = frames(source, held_out=True)
    for name, method in (("independent", independent), ("mixture copula", mixture_copula)):
        made = method(training, seed, RUNS).rows
        found = judged(training, made, judging, SOURCES[source].label, (LINEAR, BOOSTING))
        print(
            f"quick, not quoted: {name}: trend {found['errors']['trend']:.3f}, two-sample "
            f"{found['two_sample']:.3f}, valid {validity(training, made)['rows']:.3f}"
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
