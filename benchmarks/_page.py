"""The page of all results, ``docs/benchmarks.md``, and the rules that each committed result keeps.

python benchmarks/_page.py             write the page
python benchmarks/_page.py --check     fail if the page is old, or a result breaks a rule
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from _record import RESULTS, ROOT

PAGE = ROOT / "docs" / "benchmarks.md"

Result = Mapping[str, Any]


def broken(result: Result) -> Iterator[str]:
    """Rules that a result breaks, in words."""
    if str(result["commit"]).endswith("-dirty"):
        yield f"its commit is {result['commit']}: run it from a clean checkout"
    for commit in cells_of(result):
        if commit.endswith("-dirty"):
            yield f"a cell was measured at {commit}"
    if not result["minutes"] > 0:
        yield "it says that it took no time"
    for metric in result["metrics"]:
        yield from (f"{metric['name']}: {what}" for what in _unfounded(metric))


def cells_of(result: Result) -> list[str]:
    """The commits of its cells."""
    if "cell_commits" in result:
        return list(result["cell_commits"])
    cells = result.get("cells", ())
    return list(dict.fromkeys(c["commit"] for c in cells if "commit" in c))


def _unfounded(metric: Mapping[str, Any]) -> Iterator[str]:
    if "baselines" in metric:
        yield "its baselines are neither rivals nor numbers beside it"
        return
    rivals = {rival["name"]: rival for rival in metric["rivals"]}
    for name in metric["beats"]:
        if name not in rivals:
            yield f"there are no figures of {name}, which is to be beaten"
    for name, rival in rivals.items():
        if not rival["settings"]:
            yield f"the settings of {name} are missing"
        if not rival["low"] <= rival["gain"] <= rival["high"]:
            yield f"the gain over {name} has no interval"


def check(results: Sequence[Result]) -> list[str]:
    """What is wrong with the results, a line each."""
    return [f"{result['name']}: {what}" for result in results for what in broken(result)]


def page(results: Sequence[Result]) -> str:
    """One section per benchmark, one row per metric."""
    parts = [
        "# Benchmarks\n\nGenerated from `benchmarks/results/*.json` by "
        "`python benchmarks/_page.py`; each figure was measured by the command above its table. "
        "A target that was not reached stays here with its value. Rivals are other methods on the "
        "same units (tables, pictures, seeds, ...). Ours is **ahead** of one if the 95 % interval "
        "of the mean gain over the units lies above zero, **behind** if below, else **tied**; a "
        "tie is no win.\n"
    ]
    for result in results:
        parts += _section(result)
    return "".join(parts)


def _section(result: Result) -> Iterator[str]:
    host, seeds = result["machine"], ", ".join(map(str, result["seeds"]))
    yield (
        f"\n## {result['name'].replace('_', ' ')}\n\n```console\n$ {result['command']}\n```\n\n"
        f"{result['minutes']} minutes, {f'seeds {seeds}, ' if seeds else ''}"
        f"{host['cpu']}, {host['cores']} cores, torch {host['torch']}, "
        f"commit {result['commit']}{_commits(result)}, {result['date']}.\n\n"
    )
    yield "| metric | value | spread | target | reached | rivals | beside |\n"
    yield "|---|---|---|---|---|---|---|\n"
    yield from (_row(metric) for metric in result["metrics"])
    if result["notes"]:
        yield f"\n{result['notes']}\n"
    settings = {
        rival["name"]: rival["settings"]
        for metric in result["metrics"]
        for rival in metric.get("rivals", ())
    }
    if settings:
        yield "\n" + "".join(f"- {name}: {how}\n" for name, how in settings.items())


def _commits(result: Result) -> str:
    """Those of the cells, where they are others."""
    found = [commit for commit in cells_of(result) if commit != result["commit"]]
    return f" (cells: {', '.join(found)})" if found else ""


def _row(metric: Mapping[str, Any]) -> str:
    sign = {"lower": "≤", "higher": "≥"}[metric["better"]]
    bars = [] if metric["target"] is None else [f"{sign} {metric['target']:g}"]
    bars += [f"ahead of {name}" for name in metric.get("beats", ())]
    spread = "" if metric["spread"] is None else f"± {metric['spread']:.3g}"
    beside = metric.get("beside", metric.get("baselines", {}))
    numbers = "; ".join(f"{name} {value:.4g}" for name, value in beside.items())
    rivals = "<br>".join(_rival(rival) for rival in metric.get("rivals", ()))
    value = f"{metric['value']:.4g} {metric['unit']}"
    cells = [metric["name"], value, spread, ", ".join(bars), _reached(metric), rivals, numbers]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def _rival(rival: Mapping[str, Any]) -> str:
    interval = f"{rival['gain']:+.3g} [{rival['low']:.3g}, {rival['high']:.3g}]"
    units = f"{rival['units']} {rival['per'].removesuffix('s')}s"
    return f"{rival['name']} {rival['value']:.4g}: **{rival['verdict']}** {interval}, {units}"


def _reached(metric: Mapping[str, Any]) -> str:
    if metric["reached"] is None:
        return ""
    if metric["reached"]:
        return "yes"
    rivals = {rival["name"]: rival["verdict"] for rival in metric.get("rivals", ())}
    verdicts = {rivals[name] for name in metric.get("beats", ())} - {"ahead"}
    return "**tied**" if verdicts == {"tied"} and _meets_target(metric) else "**no**"


def _meets_target(metric: Mapping[str, Any]) -> bool:
    target, value = metric["target"], metric["value"]
    if target is None:
        return True
    return bool(value <= target if metric["better"] == "lower" else value >= target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if something is not in order")
    checking = parser.parse_args().check
    results = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))
    ]
    text = page(results)
    if not checking:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
        return 0
    wrong = check(results)
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        wrong.append("docs/benchmarks.md is not current: python benchmarks/_page.py")
    print("\n".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
