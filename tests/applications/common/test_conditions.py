"""Labels on the command line are classes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lowerbound.applications.common.conditions import label_indices
from lowerbound.errors import OptionError


def test_a_number_as_label_is_refused_with_the_way_to_give_it() -> None:
    fitted: Any = SimpleNamespace(schema=SimpleNamespace(class_names=(), target=object()))
    with pytest.raises(OptionError, match=r"is a number.*in Python, sample\(y=\.\.\.\) takes"):
        label_indices(fitted, ["1100"])


def test_an_unknown_class_is_refused() -> None:
    fitted: Any = SimpleNamespace(schema=SimpleNamespace(class_names=("a", "b"), target=None))
    assert label_indices(fitted, ["b", "a"]).tolist() == [1, 0]
    with pytest.raises(OptionError, match="unknown class 'c'"):
        label_indices(fitted, ["c"])


def test_a_number_names_the_class_that_equals_it() -> None:
    fitted: Any = SimpleNamespace(schema=SimpleNamespace(class_names=("2", "3"), target=None))
    assert label_indices(fitted, ["3.0", "2"]).tolist() == [1, 0]
    for other in ("3.2", "nan", "inf", "4.0"):
        with pytest.raises(OptionError, match=f"unknown class '{other}'"):
            label_indices(fitted, [other])
