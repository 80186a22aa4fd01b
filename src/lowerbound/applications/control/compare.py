"""``lowerbound control compare``: agents at equal steps of the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.applications.base import Reporter, WrittenReport, written
from lowerbound.applications.form import REQUIRED
from lowerbound.applications.io.files import replacing
from lowerbound.config import option
from lowerbound.errors import OptionError, counted
from lowerbound.evaluation.intervals import Interval
from lowerbound.evaluation.report.figures.style import color_of, legend, new_figure, style, to_png
from lowerbound.evaluation.returns import Curve, area_over_seeds, over_seeds
from lowerbound.fitting.control.records import AgentRecord, read_records

if TYPE_CHECKING:  # matplotlib is loaded only to draw
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class CompareAgentsRequest:
    """Compare trained agents."""

    agents: tuple[str, ...] = option(
        REQUIRED,
        "agents of one kind, one folder for each seed: NAME=FOLDER,FOLDER,...; or one folder",
        positional=True,
        metavar="AGENT",
    )
    output: str | None = option(
        None, "learning curves to draw (.png)", short="-o", metavar="PICTURE"
    )
    greedy: bool = option(False, "compare the likeliest actions instead of drawn ones")
    start: float = option(0.0, "return before the first step, for the area under the curve")
    seed: int = option(0, "of the bootstrap")


@dataclass(frozen=True)
class ComparedAgent:
    """One kind of agent.

    Attributes:
        name: of it.
        seeds: number of folders.
        steps: that all compared agents have made.
        last: interquartile mean of the returns after these steps, with a 95 % interval; between
            two evaluations it lies on the line from one to the next.
        area: mean return from step 0 to there, with a 95 % interval.
    """

    name: str
    seeds: int
    steps: int
    last: Interval
    area: Interval


@dataclass(frozen=True)
class CompareAgentsReport(WrittenReport):
    """Agents, the highest return first."""

    agents: tuple[ComparedAgent, ...]

    def text(self) -> str:
        width = max(len(agent.name) for agent in self.agents)
        lines = [f"returns after {self.agents[0].steps:,} steps"]
        lines += [
            f"  {agent.name:{width}}  {_said(agent.last)}  area {_said(agent.area)}  "
            f"({counted(agent.seeds, 'seed')})"
            for agent in self.agents
        ]
        return "\n".join([*lines, *self.files])


def control_compare(request: CompareAgentsRequest, reporter: Reporter) -> CompareAgentsReport:
    """Compare agents by the evaluations of their training.

    Raises:
        OptionError: a folder has no records, two agents have one name, or the figure's suffix is
            not supported.
        DataError: an agent was never evaluated.
    """
    if request.output is not None and Path(request.output).suffix.lower() != ".png":
        raise OptionError(f"{request.output}: learning curves are drawn as .png")
    named = _named(request.agents)
    records = {name: [read_records(f) for f in folders] for name, folders in named.items()}
    _note_environments(records, reporter)
    curves = {
        name: [
            Curve.of(each, request.greedy, str(folder))
            for each, folder in zip(records[name], folders, strict=True)
        ]
        for name, folders in named.items()
    }
    steps = min(curve.steps[-1] for each in curves.values() for curve in each)
    late = max(curve.steps[0] for each in curves.values() for curve in each)
    if late > steps:
        raise OptionError(
            f"one agent was trained for {steps:,} steps, and another was first evaluated after "
            f"{late:,}: train or evaluate them alike"
        )
    cut = {name: [curve.until(steps) for curve in each] for name, each in curves.items()}
    found = [
        ComparedAgent(
            name,
            len(each),
            steps,
            over_seeds([curve.scores[-1] for curve in each], request.seed),
            area_over_seeds(each, request.start, request.seed),
        )
        for name, each in cut.items()
    ]
    files: tuple[str, ...] = ()
    if request.output is not None:
        files = _drawn(Path(request.output), curves)
    ranked = sorted(found, key=lambda agent: -agent.last.value)
    return CompareAgentsReport(agents=tuple(ranked), **written(files))


def _named(agents: tuple[str, ...]) -> dict[str, list[Path]]:
    """The folders of each name.

    Raises:
        OptionError: a name has no folder, or is given twice.
    """
    found: dict[str, list[Path]] = {}
    for agent in agents:
        name, equals, folders = agent.partition("=")
        paths = [Path(f) for f in (folders if equals else agent).split(",") if f]
        if not paths:
            raise OptionError(f"{agent!r} names no folder: give NAME=FOLDER,FOLDER,...")
        name = name if equals else Path(agent).stem
        if name in found:
            raise OptionError(
                f"two agents have the name {name!r}: give NAME=FOLDER,FOLDER,... for the seeds of "
                "one agent, and each agent a NAME= of its own"
            )
        found[name] = paths
    return found


def _note_environments(
    records: Mapping[str, Sequence[Sequence[AgentRecord]]], reporter: Reporter
) -> None:
    """Say so if the agents acted in different environments."""
    found = {
        name: sorted({each[-1].environment for each in seeds if each} - {""})
        for name, seeds in records.items()
    }
    if len({place for places in found.values() for place in places}) > 1:
        named = [f"{name}: {', '.join(places)}" for name, places in found.items() if places]
        reporter.say(
            f"note: returns of different environments are not on one scale ({'; '.join(named)}): "
            "compare agents of one environment"
        )


def _drawn(path: Path, curves: Mapping[str, Sequence[Curve]]) -> tuple[str, ...]:
    """Write learning curves."""
    with replacing(path) as place:
        place.write_bytes(to_png(learning_curves(curves)))
    return (str(path),)


def learning_curves(
    curves: Mapping[str, Sequence[Curve]], title: str = "Returns while learning"
) -> Figure:
    """Returns over steps by agent: a thin line for each seed, a thick one for their mean."""
    drawing = new_figure(6.4, 4.2, title)
    axes = style(drawing.subplots(), "", "steps of the environment", "return", True)
    for number, (name, each) in enumerate(curves.items()):
        color = color_of(number)
        for curve in each:
            axes.plot(curve.steps, curve.means, color=color, linewidth=0.7, alpha=0.5)
        shared = sorted(set.intersection(*(set(curve.steps) for curve in each)))
        rows = [[curve.means[curve.steps.index(step)] for step in shared] for curve in each]
        axes.plot(shared, np.mean(rows, 0), color=color, linewidth=2, label=name)
    legend(axes, loc="upper left")
    return drawing


def _said(interval: Interval) -> str:
    return f"{interval.value:.3g} [{interval.low:.3g}, {interval.high:.3g}]"
