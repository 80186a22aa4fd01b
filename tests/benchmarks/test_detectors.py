"""Rivals of detection, and how their settings are chosen."""

from __future__ import annotations

import numpy as np
import pytest
from _detector_choice import best
from _detectors import CLASSICAL, grid, log_mahalanobis, mahalanobis, mixture, neighbors, unskewed
from scipy.stats import spearmanr


def test_logarithms_are_taken_of_skewed_positive_columns_alone() -> None:
    random = np.random.default_rng(0)
    skewed, symmetric = np.exp(2 * random.normal(size=200)), random.normal(size=200)
    indicator = (np.arange(200) % 20 == 0).astype(float)
    rows = np.stack([skewed, symmetric, indicator], 1)
    test = np.array([[np.e - 1, -1.0, 1.0], [1 - np.e, 2.0, 0.0]])
    training, found = unskewed(rows, test)
    np.testing.assert_allclose(training, np.stack([np.log1p(skewed), symmetric, indicator], 1))
    np.testing.assert_allclose(found, [[1.0, -1.0, 1.0], [-1.0, 2.0, 0.0]])


def test_mahalanobis_of_logarithms_is_that_of_rows_given_as_logarithms() -> None:
    found = np.exp(2 * np.random.default_rng(0).normal(size=(90, 2)))
    rows, logs = (found[:50], found[50:]), (np.log1p(found[:50]), np.log1p(found[50:]))
    by_log = log_mahalanobis(*rows, 0, 1e-3)
    np.testing.assert_allclose(by_log, mahalanobis(*logs, 0, 1e-3))


def test_one_full_gaussian_orders_rows_as_mahalanobis_does() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(400, 3)) @ random.normal(size=(3, 3))
    one = mixture(rows[:200], rows[200:], 0, components=1, covariance="full")
    assert spearmanr(one, mahalanobis(rows[:200], rows[200:], 0, 1e-2)).statistic > 0.9999


def test_neighbors_are_counted_from_the_nearest() -> None:
    rows = np.array([[0.0], [1.0], [3.0], [7.0]])
    scale = rows.std()
    found = neighbors(rows, np.array([[0.0]]), 0, k=3)
    assert found[0] == pytest.approx(3.0 / scale)


@pytest.mark.slow
def test_every_rival_scores_with_its_first_and_its_last_setting() -> None:
    random = np.random.default_rng(0)
    rows, odd = random.normal(size=(60, 3)), np.full((1, 3), 9.0)
    for name, rival in CLASSICAL.items():
        for settings in (rival.settings[0], rival.settings[-1]):
            scores = rival.detect(rows[:50], np.concatenate([rows[50:], odd]), 0, **settings)
            assert scores[:-1].max() < scores[-1], (name, settings)


def test_the_setting_of_the_highest_mean_over_tables_is_chosen() -> None:
    tables = [{"k-NN": {"k 1": 0.9, "k 5": 0.8}}, {"k-NN": {"k 1": 0.5, "k 5": 0.8}}]
    found = best("k-NN", grid(k=(1, 5)), tables)
    assert found == {"settings": {"k": 5}, "mean AUROC for choosing": 0.8, "tried": 2}
    with pytest.raises(KeyError):  # of an earlier grid
        best("k-NN", grid(k=(1, 2)), tables)
