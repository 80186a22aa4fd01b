"""Singling out, linking and inference succeed on copies, and not on fresh rows; copies counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, norm

from lowerbound.applications.release.attacks import (
    AttackRate,
    _spread,
    attribute_inference,
    linkability,
    singling_out,
)
from lowerbound.applications.release.copies import copies, nearest_records, overlap
from lowerbound.applications.release.evidence import AuditedTables
from lowerbound.applications.release.release_audit import audit_tables
from lowerbound.applications.release.requests import AuditOptions
from lowerbound.errors import OptionError
from lowerbound.evaluation.intervals import difference
from lowerbound.evaluation.samples.column_judge import CodedColumns
from tests.applications.release.people import parts, people


def attacks(real: Any, holdout: Any, released: Any) -> list[AttackRate]:
    codes = CodedColumns.learn(real)
    a, b, s = (codes.encode(frame) for frame in (real, holdout, released))
    (x, owner), (y, _), (z, _) = (codes.coordinates(rows) for rows in (a, b, s))
    single, linked = singling_out(codes, a, b, s), linkability(x, y, z, owner)
    assert single is not None
    assert linked is not None
    return [single, linked, *attribute_inference(codes, a, b, s)]


def test_copies_are_attacked_with_success() -> None:
    real, holdout, _ = parts()
    single, linked, *inferred = attacks(real, holdout, real)
    assert single.training.value == 1.0  # a condition true of one copy is true of one person
    assert linked.training.value > 0.7  # half of the columns may be equal in many rows
    assert linked.significant
    assert all(found.training.value == 1.0 for found in inferred)
    assert single.significant
    assert single.risk > 0.5
    assert {found.target for found in inferred if found.significant} >= {"size", "weight"}


def test_the_spread_is_that_of_random_exchanges() -> None:
    rows, random = 40, np.random.default_rng(0)
    matches = [np.flatnonzero(random.random(rows) < share) for share in (0.02, 0.05, 0.1) * 20]
    half, excesses = np.arange(rows) < rows // 2, []
    for _ in range(2_000):
        own = random.permutation(half)
        one, other = ([int(of[found].sum()) == 1 for found in matches] for of in (own, ~own))
        excesses.append(np.mean(one) - np.mean(other))
    assert _spread(matches, rows, random) == pytest.approx(np.std(excesses), rel=0.2)


@pytest.mark.slow
def test_all_or_some_rows_are_attacked() -> None:
    real, holdout, other = parts(120)
    tables = AuditedTables.of(real, other, holdout)
    every, as_many = (audit_tables(tables, AuditOptions(attacked=most)) for most in (0, 120))
    assert every.attacks == as_many.attacks
    assert every.nearest == as_many.nearest
    with pytest.raises(OptionError, match="--attacked must be at least 0"):
        AuditOptions(attacked=-1)


def test_fresh_rows_are_not() -> None:
    found = [attack for seed in range(4) for attack in attacks(*parts(300, seed))]
    assert not any(attack.significant for attack in found)
    assert abs(np.mean([attack.excess.value for attack in found])) < 0.01


def test_two_dependent_columns_are_guessed_in_both_groups_alike() -> None:
    real, holdout, other = (frame.assign(double=2 * frame["size"]) for frame in parts(600))
    found = next(a for a in attacks(real, holdout, other) if a.target == "double")
    assert found.control.value > 0.2  # far better than blind guesses, and no leak
    assert not found.significant


def test_copies_are_counted_beside_those_of_fresh_rows() -> None:
    real = pd.DataFrame({"a": [1.0, 2.0, 2.0, 4.5, np.nan] * 4, "b": list("xyyzz") * 4})
    real.loc[0, "a"] = 7.5  # a row that no other equals
    released = pd.DataFrame({"a": [7.5, np.nan, 1.0, 9.0], "b": ["x", "z", "x", "new"]})
    codes = CodedColumns.learn(real)
    found = copies(codes.encode(real), codes.encode(released), None)
    assert (found.synthetic, found.unique, found.repeated) == (3, 1, 19)
    assert found.by_chance.value == pytest.approx(19 / 20)


def test_overlap_is_compared_with_twins_in_the_training_rows() -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 30, (1000, 2)).astype(float)  # many equal rows of different people
    assert overlap(whole[:500], whole[500:]).rows > 150
    assert not overlap(whole[:500], whole[500:]).refused
    shared = np.concatenate([whole[500:800], whole[:200]])
    assert overlap(whole[:500], shared).refused
    distinct = rng.normal(size=(1000, 2))
    assert not overlap(distinct[:500], distinct[500:]).refused
    assert overlap(distinct[:500], distinct[480:980]).rows == 20
    assert overlap(distinct[:500], distinct[480:980]).refused


@pytest.mark.parametrize(("kinds", "rows"), [(300, 200), (2_000, 400)])
def test_fresh_holdouts_are_not_taken_for_training_rows(kinds: int, rows: int) -> None:
    """Equal rows come in groups, so they are fewer independent cases than rows."""
    found = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        tables = (rng.integers(0, kinds, (rows, 1)).astype(float) for _ in range(2))
        found.append(overlap(*tables).p_value)
    assert np.mean(np.array(found) < 0.05) < 0.07
    assert min(found) > 1e-3


def test_the_chance_of_twins_is_that_of_all_assignments() -> None:
    """Two equal rows, three equal rows and one alone; three of the six go to the holdout."""
    training, holdout = np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [2.0]])
    each = [{0: 0.5, 1: 0.5}, {0: 0.25, 1: 0.375, 2: 0.375}]  # binomial, all in one is none
    exact = sum(p * q for a, p in each[0].items() for b, q in each[1].items() if a + b >= 3)
    found = overlap(training, holdout)
    assert found.rows == 3
    assert found.p_value == pytest.approx(exact)


@pytest.mark.parametrize(("rows", "released"), [(50, 1_000), (200, 400), (100, 20)])
def test_the_interval_of_nearer_rows_holds_the_half(rows: int, released: int) -> None:
    """Rows of the two tables vary too, and one may be the nearest of many released rows."""
    held = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        training, holdout = rng.normal(size=(2, rows, 3))
        found = nearest_records(training, rng.normal(size=(released, 3)), holdout, seed).nearer
        held.append(found.low <= 0.5 <= found.high)
    assert np.mean(held) > 0.87


def test_the_smoke_test_passes_what_it_cannot_see() -> None:
    real, holdout, other = parts()
    codes = CodedColumns.learn(real)
    x, y, s = (codes.coordinates(codes.encode(frame))[0] for frame in (real, holdout, other))
    copied, drawn = nearest_records(x, x, y), nearest_records(x, s, y)
    assert copied.nearer.value > 0.95
    assert copied.released[1] == 0.0
    assert drawn.nearer.low <= 0.5 <= drawn.nearer.high
    assert drawn.released[1] == pytest.approx(drawn.holdout[1], rel=0.2)


def test_a_column_alone_is_not_linked_or_inferred() -> None:
    real, holdout, other = (frame[["size"]] for frame in parts(60))
    codes = CodedColumns.learn(real)
    a, b, s = (codes.encode(frame) for frame in (real, holdout, other))
    (x, owner), (y, _), (z, _) = (codes.coordinates(rows) for rows in (a, b, s))
    assert linkability(x, y, z, owner) is None
    assert attribute_inference(codes, a, b, s) == ()


def test_people_have_no_equal_rows() -> None:
    assert not people(300, 0).duplicated().any()


@pytest.mark.parametrize("tests", [1, 7])
def test_intervals_of_all_attacks_of_three_families_hold_together(tests: int) -> None:
    level = 1 - 0.05 / (3 * tests)
    found = AttackRate.of("inference", "size", (30, 80), (20, 60), tests)
    for mine, (count, total) in ((found.training, (30, 80)), (found.control, (20, 60))):
        exact = binomtest(count, total).proportion_ci(level, method="wilson")
        assert (mine.low, mine.high) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert found.excess == difference(found.training, found.control)


def test_the_interval_of_singling_out_is_widened_for_three_families() -> None:
    found = AttackRate.of("singling out", "one person", (9, 50), (4, 50)).with_spread(0.02)
    half = norm.ppf(1 - 0.05 / 6) * 0.02
    assert (found.excess.low, found.excess.high) == pytest.approx((0.1 - half, 0.1 + half))


def test_columns_are_inferred_with_intervals_for_all_columns_of_the_table() -> None:
    real, holdout, other = parts(60)
    every = attacks(real, holdout, other)[2:]
    assert len(every) > 2
    for found in every:
        count = round(60 * found.training.value)
        exact = binomtest(count, 60).proportion_ci(1 - 0.05 / (3 * len(every)), method="wilson")
        assert (found.training.low, found.training.high) == pytest.approx((exact.low, exact.high))


def test_records_are_compared_with_as_many_training_rows_as_are_held_out() -> None:
    """Distances fall with the number of rows, so all training rows would look too near."""
    draw = np.random.default_rng(0)
    training, synthetic, holdout = (draw.normal(size=(rows, 3)) for rows in (2_000, 300, 200))
    found = nearest_records(training, synthetic, holdout)
    to_all = np.linalg.norm(synthetic[:, None] - training[None], axis=2).min(1)
    part = np.linalg.norm(synthetic[:, None] - training[None, :200], axis=2).min(1)
    assert np.median(to_all) < 0.6 * np.median(part)
    assert found.released[1] == pytest.approx(np.median(part), rel=0.15)
