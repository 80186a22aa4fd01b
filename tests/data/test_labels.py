"""Labels of any kind become indices; what is unknown is -1 and what is no class is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.data import encode_labels, load
from lowerbound.data.labels import encode_targets
from lowerbound.errors import DataError


@pytest.mark.parametrize(
    ("values", "indices", "names"),
    [
        ([2, 10, 2], [0, 1, 0], ("2", "10")),
        (np.array([2.0, 10.0, np.nan]), [0, 1, -1], ("2", "10")),
        (["b", "a", "b"], [1, 0, 1], ("a", "b")),
        (["b", None, ""], [0, -1, -1], ("b",)),
        ([True, False], [1, 0], ("False", "True")),
        (torch.tensor([[3], [1]]), [1, 0], ("1", "3")),
        (pd.Series([1, pd.NA, 2], dtype="Int64"), [0, -1, 1], ("1", "2")),
        (pd.Series(["x", None, "y"]), [0, -1, 1], ("x", "y")),
        (pd.Categorical(["u", "v", "u"]), [0, 1, 0], ("u", "v")),
        (np.array([-1, 1, 1]), [0, 1, 1], ("-1", "1")),
    ],
)
def test_labels_become_indices(values: Any, indices: list[int], names: tuple[str, ...]) -> None:
    found, class_names = encode_labels(values)
    assert found.dtype == torch.long
    assert found.tolist() == indices
    assert class_names == names


def test_minus_one_is_unknown_and_counted() -> None:
    with pytest.warns(UserWarning, match="2 of 5 labels are -1"):
        found, names = encode_labels([-1, 0, 1, -1, 2])
    assert found.tolist() == [-1, 0, 1, -1, 2]
    assert names == ("0", "1", "2")


def test_classes_of_an_earlier_fit_keep_their_indices() -> None:
    found, _ = encode_labels(["z", "a"], ("z", "m", "a"))
    assert found.tolist() == [0, 2]
    with pytest.warns(UserWarning, match="labels 'new' are not among the model's classes"):
        found, _ = encode_labels(["z", "new"], ("z", "m", "a"))
    assert found.tolist() == [0, -1]


def test_minus_one_is_a_class_if_it_was_one_in_the_fit() -> None:
    """Also of rows, such as a chunk of a table, in which the other class does not occur."""
    found, _ = encode_labels([-1, -1], ("-1", "1"))
    assert found.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, 1.0], "the label holds numbers such as 0.5, not classes"),
        (np.array([1.25, 2]), "the label holds numbers such as 1.25"),
        (np.zeros((3, 2)), r"one value per row; found shape \(3, 2\)"),
        ([None, ""], "no row has a label"),
    ],
)
def test_what_is_no_label_is_refused(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        encode_labels(values)


def test_classes_that_may_be_typos_are_named() -> None:
    regions = ["INLAND"] * 20 + ["NEAR BAY"] * 20 + ["INLNAD", "inland", "ISLAND 1"]
    with pytest.warns(UserWarning, match="class 'INLNAD' has 1 row and is nearly 'INLAND'") as said:
        rows = load(pd.DataFrame({"x": np.arange(43.0) % 9, "region": regions}), label="region")
    (warning,) = said
    assert "class 'inland' has 1 row and differs from 'INLAND' only in case" in str(warning.message)
    assert "ISLAND" not in str(warning.message)
    assert len(rows.schema.class_names) == 5


@pytest.mark.parametrize(
    "names",
    [
        ["female"] * 9 + ["male"],
        ["grade 1"] * 9 + ["grade 2"],
        ["A"] * 9 + ["a"],
        ["INLAND"] * 9 + ["INLNAD"] * 2,
        ["INLAND"] * 2 + ["INLNAD"],
    ],
)
def test_other_classes_are_no_typos(names: list[str]) -> None:
    load(np.arange(float(len(names)))[:, None], label=names)


def test_later_targets_are_in_the_units_of_the_fit() -> None:
    first, scale = encode_targets([1.0, 3.0, None])
    assert first.tolist()[:2] == [-1.0, 1.0]
    later, same = encode_targets([10.0, 12.0, 2.0], scale)
    assert (later.tolist(), same) == ([8.0, 10.0, 0.0], scale)
    assert scale.restored(later).tolist() == [10.0, 12.0, 2.0]
