from __future__ import annotations

import itertools

import numpy as np
import pytest

from lowerbound.applications.release.marginals.hub_tree import ROWS_AT_ONCE, UNKNOWN, HubTree
from lowerbound.data.arrays import Array
from lowerbound.errors import DataError

SIZES = (2, 3, 4, 3)  # the hub and three variables
PARENTS = (-1, 0, 1)
GROUPS = (np.array([0, 1, 1]), np.array([0, 0, 1, 2]), np.array([0, 1, 2]))


def tree(seed: int = 0) -> HubTree:
    draw = np.random.default_rng(seed)

    def normalized(*shape: int) -> Array:
        table = draw.random(shape) + 0.05
        return table / table.sum(-1, keepdims=True)

    groups = [int(group.max()) + 1 for group in GROUPS]
    above = [1 if p < 0 else groups[p] for p in PARENTS]
    values = []
    for group in GROUPS:
        table = draw.random((2, len(group))) + 0.05
        sums = np.stack([np.bincount(group, row)[group] for row in table])
        values.append(table / sums)
    transitions = [normalized(2, a, g) for a, g in zip(above, groups, strict=True)]
    return HubTree(normalized(2), PARENTS, GROUPS, tuple(transitions), tuple(values))


def joint(model: HubTree) -> Array:
    """p of every complete row by the definition, (2, 3, 4, 3)."""
    found = np.zeros(SIZES)
    for row in itertools.product(*map(range, SIZES)):
        h, *values = row
        group = [int(g[v]) for g, v in zip(GROUPS, values, strict=True)]
        p = model.hub[h]
        for i, parent in enumerate(PARENTS):
            above = 0 if parent < 0 else group[parent]
            p *= model.transitions[i][h, above, group[i]] * model.values[i][h, values[i]]
        found[row] = p
    return found


def test_the_joint_sums_to_one() -> None:
    assert joint(tree()).sum() == pytest.approx(1.0)


def test_log_prob_of_any_cells_is_that_of_the_enumerated_table() -> None:
    model = tree()
    table = joint(model)
    for known in itertools.product([False, True], repeat=4):
        hidden = tuple(axis for axis, k in enumerate(known) if not k)
        marginal = table.sum(hidden, keepdims=True)
        rows = np.array(list(itertools.product(*map(range, SIZES))))
        codes = np.where(known, rows, UNKNOWN)
        expected = [marginal[tuple(np.where(known, row, 0))] for row in rows]
        np.testing.assert_allclose(model.log_prob(codes), np.log(expected), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("known", [(), (0,), (3,), (1, 3), (0, 2)])
def test_draws_follow_the_exact_conditional(known: tuple[int, ...]) -> None:
    model, rows = tree(), 40_000
    given = np.full(4, UNKNOWN)
    given[list(known)] = np.array([1, 2, 3, 0])[list(known)]
    uniform = np.random.default_rng(1).random((rows, 7))
    drawn = model.sample(np.tile(given, (rows, 1)), uniform)
    assert (drawn[:, list(known)] == given[list(known)]).all()
    counts = np.zeros(SIZES)
    np.add.at(counts, tuple(drawn.T), 1)
    index = tuple(int(given[axis]) if axis in known else slice(None) for axis in range(4))
    exact = joint(model)[index] / joint(model)[index].sum()
    spread = np.sqrt(exact * (1 - exact) / rows)
    assert (np.abs(counts[index] / rows - exact) < 5 * spread + 1e-12).all()


def test_a_row_depends_on_its_own_noise_alone() -> None:
    model, rows = tree(), ROWS_AT_ONCE + 100
    uniform = np.random.default_rng(2).random((rows, 7))
    unknown = np.full((rows, 4), UNKNOWN)
    whole = model.sample(unknown, uniform)
    np.testing.assert_array_equal(whole[37:90], model.sample(unknown[37:90], uniform[37:90]))


def test_impossible_cells_are_refused() -> None:
    model = tree()
    model.values[0][:, 0] = 0.0
    codes = np.array([[UNKNOWN, 0, UNKNOWN, UNKNOWN]])
    assert model.log_prob(codes)[0] == -np.inf
    with pytest.raises(DataError, match="row 0"):
        model.sample(codes, np.full((1, 7), 0.5))


def test_a_cycle_is_refused() -> None:
    model = tree()
    cyclic = HubTree(model.hub, (1, 0, -1), model.groups, model.transitions, model.values)
    with pytest.raises(DataError, match="cycle"):
        cyclic.log_prob(np.zeros((1, 4), dtype=np.int64))
