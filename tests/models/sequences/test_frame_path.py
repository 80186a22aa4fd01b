"""A world model of pictures starts beside the principal components of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from lowerbound.data import FrameClips, load
from lowerbound.data.dataset import Dataset
from lowerbound.data.sequences.windows import Windows
from lowerbound.distributions.reparameterization import seeded
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.fitting.folder import read, write
from lowerbound.models import RecurrentStateSpace
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO
from lowerbound.training import TrainingOptions

SIDE, COMPONENTS = 16, 12


def frames(count: int = 600) -> Dataset:
    """A bright square that moves to and fro over a dark pattern."""
    noise = np.random.default_rng(0)
    back = noise.integers(20, 40, (SIDE, SIDE))
    found = np.repeat(back[None, None], count, 0)
    for time in range(count):
        place = abs(time % (2 * SIDE - 8) - (SIDE - 4))
        found[time, 0, 5:9, place : place + 4] = 220
    return load((found + noise.integers(0, 3, found.shape)).astype(np.uint8))


def windows() -> Dataset:
    return load(FrameClips(frames(), torch.zeros(600, dtype=torch.long)), windows=Windows(8, 4))


def fitted(updates: int, network: str = "convolutional", **own: object) -> Fitted:
    model = ModelOptions(
        network=network,
        network_options={"depth": 0} if network == "convolutional" else {},
        model_options={"memory": 32, "groups": 8, "classes": 8, "width": 32} | own,
    )
    training = TrainingOptions(updates=updates, batch_size=16, validation=0.0, compile="off")
    return fit(windows(), FitOptions(model, "elbo", training=training))


def distortion(model: torch.nn.Module) -> float:
    """Nats of a window."""
    with torch.no_grad(), seeded(0):
        batch = windows().batch(torch.arange(100))
        return float(ELBO().bound(model.eval()(batch), batch).distortion.mean())


def started(network: str = "convolutional") -> RecurrentStateSpace:
    model = fitted(1, network, components=COMPONENTS).model
    assert isinstance(model, RecurrentStateSpace)
    return model


@pytest.mark.parametrize("network", ["convolutional", "mlp"])
def test_components_of_the_path_are_those_of_scikit_learn(network: str) -> None:
    path = started(network).path
    assert path is not None
    assert path.linear_path.is_open
    x = frames().all().filled
    pca = PCA(COMPONENTS).fit(x.flatten(1).numpy())
    theirs = torch.from_numpy(pca.transform(x.flatten(1).numpy()))
    ours = path.linear_path.codes(x).detach()
    correlations = np.corrcoef(theirs.T.numpy(), ours.T.numpy())[:COMPONENTS, COMPONENTS:]
    assert np.abs(np.diag(correlations))[:4] == pytest.approx(1.0, abs=0.01)


@pytest.mark.long
def test_the_path_saves_updates() -> None:
    with_path, without = (fitted(200, components=count).model for count in (COMPONENTS, 0))
    assert distortion(with_path) < distortion(without) - 100


def test_a_path_that_is_not_open_adds_nothing() -> None:
    path = started().path
    assert path is not None
    numbers, states = torch.randn(3, 32), torch.randn(3, path.of_state.in_features)
    parameters = torch.randn(3, *path.linear_path.parameter_shape)
    assert not torch.equal(path.numbers_of(torch.rand(3, 1, SIDE, SIDE), numbers), numbers)
    path.linear_path.close()
    assert torch.equal(path.numbers_of(torch.rand(3, 1, SIDE, SIDE), numbers), numbers)
    assert torch.equal(path.parameters_of(states, parameters), parameters)


def test_it_comes_back_from_a_folder(tmp_path: Path) -> None:
    before = fitted(3, components=COMPONENTS)
    write(tmp_path / "m.lb", before)
    after = read(tmp_path / "m.lb").model
    assert distortion(after) == distortion(before.model)


def test_parts_hold_each_parameter_of_the_path_once() -> None:
    model = started()
    named = [id(value) for part in model.parts().values() for value in part]
    assert sorted(named) == sorted(id(value) for value in model.parameters())


def test_components_are_not_negative() -> None:
    with pytest.raises(Exception, match="components is 0 or more, not -1"):
        fitted(1, components=-1)


def test_backgrounds_do_not_outweigh_what_moves() -> None:
    scale = fitted(1).model.likelihood(torch.zeros(1, 2, SIDE, SIDE).unsqueeze(0) - 50).scale
    assert float(scale.min()) == pytest.approx(8 / 255, rel=0.01)
