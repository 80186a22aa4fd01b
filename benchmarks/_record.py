"""How a benchmark writes down what it measured: ``benchmarks/results/NAME.json``.

``python benchmarks/_record.py`` writes ``docs/benchmarks.md`` from those files, so that each figure
has one source.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Metric:
    """One measured number; ``reached`` follows from the target."""

    name: str
    value: float
    unit: str
    better: Literal["lower", "higher"]
    spread: float | None = None
    target: float | None = None
    baselines: Mapping[str, float] = field(default_factory=dict)

    @property
    def reached(self) -> bool | None:
        if self.target is None:
            return None
        if self.better == "lower":
            return bool(self.value <= self.target)
        return bool(self.value >= self.target)


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
        "metrics": [
            {**asdict(metric), "value": float(metric.value), "reached": metric.reached}
            for metric in metrics
        ],
        "notes": notes,
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


def commit() -> str:
    """The commit that was measured, with a mark where anything but results had changed.

    Figures in ``docs/images`` are results too.
    """
    answer = _git("describe", "--always")
    made = (f":!{RESULTS.relative_to(ROOT)}", ":!docs/images")
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


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """``docs/benchmarks.md``: one section per benchmark, one row per metric."""
    parts = [
        "# Benchmarks\n\nGenerated from `benchmarks/results/*.json` by "
        "`python benchmarks/_record.py`; each figure was measured by the command above its table. "
        "A target that was not reached stays here with its value.\n"
    ]
    for record in records:
        host = record["machine"]
        parts.append(
            f"\n## {record['name'].replace('_', ' ')}\n\n```console\n$ {record['command']}\n```\n\n"
            f"{record['minutes']} minutes, seeds {', '.join(map(str, record['seeds']))}, "
            f"{host['cpu']}, {host['cores']} cores, torch {host['torch']}, "
            f"commit {record['commit']}, {record['date']}.\n\n"
            "| metric | value | spread | target | reached | baselines |\n"
            "|---|---|---|---|---|---|\n"
        )
        parts.extend(_row(metric) for metric in record["metrics"])
        if record["notes"]:
            parts.append(f"\n{record['notes']}\n")
    return "".join(parts)


def _row(metric: Mapping[str, Any]) -> str:
    sign = {"lower": "≤", "higher": "≥"}[metric["better"]]
    target = "" if metric["target"] is None else f"{sign} {metric['target']:g}"
    reached = {None: "", True: "yes", False: "**no**"}[metric["reached"]]
    spread = "" if metric["spread"] is None else f"± {metric['spread']:.3g}"
    baselines = "; ".join(f"{name} {value:.4g}" for name, value in metric["baselines"].items())
    value = f"{metric['value']:.4g} {metric['unit']}"
    return f"| {metric['name']} | {value} | {spread} | {target} | {reached} | {baselines} |\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the page is not current")
    check = parser.parse_args().check
    records = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))
    ]
    text = table(records)
    if check:
        return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
