"""Open-loop predictions of world models: frames and rewards that follow from given actions.

Cells:

- space_invaders: MinAtar, random actions, 20,000 steps to train on and 5,000 of other episodes
- breakout: the same game as played by the agent of ``minatar_agents.py --cell breakout_world_10``,
  because random episodes are too short
- carracing: rollouts of car racing, 48x48 in color, three numbers of an action; the last 4 of 24
  episodes are predicted
- pong: Atari's Pong in grey pictures of 64x64, random actions, 20,000 frames to train on and 5,000
  of other episodes; a table and a film, without a target

The model sees 5 frames (car racing 10) and predicts 15 (car racing 10) by the mean of 16 draws.
The error is squared, beside that of the last frame seen, repeated. Rewards are predicted one step
after each context; the figure is the area under the ROC curve of a reward above 0. Settings were
chosen with --held-out: other seeds for the games, episodes 16 to 19 for car racing.

    python benchmarks/world_model.py --list
    python benchmarks/world_model.py --cell carracing     one cell, resumable
    python benchmarks/world_model.py                      all missing cells, then the result
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _cells import data_file, done, drive, fit_on, write_cells
from _pictures import IMAGES
from _record import Metric, commit, keep_answer
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from lowerbound.applications.common.application import Silent
from lowerbound.applications.control.collect import control_collect
from lowerbound.applications.control.requests import CollectRequest
from lowerbound.applications.generation.predict_frames import predict_frames as predict_film
from lowerbound.applications.generation.requests import FramesRequest
from lowerbound.data import FrameClips, load, read_frame_clips
from lowerbound.data.sequences.episode_kind import actions_before
from lowerbound.data.sequences.windows import Windows
from lowerbound.distributions.reparameterization import seeded
from lowerbound.evaluation.samples.frame_errors import LAST, PREDICTION, FrameErrors
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.inference.frames import Horizon, predict_frames
from lowerbound.models import WorldModel, require
from lowerbound.models.options import ModelOptions
from lowerbound.trace import Batch, Draw
from lowerbound.training import TrainingOptions

NAME = "world_model"
RUNS = Path("runs") / NAME
CARS = "carracing_rollouts.npz"
SIDE = 48  # of a frame of car racing
AGENT = Path("runs") / "minatar_agents" / "breakout_world_10"
BALANCE = {"beta": 0.6, "kl_balance": 0.8}
LEAST_AUROC = 0.9
FILM_EVERY, FILM_ROWS = 97, 3  # frames between the windows of a film, and how many it shows

Answer = dict[str, Any]


@dataclass(frozen=True)
class World:
    """One cell.

    Attributes:
        title: in the table.
        environment: that frames are collected in; "": the file of car racing.
        horizon: frames that are seen and predicted.
        target: of the error over that of the last frame, repeated; None: there is none.
        updates: of the training.
        window: frames of a training row.
        model: its options.
        likelihood: of a frame.
        pixels: side of grey pictures; 0: what the environment gives.
        learning_rate: of the training, the default of an agent in this environment.
        rewards: whether enough rewards above 0 are there to judge their prediction.
    """

    title: str
    environment: str
    horizon: Horizon
    target: float | None
    updates: int
    window: int
    model: Mapping[str, Any] = field(default_factory=dict)
    likelihood: str = "auto"
    pixels: int = 0
    learning_rate: float = 3e-3
    rewards: bool = True


GAME = Horizon(context=5, frames=15, every=7)
CELLS = {
    "space_invaders": World(
        "MinAtar Space Invaders", "MinAtar/SpaceInvaders-v1", GAME, 0.5, 6_000, 16
    ),
    "breakout": World("MinAtar Breakout", "MinAtar/Breakout-v1", GAME, 0.5, 6_000, 16),
    "carracing": World(
        "car racing", "", Horizon(10, 10, 10), 0.7, 3_000, 20, {"width": 256}, "gaussian"
    ),
    "pong": World(
        "Atari Pong",
        "ALE/Pong-v5",
        GAME,
        None,
        3_000,
        16,
        pixels=64,
        learning_rate=1e-3,
        rewards=False,  # a random player scores three points in 5,000 frames
    ),
}


def clips_of(name: str, world: World, held_out: bool) -> tuple[FrameClips, FrameClips]:
    """The episodes to train on, and those to predict."""
    if not world.environment:
        clips = shrunk(read_frame_clips(data_file(CARS)))
        first = 16 if held_out else 20
        return clips.of(range(first)), clips.of(range(first, first + 4))
    agent = str(AGENT) if name == "breakout" else None
    found = []
    for part, steps, seed in (("train", 20_000, 0), ("test", 5_000, 1 + held_out)):
        path = RUNS / f"{name}_{part}_{seed}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            request = CollectRequest(
                environment=world.environment,
                pixels=world.pixels,
                colors="grey" if world.pixels else "color",
                output=str(path),
                steps=steps,
                agent=agent,
                seed=seed,
            )
            control_collect(request, Silent())
        found.append(read_frame_clips(path))
    return found[0], found[1]


def shrunk(clips: FrameClips) -> FrameClips:
    """The same clips at ``SIDE``, each pixel the mean of its area."""
    x = clips.frames.x.float()
    small = functional.interpolate(x, size=(SIDE, SIDE), mode="area").round().to(torch.uint8)
    return replace(clips, frames=load(small))


def fitted_to(folder: Path, clips: FrameClips, world: World) -> tuple[Fitted, dict[str, float]]:
    """The model, from where an earlier run stopped."""
    windows = load(clips, windows=Windows(world.window, world.window // 4))
    scale = {"scale": "global"} if world.likelihood == "gaussian" else {}
    model = ModelOptions(
        model="recurrent_state_space",
        network="convolutional",
        network_options={"depth": 0},
        likelihood=world.likelihood,
        likelihood_options=scale,
        model_options=dict(world.model),
    )
    training = TrainingOptions(
        updates=world.updates,
        batch_size=16,
        learning_rate=world.learning_rate,
        schedule="linear",
        gradient_clip=1_000.0,
        validation=0.0,
        precision="bf16",
        compile="off",
        threads=1,
    )
    options = FitOptions(model, "elbo", BALANCE, training)
    return fit_on(folder, windows, options)


def run(_: str, name: str, world: World, held_out: bool) -> Answer:
    training, test = clips_of(name, world, held_out)
    fitted, clock = fitted_to(RUNS / (name + "_held_out" * held_out), training, world)
    horizon = world.horizon
    long = [number for number, span in test.spans.items() if len(span) >= horizon.length]
    errors = FrameErrors()
    for part in predict_frames(fitted.model, test.of(long), horizon, seed=0):
        errors.add(part)
    ratio, spread = errors.ratio()
    answer = {
        "cell": name,
        "title": world.title,
        "windows": errors.windows,
        "episodes": len(long),
        "ratio": ratio,
        "spread": spread,
        "errors": errors.by_frame(),
        "auroc": reward_auroc(fitted, test, horizon.context) if world.rewards else None,
        "seed": 0,
        "minutes": round(clock["processor"] / 120, 2),
        "commit": commit(),
    }
    print(json.dumps({k: v for k, v in answer.items() if k != "errors"}), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


@torch.no_grad()
def reward_auroc(fitted: Fitted, clips: FrameClips, context: int) -> float | None:
    """How well rewards above 0 are told from others, one step after a context; None: no rewards."""
    world = require(fitted.model, WorldModel, "predict rewards")
    if clips.rewards is None or world.outcomes is None:
        return None
    before = actions_before(clips)
    scores, labels = list[Tensor](), list[Tensor]()
    with seeded(0):
        for span in clips.spans.values():
            starts = range(span.start, span.stop - context)
            if not starts:
                continue
            rows = torch.tensor([range(start, start + context + 1) for start in starts])
            x = clips.frames.batch(rows[:, :-1].flatten()).filled.unflatten(0, (-1, context))
            state = world(Batch(x, condition=before[rows[:, :-1]])).state
            ahead = Batch(condition=before[rows[:, -1:]], state=state)
            ahead = replace(ahead, resets=torch.zeros(len(rows), 1, dtype=torch.bool))
            states = world(ahead, Draw(16)).states
            assert states is not None
            scores.append(world.outcomes.reward(states.features).mean.mean(0)[:, 0])
            labels.append(clips.rewards[rows[:, -1]] > 0)
    return float(roc_auc_score(torch.cat(labels), torch.cat(scores)))


def metrics(answers: Mapping[str, Answer]) -> Iterator[Metric]:
    for name, world in CELLS.items():
        if name not in answers:
            continue
        answer = answers[name]
        means = {kind: float(np.mean(each)) for kind, each in answer["errors"].items()}
        yield Metric(
            f"{world.title}: squared error of {world.horizon.frames} predicted frames over that of "
            "the last frame, repeated",
            answer["ratio"],
            "ratio",
            "lower",
            answer["spread"],
            world.target,
            {"error": means[PREDICTION], "error of the last frame": means[LAST]},
        )
        if world.rewards and answer["auroc"] is not None:
            yield Metric(
                f"{world.title}: AUROC of a reward one step ahead",
                answer["auroc"],
                "AUROC",
                "higher",
                target=LEAST_AUROC,
            )


def draw_film(name: str) -> None:
    """The film of the docs, where the model of a cell is there."""
    if not (RUNS / name / "checkpoint").exists():
        return
    world = CELLS[name]
    training, _ = clips_of(name, world, False)
    fitted, _ = fitted_to(RUNS / name, training, world)
    request = FramesRequest(
        model="",
        data=str(RUNS / f"{name}_test_1.npz"),
        output=(str(IMAGES / f"world_model_{name}.gif"),),
        context=world.horizon.context,
        frames=world.horizon.frames,
        every=FILM_EVERY,
        rows=FILM_ROWS,
    )
    print(predict_film(request, Silent(), fitted).text())


def summarize() -> None:
    draw_film("pong")
    answers = done(NAME)
    data = [
        {"file": w.environment or CARS, "split": "see text", "sha256": "-"} for w in CELLS.values()
    ]
    write_cells(NAME, list(metrics(answers)), data, "Spread is the jackknife over episodes.")


def quick(seed: int) -> None:
    request = CollectRequest(
        environment="lowerbound/GridCatch-v0", output="quick.npz", steps=300, seed=seed
    )
    control_collect(request, Silent())
    clips = read_frame_clips("quick.npz")
    Path("quick.npz").unlink()
    windows = load(clips, windows=Windows(6, 3))
    fitted = fit(windows, FitOptions(training=TrainingOptions(updates=5, threads=1)))
    print(f"quick, not quoted: AUROC {reward_auroc(fitted, clips, 3):.2f} after 5 updates")


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick, run)
