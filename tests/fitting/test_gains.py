"""The comparison of a prior with the former one, and the warning if it is worse."""

from __future__ import annotations

from typing import Any

import pytest

from lowerbound.fitting.gains import comparison, warning_if_worse

FACTS = {"density": "exact", "former_density": "exact", "former_kind": "flow"}


def facts(after: float | None, error: float | None, held_out: int = 20, **others: str) -> Any:
    measured = {"validation": after, "former": -3.0, "error": error, "held_out": held_out}
    return {**FACTS, **measured, **others}


@pytest.mark.parametrize(("after", "error"), [(-2.0, 0.1), (-3.05, 0.1), (-2.9, None), (None, 0.1)])
def test_a_prior_that_is_not_worse_beyond_its_error_has_no_warning(
    after: float | None, error: float | None
) -> None:
    assert warning_if_worse(facts(after, error)) == ""


@pytest.mark.parametrize("error", [0.1, None])
def test_a_worse_prior_has_a_warning(error: float | None) -> None:
    said = warning_if_worse(facts(-5.09, error))
    assert said.startswith("warning: the new prior is worse than the former on held-out rows by ")
    assert "by 2.09 nats per row: train longer; with -o" in said
    bound = warning_if_worse(facts(-5.09, error, density="bound"))
    assert "by 2.09 nats per row (or less, because its log p(z) is a lower bound)" in bound


def test_the_words_say_why_there_is_no_standard_error() -> None:
    few = "difference -2.09 (no standard error, because only one row or one episode was held out)"
    assert comparison(facts(-5.09, None, 1)).endswith(few)
    assert comparison(facts(-5.09, 0.5)).endswith("difference -2.09 ± 0.50")
