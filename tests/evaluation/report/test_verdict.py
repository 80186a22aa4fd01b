"""The rules of the verdict, one by one, on made-up figures."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lowerbound.evaluation.likelihood.baselines import NATS, VARIANCE, Margin
from lowerbound.evaluation.report import verdict as rules
from lowerbound.evaluation.report.templates import marked
from lowerbound.evaluation.report.verdict import (
    ACCEPTED,
    BOUND,
    DISTANCES,
    MARK,
    Evidence,
    Flag,
    judge,
)
from lowerbound.inference.estimate import Estimate

INDEPENDENT = Margin("independent columns", NATS, -80.0, -110.0, Estimate(30.0, 0.5))
PCA = Margin("PCA of 8 numbers", NATS, -80.0, -90.0, Estimate(10.0, 0.5))
SHARE = Margin("PCA of 8 numbers", VARIANCE, 0.5, 0.6, Estimate(-0.1, 0.01))
SOUND = Evidence(
    "VAE",
    rows=1_000,
    samples=100,
    bound=Estimate(-80.0, 0.4),
    heavy_tailed=0.02,
    margins=(INDEPENDENT, PCA),
    rising=0.0,
    overfit=1.0,
    active=8,
    units=8,
    accepted=True,
)


def with_difference(margin: Margin, mean: float, error: float = 0.5) -> Margin:
    return replace(margin, difference=Estimate(mean, error))


def quality(*margins: Margin) -> str:
    return judge(replace(SOUND, margins=margins)).quality


@pytest.mark.parametrize(("explained", "asks"), [(-0.1, True), (0.0, True), (0.01, False)])
def test_reconstructions_of_no_use_ask_for_more_training(explained: float, asks: bool) -> None:
    advice = judge(replace(SOUND, explained=explained, margins=())).advice
    assert ("because reconstructions keep none of the variance" in advice) == asks
    assert "asks for a change" in judge(replace(SOUND, explained=math.nan)).advice


def test_a_sound_model_has_three_plain_sentences() -> None:
    found = judge(SOUND)
    assert found.sentences == (
        "Good: on 1,000 held-out rows, VAE reaches −80.00 ± 0.40 nats per row, 30.00 ± 0.50 above "
        "independent columns (−110.00) and 10.00 ± 0.50 above PCA of 8 numbers (−90.00).",
        "Trustworthy: no headline figure of these 1,000 rows is flagged.",
        "Next: use the model, such as with lowerbound sample; no figure here asks for a change.",
    )
    assert found.flags == ()
    assert found.to_mapping()["evidence"]["margins"][0]["baseline"] == -110.0


@pytest.mark.parametrize(
    ("independent", "pca", "word"),
    [
        (30.0, 10.0, "Good"),
        (30.0, 0.9, "Fair"),  # within 1.96 standard errors of 0.5
        (30.0, -10.0, "Not good"),
        (-3.0, 10.0, "Not good"),
        (-3.0, -10.0, "Not good"),
        (0.5, 0.5, "Not good"),
    ],
)
def test_good_is_above_every_baseline(independent: float, pca: float, word: str) -> None:
    margins = with_difference(INDEPENDENT, independent), with_difference(PCA, pca)
    assert quality(*margins).startswith(f"{word}: ")


def test_shares_of_the_variance_are_points() -> None:
    assert quality(INDEPENDENT, SHARE) == (
        "Fair: on 1,000 held-out rows, VAE reaches −80.00 ± 0.40 nats per row, 30.00 ± 0.50 above "
        "independent columns (−110.00); it keeps 50.0% of the variance, 10.00 ± 1.00 points below "
        "PCA of 8 numbers (60.0%)."
    )
    assert quality(SHARE).startswith("Not good: on 1,000 held-out rows, VAE keeps 50.0%")


def test_without_a_baseline_the_reason_is_given() -> None:
    found = judge(replace(SOUND, margins=(), unjudged="the fit is private"))
    assert found.quality == "Not compared with a baseline: the fit is private."


@pytest.mark.parametrize(
    ("changed", "flags"),
    [
        ({"rows": 100}, []),
        ({"rows": 99}, [(BOUND, "only 99 rows"), (ACCEPTED, "only 99 rows")]),
        ({"rows": 99, "accepted": False}, [(BOUND, "only 99 rows")]),
        ({"heavy_tailed": 0.1}, []),
        ({"heavy_tailed": 0.727}, [(BOUND, "72.7% of the rows are heavy-tailed")]),
        ({"effective_low": 1.5}, [(BOUND, "size is 1.5 of 100 draws")]),
        ({"effective_low": 1.5, "heavy_tailed": 0.5}, [(BOUND, "50.0% of the rows")]),
        ({"unseen": False, "accepted": False}, [(BOUND, "fitted to these rows")]),
        (
            {"unseen": False, "accepted": False, "distances": True},
            [(BOUND, "fitted to these rows"), (DISTANCES, "fitted to these rows")],
        ),
        ({"distances": True}, []),
        ({"heavy_tailed": None, "samples": None}, []),
        (
            {"margins": (with_difference(PCA, 0.9),)},
            [("PCA of 8 numbers", "interval of the difference contains zero")],
        ),
    ],
)
def test_flags(changed: dict[str, object], flags: list[tuple[str, str]]) -> None:
    found = judge(replace(SOUND, **changed))  # type: ignore[arg-type]
    assert [flag.figure for flag in found.flags] == [figure for figure, _ in flags]
    for flag, (figure, words) in zip(found.flags, flags, strict=True):
        assert words in flag.reason
        assert words in found.reason(figure)
    assert (MARK in found.trust) == bool(flags)


def test_a_flagged_figure_is_marked_where_it_stands() -> None:
    found = judge(
        replace(SOUND, heavy_tailed=0.727, margins=(INDEPENDENT, with_difference(PCA, 0.5)))
    )
    assert f"nats per row {MARK}, 30.00" in found.quality
    assert f"(−90.00; difference 0.50 ± 0.50) {MARK}." in found.quality
    assert "independent columns (−110.00) and" in found.quality


def test_reasons_of_one_figure_are_one_clause() -> None:
    found = judge(replace(SOUND, rows=20, unseen=False, heavy_tailed=0.5))
    assert found.trust.count("the bound, because") == 1
    same = judge(replace(SOUND, rows=20))
    assert "the bound and the accepted share, because there are only 20 rows" in same.trust


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"unseen": False}, "--part test"),
        ({"rising": 0.31}, "rose by 0.31 nats"),  # more than 1 % of 30 nats
        ({"rising": 0.29}, "use the model"),
        ({"brief": True, "overfit": 50.0, "active": 0}, "train longer"),
        ({"active": 0, "overfit": 50.0}, "no latent unit is active"),
        ({"rising": 1.1, "margins": (PCA,)}, "train longer"),  # no gain to compare it with
        ({"rising": 0.9, "margins": (PCA,)}, "use the model"),
        ({"overfit": 7.6}, "--weight-decay"),  # more than 25 % of 30 nats
        ({"overfit": 7.4}, "use the model"),
        ({"overfit": 1.1, "margins": (PCA,)}, "--weight-decay"),
        ({"overfit": None, "rising": None}, "use the model"),
        ({"margins": (INDEPENDENT, with_difference(PCA, -5.0))}, "another --model"),
        ({"margins": (INDEPENDENT, SHARE)}, "a larger --latent-dim than 8"),
        ({"active": 3}, "--latent-dim 3"),
        ({"active": 4}, "use the model"),
        ({"active": 0}, "objective.warm_up=0.5"),
        ({"heavy_tailed": 0.5}, "--ais-rows 100"),
        ({"effective_low": 1.5}, "--samples 1000"),
        ({"rows": 50}, "--test 0.3"),
        ({"margins": (INDEPENDENT, with_difference(PCA, 0.1))}, "cannot be told apart"),
    ],
)
def test_next_steps(changed: dict[str, object], words: str) -> None:
    assert words in judge(replace(SOUND, **changed)).advice  # type: ignore[arg-type]


def test_a_smaller_code_is_no_advice_where_no_unit_was_active() -> None:
    found = replace(SOUND, active=None, units=None, overfit=22.55)
    assert "--weight-decay 0.01 or a smaller --latent-dim, because" in judge(found).advice
    advice = judge(replace(found, collapsed=True)).advice
    assert "with --weight-decay 0.01, because" in advice
    assert "--latent-dim" not in advice


def test_the_first_step_that_applies_is_given() -> None:
    state = replace(
        SOUND,
        unseen=False,
        rising=5.0,
        overfit=20.0,
        margins=(with_difference(INDEPENDENT, 10.0), with_difference(PCA, -5.0)),
        active=0,
        explained=0.0,
        heavy_tailed=0.5,
        rows=50,
    )
    repairs: tuple[dict[str, object], ...] = (
        {"unseen": True},
        {"rising": None},
        {"active": 1},
        {"explained": 0.5},
        {"overfit": None},
        {"margins": (INDEPENDENT, with_difference(PCA, 0.1))},
        {"active": 8},
        {"heavy_tailed": 0.0},
        {"rows": 1_000},
        {"margins": (INDEPENDENT, PCA)},
    )
    for step, repair in zip(rules.STEPS, repairs, strict=False):
        assert judge(state).advice == step(state) != ""
        state = replace(state, **repair)  # type: ignore[arg-type]
    assert judge(state).advice == rules.STEPS[-1](state)


def test_options_are_code_and_names_are_escaped() -> None:
    text = str(marked(f"fit <x> {MARK} with --latent-dim 3, --part test of lowerbound evaluate."))
    assert "&lt;x&gt;" in text
    for typed in ("--latent-dim 3", "--part test", "lowerbound evaluate"):
        assert f"<code>{typed}</code>" in text
    assert f'<span class="mark">{MARK}</span>' in text


def test_a_verdict_names_its_flags() -> None:
    assert judge(replace(SOUND, rows=5)).flags[0] == Flag(BOUND, "there are only 5 rows")
    assert judge(replace(SOUND, rows=1)).flags[0] == Flag(BOUND, "there is only 1 row")
