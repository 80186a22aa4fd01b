"""Trees of each column, pooled with a model: weights, means and draws of the pool."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.applications.restoration.column_trees import (
    MOST_CELLS,
    MOST_ROWS,
    ColumnTrees,
    GrownRows,
    TreeAnswers,
    cautious_weights,
    most_grown,
)
from lowerbound.applications.restoration.group_means import KnownCells
from lowerbound.data import load
from lowerbound.data.columns.column import Column

Array = np.ndarray[Any, Any]
ROWS, HIDDEN = 400, 120


@pytest.fixture(scope="module")
def columns() -> tuple[Column, ...]:
    """A number, another one, levels of them, and a constant."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, ROWS)).round(2)
    level = np.where(a * b > 0.2, "up", np.where(a * b < -0.2, "down", "flat"))
    with pytest.warns(UserWarning, match="no variation"):
        return load(pd.DataFrame({"a": a, "b": b, "c": level, "d": 7.0})).schema.columns


@pytest.fixture(scope="module")
def values() -> Array:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, ROWS)).round(2)
    code = np.where(a * b > 0.2, 2.0, np.where(a * b < -0.2, 0.0, 1.0))  # by the alphabet
    return np.stack([a, b, code, np.full(ROWS, 7.0)], 1)


@pytest.fixture(scope="module")
def hidden() -> Array:
    """Cells of the first rows, one each."""
    mask = np.zeros((ROWS, 4), dtype=bool)
    mask[np.arange(HIDDEN), np.arange(HIDDEN) % 3] = True
    return mask


def grown_rows(columns: tuple[Column, ...], values: Array, hidden: Array) -> GrownRows:
    known = KnownCells(columns, np.where(hidden, np.nan, values), 0)
    return GrownRows(columns, values, ~hidden, known, np.arange(len(values)))


@pytest.fixture(scope="module")
def trees(columns: tuple[Column, ...], values: Array, hidden: Array) -> ColumnTrees:
    rows = grown_rows(columns, values, hidden)
    return ColumnTrees.fit(rows, np.full(4, 3), np.full(4, 0.5), np.zeros(4), 0)


@pytest.fixture(scope="module")
def answers(trees: ColumnTrees, values: Array, hidden: Array) -> TreeAnswers:
    return trees.answers(values, hidden)


def model_parts() -> dict[int, Array]:
    thirds = np.full((ROWS, 3), [0.2, 0.5, 0.3])
    return {0: np.full((ROWS, 1), 4.0), 1: np.full((ROWS, 1), -4.0), 2: thirds}


def test_a_constant_has_no_trees(trees: ColumnTrees) -> None:
    assert set(trees.trees) == {0, 1, 2}
    np.testing.assert_array_equal(trees.weights, [0.5, 0.5, 0.5, 0.0])


def test_trees_do_not_see_the_column_that_they_predict(
    trees: ColumnTrees, answers: TreeAnswers, values: Array, hidden: Array
) -> None:
    other = np.where(hidden, values[::-1], values)
    again = trees.answers(other, hidden).parts
    for place, part in answers.parts.items():
        np.testing.assert_array_equal(again[place], part)


def test_the_pooled_mean_is_the_weighted_one(
    answers: TreeAnswers, values: Array, hidden: Array
) -> None:
    pooled = answers.pooled_means(model_parts(), values)
    for place, model in ((0, 4.0), (1, -4.0)):
        expected = 0.5 * model + 0.5 * answers.parts[place][:, 0]
        np.testing.assert_allclose(pooled[hidden[:, place], place], expected)
    chances = 0.5 * model_parts()[2][hidden[:, 2]] + 0.5 * answers.parts[2]
    np.testing.assert_allclose(chances.sum(1), 1)
    np.testing.assert_array_equal(pooled[hidden[:, 2], 2], chances.argmax(1))
    np.testing.assert_array_equal(pooled[~hidden], values[~hidden])


@pytest.mark.slow
def test_pooled_draws_have_the_pooled_mean_and_are_values_of_the_column(
    answers: TreeAnswers, values: Array, hidden: Array
) -> None:
    some, count = 30, 8_000
    keys = torch.arange(ROWS)
    drawn = np.repeat(values[None], count, 0)
    drawn[:, :, 0], drawn[:, :, 1] = 4.0, -4.0
    drawn[:, :, 2] = np.random.default_rng(1).choice(3, (count, ROWS), p=[0.2, 0.5, 0.3])
    pooled = np.concatenate(
        [
            answers.pooled_draws(part, keys, 5, 2_000 * i)
            for i, part in enumerate(np.split(drawn, 4))
        ]
    )
    means = answers.pooled_means(model_parts(), values)
    at = np.flatnonzero(hidden[:, 0])[:some]
    spread = pooled[:, at, 0].std(0) / np.sqrt(count)
    assert (abs(pooled[:, at, 0].mean(0) - means[at, 0]) < 5 * spread).all()
    assert set(np.unique(pooled[:, at, 0])) <= {4.0, *values[:, 0]}
    levels = np.flatnonzero(hidden[:, 2])
    shares = np.stack([(pooled[:, levels, 2] == code).mean(0) for code in range(3)], 1)
    expected = 0.5 * model_parts()[2][levels] + 0.5 * answers.parts[2]
    assert abs(shares - expected).max() < 5 * 0.5 / np.sqrt(count)
    np.testing.assert_array_equal(pooled[:, ~hidden], drawn[:, ~hidden])


def test_joint_draws_of_hidden_cells_belong_together() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(800, 1))
    values = base + 0.1 * rng.normal(size=(800, 2))
    columns = load(pd.DataFrame(values, columns=list("ab"))).schema.columns
    hidden = np.broadcast_to(np.arange(800)[:, None] < 400, (800, 2))
    rows = grown_rows(columns, values, hidden)
    trees = ColumnTrees.fit(rows, np.full(2, 3), np.full(2, 1.0), np.zeros(2), 0)
    drawn = rng.normal(size=(1, 800, 1)) + 0.1 * rng.normal(size=(1, 800, 2))
    drawn[0, 400:] = values[400:]  # a model whose draws belong together
    filled = np.where(hidden, 0.0, drawn[0])
    answers, keys = trees.answers(filled, hidden), torch.arange(800)
    apart, joint = (answers.pooled_draws(drawn, keys, 0, 0, how)[0, :400] for how in (False, True))
    assert abs(np.corrcoef(apart.T)[0, 1]) < 0.2
    assert np.corrcoef(joint.T)[0, 1] > 0.5  # few large leaves hold unlike rows
    assert set(joint[:, 0]) <= set(values[400:, 0])  # observed values


@pytest.mark.parametrize("joint", [False, True])
def test_draws_in_parts_are_the_same_draws(
    answers: TreeAnswers, values: Array, joint: bool
) -> None:
    keys, drawn = torch.arange(ROWS), np.repeat(values[None], 6, 0)
    whole = answers.pooled_draws(drawn, keys, 0, 0, joint)
    parts = [
        answers.pooled_draws(drawn[:2], keys, 0, 0, joint),
        answers.pooled_draws(drawn[2:], keys, 0, 2, joint),
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize(("model_is_right", "expected"), [(True, 0.0), (False, 1.0)])
def test_weights_go_to_whoever_is_right(
    trees: ColumnTrees,
    answers: TreeAnswers,
    values: Array,
    hidden: Array,
    model_is_right: bool,
    expected: float,
) -> None:
    truth = values.copy()
    if not model_is_right:
        for place in (0, 1):
            truth[hidden[:, place], place] = answers.parts[place][:, 0]
    parts = model_parts()
    if model_is_right:
        parts = {0: values[:, :1], 1: values[:, 1:2], 2: np.eye(3)[values[:, 2].astype(int)]}
    scale = np.array([1.0, 1.0, 1.0, 1.0])
    found, saved = trees.weighted(parts, answers, truth, hidden, scale)
    np.testing.assert_allclose(found.weights[:2], expected, atol=1e-12)
    assert (saved[:2] > 0).all() != model_is_right
    assert bool(found.trees.keys() & {0, 1}) != model_is_right


def effect(slope: float, noise: float, cells: int, seed: int = 0) -> Array:
    """g and s of cells whose misses are a slope times what the trees change, plus noise."""
    rng = np.random.default_rng(seed)
    apart = rng.normal(size=cells)
    missed = slope * apart + noise * rng.normal(size=cells)
    return np.stack([missed * apart, np.square(apart)])


def test_weights_are_least_squares_where_cells_are_many() -> None:
    weights, saved = cautious_weights([effect(0.4, 0.1, 20_000), effect(0.8, 0.1, 20_000, 1)])
    np.testing.assert_allclose(weights, [0.4, 0.8], atol=0.005)
    np.testing.assert_allclose(saved, 20_000 * np.square(weights), rtol=0.05)


def test_a_column_with_few_cells_borrows_the_weight_of_the_others() -> None:
    others = [effect(0.7, 1.0, 2_000, seed) for seed in range(3)]
    few = effect(-0.5, 1.0, 8, 5)
    alone, many = effect(-0.5, 1.0, 2_000, 5), cautious_weights([few])[0][0]
    assert many == 0
    assert cautious_weights([*others, few])[0][3] > 0.3
    assert cautious_weights([*others, alone])[0][3] == 0
    assert abs(cautious_weights([*others, alone])[0][:3] - 0.7).max() < 0.06


def test_a_column_is_not_held_back_by_the_others() -> None:
    useless = [effect(-0.3, 1.0, 300, seed) for seed in range(3)]
    assert cautious_weights([*useless, effect(0.9, 0.3, 40, 7)])[0][3] > 0.7


def test_a_saving_that_may_be_chance_gives_less_weight() -> None:
    weights = [cautious_weights([effect(0.4, noise, 200)])[0][0] for noise in (0.0, 2.0, 20.0)]
    assert weights[0] == pytest.approx(0.4)
    assert weights[0] > weights[1] > weights[2] == 0


def test_columns_without_cells_or_change_have_no_weight() -> None:
    weights, saved = cautious_weights([np.zeros((2, 0)), np.zeros((2, 9)), effect(0.5, 0.1, 99)])
    assert weights[:2].tolist() == saved[:2].tolist() == [0, 0]
    assert weights[2] > 0.4
    assert cautious_weights([])[0].shape == (0,)


def test_the_best_trees_of_each_column_are_taken(trees: ColumnTrees) -> None:
    other = trees.with_weights(np.array([0.25, 0.0, 0.75, 0.0]))
    best, saved = ColumnTrees.best(
        [(trees, np.array([1.0, 1.0, 1.0, 0.0])), (other, np.array([2.0, 0.0, 0.5, 0.0]))]
    )
    np.testing.assert_array_equal(best.weights, [0.25, 0.5, 0.5, 0.0])
    assert set(best.trees) == {0, 1, 2}
    np.testing.assert_array_equal(saved, [2.0, 1.0, 1.0, 0.0])


@pytest.fixture(scope="module")
def subjects() -> tuple[tuple[Column, ...], Array, Array]:
    """A subject's number, its mean plus noise, a level that half of the subjects have, and noise;
    the columns, the rows, and a mask of hidden cells of the mean and of the level."""
    rng = np.random.default_rng(0)
    subject = rng.integers(100, size=800)
    mean, high = rng.normal(size=100), rng.random(100) < 0.5
    y = mean[subject] + 0.2 * rng.normal(size=800)
    seen = np.where(rng.random(800) < 0.05, ~high[subject], high[subject])
    noise = rng.normal(size=800)
    frame = pd.DataFrame({"id": subject, "y": y, "seen": np.where(seen, "yes", "no"), "z": noise})
    hidden = np.zeros((800, 4), dtype=bool)
    hidden[rng.permutation(800)[:150], 1] = True
    hidden[rng.permutation(800)[:150], 2] = True
    return load(frame).schema.columns, np.stack([subject, y, seen, noise], 1), hidden


def filled_rows(subjects: tuple[tuple[Column, ...], Array, Array]) -> GrownRows:
    """The rows with poor answers in hidden cells."""
    columns, values, hidden = subjects
    filled = np.where(hidden, [50.0, 0.0, 0.0, 0.0], values)
    known = grown_rows(columns, values, hidden).known
    return GrownRows(columns, filled, ~hidden, known, np.arange(800))


def grouped_error(
    subjects: tuple[tuple[Column, ...], Array, Array], grouped: bool
) -> tuple[ColumnTrees, float, float]:
    """Trees, their mean squared error of numbers, and their share of wrong levels."""
    _, values, hidden = subjects
    rows = filled_rows(subjects)
    trees = ColumnTrees.fit(rows, np.full(4, 3), np.ones(4), np.full(4, grouped), 0)
    parts = trees.answers(rows.values, hidden).parts
    apart = parts[1][:, 0] - values[hidden[:, 1], 1]
    wrong = parts[2].argmax(1) != values[hidden[:, 2], 2]
    return trees, float(np.square(apart).mean()), float(wrong.mean())


def test_means_of_groups_explain_what_a_number_of_a_subject_does_not(
    subjects: tuple[tuple[Column, ...], Array, Array],
) -> None:
    alone, error, wrong = grouped_error(subjects, False)
    trees, less, fewer = grouped_error(subjects, True)
    assert alone.means == {}
    assert {0, 3}.isdisjoint(trees.means)  # noise
    assert trees.means[1].groupings[0].place == 0
    assert less < 0.1 < 0.2 < error  # the noise alone has .04, and 6 rows of a group .007
    assert fewer < 0.15 < wrong


def test_trees_of_columns_without_means_of_groups_are_grown_once(
    subjects: tuple[tuple[Column, ...], Array, Array],
) -> None:
    rows, leaves, ones = filled_rows(subjects), np.full(4, 3), np.ones(4)
    plain = ColumnTrees.fit(rows, leaves, ones, 0 * ones, 0)
    apart = ColumnTrees.fit(rows, leaves, ones, ones, 0)
    found = ColumnTrees.fit(rows, leaves, ones, ones, 0, plain)
    assert 0 < len(found.means) < len(found.trees)
    for place, trees in found.trees.items():
        assert (trees is plain.trees[place]) == (place not in found.means)
        for name, values in trees.arrays().items():
            np.testing.assert_array_equal(values, apart.trees[place].arrays()[name])


@pytest.mark.parametrize("joint", [False, True])
def test_draws_are_of_the_group_if_it_is_known(
    subjects: tuple[tuple[Column, ...], Array, Array], joint: bool
) -> None:
    _, values, hidden = subjects
    trees, at = grouped_error(subjects, True)[0], hidden[:, 1]
    table = pd.Series(np.where(at, np.nan, values[:, 1])).groupby(values[:, 0]).mean()
    expected = table.loc[values[at, 0]]
    for known in (True, False):
        gone = hidden.copy()
        gone[:, 0] = not known
        filled = np.where(gone, [50.0, 0.0, 0.0, 0.0], values)
        answers = trees.answers(filled, gone)
        draws = np.repeat(filled[None], 40, 0)
        found = answers.pooled_draws(draws, torch.arange(800), 0, 0, joint).mean(0)[at, 1]
        assert (np.corrcoef(found, expected)[0, 1] > 0.9) == known
        assert abs(found.mean() - np.nanmean(table)) < 0.35


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [(500, 10, 500), (10_000, 20, MOST_ROWS), (10_000, 100, MOST_CELLS // 100), (10**6, 10**5, 30)],
)
def test_trees_see_so_many_rows(rows: int, columns: int, expected: int) -> None:
    assert most_grown(rows, columns) == expected
