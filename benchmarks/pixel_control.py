"""Control from pictures: the state of a world model, codes of a VAE, and raw pixels.

Both tasks are seen as grey pictures of 32x32. 10,000 actions, three seeds. A single picture does
not show how fast anything moves: PPO sees the newest three frames, or their codes.

- pendulum: Pendulum-v1 of gymnasium, an action kept for two steps, so that an episode has 100
  actions. The return is the sum of minus the squared angle, speed and torque; a pendulum that hangs
  has about -1,600, one that is swung up and held about -150
- cartpole: swing-up of the DeepMind control suite, an action kept for eight steps as in Hafner et
  al. 2019, so that an episode has 125 actions. The return is between 0 and 1,000

Settings of the world model are those of ``minatar_agents.py``.

    python benchmarks/pixel_control.py --list
    python benchmarks/pixel_control.py --cell pendulum_world_10   one cell, resumable
    python benchmarks/pixel_control.py                           all missing cells, then the result
"""

from __future__ import annotations

from typing import Any

from _agents import AgentBenchmark

from lowerbound.applications.control.environment_options import EnvironmentOptions
from lowerbound.applications.control.player import EvaluationOptions

POLICIES: dict[str, dict[str, Any]] = {
    "ppo_frames_rate_0.0003": {"learning_rate": 3e-4, "epochs": 10, "stack": 3},
    "ppo_frames_rate_0.001": {"learning_rate": 1e-3, "epochs": 10, "stack": 3},
    "ppo_frames_rate_0.003": {"learning_rate": 3e-3, "epochs": 10, "stack": 3},
    "ppo_codes": {
        "sees": "codes",
        "learning_rate": 1e-3,
        "epochs": 10,
        "stack": 3,
        "collect": 1_000,
        "latent_dim": 8,
    },
    "ppo_state": {"learning_rate": 1e-3, "epochs": 10, "state": True},
}
BENCHMARK = AgentBenchmark(
    "pixel_control",
    {
        "pendulum": EnvironmentOptions("Pendulum-v1", pixels=32, repeat=2, colors="grey"),
        "cartpole": EnvironmentOptions("dmc/cartpole-swingup", pixels=32, repeat=8, colors="grey"),
    },
    POLICIES,
    10_000,
    EvaluationOptions(evaluate_every=2_000, episodes=10),
    start={"pendulum": -1_200.0},
)


if __name__ == "__main__":
    BENCHMARK.main(__doc__ or "")
