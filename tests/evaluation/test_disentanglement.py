"""Disentanglement of codes whose worth is known: factors, rotations of them, duplicates, noise."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from scipy.linalg import hadamard
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import mutual_info_score
from torch import Tensor

from lowerbound.data.sprites import FACTORS, SpriteGrid
from lowerbound.errors import DataError
from lowerbound.evaluation.disentanglement import (
    Disentanglement,
    _discriminant,
    disentanglement,
    disentanglement_quality,
    normalized_information,
)
from lowerbound.inference.estimate import Skipped


def grid(scales: int = 4) -> tuple[Tensor, Tensor]:
    """(factors as codes of unit variance, factors), every combination once."""
    factors = torch.as_tensor(SpriteGrid(scales=scales, rotations=5, positions=6).factors())
    codes = factors.double()
    return (codes - codes.mean(0)) / codes.std(0), factors


def measured(codes: Tensor, factors: Tensor) -> Disentanglement:
    return disentanglement(codes, factors, tuple(f"v{k}" for k in range(factors.shape[1])))


def scores(found: Disentanglement) -> list[float]:
    assert found.disentanglement is not None
    assert found.completeness is not None
    return [found.mig, found.disentanglement, found.completeness, found.informativeness, found.sap]


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.slow
def test_factors_themselves_are_perfect() -> None:
    codes, factors = grid()
    order = torch.tensor([3, 0, 4, 2, 1])
    for z in (codes, factors.double(), -7 * codes[:, order] + 2):
        found = measured(z, factors)
        assert scores(found)[:4] == pytest.approx([1, 1, 1, 1], abs=1e-9)
        assert found.sap == pytest.approx(1, abs=2e-3)  # halves of a grid are no grids
    assert measured(codes, factors).chance == pytest.approx(
        np.mean([1 / 3, 1 / 4, 1 / 5, 1 / 6, 1 / 6]), abs=1e-9
    )


def test_a_rotation_that_mixes_all_alike_is_worth_nothing() -> None:
    _, factors = grid()
    bits = factors[:, 1:] % 2
    bits[:, 1] = factors[:, 2] // 3
    corners = (2 * bits - 1).double()
    mixed = corners @ torch.as_tensor(hadamard(4)).double()
    found = measured(mixed + 0.01 * noise(*mixed.shape), bits)
    assert found.mig < 0.1
    _, disentangled, complete, informative, _ = scores(found)
    assert disentangled < 0.1
    assert complete < 0.1
    assert informative > 0.99


@pytest.mark.slow
def test_random_rotations_are_worth_little() -> None:
    codes, factors = grid()
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        turn = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))[0]
        found = measured(codes @ turn, factors)
        assert max([*scores(found)[:3], found.sap]) < 0.4


def test_a_duplicated_code_closes_the_gap() -> None:
    codes, factors = grid()
    found = measured(torch.cat([codes, codes], 1), factors)
    assert found.mig == pytest.approx(0, abs=1e-12)
    assert found.sap == pytest.approx(0, abs=1e-12)
    _, disentangled, complete, _, _ = scores(found)
    assert disentangled > 0.99  # each unit still says one thing
    assert complete < 0.8


def test_permuted_factors_are_not_found() -> None:
    codes, factors = grid()
    permuted = factors[torch.randperm(len(factors), generator=torch.Generator().manual_seed(0))]
    found = measured(codes, permuted)
    assert max([*scores(found)[:3], found.sap]) < 0.05
    assert found.informativeness == pytest.approx(found.chance, abs=0.05)


@pytest.mark.slow
def test_units_of_noise_and_dead_units_change_nothing() -> None:
    codes, factors = grid()
    dead = torch.full((len(codes), 1), 3.0, dtype=torch.float64)
    more = torch.cat([codes, noise(len(codes), 4), dead], 1)
    before, after = (
        measured(codes + 0.1 * noise(*codes.shape), factors),
        measured(torch.cat([codes + 0.1 * noise(*codes.shape), more[:, 5:]], 1), factors),
    )
    assert scores(after) == pytest.approx(scores(before), abs=0.03)
    assert (after.information[-1] == 0).all()
    assert (after.importance[-1] == 0).all()


def test_a_factor_that_no_unit_tells_counts_as_zero() -> None:
    codes, factors = grid()
    found = measured(codes[:, :4], factors)
    assert found.gaps[-1] == pytest.approx(0, abs=0.01)
    assert found.mig == pytest.approx(0.8, abs=0.01)


def test_information_is_that_of_scikit_learn() -> None:
    codes, factors = grid()
    z, v = (codes + 0.5 * noise(*codes.shape)).numpy(), factors.numpy()
    found = normalized_information(z, v, bins=20)
    edges = np.linspace(z[:, 1].min(), z[:, 1].max(), 21)
    binned = np.digitize(z[:, 1], edges[1:-1])
    counts = np.bincount(v[:, 2]) / len(v)
    expected = mutual_info_score(binned, v[:, 2]) / -(counts * np.log(counts)).sum()
    assert found[1, 2] == pytest.approx(expected, abs=1e-9)


def test_a_factor_with_many_values_can_still_be_told() -> None:
    values = torch.arange(40).repeat(30)
    found = measured(torch.stack([values.double(), noise(1_200)], 1), values[:, None])
    assert found.mig > 0.7
    assert float(found.information[0, 0]) == pytest.approx(1)


def test_the_linear_classifier_is_scikit_learns() -> None:
    codes, factors = grid()
    kept = (factors[:, 1] != 2) | (factors[:, 3] == 0)  # values of unequal frequency
    x, y = (codes + noise(*codes.shape))[kept, 1].numpy(), factors[kept, 1].numpy()
    theirs = LinearDiscriminantAnalysis().fit(x[:, None], y)
    assert (_discriminant(x, y, x) == theirs.predict(x[:, None])).mean() > 0.999


def test_one_unit_alone_leads_by_all_it_knows() -> None:
    codes, factors = grid()
    found = measured(codes[:, :1], factors[:, :1])
    assert (found.mig, found.sap) == (1.0, 1.0)
    assert (found.disentanglement, found.completeness) == (None, None)


def test_collapsed_codes_are_not_disentangled() -> None:
    _, factors = grid()
    assert scores(measured(torch.zeros(len(factors), 4), factors))[:3] == [0, 0, 0]
    alone = measured(noise(len(factors), 3), factors[:, :1])  # noise, and one factor
    assert alone.disentanglement is None


def test_factors_without_names_have_numbers() -> None:
    codes, factors = grid()
    found = disentanglement_quality(codes[:, :2], factors[:, :2])
    assert isinstance(found, Disentanglement)
    assert found.names == ("0", "1")


def test_what_does_not_vary_is_left_out_and_named() -> None:
    codes, factors = grid(scales=1)
    found = disentanglement(codes[:, [0, 2, 3, 4]], factors, FACTORS)
    assert found.names == ("shape", "rotation", "x", "y")
    assert found.mig == pytest.approx(1)
    mapping = json.loads(json.dumps(found.to_mapping(), allow_nan=False))
    assert set(mapping["mig_by_factor"]) == set(found.names)
    assert math.isclose(mapping["dci"]["completeness"], 1.0)


@pytest.mark.slow
def test_rows_are_capped_and_the_same_each_time() -> None:
    codes, factors = grid()
    codes, factors = codes.repeat(4, 1), factors.repeat(4, 1)
    first, again = measured(codes, factors), measured(codes, factors)
    assert first.rows == 4_000
    assert scores(first) == scores(again)


@pytest.mark.usefixtures("untouched_random_state")
def test_the_random_state_is_left_alone() -> None:
    measured(*grid(1))


def test_what_cannot_be_measured_says_why() -> None:
    codes, factors = grid()
    nothing = disentanglement_quality(codes, None)
    assert isinstance(nothing, Skipped)
    assert "the causes of each row, which are unknown for this data" in nothing.reason
    few = disentanglement_quality(codes[:99], factors[:99], FACTORS)
    assert isinstance(few, Skipped)
    assert few.reason == "at least 100 rows are needed for MIG, DCI and SAP, and there are 99"
    with pytest.raises(DataError, match="none of the known factors varies"):
        disentanglement(codes, 0 * factors, FACTORS)
