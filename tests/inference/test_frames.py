"""Predicted frames: what they may depend on, and their errors counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lowerbound.applications.generation.temporal_prior import fit_temporal_prior
from lowerbound.data import FrameClips, load
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.evaluation.samples.frame_errors import FrameErrors, about_ratio, psnr
from lowerbound.fitting import FitOptions, Fitted, ModelOptions, fit
from lowerbound.inference.codes import draw_latents
from lowerbound.inference.frames import Horizon, PredictedFrames, predict_frames
from lowerbound.training import TrainingOptions
from tests.models.sequences.worlds import ACTIONS, FRAME, world

EPISODES, FRAMES = 4, 24
HORIZON = Horizon(context=6, frames=4, every=5)


@pytest.fixture(scope="module")
def clips() -> FrameClips:
    """A dark 8x8 picture with a bright spot that goes round."""
    angle = np.arange(FRAMES) * 0.4 + np.arange(EPISODES)[:, None]
    y, x = np.mgrid[:8, :8]
    far = (y - 3.5 - 2 * np.cos(angle)[..., None, None]) ** 2
    far = far + (x - 3.5 - 2 * np.sin(angle)[..., None, None]) ** 2
    frames = (255 * np.exp(-far / 2)).round().astype(np.uint8).reshape(-1, 8, 8)
    action = np.random.default_rng(0).normal(size=(len(frames), 2)).astype(np.float32)
    episode = torch.arange(EPISODES).repeat_interleave(FRAMES)
    return FrameClips(load(frames), episode, torch.from_numpy(action))


@pytest.fixture(scope="module")
def made(clips: FrameClips) -> Fitted:
    options = ModelOptions(latent_dim=3, network="mlp", likelihood="gaussian")
    training = TrainingOptions(updates=150, learning_rate=0.01, validation=0.0, threads=1)
    fitted = fit(clips.frames, FitOptions(options, training=training))
    z = draw_latents(fitted.model, clips.frames).z
    small = {"hidden": 8, "window": 10, "ahead": 4}
    training = replace(training, updates=20)
    return fit_temporal_prior(fitted, clips, z, "recurrent", small, training)[0]


def predicted(made: Fitted, clips: FrameClips, **options: object) -> PredictedFrames:
    (found,) = predict_frames(made.model, clips, HORIZON, **options)  # type: ignore[arg-type]
    return found


def test_windows_cover_each_episode(made: Fitted, clips: FrameClips) -> None:
    found = predicted(made, clips, draws=2)
    assert HORIZON.windows(clips)[:4] == [(0, 0), (0, 5), (0, 10), (1, 0)]
    assert found.start.tolist() == [0, 5, 10] * EPISODES
    assert found.draws.shape == (2, 12, 4, 1, 8, 8)
    truth = clips.frames.all().filled
    assert torch.equal(found.truth[4], truth[FRAMES + 5 : FRAMES + 15])
    assert torch.equal(found.future[4], truth[FRAMES + 11 : FRAMES + 15])
    assert all(torch.equal(found.last[4, k], truth[FRAMES + 10]) for k in range(4))
    with torch.no_grad():
        model = made.model
        own = model.decode(model.encode(clips.frames.all()).mean).mean[0]
    assert torch.allclose(found.reconstruction[4], own[FRAMES + 5 : FRAMES + 15], atol=1e-5)


def test_what_comes_after_the_context_changes_no_prediction(
    made: Fitted, clips: FrameClips
) -> None:
    """Other frames after the context, and the last action, change nothing; a frame of the context
    and an action between do."""
    one = Horizon(context=6, frames=4, every=FRAMES)

    def future(frames: list[int], actions: list[int]) -> torch.Tensor:
        x, done = clips.frames.x.clone(), clips.actions.clone()
        x[frames] = 255 - x[frames]
        done[actions] += 1.0
        changed = FrameClips(replace(clips.frames, x=x), clips.episode, done)
        (found,) = predict_frames(made.model, changed.of([0]), one, draws=1)
        return torch.stack([found.mean[0], found.draws[0, 0]])

    before = future([], [])
    assert torch.equal(before, future([6, 7, 8, 9, 10], [9, 10]))
    assert not torch.allclose(before, future([5], []))
    later = future([], [7])  # between the second predicted frame and the third
    assert torch.equal(before[:, :2], later[:, :2])
    assert not torch.allclose(before[:, 2:], later[:, 2:])


def test_a_world_model_dreams_of_what_its_actions_lead_to() -> None:
    """The action before a predicted frame changes it and later ones, and the last changes none."""
    model, rng = world().eval(), np.random.default_rng(0)
    frames = load(rng.integers(0, 2, (12, FRAME)).astype(np.uint8), levels=2)
    horizon = Horizon(context=4, frames=3, every=12)

    def future(changed: int | None, draws: int = 1) -> torch.Tensor:
        actions = torch.from_numpy(rng_actions.copy())
        if changed is not None:
            actions[changed] = (actions[changed] + 1) % ACTIONS
        clips = FrameClips(frames, torch.zeros(12, dtype=torch.long), actions, classes=ACTIONS)
        (found,) = predict_frames(model, clips, horizon, draws=draws)
        return torch.stack([found.mean[0], *found.draws[:, 0]])

    rng_actions = rng.integers(0, ACTIONS, (12, 1))
    before = future(None)
    assert before.shape == (2, 3, FRAME)
    for action, first in ((0, 0), (3, 0), (4, 1), (5, 2), (6, 3)):
        same = (future(action) == before).flatten(2).all(2).all(0).tolist()
        assert same == [frame < first for frame in range(3)], action


def test_one_seed_gives_one_film_in_any_memory(made: Fitted, clips: FrameClips) -> None:
    whole = predicted(made, clips, draws=2, seed=3)
    parts = list(predict_frames(made.model, clips, HORIZON, draws=2, seed=3, memory=1))
    assert len(parts) == 12
    assert torch.allclose(torch.cat([part.draws for part in parts], 1), whole.draws, atol=1e-6)
    assert torch.allclose(torch.cat([part.mean for part in parts]), whole.mean, atol=1e-6)
    assert torch.equal(predicted(made, clips, draws=2, seed=3).draws, whole.draws)
    assert not torch.allclose(predicted(made, clips, draws=2, seed=4).draws, whole.draws)
    assert torch.equal(predicted(made, clips, seed=4).mean, whole.mean)


def test_errors_are_those_counted_by_hand(made: Fitted, clips: FrameClips) -> None:
    errors = FrameErrors()
    for part in predict_frames(made.model, clips, HORIZON, draws=2, memory=1):
        errors.add(part)
    found = predicted(made, clips, draws=2)
    assert (errors.windows, errors.episodes) == (12, (0, 1, 2, 3))
    means = errors.means()
    hand = {
        "prediction": found.mean,
        "last frame": found.last,
        "reconstruction": found.reconstruction[:, 6:],
        "draw": found.draws[0],
        "mean of draws": found.draws.mean(0),
    }
    assert set(means) == set(hand)
    for name, guess in hand.items():
        error = (guess - found.future).square()
        assert means[name] == pytest.approx(float(error.mean()), rel=1e-4)
        each = error.mean((0, 2, 3, 4))
        assert errors.by_frame()[name] == pytest.approx(each.tolist(), rel=1e-4)
    ratio, spread = errors.ratio()
    assert ratio == pytest.approx(means["prediction"] / means["last frame"])
    windows = (found.mean - found.future).square().flatten(1).mean(1).reshape(4, 3).sum(1)
    last = (found.last - found.future).square().flatten(1).mean(1).reshape(4, 3).sum(1)
    left_out = (windows.sum() - windows) / (last.sum() - last)
    jackknife = (3 / 4 * (left_out - left_out.mean()).square().sum()).sqrt()
    assert spread == pytest.approx(float(jackknife), rel=1e-3)
    assert psnr(0.01) == pytest.approx(20.0)
    assert psnr(0.0) == pytest.approx(100.0)


def test_latent_maps_are_predicted_place_by_place_side_by_side(clips: FrameClips) -> None:
    """A map of 2 channels and 2x2 places is a vector of 8 numbers to the prior."""
    options = ModelOptions(latent_dim=2, network="convolutional", network_options={"width": 4})
    options = replace(options, model_options={"stride": 4}, likelihood="gaussian")
    fitted = fit(clips.frames, FitOptions(options, training=_one_update()))
    z = draw_latents(fitted.model, clips.frames).z
    small = {"hidden": 4, "window": 6, "ahead": 2}
    made, _ = fit_temporal_prior(fitted, clips, z, "recurrent", small, _one_update())
    assert made.model.prior.latent_dim == 8
    found = predicted(made, clips, draws=1)
    assert found.mean.shape == (12, 4, 1, 8, 8)
    assert bool(found.draws.isfinite().all())


def test_what_cannot_be_predicted_is_refused(made: Fitted, clips: FrameClips) -> None:
    def attempt(given: FrameClips, horizon: Horizon = HORIZON, model: object = None) -> None:
        next(predict_frames(model or made.model, given, horizon))  # type: ignore[arg-type]

    bare = FrameClips(clips.frames, clips.episode)
    with pytest.raises(DataError, match="actions of 2 numbers, and the clips have no actions"):
        attempt(bare)
    wide = FrameClips(clips.frames, clips.episode, torch.zeros(len(clips), 5))
    with pytest.raises(DataError, match="actions of 2 numbers, and the clips have 5 numbers"):
        attempt(wide)
    with pytest.raises(
        DataError, match=r"episodes .* have 24 frames, and --context 20 with --frames 10 needs 30"
    ):
        attempt(clips, Horizon(20, 10))
    for episode, said in (
        ([0, 0, 1, 1, 1], "^episodes 0, 1 have 2 to 3 frames, and"),
        ([7] * 5, "^episode 7 has 5 frames, and"),
    ):
        some = FrameClips(clips.frames.subset(range(5)), torch.tensor(episode))
        with pytest.raises(DataError, match=said):
            Horizon(20, 10).windows(some)
    with pytest.raises(OptionError, match="--frames must be at least 1"):
        Horizon(frames=0)
    plain = fit(clips.frames, FitOptions(ModelOptions(latent_dim=2), training=_one_update()))
    with pytest.raises(UnsupportedError, match="lowerbound prior MODEL CLIPS --kind recurrent"):
        attempt(clips, model=plain.model)
    coder = ModelOptions(model="vq_vae", network="mlp")
    codes = fit(clips.frames, FitOptions(coder, training=_one_update()))
    with pytest.raises(UnsupportedError):
        attempt(clips, model=codes.model)


def _one_update() -> TrainingOptions:
    return TrainingOptions(updates=1, threads=1)


def test_a_ratio_to_no_error_is_worded() -> None:
    assert about_ratio(0.5, 0.01).startswith("squared error: 0.500 ± 0.010 of that")
    for ratio in (float("nan"), float("inf")):
        assert about_ratio(ratio) == (
            "squared error: no frame changes, so the last frame repeated has none"
        )
