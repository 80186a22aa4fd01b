"""Searches in latent space, against spaces and scores that are known on paper."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lowerbound.applications.design import engine
from lowerbound.applications.design.engine import Designer, SearchOptions, _Screen
from lowerbound.applications.design.goals import DesignTask, Goal, Limit, fit_head
from lowerbound.applications.design.methods import METHODS, Search, ascend, log_improvement
from lowerbound.applications.design.oracle import Oracle, values_of
from lowerbound.applications.design.result import auc_top
from lowerbound.applications.design.rows import ColumnRows
from lowerbound.applications.design.space import LatentSpace
from lowerbound.data import Dataset
from lowerbound.errors import DataError, MissingExtraError, OptionError, UnsupportedError
from tests.evaluation.small_models import coder, vectors

DIM = 6


def rows(count: int = 400, seed: int = 0) -> Dataset:
    generator = torch.Generator().manual_seed(seed)
    return vectors(torch.randn(count, DIM, generator=generator, dtype=torch.float64))


def column(name: str) -> Any:
    return lambda frame: frame[name].to_numpy()


FIRST = DesignTask((Goal("x0", column("x0")),))


@pytest.fixture(scope="module")
def space() -> LatentSpace:
    return LatentSpace.of(coder(DIM, 0.3), rows(4000))


@pytest.fixture(scope="module")
def designer() -> Designer:
    return Designer.of(coder(DIM, 0.3), rows(), FIRST)


# space --------------------------------------------------------------------------------------------


def test_the_shell_holds_99_percent_of_the_aggregate_posterior(space: LatentSpace) -> None:
    """q(z) = N(0, 1.09 I) here, so lengths follow the chi distribution with DIM degrees."""
    from scipy.stats import chi

    assert space.radius == pytest.approx(chi(DIM).ppf(0.99), rel=0.03)
    assert torch.allclose(space.deviation, torch.tensor(1.09**0.5).double(), rtol=0.05)
    assert space.active == DIM


def test_projected_codes_are_in_the_shell_and_others_stay(space: LatentSpace) -> None:
    z = 5 * torch.randn(200, DIM, dtype=torch.float64)
    projected, outside = space.project(z), space.lengths(z) > space.radius
    assert 20 < outside.sum() < 200
    assert (space.lengths(projected) <= space.radius * (1 + 1e-12)).all()
    assert torch.equal(projected[~outside], z[~outside])
    assert torch.allclose(space.lengths(projected[outside]), torch.tensor(space.radius).double())


def test_log_prior_is_that_of_a_standard_normal(space: LatentSpace) -> None:
    z = torch.randn(3, DIM, dtype=torch.float64)
    expected = -0.5 * z.square().sum(1) - 0.5 * DIM * math.log(2 * math.pi)
    assert torch.allclose(space.log_prior(z), expected)


def test_a_collapsed_model_is_refused_with_its_numbers() -> None:
    words = rf"collapsed: 0 of {DIM} latent units are active .* by lowerbound fit, with"
    with pytest.raises(DataError, match=words):
        LatentSpace.of(coder(DIM, 0.9, gain=0.01), rows())


# ascent -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ascent_of_a_linear_score_in_a_ball_reaches_its_end(space: LatentSpace) -> None:
    slope = torch.linspace(-1, 2, DIM, dtype=torch.float64)
    start = torch.randn(4, DIM, dtype=torch.float64)
    path = ascend(lambda z: z @ slope, start, space, 2000, 0.2)
    toward = slope * space.deviation
    end = space.center + space.deviation * space.radius * toward / toward.norm()
    assert torch.allclose(path[-1], end.expand(4, -1), atol=1e-6)
    assert (space.lengths(path.flatten(0, 1)) <= space.radius * (1 + 1e-12)).all()


def test_no_steps_return_the_start(space: LatentSpace) -> None:
    start = torch.randn(4, DIM, dtype=torch.float64)
    assert torch.equal(ascend(lambda z: z.sum(1), start, space, 0, 0.2), start.unsqueeze(0))


# goals --------------------------------------------------------------------------------------------


def test_a_target_is_flat_within_its_tolerance() -> None:
    goal = Goal("x", column("x"), target=3.0, tolerance=0.25)
    values = torch.tensor([2.0, 2.75, 3.1, 4.25])
    assert goal.utility(values).tolist() == pytest.approx([-0.75, 0, 0, -1.0])


def test_several_goals_are_weighted_in_standard_deviations() -> None:
    goals = Goal("a", column("a"), weight=2.0), Goal("b", column("b"), "min")
    task = DesignTask(goals).scaled([4.0, 0.5])
    assert task.score(torch.tensor([[8.0, 1.0]])).tolist() == [2 * 8 / 4 - 1 / 0.5]


def test_caution_lowers_a_prediction_and_a_limit_is_penalized() -> None:
    limit = Limit("b", column("b"), high=1.0)
    task = DesignTask((Goal("a", column("a")),), (limit,)).scaled([1.0, 2.0])
    mean, deviation = torch.tensor([[5.0, 1.0], [5.0, 3.0]]), torch.full((2, 2), 0.5)
    assert task.cautious(mean, deviation, 2.0).tolist() == [4.0, 4.0 - 2 * 2 / 2]


def test_both_ends_of_a_range_are_in_it() -> None:
    limit = Limit("b", column("b"), 0.0, 1.0)
    assert limit.problem(0.0) == limit.problem(1.0) == ""
    assert limit.problem(-0.1) == "b -0.1 is below 0"
    assert limit.problem(1.1) == "b 1.1 is above 1"
    assert limit.problem(float("nan")) == "b has no value"


def test_empty_ranges_and_goals_are_refused() -> None:
    with pytest.raises(OptionError, match="the range of b, 2 to 1, is empty"):
        Limit("b", column("b"), 2.0, 1.0)
    with pytest.raises(OptionError, match="needs a goal"):
        DesignTask(())


# head ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_head_of_a_linear_quantity_is_exact_and_covers() -> None:
    z = torch.randn(3000, DIM, dtype=torch.float64)
    noise = 0.5 * torch.randn(3000, dtype=torch.float64)
    values = torch.stack([z[:, 0] + noise, 2 * z[:, 1]], 1)
    found = fit_head(z, values, ("noisy", "exact"))
    noisy, exact = found.quality
    assert noisy.r_squared == pytest.approx(1 / 1.25, abs=0.06)
    assert exact.r_squared > 0.99
    assert 0.85 < noisy.coverage < 0.95
    mean, deviation = found.head(torch.zeros(1, DIM, dtype=torch.float64))
    assert deviation[0, 0] == pytest.approx(0.5, rel=0.15)
    assert abs(float(mean[0, 1])) < 0.1


@pytest.mark.slow
def test_the_head_learns_what_is_not_linear() -> None:
    z = torch.randn(3000, DIM, dtype=torch.float64)
    found = fit_head(z, (z[:, :1].square() + z[:, 1:2]), ("curved",))
    assert found.quality[0].r_squared > 0.9


def test_rows_without_a_value_are_left_out_and_too_few_are_refused() -> None:
    z = torch.randn(100, DIM, dtype=torch.float64)
    values = torch.full((100, 1), math.nan, dtype=torch.float64)
    values[:30, 0] = z[:30, 0]
    assert fit_head(z, values, ("x",)).quality[0].rows == 5
    values[10:] = math.nan
    with pytest.raises(DataError, match="10 rows have values of x"):
        fit_head(z, values, ("x",))


# oracle -------------------------------------------------------------------------------------------


def judge(function: Any, given: Sequence[tuple[float, ...]], calls: int = 100) -> Any:
    form = ColumnRows(rows().schema)
    oracle = Oracle(DesignTask((Goal("f", function),)), form, calls)
    return oracle, [oracle.judge(row) for row in given]


def row(first: float) -> tuple[float, ...]:
    return (first, *[0.0] * (DIM - 1))


def test_an_object_is_called_once() -> None:
    counted = []

    def function(frame: Any) -> Any:
        counted.append(len(frame))
        return frame["x0"]

    oracle, outcomes = judge(function, [row(1.0), row(2.0), row(1.0), row(2.0), row(3.0)])
    assert oracle.called == sum(counted) == 3
    assert [outcome.call for outcome in outcomes] == [1, 2, 1, 2, 3]
    assert [outcome.score for outcome in outcomes] == [1, 2, 1, 2, 3]


def test_scores_have_all_their_digits() -> None:
    _, (outcome,) = judge(lambda frame: frame["x0"] / 3, [row(0.1)])
    assert outcome.score == 0.1 / 3


def test_failures_are_kept_with_their_reason() -> None:
    def function(frame: Any) -> Any:
        if frame["x0"][0] < 0:
            raise ValueError("negative")
        return frame["x0"].where(frame["x0"] < 5)

    oracle, outcomes = judge(function, [row(-1.0), row(1.0), row(6.0)])
    assert [outcome.reason for outcome in outcomes] == ["f: ValueError: negative", "", "f is nan"]
    assert [math.isnan(outcome.score) for outcome in outcomes] == [True, False, True]
    assert oracle.called == 3


def test_a_search_stops_after_twenty_failures_in_a_row() -> None:
    def function(frame: Any) -> Any:
        return [math.nan if frame["x0"][0] else 1.0]

    given = [row(float(i)) for i in range(1, 20)]
    judge(function, [*given, row(0.0), *[row(-i) for i in range(1, 20)]])[0].check_failures()
    oracle, _ = judge(function, [*given, row(20.0)])
    with pytest.raises(DataError, match="no value in 20 calls in a row; the last time: f is nan"):
        oracle.check_failures()


def test_all_calls_before_a_stop_are_in_the_result() -> None:
    def function(frame: Any) -> Any:
        return frame["x0"] if len(frame) > 1 else [math.nan]

    designer = Designer.of(coder(DIM, 0.3), rows(100), DesignTask((Goal("f", function),)))
    found = designer.search(SearchOptions(calls=40))
    assert "no value in 20 calls in a row" in str(found.stopped)
    assert found.called == sum(c.outcome.call > 0 for c in found.candidates) == 20


def test_limits_are_checked_before_the_goal_is_called() -> None:
    limit = Limit("x1", column("x1"), low=1.0)
    oracle = Oracle(DesignTask((Goal("x0", column("x0")),), (limit,)), ColumnRows(rows().schema), 9)
    outcome = oracle.judge(row(1.0))
    assert (outcome.reason, outcome.call, oracle.called) == ("x1 0 is below 1", 0, 0)


@pytest.mark.parametrize(
    ("answer", "returned"),
    [
        (["a"], r"text \('a'\)"),
        (["a" * 99], rf"text \('{'a' * 30}'\)"),
        ([[1.0, 2.0]], "2 numbers for 1 row"),
        ("text", r"text \('text'\)"),
        (object(), "a value of type object"),
        ([{}], "a value of type dict"),
    ],
)
def test_what_is_no_number_is_refused(answer: Any, returned: str) -> None:
    message = f"^f returned {returned}, and an objective is a number for each row$"
    with pytest.raises(OptionError, match=message):
        judge(lambda frame: answer, [row(1.0)])


def test_one_number_for_many_rows_is_refused() -> None:
    task = DesignTask((Goal("f", lambda frame: 3.0),))
    with pytest.raises(OptionError, match="f returned 1 number for 2 rows"):
        values_of(task, ColumnRows(rows().schema), [row(1.0), row(2.0)])


def test_values_of_known_rows_survive_one_that_fails() -> None:
    def function(frame: Any) -> Any:
        if (frame["x0"] == 2).any():
            raise ValueError
        return frame["x0"]

    task = DesignTask((Goal("f", function),))
    found = values_of(task, ColumnRows(rows().schema), [row(1.0), row(2.0), row(3.0)])
    assert found[:, 0].nan_to_num(nan=-1).tolist() == [1, -1, 3]


def test_an_objective_without_values_is_refused_with_the_reason() -> None:
    def function(frame: Any) -> Any:
        raise ValueError("no furnace")

    for objective, reason in (
        (function, "ValueError: no furnace"),
        (lambda frame: frame["x0"] * math.nan, "f is nan"),
    ):
        with pytest.raises(DataError, match=f"on any of 2 rows; the last time: .*{reason}"):
            values_of(
                DesignTask((Goal("f", objective),)),
                ColumnRows(rows().schema),
                [row(1.0), row(2.0)],
            )


# result -------------------------------------------------------------------------------------------


def test_auc_of_the_top_two_by_hand() -> None:
    """Means after 1, 2, 3 calls: .5, .6, .8; trapezoids .25 + .55 + .7; then two calls of .8."""
    assert auc_top([0.5, 0.7, 0.9], 5, top=2) == pytest.approx((0.25 + 0.55 + 0.7 + 1.6) / 5)
    # every second call: 0 to .6 over two calls, .6 to .8 over one
    assert auc_top([0.5, 0.7, 0.9], 5, every=2, top=2) == pytest.approx((0.6 + 0.7 + 1.6) / 5)
    assert auc_top([math.nan, 1.0], 2) == pytest.approx(0.25)
    assert auc_top([], 2) == 0


# searches -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in METHODS if name != "mutation"])
def test_every_method_keeps_its_promises(designer: Designer, method: str) -> None:
    options = SearchOptions(method=method, calls=20, batch=7)
    result = designer.search(options)
    assert result.called == 20
    if method != "known":  # known rows are not moved
        assert max(c.length for c in result.candidates) <= designer.space.radius * (1 + 1e-9)
    table, again = result.table, designer.search(options)
    assert table.equals(again.table)
    # x = z for this model, so that the true score is the first number of the code
    assert (table["x0"] - table["z1"]).abs().max() < 1e-9
    assert (table["score"] - table["x0"]).abs().max() < 1e-9
    assert abs(result.gap) < 0.2
    distinct = table.loc[~table["repeated"], "score"]
    assert list(result.best(3)["score"]) == sorted(distinct)[:-4:-1]


@pytest.mark.slow
def test_the_gradient_beats_random_search_at_equal_calls(designer: Designer) -> None:
    found = {
        method: designer.search(SearchOptions(method=method, calls=60, seed=1))
        for method in ("gradient", "random", "prior")
    }
    assert found["gradient"].auc_top10 > found["random"].auc_top10 + 0.2
    assert found["random"].auc_top10 > found["prior"].auc_top10 + 0.2
    assert float(found["gradient"].best(1)["score"][0]) > 0.9 * designer.space.radius


@pytest.mark.slow
def test_limits_hold_and_novel_rows_are_new() -> None:
    limit = Limit("x1", column("x1"), -0.5, 0.5)
    limited = Designer.of(coder(DIM, 0.3), rows(), DesignTask(FIRST.goals, (limit,)))
    result = limited.search(SearchOptions(calls=30))
    assert result.best(30)["x1"].abs().max() <= 0.5
    known = limited.search(SearchOptions(method="known", calls=30, novel=True))
    assert known.called == 0
    assert set(known.table["rejected"]) == {"it is one of the known rows"}


@pytest.mark.slow
def test_a_search_may_have_limits_of_its_own(designer: Designer) -> None:
    limit = Limit("x1", column("x1"), -0.5, 0.5)
    start = int(designer.space.codes[:, 1].abs().argmin())
    result = designer.search(SearchOptions(calls=30), starts=[start], limits=[limit])
    assert result.best(30)["x1"].abs().max() <= 0.5
    table = result.table
    assert not (table["rejected"].astype(bool) | table["repeated"]).any()  # screened before
    assert table["x1_goal_predicted"].isna().all()
    assert table["x0_goal_predicted"].notna().all()
    never = Limit("x1", column("x1"), 90.0, 91.0)
    none = designer.search(SearchOptions(calls=5), starts=[start], limits=[never])
    assert none.called == 0
    assert none.best(3).empty
    assert none.table["rejected"].str.startswith("x1").all()


def test_methods_without_a_screen_keep_rejected_rows_with_the_reason(designer: Designer) -> None:
    limit = Limit("x1", column("x1"), -0.5, 0.5)
    table = designer.search(SearchOptions(method="random", calls=30), limits=[limit]).table
    assert table["rejected"].astype(bool).any()
    assert (table["rejected"].str.startswith("x1") == (table["x1"].abs() > 0.5)).all()


def test_equal_scores_start_in_random_order(designer: Designer) -> None:
    """A target that many rows reach is searched from all of them."""
    codes, scores = designer.space.codes[:50], torch.zeros(50, dtype=torch.float64)
    scores[:10] = 1.0
    nothing = codes[:0], scores[:0]

    def searched(seed: int) -> list[torch.Tensor]:
        search = Search(
            designer.space, lambda z: z[:, 0], lambda z, n: z[:n], codes, scores, [], False,
            torch.Generator().manual_seed(seed), 5,
        )  # fmt: skip
        return [search.best(*nothing, 5) for _ in range(2)]

    first, second = searched(0)
    assert not torch.equal(first, second)
    torch.manual_seed(1)  # which a search does not ask
    assert all(map(torch.equal, searched(0), (first, second)))
    assert not all(map(torch.equal, searched(1), (first, second)))
    for chosen in (first, second):
        assert torch.cdist(chosen, codes[:10]).min(1).values.max() == 0


def test_new_rows_are_those_that_make_a_call() -> None:
    form = ColumnRows(rows().schema)
    limit = Limit("x1", column("x1"), -0.5, 0.5)
    oracle = Oracle(DesignTask(FIRST.goals, (limit,)), form, 10)
    inside, outside = (1.0, 0.0, *[0.0] * (DIM - 2)), (1.0, 2.0, *[0.0] * (DIM - 2))
    assert oracle.new(inside)
    assert not oracle.new(outside)
    assert oracle.called == 0
    assert [oracle.judge(row).call for row in (outside, inside)] == [0, 1]
    assert not oracle.new(inside)


def test_rows_that_the_model_reproduces_are_proposed_first() -> None:
    """Codes decode to whole numbers; odd rows have codes of another row; 8 may not be judged."""

    class Whole:
        project = staticmethod(lambda z: z)
        decode = staticmethod(torch.round)
        encode = staticmethod(lambda x: x + x % 2)

    class Numbers:
        rows = staticmethod(lambda x: x[:, 0].tolist())
        standard = staticmethod(lambda x, rows: x)
        key = staticmethod(lambda row: row)

    designer = SimpleNamespace(space=Whole(), form=Numbers())
    learner = SimpleNamespace(guide=lambda z: z[:, 0])
    screen = _Screen(designer, learner, SimpleNamespace(new=lambda row: row != 8))  # type: ignore[arg-type]
    z = torch.tensor([[5.1], [2.2], [7.0], [4.1], [8.0], [3.9]])
    assert screen(z, 9).flatten().tolist() == pytest.approx([4.1, 2.2, 7.0, 5.1])
    assert screen(z, 1).flatten().tolist() == pytest.approx([4.1])
    assert screen(z[4:5], 3).flatten().tolist() == [8.0]


@pytest.mark.slow
def test_unreachable_limits_are_refused() -> None:
    limit = Limit("x1", column("x1"), 50, 60)
    limited = Designer.of(coder(DIM, 0.3), rows(), DesignTask(FIRST.goals, (limit,)))
    with pytest.raises(DataError, match="none of the known rows meets all limits"):
        limited.search(SearchOptions(calls=30))


@pytest.mark.slow
def test_a_target_is_reached() -> None:
    goal = Goal("x0", column("x0"), target=2.0, tolerance=0.1)
    designer = Designer.of(coder(DIM, 0.3), rows(), DesignTask((goal,)))
    best = designer.search(SearchOptions(calls=40)).best(10)
    assert (best["x0"] - 2).abs().max() <= 0.1


def test_a_constant_objective_is_refused() -> None:
    task = DesignTask((Goal("one", lambda frame: [1.0] * len(frame)),))
    with pytest.raises(
        DataError, match="the objective one is 1 on all of 400 rows: it is constant"
    ):
        Designer.of(coder(DIM, 0.3), rows(), task)


@pytest.mark.slow
def test_given_values_are_not_computed() -> None:
    def function(frame: Any) -> Any:
        assert len(frame) == 1, "known rows have values"
        return frame["x0"]

    data = rows()
    values: Tensor = data.x[:, :1]
    designer = Designer.of(coder(DIM, 0.3), data, DesignTask((Goal("f", function),)), values=values)
    assert designer.search(SearchOptions(calls=5)).called == 5


def test_rows_without_values_are_known_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MOST_KNOWN", 100)
    every, further = rows(400), rows(50, seed=1)
    designer = Designer.of(coder(DIM, 0.3), every, FIRST, known=further)
    assert len(designer.values) == 100
    oracle = designer.oracle(SearchOptions(calls=5, novel=True))
    for dataset in (every, further):
        assert not any(map(oracle.new, designer.form.known(dataset)))
    assert all(map(oracle.new, designer.form.known(rows(50, seed=2))))


def test_molecules_only_for_mutation_and_unknown_methods(designer: Designer) -> None:
    with pytest.raises(OptionError, match="mutation changes molecules, and the rows are not"):
        designer.search(SearchOptions(method="mutation"))
    with pytest.raises(OptionError, match="did you mean 'gradient'"):
        SearchOptions(method="gradiant")


def test_pictures_are_refused() -> None:
    import numpy as np

    from lowerbound.applications.design.rows import row_form
    from lowerbound.data import load

    pictures = load(
        np.zeros((4, 3, 3), dtype=np.uint8) + np.arange(4, dtype=np.uint8)[:, None, None]
    )
    with pytest.raises(UnsupportedError, match="design judges molecules, other texts"):
        row_form(pictures.schema)


@pytest.mark.long
def test_the_head_learns_from_what_a_search_finds() -> None:
    """A score whose shape the few known rows do not show: predictions improve during the search."""

    def kink(frame: Any) -> Any:
        return frame["x0"].where(frame["x0"] < 1.0, 2.0 - frame["x0"]).to_numpy()

    few = rows(40, seed=3)
    designer = Designer.of(coder(DIM, 0.3), few, DesignTask((Goal("kink", kink),)))
    found = designer.search(SearchOptions(calls=200, batch=10)).candidates
    error = [abs(c.predicted - c.score) for c in found]
    first, last = error[:60], error[-60:]
    assert sum(last) / len(last) < 0.5 * sum(first) / len(first)


# Bayesian optimization ----------------------------------------------------------------------------


def test_log_improvement_equals_quadrature() -> None:
    """LogEI of one code: the logarithm of an integral over its Gaussian score."""
    pytest.importorskip("botorch", reason="pip install 'lowerbound[design]'")
    from scipy.integrate import quad
    from scipy.stats import norm

    u = torch.randn(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = torch.randn(30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = -(u - 0.3).square().sum(1) + 0.5 * noise
    acquisition = log_improvement(u, y, seed=0, draws=8192)
    at = torch.tensor([[0.3, 0.3], [0.4, 0.1], [0.0, 0.5]], dtype=torch.float64)
    with torch.no_grad():
        found = acquisition(at.unsqueeze(1))
        posterior = acquisition.model.posterior(at)
    best = float(y.max())
    for value, mean, variance in zip(
        found.tolist(), posterior.mean[:, 0], posterior.variance[:, 0], strict=True
    ):
        center, scale = float(mean), float(variance) ** 0.5
        density = norm(center, scale).pdf
        high = center + 12 * scale
        exact, _ = quad(lambda f, p=density: (f - best) * p(f), best, high, points=[center])
        assert value == pytest.approx(math.log(exact), abs=0.03)


@pytest.mark.long
@pytest.mark.parametrize("method", ["qlogei", "turbo"])
def test_bayesian_search_beats_random_search_at_equal_calls(method: str) -> None:
    pytest.importorskip("botorch", reason="pip install 'lowerbound[design]'")

    def peak(frame: Any) -> Any:  # a narrow one, away from the known rows
        return -((frame["x0"] - 1.5) ** 2 + (frame["x1"] + 1.5) ** 2).to_numpy()

    designer = Designer.of(coder(DIM, 0.3), rows(60), DesignTask((Goal("peak", peak),)))
    found, other = (
        designer.search(SearchOptions(method=name, calls=30)).auc_top10
        for name in (method, "random")
    )
    assert found > other


def test_a_missing_library_is_one_sentence(
    designer: Designer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "botorch", None)
    monkeypatch.setitem(sys.modules, "botorch.models", None)
    with pytest.raises(MissingExtraError, match=r"BoTorch is not installed.*lowerbound\[design\]"):
        designer.search(SearchOptions(method="qlogei", calls=10))
