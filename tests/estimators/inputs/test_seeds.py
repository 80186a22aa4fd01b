from __future__ import annotations

import numpy as np
import pytest

from lowerbound.applications.common.estimators.inputs import new_seed


def test_an_integer_is_itself() -> None:
    assert new_seed(7) == 7
    assert new_seed(np.int64(7)) == 7


def test_nothing_is_something_new_each_time(untouched_random_state: None) -> None:
    assert len({new_seed(None) for _ in range(5)}) == 5


@pytest.mark.parametrize("kind", [np.random.RandomState, np.random.default_rng])
def test_generators_move_on(kind: type[np.random.RandomState]) -> None:
    first, second = kind(0), kind(0)
    seeds = [new_seed(first) for _ in range(3)]
    assert seeds == [new_seed(second) for _ in range(3)]
    assert len(set(seeds)) == 3


def test_what_is_no_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be used to seed"):
        new_seed("seven")
