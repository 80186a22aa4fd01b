"""Labels on a graph: against the linear system that spreading solves, and by hiding labels."""

from __future__ import annotations

import numpy as np
import torch

from lowerbound.data import load
from lowerbound.data.labels import label_folds
from lowerbound.data.pictures.kind import augmented
from lowerbound.objectives import semi_supervised
from lowerbound.objectives.mean_teacher import Perturbation
from lowerbound.objectives.semi_supervised import balanced, nearest, spread_labels


def blobs(rows: int = 90, apart: float = 4.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Three clouds in the plane, and which each row is of."""
    label = torch.arange(rows) % 3
    centers = apart * torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    noise = torch.randn(rows, 2, generator=torch.Generator().manual_seed(0))
    return centers[label] + noise, label


def test_nearest_rows_are_those_of_all_distances() -> None:
    x, _ = blobs()
    apart = torch.cdist(x.double(), x.double()).fill_diagonal_(torch.inf)
    distance, index = nearest(x, 4)
    expected = apart.topk(4, 1, largest=False)
    np.testing.assert_array_equal(index, expected.indices.numpy())
    np.testing.assert_allclose(distance, expected.values.numpy(), atol=1e-3)


def test_spreading_solves_its_linear_system() -> None:
    x, label = blobs()
    graph = semi_supervised._graph(*nearest(x, 5), 5)
    codes = torch.where(torch.arange(90) < 9, label, -1).numpy()
    given = np.zeros((90, 3))
    given[:9] = np.eye(3)[codes[:9]]
    exact = np.linalg.solve(np.eye(90) - semi_supervised.ALPHA * graph.toarray(), given)
    shares = np.full(3, 1 / 3)
    found = semi_supervised._spread(graph, codes, shares)
    np.testing.assert_allclose(found, balanced(exact, shares), atol=0.1)
    assert (found.argmax(1) == balanced(exact, shares).argmax(1)).mean() > 0.97


def test_balanced_votes_have_the_shares_of_the_classes() -> None:
    votes = np.random.default_rng(0).random((500, 4)) ** 3
    votes[7] = 0  # nobody votes
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    found = balanced(votes, shares)
    np.testing.assert_allclose(found.sum(1), 1)
    np.testing.assert_allclose(found.mean(0), shares, atol=2e-3)


def test_clouds_are_told_apart_by_fifteen_labels_and_noise_gains_nothing() -> None:
    x, label = blobs()
    few = torch.where(torch.arange(90) < 15, label, -1)
    prior = torch.full((3,), 1 / 3)
    found = spread_labels(x, few, prior)
    assert (found.probability.argmax(1) == label).float().mean() > 0.9
    assert found.gain > 0.1  # above a line, which tells clouds apart too
    random = torch.randn(90, 2, generator=torch.Generator().manual_seed(1))
    assert spread_labels(random, few, prior).gain < 0


def test_folds_hide_each_label_once_and_never_a_class_of_one() -> None:
    label = torch.tensor([0, 0, 1, 1, 1, -1, 2, 2, -1])
    folds = label_folds(label, 3)
    assert torch.cat(folds).sort().values.tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert label_folds(torch.tensor([0, 0, 1, -1]), 3) == []


def test_nothing_is_perturbed_that_was_not_asked_for() -> None:
    pictures = load(np.arange(2 * 64, dtype=np.uint8).reshape(2, 8, 8))
    x = pictures.all().x
    assert x is not None
    assert torch.equal(Perturbation(pictures.schema, 1.0, 0.0, 0.0)(x), x)
    torch.testing.assert_close(augmented(x, 1e-6), x, atol=1e-3, rtol=0)
    torch.manual_seed(0)
    changed = augmented(x, 1.0)
    assert changed.shape == x.shape
    assert (changed - x).abs().max() > 0.01


def test_levels_stay_levels_and_numbers_get_noise() -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=200), "b": rng.choice(list("xyz"), 200)})
    data = load(frame)
    x = data.all().filled.float()
    torch.manual_seed(0)
    changed = Perturbation(data.schema, 1.0, 0.4, 1.0)(x)
    place = [column.name for column in data.schema.modeled].index("b")
    assert set(changed[:, place].tolist()) <= {0.0, 1.0, 2.0}
    share = (changed[:, place] != x[:, place]).float().mean()
    assert 0.05 < share < 0.2  # a fifth is swapped, a third of that for the same level
    deviation = (changed - x)[:, 1 - place].std()
    assert 0.3 < deviation < 0.5


def test_what_a_line_tells_apart_gains_nothing_by_a_graph() -> None:
    """The classes differ along the shortest axis, which distances do not see and a line does."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 3, generator=generator) * torch.tensor([0.1, 5.0, 5.0])
    label = (x[:, 0] > 0).long()
    few = torch.where(torch.arange(200) < 40, label, -1)
    assert spread_labels(x, few, torch.full((2,), 0.5)).gain < 0


def test_of_labels_too_few_to_hide_nothing_is_said() -> None:
    x = torch.tensor([[0.0], [0.1], [5.0], [5.1], [0.2]])
    found = spread_labels(x, torch.tensor([0, 0, 1, 1, -1]), torch.full((2,), 0.5))
    assert np.isnan(found.gain)
