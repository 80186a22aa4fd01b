"""Boosted trees as tensors, against scikit-learn's own predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from lowerbound.classical.boosted_trees import BoostedTrees


def rows(count: int = 300) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(count, 4)), 1)  # ties with thresholds
    x[rng.random(x.shape) < 0.2] = np.nan
    return x


@pytest.mark.parametrize("classes", [2, 3])
def test_class_logits_are_those_of_scikit_learn(classes: int) -> None:
    x = rows()
    label = np.digitize(np.nan_to_num(x[:, 0] * x[:, 1]), [0.0, 0.5][: classes - 1])
    boosting = HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=5).fit(x, label)
    found = BoostedTrees.of(boosting)(torch.from_numpy(x))
    expected = boosting._raw_predict(x)
    np.testing.assert_allclose(found.numpy(), expected.reshape(len(x), -1), atol=1e-12)


def test_numbers_are_those_of_scikit_learn_after_storing() -> None:
    x = rows()
    boosting = HistGradientBoostingRegressor(max_iter=30).fit(x, np.nansum(x, 1))
    read = BoostedTrees()
    read.load_state_dict(BoostedTrees.of(boosting).state_dict())
    np.testing.assert_allclose(
        read(torch.from_numpy(x))[:, 0].numpy(), boosting.predict(x), atol=1e-12
    )


def test_no_tree_at_all_gives_the_base() -> None:
    x = np.arange(6.0).reshape(-1, 1)
    boosting = HistGradientBoostingRegressor(max_iter=5).fit(x, np.full(6, 2.5))
    assert BoostedTrees.of(boosting)(torch.from_numpy(x)).flatten().tolist() == [2.5] * 6
