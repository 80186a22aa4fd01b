"""Agents on MinAtar at equal steps of the environment: in a world model, and by PPO.

Two games, 40,000 steps, three seeds. Arms: an agent that learns in a world model; PPO on frames
with three learning rates and, at the middle rate, ten passes instead of four over each rollout; PPO
on codes of a VAE that was fitted to 4,000 random steps before (these steps count); PPO on codes of
a VAE that learns with the policy. Every 5,000 steps 20 episodes are played with drawn actions and
20 with the likeliest. A cell is one game, arm and seed; the cells of PPO hold all of their seeds.

The figure of PPO is that of its best setting on these seeds, which favors PPO. Settings of the
world model were chosen on Breakout in single runs with the seeds 0 and 1; its cells have the seeds
10 to 12.

    python benchmarks/minatar_agents.py --list
    python benchmarks/minatar_agents.py --cell breakout_world_10  one cell, resumable
    python benchmarks/minatar_agents.py                           all missing cells, then the result
"""

from __future__ import annotations

from typing import Any

from _agents import AgentBenchmark

from lowerbound.applications.control.environment_options import EnvironmentOptions
from lowerbound.applications.control.player import EvaluationOptions

POLICIES: dict[str, dict[str, Any]] = {
    "ppo_frames_rate_0.00025": {"learning_rate": 2.5e-4},
    "ppo_frames_rate_0.0005": {"learning_rate": 5e-4},
    "ppo_frames_rate_0.001": {"learning_rate": 1e-3},
    "ppo_frames_ten_passes": {"learning_rate": 5e-4, "epochs": 10},
    "ppo_codes": {"sees": "codes", "learning_rate": 1e-3},
    "ppo_joint": {"sees": "joint", "learning_rate": 1e-3},
}
BENCHMARK = AgentBenchmark(
    "minatar_agents",
    {
        "breakout": EnvironmentOptions("MinAtar/Breakout-v1"),
        "space_invaders": EnvironmentOptions("MinAtar/SpaceInvaders-v1"),
    },
    POLICIES,
    40_000,
    EvaluationOptions(evaluate_every=5_000, episodes=20),
    aim=2.0,
)


if __name__ == "__main__":
    BENCHMARK.main(__doc__ or "")
