"""Agents at equal steps of an environment: cells of one agent and its seeds, and their figures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from _cells import done, drive, write_cells
from _pictures import keep
from _record import Metric, commit, keep_answer
from _rivals import apart

from lowerbound.applications.control.agent import AgentOptions
from lowerbound.applications.control.compare import (
    Curve,
    area_over_seeds,
    learning_curves,
    over_seeds,
)
from lowerbound.applications.control.environment_options import EnvironmentOptions
from lowerbound.applications.control.imagined_returns import ImaginationOptions
from lowerbound.applications.control.player import AgentRecord, EvaluationOptions
from lowerbound.applications.control.policy_gradient import PolicyGradientOptions, train_policy
from lowerbound.applications.control.training import AgentSettings, train_agent
from lowerbound.evaluation.intervals import Interval
from lowerbound.fitting import folder as model_folder

SEEDS = (0, 1, 2)  # of policies
WORLD_SEEDS = (10, 11, 12)  # settings of world models were chosen with others
WORLD = "world"
FRAMES = "ppo_frames"  # how the names of policies on frames begin
TRIALS = 100  # settings are chosen with seeds from here on

Answer = dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """One cell: a task and an agent.

    Attributes:
        task: its name.
        agent: ``WORLD``, or the name of a policy.
        seeds: that the cell runs.
    """

    task: str
    agent: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class AgentBenchmark:
    """Tasks, and the agents that are compared on them.

    Attributes:
        name: of the benchmark.
        tasks: environments by name.
        policies: options of PPO by name; those on frames begin with "ppo_frames". "state": the
            policy sees the environment's own observations in the place of pictures.
        steps: of the environment.
        evaluation: on the way.
        aim: factor by which the world model is to be above the best PPO on frames at the end;
            None: its area is to be above that of the best.
        start: return before the first step, by task.
        agent: options of the agents with a world model.
        imagination: how these learn behavior.
    """

    name: str
    tasks: Mapping[str, EnvironmentOptions]
    policies: Mapping[str, Mapping[str, Any]]
    steps: int
    evaluation: EvaluationOptions
    aim: float | None = None
    start: Mapping[str, float] = field(default_factory=dict)
    agent: Mapping[str, Any] = field(default_factory=dict)
    imagination: ImaginationOptions = field(default_factory=ImaginationOptions)

    @property
    def cells(self) -> dict[str, Arm]:
        """One for each seed of a world model, and one for all seeds of a policy."""
        worlds = {f"{t}_{WORLD}_{s}": Arm(t, WORLD, (s,)) for t in self.tasks for s in WORLD_SEEDS}
        others = {f"{t}_{p}": Arm(t, p, SEEDS) for t in self.tasks for p in self.policies}
        return worlds | others

    def main(self, description: str) -> None:
        """The command line."""
        drive(self.name, description, self.cells, self.summarize, self.quick, self.run)

    def run(self, _: str, name: str, arm: Arm, held_out: bool) -> Answer:
        """All seeds of a cell."""
        wall, processor, found = time.perf_counter(), time.process_time(), {}
        for seed in arm.seeds:
            seed += TRIALS * held_out
            folder = Path("runs") / self.name / f"{arm.task}_{arm.agent}_{seed}"
            records = self.trained(arm, seed, folder, self.steps)
            found[str(seed)] = [asdict(record) for record in records]
            last = records[-1]
            means = np.mean(last.sampled), np.mean(last.greedy)
            print(name, seed, *(f"{mean:.2f}" for mean in means), last.seconds, flush=True)
        answer = {
            "cell": name,
            "seed": arm.seeds[0],
            "records": found,
            "minutes": round((time.process_time() - processor) / 120, 2),
            "wall_minutes": round((time.perf_counter() - wall) / 60, 2),
            "commit": commit(),
        }
        if not held_out:
            keep_answer(self.name, name, answer)
        return answer

    def trained(self, arm: Arm, seed: int, folder: Path, steps: int) -> Sequence[AgentRecord]:
        """The evaluations of one run."""
        environment = self.tasks[arm.task]
        if arm.agent != WORLD:
            given = dict(self.policies[arm.agent])
            if given.pop("state", False):
                environment = replace(environment, pixels=0)
            options = PolicyGradientOptions(steps=steps, seed=seed, **given)
            return train_policy(environment, options, self.evaluation).records
        settings = AgentSettings(
            environment,
            imagination=self.imagination,
            agent=AgentOptions(steps=steps, seed=seed, **self.agent),
            evaluation=self.evaluation,
        )
        made = train_agent(settings, folder=folder, resume=True)
        model_folder.write(folder, made.fitted)
        return made.records

    def quick(self, seed: int) -> None:
        """PPO for a few steps in an environment that needs no further library."""
        small = replace(self, tasks={"catch": EnvironmentOptions("lowerbound/GridCatch-v0")})
        policy = next(iter(self.policies))
        last = small.trained(Arm("catch", policy, (seed,)), seed, Path(), 1_024)[-1]
        print(f"quick, not quoted: return {np.mean(last.sampled):.2f} after 1,024 steps of PPO")

    def summarize(self) -> None:
        """Write the result of what is done."""
        answers = done(self.name)
        metrics = [metric for task in self.tasks for metric in self.metrics(answers, task)]
        for task in self.tasks:
            self.draw(answers, task)
        data = [{"file": env.name, "split": "-", "sha256": "-"} for env in self.tasks.values()]
        spread = "Spread is half of the 95 % interval over seeds and episodes."
        write_cells(self.name, metrics, data, spread, (*SEEDS, *WORLD_SEEDS))

    def draw(self, answers: Mapping[str, Answer], task: str) -> None:
        """Learning curves in the docs: of the world model, and of PPO in each of its settings."""
        runs = {agent: self.runs(answers, task, agent) for agent in (WORLD, *self.policies)}
        curves = {
            "world model" if agent == WORLD else agent.replace("_", " ").replace("ppo", "PPO"): [
                Curve.of(records) for records in found
            ]
            for agent, found in runs.items()
            if found
        }
        if runs[WORLD]:
            drawing = learning_curves(curves, f"{self.tasks[task].name}: returns, drawn actions")
            keep(drawing, f"{self.name}_{task}.png")

    def metrics(self, answers: Mapping[str, Answer], task: str) -> Iterator[Metric]:
        """The figures of a task, if the world model has been trained in it."""
        runs = {a: self.runs(answers, task, a) for a in (WORLD, *self.policies)}
        runs = {agent: found for agent, found in runs.items() if found}
        if WORLD not in runs:
            return
        drawn = {a: [Curve.of(records) for records in found] for a, found in runs.items()}
        likely = {a: [Curve.of(records, True) for records in found] for a, found in runs.items()}
        start = self.start.get(task, 0.0)
        last = {a: over_seeds([c.scores[-1] for c in each]) for a, each in drawn.items()}
        what = f"{task}, world model after {self.steps:,} steps"
        yield self._metric(f"{what}: drawn actions", last, ends(drawn))
        greedy = {a: over_seeds([c.scores[-1] for c in each]) for a, each in likely.items()}
        yield self._metric(f"{what}: likeliest actions", greedy, ends(likely))
        areas = {a: area_over_seeds(each, start) for a, each in drawn.items()}
        each_area = {
            agent: [area_over_seeds([curve], start).value for curve in curves]
            for agent, curves in drawn.items()
        }
        frames = tuple(name for name in runs if name.startswith(FRAMES))
        yield self._metric(f"{what}: area under the curve", areas, each_area, frames)
        if self.aim is not None and frames:
            best = max(last[name].value for name in frames)
            yield Metric(
                f"{what}: drawn actions, over those of the best PPO on frames",
                last[WORLD].value / best,
                "x",
                "higher",
                target=self.aim,
            )
        seconds = {a: float(np.mean([r[-1].seconds for r in found])) for a, found in runs.items()}
        yield Metric(
            f"{task}, world model: processor seconds of a run",
            seconds.pop(WORLD),
            "s",
            "lower",
            beside=seconds,
        )

    def runs(self, answers: Mapping[str, Answer], task: str, agent: str) -> list[list[AgentRecord]]:
        """The records of all seeds of an agent that are done."""
        return [
            [AgentRecord(**record) for record in records]
            for name, arm in self.cells.items()
            if name in answers and (arm.task, arm.agent) == (task, agent)
            for records in answers[name]["records"].values()
        ]

    def _metric(
        self,
        title: str,
        values: Mapping[str, Interval],
        seeds: Mapping[str, Sequence[float]],
        beats: Sequence[str] = (),
    ) -> Metric:
        own = values[WORLD]
        rivals = [
            apart(name, self._settings(name), seeds[WORLD], scores, "higher", "seed")
            for name, scores in seeds.items()
            if name != WORLD
        ]
        return Metric(
            title,
            own.value,
            "return",
            "higher",
            (own.high - own.low) / 2,
            None,
            {"lowest": own.low, "highest": own.high},
            rivals,
            beats,
        )

    def _settings(self, policy: str) -> str:
        given = ", ".join(f"{name} {value}" for name, value in self.policies[policy].items())
        return f"PPO of stable-baselines3, {given}; each rate that was tried stands here"


def ends(curves: Mapping[str, Sequence[Curve]]) -> dict[str, list[float]]:
    """The mean return of each seed at the end."""
    return {
        agent: [float(np.mean(curve.scores[-1])) for curve in each]
        for agent, each in curves.items()
    }
