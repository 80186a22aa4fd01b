"""Missing cells as values of their own: p(x, missing | z) against enumeration."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from tests.likelihoods.test_autoregressive_columns import LEVELS, emission, likelihood


def rows() -> tuple[Tensor, Tensor]:
    """Every row of levels and missing cells: values, and the mask of missing cells."""
    each = [[*range(count), math.nan] for count in LEVELS]
    x = torch.tensor(list(itertools.product(*each)), dtype=torch.float64)
    return x, x.isnan()


def test_probabilities_of_values_and_missing_cells_sum_to_one() -> None:
    x, missing = rows()
    found = emission(likelihood(gaps=True), len(x)).knowing(missing)
    assert found.log_prob(x, ~missing).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_without_gaps_missing_cells_say_nothing() -> None:
    x, missing = rows()
    plain = emission(likelihood(), len(x))
    torch.testing.assert_close(
        plain.knowing(missing).log_prob(x, ~missing), plain.log_prob(x, ~missing)
    )


def test_withheld_cells_are_not_missing() -> None:
    """A cell that is hidden but not missing adds nothing, and no other column sees it."""
    x, missing = rows()
    hidden = missing.clone()
    hidden[:, 0] = True  # withheld where it is not missing
    built = likelihood(gaps=True)
    known = missing & torch.tensor([False, True, True])
    terms = emission(built, len(x)).knowing(known).terms(x, ~hidden)[0]
    assert (terms[:, 0] == 0).all()
    changed = x.clone()
    changed[:, 0] = 0.0
    again = emission(built, len(x)).knowing(known).terms(changed, ~hidden)[0]
    torch.testing.assert_close(again, terms)


def test_draws_have_the_probabilities_of_the_density() -> None:
    built = likelihood(gaps=True)
    built.initialize_missing(torch.ones(10, 3, dtype=torch.bool))
    x, missing = rows()
    expected = emission(built, len(x)).knowing(missing).log_prob(x, ~missing)[0].exp()
    torch.manual_seed(0)
    draws = 50_000
    made = emission(built, draws).sample()[0].nan_to_num(nan=-1.0)
    found = (made.unsqueeze(1) == x.nan_to_num(nan=-1.0)).all(2).double().mean(0)
    assert (found - expected).abs().max() < 4 * 0.5 / math.sqrt(draws)


def test_columns_that_are_never_missing_are_never_drawn_missing() -> None:
    seen = torch.zeros(10, 3, dtype=torch.bool)
    seen[0, 1] = True
    drawn = []
    for seed in range(10):
        built = likelihood(seed, gaps=True)
        built.initialize_missing(seen)
        made = emission(built, 200).sample()[0]
        drawn.append(made.isnan().any(0))
        filled = emission(built, len(made)).complete(made.nan_to_num(), ~made.isnan())
        assert not filled.isnan().any()
    assert torch.stack(drawn).any(0).tolist() == [False, True, False]


def test_start_has_the_shares_of_missing_cells() -> None:
    built = likelihood(gaps=True)
    missing = torch.zeros(100, 3, dtype=torch.bool)
    missing[:20, 2] = True
    x = torch.zeros(100, 3, dtype=torch.float64)
    built.initialize(x)
    built.initialize_missing(missing)
    bias = built.initial_bias(x)
    share = torch.sigmoid(bias[: built.owned][built.places[2].stop - 1]).item()
    assert share == pytest.approx(0.2, abs=0.01)


def test_shares_of_a_column_are_those_of_its_draws() -> None:
    built = likelihood(gaps=True)
    built.initialize_missing(torch.ones(10, 3, dtype=torch.bool))
    parameters = torch.randn(1, built.places[1].stop - built.places[1].start).double()
    (shares,) = built._shares(1, parameters, True)
    assert shares.shape == (4,)
    torch.manual_seed(0)
    rows = torch.zeros(50_000, 3, dtype=torch.float64)
    drawn = built._drawn(1, parameters.expand(50_000, -1), rows, rows > 0, True)
    drawn = drawn.nan_to_num(nan=3.0)
    found = torch.bincount(drawn.long(), minlength=4) / len(drawn)
    assert (found - torch.cat([shares[:3] * (1 - shares[3]), shares[3:]])).abs().max() < 0.01


def test_shares_of_values_stay_when_a_column_is_nearly_always_missing() -> None:
    built = likelihood(gaps=True)
    built.initialize_missing(torch.ones(10, 3, dtype=torch.bool))
    parameters = torch.randn(1, built.places[1].stop - built.places[1].start).double()
    usual = built._shares(1, parameters, True)[0, :-1]
    parameters[0, -1] = 50.0
    shares = built._shares(1, parameters, True)[0]
    assert shares[-1] == 1
    torch.testing.assert_close(shares[:-1], usual)
