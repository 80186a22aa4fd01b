"""A prior trained on clips: whole episodes are held out, and the figures are those of the model."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound.applications.generation.temporal_prior import (
    ClipLikelihood,
    LatentClips,
    fit_temporal_prior,
)
from lowerbound.data import FrameClips, load
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting import (
    FitOptions,
    Fitted,
    ModelOptions,
    PriorFit,
    fit,
    folder as model_folder,
)
from lowerbound.fitting.prior import fit_prior
from lowerbound.inference.codes import draw_latents
from lowerbound.models.heads import LearnedPrior, all_but_the_prior
from lowerbound.priors import TemporalPrior
from lowerbound.training import Interrupted, Progress, SilentReporter, TrainingOptions

EPISODES, FRAMES = 8, 30
QUICK = TrainingOptions(updates=30, batch_size=16, validation=0.25, threads=1)
SMALL = {"hidden": 8, "window": 8, "ahead": 3}


@pytest.fixture(scope="module")
def clips() -> FrameClips:
    """Rows of four numbers that turn round, faster where the action is larger."""
    rng = np.random.default_rng(0)
    action = rng.normal(size=(EPISODES, FRAMES)).astype(np.float32)
    turned = (0.5 + 0.3 * action)[:, :-1].cumsum(1)
    angle = np.concatenate([np.zeros((EPISODES, 1)), turned], 1) + rng.uniform(0, 6, (EPISODES, 1))
    x = np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], 2)
    x = (x + 0.05 * rng.normal(size=x.shape)).reshape(-1, 4)
    episode = torch.arange(EPISODES).repeat_interleave(FRAMES)
    return FrameClips(load(x), episode, torch.from_numpy(action.reshape(-1, 1)))


@pytest.fixture(scope="module")
def fitted(clips: FrameClips) -> Fitted:
    options = ModelOptions(latent_dim=3, network="mlp")
    long = TrainingOptions(updates=800, learning_rate=0.01, validation=0.0, threads=1)
    return fit(clips.frames, FitOptions(options, training=long))


@pytest.fixture(scope="module")
def made(fitted: Fitted, clips: FrameClips) -> Fitted:
    z = draw_latents(fitted.model, clips.frames).z
    return fit_temporal_prior(fitted, clips, z, "recurrent", SMALL, QUICK, sha256="of it")[0]


@pytest.mark.slow
def test_only_the_prior_changes_and_it_beats_independent_frames(
    fitted: Fitted, made: Fitted, clips: FrameClips
) -> None:
    theirs = all_but_the_prior(fitted.model)
    assert all(torch.equal(v, theirs[k]) for k, v in all_but_the_prior(made.model).items())
    facts = made.options.prior_fit
    assert made.options.fitted_model == fitted.options.model
    assert isinstance(facts, PriorFit)
    assert facts.held_out == 2 * FRAMES
    assert facts.validation is not None
    assert facts.former is not None
    assert facts.validation > facts.former + 1.0
    z = draw_latents(fitted.model, clips.frames).z[:, 0]
    assert clips.actions is not None
    prior = made.model.prior
    assert isinstance(prior, TemporalPrior)
    fresh = clips.split(0.25, QUICK.seed)[1]
    with torch.no_grad():
        each = [
            prior.log_prob_of_clips(z[None, rows], clips.actions[None, rows])[0]
            for rows in (list(clips.spans[number]) for number in fresh)
        ]
        before = fitted.model.prior_distribution().log_prob(z[None])[0]
    assert facts.validation == pytest.approx(float(torch.cat(each).mean()), abs=1e-4)
    rows = [row for number in fresh for row in clips.spans[number]]
    assert facts.former == pytest.approx(float(before[rows].mean()), abs=1e-4)


def test_training_reads_no_frame_of_a_held_out_episode(fitted: Fitted, clips: FrameClips) -> None:
    """Held-out latents that are not numbers leave every trained weight a number."""
    z = draw_latents(fitted.model, clips.frames).z.clone()
    for number in clips.split(0.25, QUICK.seed)[1]:
        z[list(clips.spans[number])] = torch.nan
    options = replace(QUICK, patience=0)
    made, history = fit_temporal_prior(fitted, clips, z, "recurrent", SMALL, options)
    weights = made.model.prior.state_dict().values()
    assert all(bool(value.isfinite().all()) for value in weights)
    assert history.last is not None
    assert history.last.skipped == 0


def test_windows_score_what_the_prior_scores(made: Fitted, clips: FrameClips) -> None:
    """Outside training the objective is log p per frame of each window's first draws."""
    z = draw_latents(made.model, clips.frames).z
    latents = LatentClips.of(clips, z, list(clips.spans))
    rows = latents.windows(8, stride=5)
    prior = made.model.prior
    objective = ClipLikelihood(latents, 8).eval()
    with torch.no_grad():
        found = objective(LearnedPrior(made.model), rows.all()).value
    assert len(rows) == (len(clips) - 8) // 5 + 1
    at = 25  # the window goes on into the next episode
    now = slice(at, at + 8)
    assert clips.actions is not None
    with torch.no_grad():
        score = prior.log_prob_of_clips(
            z[None, now, 0], clips.actions[None, now], clips.resets[None, now]
        )
    assert float(found[at // 5]) == pytest.approx(float(score.mean()), abs=1e-5)


def test_the_folder_keeps_the_prior(made: Fitted, clips: FrameClips, tmp_path: Path) -> None:
    model_folder.write(tmp_path / "m", made)
    again = model_folder.read(tmp_path / "m")
    z = draw_latents(made.model, clips.frames).z[None, :, 0]
    assert clips.actions is not None
    with torch.no_grad():
        scores = [
            one.model.prior.log_prob_of_clips(z, clips.actions[None], clips.resets[None])
            for one in (made, again)
        ]
    assert torch.equal(*scores)
    assert again.options.prior_fit == made.options.prior_fit


def test_training_is_repeatable(fitted: Fitted, made: Fitted, clips: FrameClips) -> None:
    z = draw_latents(fitted.model, clips.frames).z
    again = fit_temporal_prior(fitted, clips, z, "recurrent", SMALL, QUICK)[0]
    theirs = made.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in again.model.state_dict().items())


def test_a_checkpoint_continues_its_own_training_alone(
    fitted: Fitted, made: Fitted, clips: FrameClips, tmp_path: Path
) -> None:
    """Interrupted after an update and resumed, the prior is that of a training in one go."""
    z = draw_latents(fitted.model, clips.frames).z

    class Interrupting(SilentReporter):
        def update(self, progress: Progress) -> None:
            signal.raise_signal(signal.SIGINT)

    def trained(z: torch.Tensor, options: dict[str, int], resume: bool, sha256: str) -> Fitted:
        reporter = SilentReporter() if resume else Interrupting()
        return fit_temporal_prior(
            fitted,
            clips,
            z,
            "recurrent",
            options,
            QUICK,
            sha256=sha256,
            folder=tmp_path,
            resume=resume,
            reporter=reporter,
        )[0]

    with pytest.raises(Interrupted):
        trained(z, SMALL, False, "of it")
    with pytest.raises(OptionError, match="started with other settings"):
        trained(z, {**SMALL, "ahead": 2}, True, "of it")
    with pytest.raises(OptionError, match="started with other settings"):
        trained(z, SMALL, True, "of other latents")
    theirs = made.model.state_dict()
    found = trained(z, SMALL, True, "of it").model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in found.items())


def test_what_cannot_be_trained_is_refused(fitted: Fitted, clips: FrameClips) -> None:
    latents = draw_latents(fitted.model, clips.frames)
    with pytest.raises(OptionError, match="is trained on clips"):
        fit_prior(fitted, latents.dataset(), "recurrent", draws=latents.z.shape[1])
    with pytest.raises(OptionError, match="'flow' is trained on rows"):
        fit_temporal_prior(fitted, clips, latents.z, "flow", {}, QUICK)
    single = FrameClips(clips.frames, torch.arange(len(clips)), clips.actions)
    with pytest.raises(DataError, match="each episode has one frame"):
        fit_temporal_prior(fitted, single, latents.z, "recurrent", SMALL, QUICK)


def test_short_episodes_and_a_single_one_are_trained_on(fitted: Fitted, clips: FrameClips) -> None:
    z = draw_latents(fitted.model, clips.frames).z
    short = FrameClips(clips.frames.subset(range(7)), torch.tensor([0, 0, 1, 1, 1, 2, 2]))
    brief = replace(QUICK, updates=3)
    made, _ = fit_temporal_prior(fitted, short, z[:7], "recurrent", SMALL, brief)
    assert made.options.prior_fit is not None
    assert made.options.prior_fit.held_out in (2, 3)
    alone = clips.of([0])
    made, _ = fit_temporal_prior(fitted, alone, z[:FRAMES], "recurrent", SMALL, brief)
    assert made.options.prior_fit is not None
    assert made.options.prior_fit.validation is None
