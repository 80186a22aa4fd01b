"""Predicted frames of car-racing rollouts: a VAE of single frames, and a prior over time.

24 episodes of 250 frames, 96x96 in color, with three numbers of an action. Both stages are trained
on the first 20 episodes, and the last 4 are predicted: 10 frames after a context of 10, from every
tenth frame. The error is squared, of values from 0 to 1, and stands beside that of the last frame
that was seen, repeated. The prediction is the path of means; actions between the frames are given.

Settings were chosen with --held-out, which trains on the first 16 episodes and predicts the 4 after
them; the last 4 are then not read.

    python benchmarks/latent_video.py --list
    python benchmarks/latent_video.py --cell frames     one cell, resumable
    python benchmarks/latent_video.py                   all missing cells, then the result
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from _cells import data_file, done, drive, fit_on, spent
from _record import ROOT, Metric, commit, keep_answer, write
from PIL import Image
from torch import Tensor
from torch.nn import functional

from lowerbound.applications.common.film import (
    joined_frames,
    sheet_of_frames,
    windows_of,
    write_film,
)
from lowerbound.applications.generation.temporal_prior import LatentClips, fit_temporal_prior
from lowerbound.data import FrameClips, file_sha256, read_frame_clips
from lowerbound.evaluation.samples.frame_errors import (
    LAST,
    PREDICTION,
    RECONSTRUCTION,
    FrameErrors,
    psnr,
)
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.fitting.prior import with_untrained_prior
from lowerbound.inference.codes import draw_latents
from lowerbound.inference.frames import Horizon, PredictedFrames, predict_frames, temporal_prior
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

NAME = "latent_video"
FILE = "carracing_rollouts.npz"
RUNS = Path("runs") / NAME
IMAGES = ROOT / "docs" / "images"
HORIZON = Horizon(context=10, frames=10, every=10)
TARGET = 2 / 3  # of the error of the last frame, repeated
SHOWN = (0.5, 0.9)  # windows of the film, by the error of the last frame repeated
SEEN = 3  # frames of their context
FILM_SPEED = 5.0  # frames per second
FILM_SIDE, SHEET_SIDE = 64, 56  # pixels of a picture
COLORS = 64  # of the sheet
SEED = 0
FRAMES = FitOptions(
    ModelOptions(
        latent_dim=64,
        network="convolutional",
        network_options={"width": 16},
        likelihood="gaussian",
        likelihood_options={"scale": "global"},
    )
)


@dataclass(frozen=True)
class Arm:
    """A prior over time.

    Attributes:
        title: in the table.
        options: of the prior.
        actions: whether it is given the actions.
        updates: of its training; 0: the linear model that training starts from.
    """

    title: str
    options: Mapping[str, Any] = field(default_factory=dict)
    actions: bool = True
    updates: int = 6_000


FIRST = "frames"
ARMS = {
    "recurrent": Arm("recurrent"),
    "linear": Arm("linear", updates=0),
    "one_step": Arm("recurrent, -log p alone", {"ahead_weight": 0.0}),
    "no_actions": Arm("recurrent, without actions", actions=False),
}
CELLS = (FIRST, *ARMS)


@cache
def parts(held_out: bool) -> tuple[FrameClips, FrameClips]:
    """The episodes to train on, and those to predict."""
    clips = read_frame_clips(data_file(FILE))
    first = 16 if held_out else 20
    return clips.of(range(first)), clips.of(range(first, first + 4))


def settings(**chosen: Any) -> TrainingOptions:
    return TrainingOptions(threads=1, seed=SEED, **chosen)


def first_stage(held_out: bool) -> tuple[Fitted, dict[str, float]]:
    """The model of single frames; trained once for all arms."""
    training = settings(
        epochs=100, batch_size=32, learning_rate=2e-3, schedule="linear", validation=0.0, patience=0
    )
    folder = RUNS / (FIRST + "_held_out" * held_out)
    return fit_on(folder, parts(held_out)[0].frames, replace(FRAMES, training=training))


def second_stage(fitted: Fitted, name: str, held_out: bool) -> tuple[Fitted, dict[str, float]]:
    """The same model with the prior of an arm, and the seconds of its training."""
    arm, folder = ARMS[name], RUNS / (name + "_held_out" * held_out)
    with spent(folder) as clock:
        clips = seen_by(arm, parts(held_out)[0])
        latents = RUNS / (FIRST + "_held_out" * held_out) / "latents.safetensors"
        z = draw_latents(fitted.model, clips.frames, cache=latents).z
        if not arm.updates:
            return linear(fitted, clips, z), clock
        training = settings(
            updates=arm.updates,
            batch_size=64,
            learning_rate=2e-3,
            schedule="linear",
            weight_decay=0.05,
            validation=0.1,
            patience=40,
        )
        resume = (folder / "checkpoint").exists()
        made, _ = fit_temporal_prior(
            fitted, clips, z, "recurrent", arm.options, training, folder=folder, resume=resume
        )
    return made, clock


def seen_by(arm: Arm, clips: FrameClips) -> FrameClips:
    """The clips, without actions if the arm is given none."""
    return clips if arm.actions else replace(clips, actions=None)


def linear(fitted: Fitted, clips: FrameClips, z: Any) -> Fitted:
    """The model with the linear prior that training starts from."""
    made = with_untrained_prior(fitted, "recurrent", {"actions": clips.action_numbers})
    known = LatentClips.of(clips, z, list(clips.spans))
    temporal_prior(made.model).start_from_clips(known.z[:, 0], known.actions, known.resets)
    made.model.eval()
    return made


def run_cell(name: str, held_out: bool) -> dict[str, Any]:
    """Train one cell and measure it."""
    fitted, clock = first_stage(held_out)
    made = fitted
    if name == FIRST:
        made = linear(fitted, *encoded(fitted, held_out))
    else:
        made, clock = second_stage(fitted, name, held_out)
    arm = ARMS.get(name, ARMS["linear"])
    film = IMAGES / NAME if name == "recurrent" and not held_out else None
    errors = measured(made, seen_by(arm, parts(held_out)[1]), film)
    ratio, spread = errors.ratio()
    facts = made.options.prior_fit
    means = errors.means()
    if name == FIRST:
        means = {kind: means[kind] for kind in (LAST, RECONSTRUCTION)}
    answer = {
        "cell": name,
        "title": "single frames" if name == FIRST else arm.title,
        "minutes": round(clock["processor"] / 120, 2),
        "wall_minutes": round(clock["wall"] / 60, 2),
        "episodes": list(errors.episodes),
        "windows": errors.windows,
        "error": means,
        "psnr": {kind: psnr(error) for kind, error in means.items()},
        "by_frame": {kind: errors.by_frame()[kind] for kind in means},
        "nats": {} if facts is None else {"after": facts.validation, "before": facts.former},
        "commit": commit(),
    }
    if name == FIRST:
        answer |= {"classical": classical(held_out)}
    else:
        answer |= {"ratio": ratio, "ratio_error": spread}
    print(json.dumps(answer), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


def encoded(fitted: Fitted, held_out: bool) -> tuple[FrameClips, Any]:
    """The training clips and draws of their latents."""
    clips = parts(held_out)[0]
    cache_file = RUNS / (FIRST + "_held_out" * held_out) / "latents.safetensors"
    return clips, draw_latents(fitted.model, clips.frames, cache=cache_file).z


def measured(made: Fitted, clips: FrameClips, film: Path | None) -> FrameErrors:
    """The errors of all windows; a film and a sheet of some are written beside ``film``."""
    errors, kept = FrameErrors(), list[PredictedFrames]()
    for part in predict_frames(made.model, clips, HORIZON, draws=1, seed=SEED):
        errors.add(part)
        if film is not None:
            kept.append(small(part, FILM_SIDE))
    if film is not None:
        show(film, shown(joined_frames(kept)))
    return errors


def shown(found: PredictedFrames) -> PredictedFrames:
    """The windows of the film: those at some quantiles of the error of the last frame repeated,
    whose choice does not depend on the prediction; with the end of their context."""
    error = (found.last - found.future).square().flatten(1).mean(1)
    places = [int(share * (len(error) - 1)) for share in SHOWN]
    some, cut = error.argsort()[places], found.context - SEEN
    chosen = windows_of(found, some)
    truth, own = (x[:, cut:] for x in (chosen.truth, chosen.reconstruction))
    return replace(chosen, start=chosen.start + cut, truth=truth, reconstruction=own)


def show(film: Path, found: PredictedFrames) -> None:
    """A small film, and a smaller sheet of every other frame of its last window."""
    write_film(film.with_suffix(".gif"), found, FILM_SPEED)
    drawn = sheet_of_frames(small(found, SHEET_SIDE, slice(-1, None)), every=2)
    reduced = drawn.convert("RGB").quantize(COLORS, kmeans=3, dither=Image.Dither.NONE)
    reduced.save(film.with_suffix(".png"), optimize=True)


def small(found: PredictedFrames, side: int, windows: slice = slice(None)) -> PredictedFrames:
    """Some windows in smaller pictures, so that pages load fast."""

    def shrunk(x: Tensor) -> Tensor:
        x = x[windows]
        pictures = functional.interpolate(x.flatten(0, 1), (side, side), mode="area")
        return pictures.unflatten(0, x.shape[:2])

    return PredictedFrames(
        found.episode[windows],
        found.start[windows],
        shrunk(found.truth),
        shrunk(found.reconstruction),
        shrunk(found.mean),
        torch.stack([shrunk(draw) for draw in found.draws]),
    )


def classical(held_out: bool) -> dict[str, float]:
    """Errors without a model: the mean m of the training frames, and m + r_k (x - m) for frame k
    after the last frame x, with the least-squares r_k of the training episodes."""
    training, scored = parts(held_out)
    mean = sum(x.sum(0) for x in episodes_of(training)) / len(training)
    products, squares = torch.zeros(HORIZON.frames), torch.zeros(HORIZON.frames)
    for x in episodes_of(training):
        for k, (last, later) in enumerate(pairs(x - mean, 1)):
            products[k] += (last * later).sum()
            squares[k] += last.square().sum()
    share, errors = products / squares, torch.zeros(3)
    for x in episodes_of(scored):
        for k, (last, later) in enumerate(pairs(x - mean, HORIZON.every)):
            guesses = (last, torch.zeros_like(last), share[k] * last)
            errors += torch.stack([(guess - later).square().mean() for guess in guesses])
    return {"mean frame": float(errors[1] / errors[0]), "shrunk": float(errors[2] / errors[0])}


def episodes_of(clips: FrameClips) -> Iterator[Tensor]:
    """The frames of each episode, (time, *event)."""
    for span in clips.spans.values():
        yield clips.frames.batch(torch.tensor(span)).filled


def pairs(x: Tensor, every: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The last frames of all contexts of an episode, and the k-th frames after them, for each k."""
    last = torch.arange(HORIZON.context - 1, len(x) - HORIZON.frames, every)
    for k in range(1, HORIZON.frames + 1):
        yield x[last], x[last + k]


def summarize() -> None:
    """The result of the cells that are done."""
    cells = done(NAME)
    assert cells, "no cell is done"
    write(
        NAME,
        [metric for name in ARMS if name in cells for metric in metrics(name, cells)],
        data=[
            {
                "file": FILE,
                "split": "episodes 20 to 23 of 0 to 23",
                "sha256": file_sha256(data_file(FILE)),
            }
        ],
        seeds=[SEED],
        minutes=sum(cell["minutes"] for cell in cells.values()),
        notes="Ten frames are predicted from ten, in windows that start at every tenth frame of 4 "
        "episodes that no part has seen; actions are given. Squared error of values from 0 to 1, "
        "over that of the last frame repeated; the spread leaves out one episode at a time. PSNR "
        "is of the mean squared error. Shrunk: the last frame, shrunk to the mean training frame "
        "by the least-squares factor of each frame. Minutes are processor time over two. "
        + "; ".join(f"{name}: {cell['minutes']} minutes" for name, cell in cells.items()),
        extra={"cells": list(cells.values())},
    )


def metrics(name: str, cells: Mapping[str, Any]) -> list[Metric]:
    """The error and the PSNR of an arm; the first arm has the target."""
    cell, best = cells[name], name == "recurrent"
    error = cell["error"]
    ratios = {"reconstruction": error[RECONSTRUCTION] / error[LAST], "last frame": 1.0}
    ratios |= cells.get(FIRST, {}).get("classical", {})
    first, last = (cell["by_frame"][PREDICTION][k] / cell["by_frame"][LAST][k] for k in (0, -1))
    return [
        Metric(
            f"{cell['title']}: squared error over that of the last frame",
            cell["ratio"],
            "",
            "lower",
            cell["ratio_error"],
            TARGET if best else None,
            {**ratios, "first frame": first, "tenth frame": last},
        ),
        Metric(
            f"{cell['title']}: PSNR of predicted frames",
            cell["psnr"][PREDICTION],
            "dB",
            "higher",
            None,
            None,
            {kind: cell["psnr"][kind] for kind in (LAST, RECONSTRUCTION, "draw")},
        ),
    ]


def quick() -> None:
    """A few updates of both stages on two episodes, printed only."""
    training, scored = (clips.of(list(clips.spans)[:2]) for clips in parts(held_out=True))
    few = settings(updates=8, batch_size=16, validation=0.0)
    fitted = fit(training.frames, replace(FRAMES, training=few))
    z = draw_latents(fitted.model, training.frames).z
    brief = settings(updates=10, batch_size=16, validation=0.5)
    made, _ = fit_temporal_prior(fitted, training, z, "recurrent", {"hidden": 32}, brief)
    errors = FrameErrors()
    for part in predict_frames(made.model, scored, replace(HORIZON, every=50)):
        errors.add(part)
    print(f"quick, not quoted: ratio {errors.ratio()[0]:.2f} in {errors.windows} windows")


def main() -> None:
    drive(
        NAME,
        __doc__ or "",
        dict.fromkeys(CELLS),
        summarize,
        lambda seed: quick(),
        lambda benchmark, name, cell, held_out: run_cell(name, held_out),
    )


if __name__ == "__main__":
    main()
