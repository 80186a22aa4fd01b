"""How a benchmark writes down what it measured: ``benchmarks/results/NAME.json``.

``python benchmarks/_page.py`` writes ``docs/benchmarks.md`` from those files, so that each figure
has one source.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _rivals import Better, Rival

ROOT = Path(__file__).resolve().parents[1]
COMMITS, SECONDS = "commits", "seconds"  # of the parts of a cell, in its file
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Metric:
    """One measured number.

    Attributes:
        spread: what the benchmark's notes say.
        target: a number that does not depend on what was measured.
        beside: other numbers that belong to it and are no rivals: parts, limits, published figures.
        rivals: other methods on the same units.
        beats: names of the rivals that are to be beaten; a tie is no win.
    """

    name: str
    value: float
    unit: str
    better: Better
    spread: float | None = None
    target: float | None = None
    beside: Mapping[str, float] = field(default_factory=dict)
    rivals: Sequence[Rival] = ()
    beats: Sequence[str] = ()

    @property
    def reached(self) -> bool | None:
        """Whether the target is met and each rival in ``beats`` is beaten."""
        if self.target is None and not self.beats:
            return None
        return self._meets_target() and all(verdict == "ahead" for verdict in self._verdicts())

    def as_mapping(self) -> dict[str, Any]:
        """For the JSON of a result."""
        plain = {key: value for key, value in vars(self).items() if key != "rivals"}
        return {
            **plain,
            "value": float(self.value),
            "beside": dict(self.beside),
            "rivals": [rival.as_mapping() for rival in self.rivals],
            "beats": list(self.beats),
            "reached": self.reached,
        }

    def _meets_target(self) -> bool:
        if self.target is None:
            return True
        return bool(
            self.value <= self.target if self.better == "lower" else self.value >= self.target
        )

    def _verdicts(self) -> list[str]:
        known = {rival.name: rival.verdict for rival in self.rivals}
        return [known.get(name, "unknown") for name in self.beats]


def arguments(description: str) -> argparse.ArgumentParser:
    """The flags that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="at most 30 s, never quoted")
    return parser


def write(
    name: str,
    metrics: Sequence[Metric],
    *,
    data: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    minutes: float,
    notes: str = "",
    quick: bool = False,
    command: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write ``results/NAME.json``; a quick run is printed and not written."""
    record = {
        "name": name,
        "command": command or f"python benchmarks/{name}.py",
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "data": list(data),
        "seeds": list(seeds),
        "minutes": round(minutes, 1),
        "metrics": [metric.as_mapping() for metric in metrics],
        "notes": notes,
        "cell_commits": cell_commits(name),
        **(extra or {}),
    }
    text = json.dumps(record, indent=2, sort_keys=False) + "\n"
    if quick:
        print(text)
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
    print(f"wrote benchmarks/results/{name}.json")


def keep_answer(benchmark: str, part: str, answer: Mapping[str, Any]) -> None:
    """Write what one part of a long benchmark found, ``results/BENCHMARK/PART.json``."""
    place = RESULTS / benchmark / f"{part}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(answer) + "\n", encoding="utf-8")


def part_of(
    benchmark: str, cell: str, part: str, measure: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """One part of a cell: read if an earlier run has measured it, else measured and written."""
    place = RESULTS / benchmark / f"{cell}.json"
    known: dict[str, Any] = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    if part not in known:
        began = time.process_time()
        known[part] = measure()
        known.setdefault(COMMITS, {})[part] = commit()
        known.setdefault(SECONDS, {})[part] = round(time.process_time() - began, 1)
        keep_answer(benchmark, cell, known)
        print(f"{cell}, {part}: {json.dumps(known[part])}", flush=True)
    answer: dict[str, Any] = known[part]
    return answer


def cell_commits(benchmark: str) -> list[str]:
    """The commits that measured the cells of a benchmark, and the parts of these."""
    found: dict[str, None] = {}
    for path in sorted((RESULTS / benchmark).glob("*.json")):
        cell = json.loads(path.read_text(encoding="utf-8"))
        each = [cell["commit"]] if "commit" in cell else cell.get(COMMITS, {}).values()
        found |= dict.fromkeys(each)
    return list(found)


def commit() -> str:
    """The commit that was measured, with a mark where anything but results had changed.

    Figures in ``docs/images`` are results too. LOWERBOUND_COMMIT is the commit of a copy of the
    files on a machine without their history.
    """
    copied = os.environ.get("LOWERBOUND_COMMIT")
    if copied:
        return copied
    answer = _git("describe", "--always")
    made = (":!benchmarks/results", ":!docs/images")
    changed = _git("diff", "HEAD", "--name-only", "--", ".", *made)
    return (answer + ("-dirty" if changed else "")) or "unknown"


def _git(*words: str) -> str:
    """What git answers; nothing where there is none."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import torch

    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
