"""Defects planted in the package one at a time: the share of them that a test notices.

Defects are changes of an expression: another operator, constant, sign, function, axis or order of
operands, or a term left out. A seed chooses lines of the modules that compute, and one defect of
each. It is planted in a copy of the checkout, and the test files that are nearest to its module run
until a test fails: four with their slow tests, then more without. A test counts only if it passes
without the defect. Defects that no test can or should notice are argued one by one in
``tests/mutation/harmless.json``.

Others were written by hand, ``tests/mutation/planted*.json``: what a move of code between modules
can bring in. Each is planted where its file is now, and the tests that it names run first.

    python benchmarks/mutation.py                all defects not tried yet, then the result
    python benchmarks/mutation.py --again        also those that no test noticed, but should
    python benchmarks/mutation.py --summarize    the result of what is done
    python benchmarks/mutation.py --planted      the same with those that were written by hand
"""

from __future__ import annotations

import json
import math
import queue
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from _record import ROOT, Metric, arguments, commit, write

sys.path.insert(0, str(ROOT))

from tests.mutation.defects import ROOMS, Defect, chosen, defects
from tests.mutation.nearest import Imports
from tests.mutation.planted import Planted, planted_defects
from tests.mutation.trial import Copy

NAME, BY_HAND = "mutation", "planted"
HARMLESS = ROOT / "tests" / "mutation" / "harmless.json"
COUNT = 210
LEAST = {NAME: 200, BY_HAND: 240}
TARGET = 95.0  # % of the defects that are not harmless

Trial = dict[str, Any]


def kept(name: str) -> Path:
    """The file of the trials of a result, a line each."""
    return Path("runs") / name / "trials.jsonl"


def try_all(planned: Sequence[Defect | Planted], processes: int, name: str) -> None:
    """Try defects in some copies of the checkout side by side, and keep each trial."""
    imports, writing = Imports(ROOT), threading.Lock()
    kept(name).parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="mutation-") as folder:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for number in range(processes):
            copies.put(Copy(ROOT, Path(folder) / str(number)))

        def try_one(defect: Defect | Planted) -> None:
            copy = copies.get()
            verdict = copy.trial(defect, imports.nearest(defect.file))
            copies.put(copy)
            place = {"room": defect.room, "file": defect.file, "change": defect.change}
            trial = {**place, **asdict(defect), **asdict(verdict)}
            with writing, kept(name).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({**trial, "commit": commit()}) + "\n")
            print(sentence(trial), flush=True)

        with ThreadPoolExecutor(processes) as pool:
            list(pool.map(try_one, planned))


def sentence(trial: Mapping[str, Any]) -> str:
    """What became of a defect, in a line."""
    state = f"caught by {trial['caught_by']}" if trial["caught_by"] else "SURVIVED"
    state += " (some tests did not end)" if trial["stopped"] else ""
    if "name" in trial:
        return f"{trial['file']}: {trial['name']}: {state}"
    place = f"{trial['file']}:{trial['line']}"
    return f"{place}: {trial['before']} -> {trial['after']}: {state}"


def trials(name: str, first: bool = False) -> dict[str, Trial]:
    """The last trial of each defect, or the first, by its change."""
    if not kept(name).exists():
        return {}
    lines = kept(name).read_text(encoding="utf-8").splitlines()
    return {
        trial["change"]: trial for trial in map(json.loads, reversed(lines) if first else lines)
    }


@cache
def harmless() -> Mapping[str, str]:
    """Why no test can or should notice a defect, by its change."""
    found: Mapping[str, str] = json.loads(HARMLESS.read_text(encoding="utf-8"))
    return found


def summarize(planned: Sequence[Defect | Planted], seed: int, name: str) -> None:
    """Print the survivors, and write the result if all defects were tried and are enough."""
    done, before = trials(name), trials(name, first=True)
    tried = [done[defect.change] for defect in planned if defect.change in done]
    counted = [t for t in tried if t["caught_by"] or t["change"] not in harmless()]
    survivors = [t for t in counted if not t["caught_by"]]
    for trial in survivors:
        print(sentence(trial))
    print(f"{len(counted) - len(survivors)} of {len(counted)} caught, {len(planned)} planned")
    least = LEAST[name]
    if len(tried) < max(len(planned), least):
        return
    known = ROOMS if name == NAME else sorted({t["room"] for t in counted})
    rooms = {room: [t for t in counted if t["room"] == room] for room in known}
    share = caught(counted)
    spread = math.sqrt(share * (100 - share) / len(counted))
    by_room = {room: caught(each) for room, each in rooms.items() if each}
    metrics = [
        Metric("planted defects", len(tried), "defects", "higher", target=least),
        Metric("harmless", len(tried) - len(counted), "defects", "lower"),
        Metric("caught", share, "%", "higher", spread, TARGET, by_room),
        Metric("caught, of all planted", caught(tried), "%", "higher"),
    ]
    if name == NAME:  # the tests of the others are named in their lists
        share = caught([before[trial["change"]] for trial in counted])
        what = "caught before tests were added for survivors"
        metrics.append(Metric(what, share, "%", "higher"))
    write(
        name,
        metrics,
        data=[{"file": "src/lowerbound", "split": "-", "sha256": "-"}],
        seeds=[seed] if name == NAME else [],
        command="python benchmarks/mutation.py" + (" --planted" if name == BY_HAND else ""),
        minutes=sum(t["seconds"] for t in tried) / 60,
        notes="Beside it are the shares of the parts of the package. No test noticed: "
        + ("; ".join(f"`{sentence(t)}`" for t in survivors) or "none")
        + ".",
        extra={"trials": tried},
    )


def caught(found: Sequence[Trial]) -> float:
    """The share that a test noticed, in %."""
    return 100 * sum(bool(trial["caught_by"]) for trial in found) / len(found)


def quick(seed: int) -> None:
    """One defect and the nearest test file."""
    (defect,) = chosen(defects(ROOT), 1, seed)
    with TemporaryDirectory(prefix="mutation-") as folder:
        copy = Copy(ROOT, Path(folder) / "copy")
        verdict = copy.trial(defect, Imports(ROOT).nearest(defect.file), stages=(1,))
    print("quick, not quoted:", sentence({**asdict(defect), **asdict(verdict)}))


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="retry what no test noticed")
    parser.add_argument("--planted", action="store_true", help="the defects written by hand")
    parser.add_argument("--summarize", action="store_true", help="write the result of what is done")
    given = parser.parse_args()
    if given.quick:
        quick(given.seed)
        return
    planned: list[Defect] | list[Planted] = (
        planted_defects(ROOT) if given.planted else chosen(defects(ROOT), given.count, given.seed)
    )
    name = BY_HAND if given.planted else NAME
    if not given.summarize:
        done = trials(name)
        settled = {
            change
            for change, trial in done.items()
            if trial["caught_by"] or not given.again or change in harmless()
        }
        waiting = [defect for defect in planned if defect.change not in settled]
        try_all(waiting, given.processes, name)
    summarize(planned, given.seed, name)


if __name__ == "__main__":
    main()
