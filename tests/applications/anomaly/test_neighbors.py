"""Distances without the model, against scikit-learn and scipy; rows that repeat."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, mahalanobis
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from lowerbound.applications.anomaly import neighbors
from lowerbound.applications.anomaly.neighbors import RIDGE, InputSpace, distinct, same_rows
from lowerbound.data import Dataset, load

Array = np.ndarray[Any, Any]


def rows(numbers: int, count: int = 200, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, numbers)) @ rng.normal(size=(numbers, numbers))


@pytest.mark.parametrize("numbers", [3, 20])  # by a tree, by all distances
@pytest.mark.parametrize("k", [1, 5])
def test_neighbors_are_those_of_scikit_learn(numbers: int, k: int) -> None:
    known, new = rows(numbers), rows(numbers, 50, seed=1)
    scaler = StandardScaler().fit(known)
    search = NearestNeighbors(n_neighbors=k).fit(scaler.transform(known))
    expected = search.kneighbors(scaler.transform(new))[0][:, -1]
    found = InputSpace.of(known).distances(np.concatenate([new, new]), k)["neighbors"]
    np.testing.assert_allclose(found, np.tile(expected, 2), rtol=1e-9)


def test_parts_of_the_table_of_distances_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    known, new = rows(20), rows(20, 50, seed=1)
    whole = InputSpace.of(known).distances(new, 3)["neighbors"]
    monkeypatch.setattr(neighbors, "TABLE", 7 * len(known))
    np.testing.assert_allclose(
        InputSpace.of(known).distances(new, 3)["neighbors"], whole, rtol=1e-12
    )


@pytest.mark.parametrize("k", [1, 5, 200])
def test_single_precision_loses_no_digit(k: int) -> None:
    """With points far out, single precision alone takes a row's copy for a distant point."""
    far = np.exp(2 * np.random.default_rng(2).normal(size=(200, 1)))
    known = rows(20) * far
    new = np.concatenate([known[:40], known[:40] + 1e-6, 50 * known[:40], rows(20, 50, seed=1)])
    expected = np.sort(cdist(new, known), 1)[:, k - 1]
    found = neighbors.kth_distance(known, new, k)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("points", [40, 1_000, 1_999])
@pytest.mark.parametrize("k", [1, 7])
def test_neighbors_among_many_points_are_those_of_all_distances(points: int, k: int) -> None:
    """Points that are next to each other are in one share, equal ones in several."""
    known = np.repeat(rows(12, points), 2, axis=0)[:points]
    known = np.concatenate([known, known[::3]])
    new = np.concatenate([known[::5], rows(12, 30, seed=1), 1e40 * rows(12, 9, seed=2)])
    expected = np.sort(cdist(new, known), 1)[:, k - 1]
    found = neighbors.kth_distance(known, new, k)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("k", [1, 5])
def test_a_rotated_tree_finds_the_neighbors_of_points_near_a_plane(
    k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three directions hold the variance; some points, rows and copies lie far from them."""
    rng = np.random.default_rng(0)
    noise = 0.05 * rng.standard_t(2, (600, 20))
    known = 7 + rng.normal(size=(600, 3)) @ rng.normal(size=(3, 20)) + noise
    new = np.concatenate([known[::5], 40 * rows(20, 30, seed=1), 1e40 * rows(20, 9, seed=2)])
    monkeypatch.setattr(neighbors, "_Search", None)  # the tree alone is used
    monkeypatch.setattr(neighbors, "LEAST_ROWS", 1)
    expected = np.sort(cdist(new, known), 1)[:, k - 1]
    found = neighbors.kth_distance(known, new, k)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0 if k > 1 else 1e-300)
    assert (found[:120] == 0).all() == (k == 1)


@pytest.mark.parametrize("points", [7, 1_001])
def test_rows_beyond_single_precision_are_compared_in_double(points: int) -> None:
    """In single precision they are as far from every point as the padding."""
    known, new = -10 - 1e37 * np.arange(points)[:, None] * np.ones(12), np.full((3, 12), 1e38)
    found = neighbors.kth_distance(known, new, 3)
    np.testing.assert_allclose(found, 1.2e38 * np.sqrt(12), rtol=1e-12)


@pytest.mark.parametrize("k", [1, 9])
def test_smallest_numbers_of_a_row_are_those_of_a_sort(k: int) -> None:
    table = torch.from_numpy(np.random.default_rng(0).integers(0, 500, (50, 1_200))).float()
    near, place = neighbors.smallest(table, k)
    assert torch.equal(near, table.sort(1).values[:, :k])
    assert torch.equal(near, table.gather(1, place))
    assert all(len(set(row)) == k for row in place.tolist())


def test_mahalanobis_is_that_of_scipy() -> None:
    known, new = rows(6), rows(6, 20, seed=1)
    standard = StandardScaler().fit(known)
    covariance = np.cov(standard.transform(known), rowvar=False, ddof=0) + RIDGE * np.eye(6)
    inverse = np.linalg.inv(covariance)
    expected = [mahalanobis(row, np.zeros(6), inverse) for row in standard.transform(new)]
    np.testing.assert_allclose(
        InputSpace.of(known).distances(new, 1)["mahalanobis"], expected, rtol=1e-9
    )


def test_skewed_positive_numbers_are_compared_by_their_logarithms() -> None:
    rng = np.random.default_rng(0)
    bytes_sent, bit = np.exp(rng.normal(5, 3, 300)), (rng.random(300) < 0.05).astype(float)
    known = np.stack([bytes_sent, bit, rng.normal(size=300), np.full(300, 7.0)], axis=1)
    space = InputSpace.of(known)
    np.testing.assert_array_equal(space.skewed, [1, 0, 0, 0])
    logs = known[:, :3].copy()
    unit = np.quantile(bytes_sent, 0.99)
    logs[:, 0] = np.log1p(logs[:, 0] / unit)
    new = np.array([[-3.0, 1.0, 0.0, 9.0]])
    turned = (np.array([[-np.log1p(3.0 / unit), 1.0, 0.0]]) - logs.mean(0)) / logs.std(0)
    apart = cdist(turned, (logs - logs.mean(0)) / logs.std(0))
    np.testing.assert_allclose(space.distances(new, 2)["neighbors"], np.sort(apart, axis=1)[:, 1])


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_no_unit_changes_a_distance(factor: float) -> None:
    rng = np.random.default_rng(0)
    known, new = (np.exp(rng.normal(0, 2, (count, 3))) for count in (300, 50))
    known[:, 2] *= rng.random(300) < 0.5  # zeros have no logarithm
    units = np.array([factor, 1.0, factor])
    once, again = InputSpace.of(known), InputSpace.of(units * known)
    for name, expected in once.distances(new, 2).items():
        np.testing.assert_allclose(again.distances(units * new, 2)[name], expected, rtol=1e-9)


def test_the_largest_numbers_have_a_distance() -> None:
    known = 1e-9 * np.exp(np.random.default_rng(0).normal(0, 2, (300, 1)))
    far = np.finfo(np.float64).max
    found = InputSpace.of(known).distances(np.array([[far], [-far]]), 1)
    assert all(np.isfinite(each).all() for each in found.values())


def test_too_many_coordinates_have_no_covariance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "MOST_NUMBERS", 5)
    assert not InputSpace.of(rows(6)).has_mahalanobis
    assert InputSpace.of(rows(5)).has_mahalanobis


RNG = np.random.default_rng(0)


def repeated(rows: int = 200, kinds: int = 30) -> Dataset:
    """Rows of small whole numbers, whose floats have all their bits in the same places."""
    values = RNG.integers(0, 4, (kinds, 5)).astype(float)
    return load(values[RNG.integers(0, kinds, rows)], standardize=False)


def test_every_row_is_found_again() -> None:
    dataset = repeated()
    found = distinct(dataset)
    assert found is not None
    once, place = found
    assert len(once) == len(np.unique(dataset.x.numpy(), axis=0))
    assert torch.equal(once.x[torch.from_numpy(place)], dataset.x)


def test_rows_that_differ_in_what_is_missing_or_told_differ() -> None:
    dataset = repeated(200, 8)
    once, _ = distinct(dataset) or (dataset, None)
    observed = torch.ones_like(dataset.x, dtype=torch.bool)
    observed[:100, 0] = False
    holes, _ = distinct(replace(dataset, observed=observed)) or (dataset, None)
    assert len(holes) == 2 * len(once)
    labeled = dataset.with_labels(np.arange(200) % 2)
    assert len((distinct(labeled) or (dataset,))[0]) == len(once)
    told = labeled.conditioned_on_label()
    assert len((distinct(told) or (dataset,))[0]) == 2 * len(once)


def test_rows_that_hardly_repeat_are_left_alone() -> None:
    assert distinct(load(RNG.normal(size=(50, 2)))) is None
    assert distinct(load(RNG.normal(size=(50, 2))).subset([3])) is None


def test_a_hash_that_fails_merges_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "_hashes", lambda words: np.zeros(len(words), np.uint64))
    assert distinct(repeated()) is None


def test_the_first_of_each_kind_of_row_and_the_kind_of_every_row() -> None:
    words = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [3.0, 4.5]])
    first, place = same_rows(words) or (None, None)
    assert first is not None
    assert first.tolist() == [0, 1, 3]
    assert place.tolist() == [0, 1, 0, 2]
    assert same_rows(words[1:]) is None
