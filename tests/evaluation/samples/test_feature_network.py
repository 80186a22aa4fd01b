"""The feature network: it learns, it is what its name says, and files cannot be altered unseen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from lowerbound.data import Dataset, load
from lowerbound.errors import DataError
from lowerbound.evaluation.samples import feature_network
from lowerbound.evaluation.samples.feature_network import (
    DESCRIPTION,
    WEIGHTS,
    WIDTH,
    FeatureNetwork,
    NetworkDescription,
    fit_feature_network,
    load_feature_network,
    save_feature_network,
)
from tests.evaluation.small_models import vectors


@pytest.fixture(scope="module")
def parts() -> tuple[Dataset, Dataset]:
    return load("digits").split(0.3, 0)


@pytest.fixture(scope="module")
def network(parts: tuple[Dataset, Dataset]) -> FeatureNetwork:
    return fit_feature_network(*parts, updates=200)


@pytest.mark.slow
def test_it_learns_the_classes(network: FeatureNetwork) -> None:
    assert network.description.accuracy is not None
    assert network.description.accuracy > 0.9
    assert network.description.rows == 1_258


def test_features_are_standardized_and_are_the_last_hidden_layer(
    network: FeatureNetwork, parts: tuple[Dataset, Dataset]
) -> None:
    x = parts[0].all().filled
    features = network.features(x)
    assert features.shape == (len(x), WIDTH)
    assert features.dtype == torch.float64
    assert torch.allclose(features.mean(0), torch.zeros(WIDTH).double(), atol=1e-3)
    assert torch.allclose(features.std(0), torch.ones(WIDTH).double(), atol=1e-3)
    raw = (features * network.deviation + network.mean).float()
    assert torch.allclose(network.head(raw), network(x), atol=1e-4)


def test_its_name_is_that_of_its_weights(
    network: FeatureNetwork, parts: tuple[Dataset, Dataset]
) -> None:
    assert network.name == f"lenet-{network.sha256[:8]}"
    again = fit_feature_network(parts[0], updates=10)
    assert fit_feature_network(parts[0], updates=10).sha256 == again.sha256
    assert fit_feature_network(parts[0], updates=10, seed=1).sha256 != again.sha256
    before = again.sha256
    with torch.no_grad():
        next(again.parameters())[0] += 1e-6
    assert again.sha256 != before


def test_it_comes_back_from_its_files(network: FeatureNetwork, tmp_path: Path) -> None:
    save_feature_network(network, tmp_path)
    again = load_feature_network(tmp_path)
    assert again.description == network.description
    assert again.name == network.name
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(again.features(x), network.features(x))
    assert json.loads((tmp_path / DESCRIPTION).read_text())["name"] == network.name


def test_altered_files_are_refused(network: FeatureNetwork, tmp_path: Path) -> None:
    save_feature_network(network, tmp_path)
    described = json.loads((tmp_path / DESCRIPTION).read_text())
    (tmp_path / DESCRIPTION).write_text(json.dumps({**described, "sha256": "0" * 64}))
    with pytest.raises(DataError, match="has been altered"):
        load_feature_network(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(DataError, match="no feature network that can be read"):
        load_feature_network(tmp_path)
    with pytest.raises(DataError, match="no feature network that can be read"):
        load_feature_network(tmp_path / "nowhere")


def test_rows_of_another_shape_are_refused(network: FeatureNetwork) -> None:
    with pytest.raises(DataError, match=r"is for rows of shape \(1, 8, 8\), not \(1, 9, 8\)"):
        network.features(torch.rand(2, 1, 9, 8))


def test_rows_have_at_most_three_dimensions() -> None:
    with pytest.raises(DataError, match="not 4"):
        NetworkDescription((1, 2, 3, 4), 4, 0, None, 0)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_is_positive(scale: float) -> None:
    with pytest.raises(DataError, match="cannot be divided"):
        NetworkDescription((3,), 4, 0, None, 0, scale=scale)


@pytest.mark.slow
def test_low_contrast_is_no_obstacle(
    parts: tuple[Dataset, Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faint = [replace(part, x=0.5 + (part.x - 0.5) / 50) for part in parts]
    found = fit_feature_network(*faint, updates=100)
    assert (found.description.accuracy or 0) > 0.9
    assert fit_feature_network(*parts, updates=1).description.scale == 1.0
    save_feature_network(found, tmp_path)
    x = faint[1].all().filled
    assert torch.equal(load_feature_network(tmp_path).features(x), found.features(x))
    description = tmp_path / "features.json"
    known = json.loads(description.read_text(encoding="utf-8"))
    description.write_text(json.dumps(known | {"scale": 1.0}), encoding="utf-8")
    with pytest.raises(DataError, match="altered"):
        load_feature_network(tmp_path)
    monkeypatch.setattr(feature_network, "LOW_CONTRAST", 0.0)
    assert (fit_feature_network(*faint, updates=100).description.accuracy or 0) < 0.5


def test_vectors_have_a_network_too() -> None:
    label = torch.arange(300) % 3
    x = 3 * torch.eye(70)[label] + 0.3 * torch.randn(300, 70)
    training, held_out = vectors(x, label).split(0.3, 0)
    found = fit_feature_network(training, held_out, updates=60)
    assert found.name.startswith("mlp-")
    assert found.description.accuracy == 1.0


@pytest.mark.parametrize("shape", [(3, 64, 48), (1, 28, 28), (1, 3, 5), (3, 128, 128)])
def test_pictures_of_any_size_become_few_features(shape: tuple[int, int, int]) -> None:
    network = FeatureNetwork(NetworkDescription(shape, 4, 0, None, 0))
    assert network.features(torch.rand(2, *shape)).shape == (2, WIDTH)
    last = [layer for layer in network.body if isinstance(layer, nn.Linear)][-1]
    assert last.in_features <= 32 * 8 * 8


def test_rows_without_a_class_are_left_out(parts: tuple[Dataset, Dataset]) -> None:
    training = parts[0]
    assert training.label is not None
    label = training.label.clone()
    label[::2] = -1
    found = fit_feature_network(replace(training, label=label), updates=2)
    assert found.description.rows == len(training) // 2


@pytest.mark.parametrize("label", [None, torch.zeros(40).long(), torch.arange(40)])
def test_labels_that_teach_nothing_are_refused(label: torch.Tensor | None) -> None:
    with pytest.raises(DataError, match="a feature network"):
        fit_feature_network(vectors(torch.randn(40, 3), label))


@pytest.mark.usefixtures("untouched_random_state")
def test_the_random_state_is_left_alone(parts: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    save_feature_network(fit_feature_network(parts[0], updates=2), tmp_path)
    load_feature_network(tmp_path)
