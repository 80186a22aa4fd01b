"""Batches are the rows that were asked for, in model units, and cost the global state nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lowerbound.data import Condition, Dataset, load
from lowerbound.data.dataset import joined
from lowerbound.errors import DataError
from lowerbound.trace import Batch

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.integers(0, 256, (20, 5, 4), dtype=np.uint8)
CLASSES = np.array(["b", "a", "c", "a"] * 5)


def labeled() -> Dataset:
    return load(PICTURES, label=CLASSES)


def test_a_batch_has_the_rows_in_model_units() -> None:
    dataset = labeled()
    rows = torch.tensor([3, 0, 3, 19])
    batch = dataset.batch(rows)
    assert batch.x is not None
    assert batch.x.dtype == torch.float32
    np.testing.assert_array_equal(batch.x[:, 0].numpy(), PICTURES[rows].astype(np.float32) / 255)
    assert batch.label is not None
    assert batch.label.tolist() == [0, 1, 0, 0]
    assert batch.ids is rows
    assert batch.condition is None
    assert batch.observed is None


@pytest.mark.usefixtures("untouched_random_state")
def test_nothing_touches_the_global_random_state() -> None:
    dataset = load(PICTURES, binarize="dynamic")
    dataset.batch(torch.arange(5), torch.Generator())
    dataset.batch(torch.arange(5))
    dataset.split(0.3, seed=0)
    dataset.binarized()


def test_a_batch_can_be_changed_without_changing_the_data() -> None:
    for dataset in (load(RANDOM.normal(size=(5, 2))), load(RANDOM.random((5, 2, 2))), labeled()):
        before = dataset.x.clone()
        x = dataset.batch(torch.arange(5)).x
        assert x is not None
        x.zero_()
        assert torch.equal(dataset.x, before)


def test_float64_is_given_in_float64() -> None:
    x = load(RANDOM.normal(size=(5, 2))).all().x
    assert x is not None
    assert x.dtype == torch.float64


def test_a_split_has_every_row_once() -> None:
    dataset = load(PICTURES, label=CLASSES)
    training, validation = dataset.split(0.25, seed=4)
    assert (len(training), len(validation)) == (15, 5)
    rows = torch.cat([training.x, validation.x]).flatten(1).tolist()
    assert sorted(rows) == sorted(dataset.x.flatten(1).tolist())
    again = dataset.split(0.25, seed=4)[1]
    assert torch.equal(again.x, validation.x)
    assert not torch.equal(dataset.split(0.25, seed=5)[1].x, validation.x)


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_neither_part_of_a_split_is_empty(fraction: float) -> None:
    assert min(len(part) for part in load(PICTURES).split(fraction, seed=0)) == 1


def test_one_row_cannot_be_split() -> None:
    with pytest.raises(DataError, match="cannot be split"):
        labeled().subset([0]).split(0.5, seed=0)


def test_a_subset_keeps_all_that_is_known_of_its_rows() -> None:
    whole = Dataset(
        labeled().schema,
        labeled().x,
        observed=torch.arange(20) > 3,
        label=torch.arange(20),
        condition=torch.arange(20.0)[:, None],
        ids=tuple(f"row {i}" for i in range(20)),
    )
    part = whole.subset(np.array([5, 2]))
    assert torch.equal(part.x, whole.x[[5, 2]])
    assert part.ids == ("row 5", "row 2")
    batch = part.batch(torch.tensor([1]))
    assert batch.label is not None
    assert batch.condition is not None
    assert batch.observed is not None
    found = (batch.label.item(), batch.condition.item(), batch.observed.item())
    assert found == (2, 2.0, False)


def with_factors() -> Dataset:
    factors = torch.arange(40).view(20, 2)
    return replace(labeled(), factors=factors, factor_names=("size", "place"))


def test_known_factors_stay_with_their_rows_and_never_reach_a_model() -> None:
    whole = with_factors()
    assert whole.factors is not None
    first, second = whole.split(0.3, seed=1)
    for part in (first, second, whole.subset([3, 1]), replace(whole, label=None)):
        assert part.factors is not None
        assert part.factor_names == ("size", "place")
        for x, factors in zip(part.x, part.factors, strict=True):
            row = int(factors[0]) // 2
            assert torch.equal(x, whole.x[row])
    grey = replace(whole, schema=replace(whole.schema, binarize="dynamic"))
    assert grey.binarized().factors is whole.factors
    assert whole.to("meta").factors.is_meta  # type: ignore[union-attr]
    assert whole.conditioned_on_label().factors is whole.factors
    assert "factors" not in vars(whole.all())
    assert whole.schema == labeled().schema


def test_factors_have_names() -> None:
    with pytest.raises(DataError, match=r"factors of shape \(20, 2\) with 1 names"):
        replace(with_factors(), factor_names=("size",))


@pytest.mark.parametrize("name", ["label", "observed", "condition", "ids", "factors"])
def test_what_is_known_has_one_entry_per_row(name: str) -> None:
    with pytest.raises(DataError, match=f"20 rows of data but 3 of {name}"):
        Dataset(labeled().schema, labeled().x, **{name: torch.zeros(3)})


def test_a_conditional_batch_carries_its_class() -> None:
    dataset = labeled().conditioned_on_label()
    assert dataset.schema.condition == Condition("label", 3)
    batch = dataset.batch(torch.tensor([0, 1, 2]))
    assert batch.condition is not None
    assert batch.condition.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_a_conditional_model_needs_every_label() -> None:
    with pytest.raises(DataError, match="needs labels"):
        load(PICTURES).conditioned_on_label()
    partly = labeled().with_labels(["a", None, "b", ""] * 5)
    with pytest.raises(DataError, match="no class is known for rows 1, 3, 5, 7, 9 and 5 more"):
        partly.conditioned_on_label()


def test_labels_can_be_given_later() -> None:
    dataset = load(PICTURES).with_labels(CLASSES)
    assert dataset.schema.class_names == ("a", "b", "c")
    with pytest.raises(DataError, match="20 rows of data but 2 of label"):
        dataset.with_labels([1, 2])


def test_rows_can_be_held_on_another_device() -> None:
    moved = labeled().to("meta")
    assert moved.x.is_meta
    assert moved.label is not None
    assert moved.label.is_meta
    assert moved.schema == labeled().schema


def test_everything_fits_in_one_batch() -> None:
    batch = labeled().all()
    assert isinstance(batch, Batch)
    assert len(batch) == 20


def test_rows_of_two_parts_keep_what_both_know() -> None:
    whole = labeled()
    first, second = whole.subset([3, 1]), replace(whole.subset([7]), label=None)
    seen = torch.ones_like(first.x, dtype=torch.bool)
    seen[0] = False
    both = joined([replace(first, observed=seen), second])
    assert torch.equal(both.x, whole.x[[3, 1, 7]])
    assert torch.equal(both.mask, torch.cat([seen, torch.ones_like(seen[:1])]))
    assert both.label is None
    assert torch.equal(joined([first, first]).label, whole.label[[3, 1, 3, 1]])  # type: ignore[index, arg-type]
    assert joined([first, second]).observed is None


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5])
def test_tiles_of_a_picture_stay_together(share: float) -> None:
    pictures = torch.arange(12).repeat_interleave(torch.arange(1, 13))
    ids = tuple(f"p{picture}.png:{row},8" for row, picture in enumerate(pictures.tolist()))
    rows = replace(load(np.zeros((len(ids), 1, 4, 4), np.uint8)), ids=ids)
    first, second = ({name.split(":")[0] for name in part.ids} for part in rows.split(share, 0))
    assert not first & second
    assert len(first | second) == 12
    parts = rows.split(share, 0)
    assert min(len(part) for part in parts) > 0
    assert sum(len(part) for part in parts) == len(ids)
    assert round(share * len(ids)) <= len(parts[1]) <= 2 * max(1, round(share * len(ids)))


@pytest.mark.parametrize("pictures", [1, 2])
def test_tiles_of_few_pictures_are_split(pictures: int) -> None:
    ids = tuple(f"p{row % pictures}.png:{row},8" for row in range(10))
    rows = replace(load(np.zeros((10, 1, 4, 4), np.uint8)), ids=ids)
    assert [len(part) for part in rows.split(0.2, 0)] == [8, 2]
