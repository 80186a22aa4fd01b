"""Speed of an agent with a world model: steps per second, where the time goes, batches of dreams.

The agent of ``lowerbound control train MinAtar/Breakout-v1`` at its defaults. Steps of the
environment, and frames that updates of the world model see, per second: one agent, and two agents
at once, each on one core. Shares are of processor time. Imagined steps per second are those of the
update of behavior, for several numbers of starts, in rounds that alternate between them.

    python benchmarks/control_speed.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

import torch
from _record import Metric, arguments, write

from lowerbound.applications.control.agent import AgentOptions, AgentRun
from lowerbound.applications.control.environment_options import EnvironmentOptions
from lowerbound.applications.control.imagined_returns import ImaginationOptions, ImaginedReturns
from lowerbound.models.options import ModelOptions
from lowerbound.models.sequences.states import WorldState

GAME = "MinAtar/Breakout-v1"
STARTS = (32, 128, 512, 2048)
WARM_UP = 40  # steps, with their updates, before anything is timed
MODEL, BEHAVIOR, ENVIRONMENT, ACTING = "world model", "behavior", "environment", "acting, replay"


@dataclass(frozen=True)
class Timed:
    """A stretch of a run.

    Attributes:
        steps: of the environment.
        frames: that updates of the world model saw.
        seconds: of wall time.
        shares: of processor time, by part.
    """

    steps: int
    frames: int
    seconds: float
    shares: dict[str, float]


def started(game: str, seed: int, steps: int) -> AgentRun:
    """An agent after its random steps and ``steps`` further ones, with their updates."""
    torch.set_num_threads(1)
    options = AgentOptions(seed=seed)
    run = AgentRun(EnvironmentOptions(game), ModelOptions(), ImaginationOptions(), options)
    while run.steps < options.prefill + steps:
        run.step()
    return run


def timed(game: str, steps: int, seed: int) -> Timed:
    """A stretch of an agent's run."""
    run = started(game, seed, min(WARM_UP, steps))
    inside = _watched(run)
    before, updates = dict(run.learner.seconds), run.updates
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(steps):
        run.step()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    spent = {
        MODEL: run.learner.seconds["model"] - before["model"],
        BEHAVIOR: run.learner.seconds["behavior"] - before["behavior"],
        ENVIRONMENT: inside[0],
    }
    spent[ACTING] = processor - sum(spent.values())
    frames = (run.updates - updates) * run.options.batch * run.options.length
    return Timed(steps, frames, wall, {part: value / processor for part, value in spent.items()})


def _watched(run: AgentRun) -> list[float]:
    """Processor seconds in the environment, counted from here on."""
    seconds, step = [0.0], run.env.step

    def watched(action: torch.Tensor) -> object:
        began = time.process_time()
        arrival = step(action)
        seconds[0] += time.process_time() - began
        return arrival

    run.env.step = watched  # type: ignore[method-assign, assignment]
    return seconds


def dreams(game: str, numbers: tuple[int, ...], rounds: int, seed: int) -> dict[int, float]:
    """Imagined steps per processor second by number of starts: the median over rounds."""
    run = started(game, seed, min(WARM_UP, 4 * rounds))
    found: dict[int, list[float]] = {starts: [] for starts in numbers}
    for turn in range(rounds + 1):
        for starts in numbers:
            update = _update_of(run, starts)
            began = time.process_time()
            update()
            if turn:
                steps = starts * run.learner.returns.options.horizon
                found[starts].append(steps / (time.process_time() - began))
    return {starts: statistics.median(rates) for starts, rates in found.items()}


def _update_of(run: AgentRun, starts: int) -> Callable[[], object]:
    """The update of behavior from that many states."""
    learner = run.learner
    options = replace(learner.returns.options, starts=starts)
    learner.returns = ImaginedReturns(options, run.form.classes)
    rows = -(-starts // run.options.length)
    batch = run.replay.batch(rows, run.options.length, learner.noise)
    states = run.world(batch).states
    assert states is not None
    detached: WorldState = states.detached()
    return lambda: learner._update_behavior(batch, detached)


def metrics(
    game: str, steps: int, numbers: tuple[int, ...], rounds: int, seed: int
) -> list[Metric]:
    context = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as one:
        single = one.submit(timed, game, steps, seed).result()
    with ProcessPoolExecutor(2, mp_context=context) as two:
        both = [two.submit(timed, game, steps, seed + each) for each in range(2)]
        pair = [each.result() for each in both]
    with ProcessPoolExecutor(1, mp_context=context) as one:
        rates = one.submit(dreams, game, numbers, rounds, seed).result()
    each = single.steps / single.seconds
    together = sum(part.steps / part.seconds for part in pair)
    return [
        Metric("one agent, one core: environment steps", each, "steps/s", "higher"),
        Metric(
            "two agents, two cores: environment steps, both together", together, "steps/s", "higher"
        ),
        Metric(
            "two agents, two cores: frames in updates of the world model",
            sum(part.frames / part.seconds for part in pair),
            "frames/s",
            "higher",
        ),
        Metric("two agents against one", together / each, "x", "higher"),
        *(
            Metric(f"share of processor time: {part}", share, "share", "lower")
            for part, share in single.shares.items()
        ),
        *(
            Metric(
                f"imagined steps in an update of behavior from {starts} states",
                rate,
                "steps/s",
                "higher",
            )
            for starts, rate in rates.items()
        ),
    ]


def main() -> None:
    given, began = arguments(__doc__ or "").parse_args(), time.perf_counter()
    game = "lowerbound/GridCatch-v0" if given.quick else GAME
    steps, numbers, rounds = (2, STARTS[:2], 1) if given.quick else (600, STARTS, 15)
    found = metrics(game, steps, numbers, rounds, given.seed)
    for metric in found:
        print(f"{metric.name}: {metric.value:.3g} {metric.unit}")
    write(
        "control_speed",
        found,
        data=[{"file": game, "split": "-", "sha256": "-"}],
        seeds=[given.seed],
        minutes=(time.perf_counter() - began) / 60,
        notes="Rates are per wall second; imagined steps are per processor second.",
        quick=given.quick,
    )


if __name__ == "__main__":
    main()
