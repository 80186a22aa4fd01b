"""Codes as features, on codes whose worth is known."""

from __future__ import annotations

import pytest
import torch

from lowerbound.evaluation.latent_features import FeatureQuality, feature_quality, labelled
from lowerbound.inference.estimate import Skipped


def clusters(rows: int, distance: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(rows) % 4
    center = distance * torch.eye(4)[label]
    return center + torch.randn(rows, 4, generator=generator), label


def test_separate_classes_are_read_clustered_and_near_their_like() -> None:
    found = feature_quality(*clusters(200, 30.0))
    assert isinstance(found, FeatureQuality)
    assert found.probe.mean == 1.0
    assert found.adjusted_mutual_information == pytest.approx(1.0)
    assert found.adjusted_rand == pytest.approx(1.0)
    assert found.purity == 1.0
    assert found.chance == 0.25
    assert found.rows == 200


def test_codes_that_know_nothing_are_at_chance() -> None:
    codes, label = clusters(400, 0.0)
    found = feature_quality(codes, label)
    assert isinstance(found, FeatureQuality)
    assert found.probe.mean == pytest.approx(0.25, abs=0.07)
    assert abs(found.adjusted_mutual_information) < 0.05
    assert abs(found.adjusted_rand) < 0.05
    assert found.purity == pytest.approx(0.25, abs=0.05)


def test_duplicates_do_not_count_as_their_own_neighbors() -> None:
    codes = torch.zeros(40, 2)
    label = torch.arange(40) % 2
    found = feature_quality(codes, label)
    assert isinstance(found, FeatureQuality)
    assert found.purity < 0.75


def test_rows_without_a_label_are_left_out() -> None:
    codes, label = clusters(200, 30.0)
    label[::5] = -1
    found = feature_quality(codes, label)
    assert isinstance(found, FeatureQuality)
    assert found.rows == 160


def test_rare_classes_are_left_out() -> None:
    codes, label = clusters(200, 30.0)
    label[label == 3] = 2
    label[:3] = 3  # too few for five folds
    found = feature_quality(codes, label)
    assert isinstance(found, FeatureQuality)
    assert found.rows == 197
    assert found.probe.mean == 1.0
    assert isinstance(feature_quality(codes[:8], label[:8]), Skipped)


def test_rows_are_capped_and_the_same_each_time() -> None:
    x, y = torch.arange(100).numpy(), torch.zeros(100).numpy()
    first, _ = labelled(x, y, 0, most=10)
    again, _ = labelled(x, y, 0, most=10)
    assert len(first) == 10
    assert (first == again).all()


@pytest.mark.parametrize("label", [None, torch.zeros(30).long(), torch.arange(30)])
def test_labels_that_allow_no_measure_give_a_reason(label: torch.Tensor | None) -> None:
    found = feature_quality(torch.randn(30, 2), label)
    assert isinstance(found, Skipped)
    assert found.reason
