"""Agents on MinAtar at equal steps of the environment: in a world model, and by PPO.

Two games, 40,000 steps, three seeds. Arms: an agent that learns in a world model; PPO on frames
with three learning rates and, at the middle rate, ten passes instead of four over each rollout; PPO
on codes of a VAE that was fitted to 4,000 random steps before (these steps count); PPO on codes of
a VAE that learns with the policy. Every 5,000 steps 20 episodes are played with drawn actions and
20 with the likeliest. A cell is one game, arm and seed; the cells of PPO hold all of its seeds.

The figure of PPO is that of its best setting on these seeds, which favors PPO. Settings of the
world model were chosen on Breakout with other seeds, from 100 on.

    python benchmarks/minatar_agents.py --list
    python benchmarks/minatar_agents.py --cell breakout_world_0   one cell, resumable
    python benchmarks/minatar_agents.py                           all missing cells, then the result
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _cells import done, drive, write_cells
from _record import Metric, commit, keep_answer

from lowerbound.evaluation.returns import Curve, area_over_seeds, over_seeds
from lowerbound.fitting.control.agent import AgentOptions
from lowerbound.fitting.control.environments import EnvironmentOptions
from lowerbound.fitting.control.policy_gradient import PolicyGradientOptions, train_policy
from lowerbound.fitting.control.records import AgentRecord, EvaluationOptions
from lowerbound.fitting.control.training import AgentSettings, train_agent
from lowerbound.model_folder import folder as model_folder

NAME = "minatar_agents"
RUNS = Path("runs") / NAME
GAMES = {"breakout": "MinAtar/Breakout-v1", "space_invaders": "MinAtar/SpaceInvaders-v1"}
SEEDS = (0, 1, 2)
STEPS = 40_000
EVALUATION = EvaluationOptions(evaluate_every=5_000, episodes=20)
POLICIES: dict[str, dict[str, Any]] = {
    "ppo_rate_0.00025": {"learning_rate": 2.5e-4},
    "ppo_rate_0.0005": {"learning_rate": 5e-4},
    "ppo_rate_0.001": {"learning_rate": 1e-3},
    "ppo_ten_passes": {"learning_rate": 5e-4, "epochs": 10},
    "ppo_codes": {"sees": "codes", "learning_rate": 1e-3},
    "ppo_joint": {"sees": "joint", "learning_rate": 1e-3},
}

Answer = dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """One cell: a game and an agent.

    Attributes:
        game: name in ``GAMES``.
        agent: "world", or a name in ``POLICIES``.
        seeds: that the cell runs.
    """

    game: str
    agent: str
    seeds: tuple[int, ...]


CELLS: dict[str, Arm] = {
    f"{game}_world_{seed}": Arm(game, "world", (seed,)) for game in GAMES for seed in SEEDS
} | {f"{game}_{name}": Arm(game, name, SEEDS) for game in GAMES for name in POLICIES}


def run(_: str, name: str, arm: Arm, held_out: bool) -> Answer:
    """All seeds of a cell."""
    wall, processor = time.perf_counter(), time.process_time()
    found = {}
    for seed in arm.seeds:
        seed += 100 * held_out
        records = trained(arm, seed, RUNS / f"{arm.game}_{arm.agent}_{seed}")
        found[str(seed)] = [asdict(record) for record in records]
        last = records[-1]
        print(arm, seed, np.mean(last.sampled), np.mean(last.greedy), last.seconds, flush=True)
    answer = {
        "cell": name,
        "seed": arm.seeds[0],
        "records": found,
        "minutes": round((time.process_time() - processor) / 120, 2),
        "wall_minutes": round((time.perf_counter() - wall) / 60, 2),
        "commit": commit(),
    }
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


def trained(arm: Arm, seed: int, folder: Path, steps: int = STEPS) -> Sequence[AgentRecord]:
    """The evaluations of one run."""
    environment = EnvironmentOptions(GAMES[arm.game])
    if arm.agent != "world":
        options = PolicyGradientOptions(steps=steps, seed=seed, **POLICIES[arm.agent])
        return train_policy(environment, options, EVALUATION).records
    settings = AgentSettings(
        environment, agent=AgentOptions(steps=steps, seed=seed), evaluation=EVALUATION
    )
    made = train_agent(settings, folder=folder, resume=True)
    model_folder.write(folder, made.fitted)
    return made.records


# results ------------------------------------------------------------------------------------------


def curves(answers: Mapping[str, Answer], game: str, agent: str, greedy: bool) -> list[Curve]:
    """The curves of all seeds of an agent that are done."""
    found = []
    for name, arm in CELLS.items():
        if name in answers and (arm.game, arm.agent) == (game, agent):
            for records in answers[name]["records"].values():
                found.append(Curve.of([AgentRecord(**record) for record in records], greedy))
    return found


def metrics(answers: Mapping[str, Answer]) -> Iterator[Metric]:
    for game in GAMES:
        agents = [a for a in ("world", *POLICIES) if curves(answers, game, a, False)]
        if "world" not in agents:
            continue
        last = {
            a: over_seeds([c.scores[-1] for c in curves(answers, game, a, False)]) for a in agents
        }
        best = {
            a: over_seeds([c.scores[-1] for c in curves(answers, game, a, True)]) for a in agents
        }
        area = {a: area_over_seeds(curves(answers, game, a, False), 0.0) for a in agents}
        rivals = [a for a in agents if a.startswith(("ppo_rate", "ppo_ten"))]
        others = [a for a in agents if a != "world"]
        for title, values, factor in (
            ("return at 40,000 steps, drawn actions", last, 2.0),
            ("return at 40,000 steps, likeliest actions", best, None),
            ("area under the curve, drawn actions", area, None),
        ):
            top = max((values[a].value for a in rivals), default=None)
            low, high = values["world"].low, values["world"].high
            yield Metric(
                f"{game}, world model: {title}",
                values["world"].value,
                "return",
                "higher",
                (high - low) / 2,
                None if top is None or factor is None else factor * top,
                {"low": low, "high": high}
                | {a: values[a].value for a in others}
                | {f"{a} high": values[a].high for a in others},
            )
        seconds = {
            a: float(
                np.mean(
                    [
                        records[-1]["seconds"]
                        for name, arm in CELLS.items()
                        if name in answers and (arm.game, arm.agent) == (game, a)
                        for records in answers[name]["records"].values()
                    ]
                )
            )
            for a in agents
        }
        yield Metric(
            f"{game}, world model: processor seconds of a run",
            seconds["world"],
            "s",
            "lower",
            baselines={a: seconds[a] for a in others},
        )


def summarize() -> None:
    answers = done(NAME)
    data = [{"file": environment, "split": "-", "sha256": "-"} for environment in GAMES.values()]
    spread = "Spread is half of the 95 % interval over seeds and episodes."
    write_cells(NAME, list(metrics(answers)), data, spread, SEEDS)


def quick(seed: int) -> None:
    records = trained(Arm("breakout", "ppo_rate_0.0005", (seed,)), seed, Path(), 2_000)
    print(f"quick, not quoted: return {np.mean(records[-1].sampled):.2f} after 2,000 steps of PPO")
    print(json.dumps({"steps": records[-1].steps}))


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick, run)
