"""What an audit finds in synthetic rows of Adult: our synthesizer, a copying one, and fresh rows.

5,000 rows train the synthesizer, 10,000 others are the control group. Fresh rows are a third part
of the source: no attack should find anything in them. A synthesizer that copies should be found by
every attack. Canaries are planted before training, and bound epsilon from below: also that of noisy
tables at epsilon 1. Shadow models train the synthesizer several times and attack each training with
the others.

    python benchmarks/privacy_audit.py --cell membership_own     one cell, resumable
    python benchmarks/privacy_audit.py                           all missing cells, then the result
"""

from __future__ import annotations

import json
import lzma
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from _cells import done, drive
from _mixed_tables import ADULT
from _record import Metric, commit, keep_answer, write

from lowerbound import TableSynthesizer
from lowerbound.applications.release.canary_test import canary_audit
from lowerbound.applications.release.copies import copies
from lowerbound.applications.release.marginals.model import fit_marginals
from lowerbound.applications.release.membership import membership, shadow_membership
from lowerbound.data import file_sha256
from lowerbound.data.catalog import data_folders, first_place
from lowerbound.errors import DataError
from lowerbound.evaluation.samples.column_judge import CodedColumns
from lowerbound.training.private.copied_schema import declarations_of

NAME = "privacy_audit"
FILE = "uci_adult-train.csv.xz"
ROWS, CONTROLS = 5_000, 10_000
SHADOW_ROWS, SHADOWS = 5_000, 10
CANARIES = 500
BAR = 0.53  # membership AUROC of rows that reveal nothing
COPIED = 0.95  # membership AUROC that a copying synthesizer must reach with every attack
EPSILON = 1.0  # of noisy tables; canaries must refute it for a copying synthesizer
SEED = 0

Synthesizer = Callable[[Any, int, int], Any]


def synthesize(rows: Any, count: int, seed: int) -> Any:
    """Rows of the default synthesizer, trained without differential privacy."""
    return TableSynthesizer(random_state=seed).fit(rows).sample(count)


def private(rows: Any, count: int, seed: int) -> Any:
    """Rows of noisy tables; ranges and categories are those of all published rows."""
    model = fit_marginals(
        rows, declarations_of(published(), least_people=1), EPSILON, target="income"
    )
    return model.sample(count, seed)


def copying(rows: Any, count: int, seed: int) -> Any:
    """The training rows in another order."""
    return rows.sample(count, replace=count > len(rows), random_state=seed)


def ignorant(rows: Any, count: int, seed: int) -> Any:
    """Fresh rows of the source, which has nothing to do with the training rows."""
    return parts()[2].sample(count, replace=count > ROWS, random_state=seed)


@dataclass(frozen=True)
class Arm:
    """A measurement of a synthesizer."""

    title: str
    measure: Callable[[Synthesizer], dict[str, Any]]
    synthesizer: Synthesizer


# data ---------------------------------------------------------------------------------------------


def place() -> Any:
    """Where the file lies.

    Raises:
        DataError: it is in no data folder.
    """
    found = first_place(data_folders(), (FILE,))
    if found is None:
        raise DataError(f"the data set {FILE} is missing: put it into LOWERBOUND_DATA")
    return found


@cache
def parts() -> tuple[Any, Any, Any]:
    """Training rows, the control group, and fresh rows."""
    read = published()
    order = np.random.default_rng(SEED).permutation(len(read))
    ends = np.cumsum([ROWS, CONTROLS, ROWS])
    chosen = np.split(order[: ends[-1]], ends[:-1])
    first, second, third = (read.iloc[rows].reset_index(drop=True) for rows in chosen)
    return first, second, third


@cache
def published() -> Any:
    """All rows."""
    with lzma.open(place(), "rt", encoding="utf-8") as file:
        read = pd.read_csv(file, header=None, names=ADULT, skipinitialspace=True)
    return read.replace("?", None)


# measures -----------------------------------------------------------------------------------------


def attacked(synthesizer: Synthesizer) -> dict[str, Any]:
    """AUROC of each membership attack on one table, and exact copies."""
    return _attacked(synthesizer, *parts()[:2])


def _attacked(synthesizer: Synthesizer, real: Any, holdout: Any) -> dict[str, Any]:
    released = synthesizer(real, len(real), SEED)
    codes = CodedColumns.learn(real)
    encoded = [codes.encode(frame) for frame in (real, holdout, released)]
    x, y, s = (codes.coordinates(rows)[0] for rows in encoded)
    found = {attack.attack: attack for attack in membership(x, y, s, SEED)}
    counted = copies(encoded[0], encoded[2], encoded[1])
    return {
        "areas": {name: [f.area.value, f.area.low, f.area.high] for name, f in found.items()},
        "at_1_percent": {name: f.tails[0].true_positives.value for name, f in found.items()},
        "copies": counted.released.value,
        "copies_by_chance": counted.by_chance.value,
    }


def planted(synthesizer: Synthesizer) -> dict[str, Any]:
    """The lower bound on epsilon from canaries."""
    found = canary_audit(synthesizer, parts()[0], canaries=CANARIES, seed=SEED)
    return {"epsilon": found.epsilon, "area": [found.area.value, found.area.low, found.area.high]}


def shadowed(synthesizer: Synthesizer) -> dict[str, Any]:
    """AUROC of the attack with shadow models, each trained on half of the rows."""
    rows = parts()[0].iloc[:SHADOW_ROWS]
    found = shadow_membership(synthesizer, rows, models=SHADOWS, seed=SEED).area
    return {"areas": {"shadow models": [found.value, found.low, found.high]}}


ARMS = {
    "membership_own": Arm("our synthesizer", attacked, synthesize),
    "membership_copying": Arm("copying", attacked, copying),
    "membership_fresh": Arm("fresh rows", attacked, ignorant),
    "canaries_own": Arm("our synthesizer", planted, synthesize),
    "canaries_private": Arm("noisy tables at epsilon 1", planted, private),
    "canaries_copying": Arm("copying", planted, copying),
    "canaries_fresh": Arm("fresh rows", planted, ignorant),
    "shadow_own": Arm("our synthesizer", shadowed, synthesize),
}


# cells --------------------------------------------------------------------------------------------


def run_cell(name: str, arm: Arm) -> dict[str, Any]:
    """One measurement."""
    wall, processor = time.perf_counter(), time.process_time()
    found = arm.measure(arm.synthesizer)
    answer = {
        "cell": name,
        "title": arm.title,
        **found,
        "minutes": round((time.process_time() - processor) / 120, 2),
        "wall_minutes": round((time.perf_counter() - wall) / 60, 2),
        "commit": commit(),
    }
    print(json.dumps(answer), flush=True)
    keep_answer(NAME, name, answer)
    return answer


def summarize() -> None:
    """The result of the cells that are done."""
    cells = done(NAME)
    assert cells, "no cell is done"
    write(
        NAME,
        [metric for name, cell in cells.items() for metric in metrics(name, cell)],
        data=[{"file": FILE, "sha256": file_sha256(place())}],
        seeds=[SEED],
        minutes=sum(cell["minutes"] for cell in cells.values()),
        notes=f"{ROWS:,} training rows, {CONTROLS:,} rows of the control group, as many synthetic "
        "rows as training rows, without differential privacy but for noisy tables. "
        f"{CANARIES} canaries; {SHADOWS} shadow models. Minutes are processor time over two.",
        extra={"cells": list(cells.values())},
    )


def metrics(name: str, cell: Mapping[str, Any]) -> Iterator[Metric]:
    """The figures of a cell; each attack is a baseline of the strongest or the weakest."""
    if "epsilon" in cell:
        title = f"{cell['title']}: lower bound on epsilon from canaries"
        copied = name == "canaries_copying"
        yield Metric(
            title,
            cell["epsilon"],
            "",
            "higher" if copied else "lower",
            None,
            EPSILON if copied or name == "canaries_private" else None,
        )
        return
    areas = {attack: value for attack, (value, _, _) in cell["areas"].items()}
    if name == "membership_copying":
        title = f"{cell['title']}: membership AUROC of the weakest attack"
        yield Metric(title, min(areas.values()), "", "higher", None, COPIED, areas)
        return
    attack = "shadow models" if name == "shadow_own" else "the strongest attack"
    title = f"{cell['title']}: membership AUROC of {attack}"
    yield Metric(title, max(areas.values()), "", "lower", None, BAR, areas)


def quick() -> None:
    """A brief fit and a few attacks, printed only."""
    real, holdout, _ = (frame.iloc[:600] for frame in parts())

    def briefly(rows: Any, count: int, seed: int) -> Any:
        return TableSynthesizer(minutes=0.03, random_state=seed).fit(rows).sample(count)

    for title, synthesizer in (("own", briefly), ("copying", copying), ("fresh", ignorant)):
        areas = _attacked(synthesizer, real, holdout)["areas"]
        shown = ", ".join(f"{attack} {value:.3f}" for attack, (value, _, _) in areas.items())
        print(f"quick, not quoted: {title}: {shown}")
    for title, synthesizer in (("own", briefly), ("copying", copying)):
        found = canary_audit(synthesizer, real, canaries=100, seed=SEED)
        print(f"quick, not quoted: {title}: epsilon is at least {found.epsilon:.2f}")


def main() -> None:
    drive(
        NAME,
        __doc__ or "",
        ARMS,
        summarize,
        lambda seed: quick(),
        lambda benchmark, name, arm, held_out: run_cell(name, arm),
    )


if __name__ == "__main__":
    main()
