"""Codes as observations: equal to those of the encoder, checked by gymnasium and
stable-baselines3, and frozen while a policy learns."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.applications.control.environment_options import EnvironmentOptions
from lowerbound.data import load
from lowerbound.errors import DataError
from lowerbound.fitting import FitOptions, Fitted, fit, folder as model_folder
from lowerbound.inference.codes import encode_rows
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

gymnasium = pytest.importorskip("gymnasium")

from lowerbound.applications.control.environments import FrameEnv  # noqa: E402 - needs gymnasium
from lowerbound.applications.control.observations import LatentObservation  # noqa: E402

CATCH = EnvironmentOptions("lowerbound/GridCatch-v0")


def frames(count: int = 80) -> np.ndarray:
    """Frames of random actions."""
    env, found = FrameEnv(CATCH), []
    noise = np.random.default_rng(0)
    seen, _ = env.reset(seed=0)
    for _ in range(count):
        found.append(seen)
        seen, _, over, _, _ = env.step(noise.integers(3))
        if over:
            seen, _ = env.reset()
    return np.stack(found)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    model = ModelOptions(latent_dim=4, network="mlp", network_options={"hidden": (16,)})
    training = TrainingOptions(updates=20, threads=1)
    return fit(load(frames()), FitOptions(model=model, training=training))


def weights(fitted: Fitted) -> str:
    """A hash of all weights."""
    digest = hashlib.sha256()
    for value in fitted.model.state_dict().values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def test_the_code_is_that_of_the_encoder(fitted: Fitted, tmp_path: Path) -> None:
    model_folder.write(tmp_path / "m.lb", fitted)
    for model in (fitted, tmp_path / "m.lb", str(tmp_path / "m.lb")):
        env = LatentObservation(FrameEnv(CATCH), model)
        inner = FrameEnv(CATCH)
        code, _ = env.reset(seed=3)
        frame, _ = inner.reset(seed=3)
        for _ in range(5):
            exact = encode_rows(fitted.model, load(frame[None], schema=fitted.schema)).mean[0]
            np.testing.assert_allclose(code, exact.numpy(), atol=1e-6)
            code, *_ = env.step(2)
            frame, *_ = inner.step(2)


@pytest.mark.slow
def test_draws_come_from_the_posterior_and_the_seed(fitted: Fitted) -> None:
    def codes(seed: int) -> np.ndarray:
        env = LatentObservation(FrameEnv(CATCH), fitted, deterministic=False, seed=seed)
        return np.stack([env.reset(seed=1)[0] for _ in range(400)])

    drawn = codes(0)
    np.testing.assert_array_equal(drawn, codes(0))
    exact = encode_rows(
        fitted.model, load(FrameEnv(CATCH).reset(seed=1)[0][None], schema=fitted.schema)
    )
    scale = exact.scale[0].numpy() if hasattr(exact, "scale") else drawn.std(0)
    assert np.all(np.abs(drawn.mean(0) - exact.mean[0].numpy()) < 4 * scale / 20 + 1e-3)


@pytest.mark.filterwarnings("ignore")  # advice about bounds
@pytest.mark.parametrize("name", ["lowerbound/GridCatch-v0", "Pendulum-v1"])
def test_gymnasium_accepts_the_frames(name: str) -> None:
    from gymnasium.utils.env_checker import check_env

    check_env(FrameEnv(EnvironmentOptions(name)), skip_render_check=True)


@pytest.mark.filterwarnings("ignore")  # advice about the size of pictures
def test_libraries_accept_the_codes(fitted: Fitted) -> None:
    from gymnasium.utils.env_checker import check_env

    env = LatentObservation(FrameEnv(CATCH), fitted)
    check_env(env, skip_render_check=True)
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(env)


def test_other_observations_are_named(fitted: Fitted) -> None:
    with pytest.raises(DataError, match=r"the model encodes .* and the observations are Box"):
        LatentObservation(FrameEnv(EnvironmentOptions("Pendulum-v1")), fitted)


def test_an_environment_of_the_old_gym_is_named(fitted: Fitted) -> None:
    class Old:
        def reset(self) -> np.ndarray:
            return np.zeros(3)

    old: Any = Old()
    with pytest.raises(DataError, match=r"Old is no environment of gymnasium: .*shimmy"):
        LatentObservation(old, fitted)


@pytest.mark.parametrize("frozen", [True, False])
def test_only_a_joint_encoder_learns_with_the_policy(fitted: Fitted, frozen: bool) -> None:
    baselines: Any = pytest.importorskip("stable_baselines3")
    from lowerbound.applications.control.policy_gradient import LatentFeatures

    own = fit(
        load(frames()),
        FitOptions(model=fitted.options.model, training=TrainingOptions(updates=2, threads=1)),
    )
    before = weights(own)
    kind = {"features_extractor_class": LatentFeatures, "normalize_images": False}
    kind["features_extractor_kwargs"] = {"fitted": own, "frozen": frozen}
    sizes = {"n_steps": 16, "batch_size": 16, "n_epochs": 1, "policy_kwargs": kind, "device": "cpu"}
    with torch.random.fork_rng():
        policy = baselines.PPO("MlpPolicy", FrameEnv(CATCH), seed=0, **sizes)
        policy.learn(32)
    trained = policy.policy.features_extractor.model.state_dict()
    same = all(torch.equal(value, own.model.state_dict()[name]) for name, value in trained.items())
    assert same
    assert (weights(own) == before) == frozen
