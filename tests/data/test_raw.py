"""Bits follow their grey value; those that are scored follow seed and row and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lowerbound.data import Dataset, load, require_binary
from lowerbound.data.raw import drawn_bits, keyed_bits
from lowerbound.errors import DataError


def greys() -> Dataset:
    pictures = np.random.default_rng(0).integers(0, 256, (40, 6, 7), dtype=np.uint8)
    pictures[0, 0, :2] = (0, 255)
    return load(pictures, binarize="dynamic")


def bits(dataset: Dataset, rows: Tensor, noise: torch.Generator | None = None) -> Tensor:
    x = dataset.batch(rows, noise).x
    assert x is not None
    return x


def frequencies_fit(bits: Tensor, probability: Tensor) -> None:
    """Each mean over the first axis lies within 5 standard errors of its probability."""
    error = (probability * (1 - probability) / len(bits)).sqrt()
    assert ((bits.mean(0) - probability).abs() <= 5 * error + 1e-9).all()


@pytest.mark.parametrize("white", [255, 16, 65535])
def test_drawn_bits_are_one_as_often_as_their_grey_value_says(white: int) -> None:
    codes = torch.linspace(0, white, 18).round().to(torch.int32 if white > 255 else torch.uint8)
    drawn = drawn_bits(codes.expand(20_000, 18).contiguous(), white, torch.Generator())
    frequencies_fit(drawn, codes.double() / white)
    assert not drawn[:, 0].any()
    assert drawn[:, -1].all()


def test_drawn_bits_of_floats_keep_their_precision() -> None:
    grey = torch.tensor([0.0, 0.1, 0.5, 0.93, 1.0], dtype=torch.float64)
    before = grey.clone()
    drawn = drawn_bits(grey.expand(20_000, 5).contiguous(), 1, torch.Generator())
    assert drawn.dtype == torch.float64
    frequencies_fit(drawn, grey)
    assert torch.equal(grey, before)


def test_drawn_bits_of_neighbors_are_independent() -> None:
    """Four bits come out of one random word: their correlations are those of noise."""
    drawn = drawn_bits(torch.full((40_000, 8), 0.5), 1, torch.Generator())
    correlation = torch.corrcoef(drawn.T) - torch.eye(8)
    assert correlation.abs().max() < 5 / 200


def test_keyed_bits_are_one_as_often_as_their_grey_value_says() -> None:
    codes = torch.tensor([0, 1, 60, 128, 200, 254, 255], dtype=torch.uint8)
    other = torch.cartesian_prod(*[torch.arange(0, 200, dtype=torch.uint8)] * 2)  # rows differ
    drawn = keyed_bits(torch.cat([codes.expand(len(other), 7), other], dim=1), 255)
    frequencies_fit(drawn[:, :7], codes.double() / 255)
    assert not torch.equal(
        drawn, keyed_bits(torch.cat([codes.expand(40_000, 7), other], 1), 255, 1)
    )


def test_new_bits_at_each_visit_and_the_generator_moves() -> None:
    dataset, noise = greys(), torch.Generator().manual_seed(3)
    rows = torch.arange(40)
    first, second = bits(dataset, rows, noise), bits(dataset, rows, noise)
    assert not torch.equal(first, second)
    assert torch.equal(first, bits(dataset, rows, torch.Generator().manual_seed(3)))


def test_scored_bits_depend_on_the_row_alone() -> None:
    dataset = greys()
    everything = bits(dataset, torch.arange(40))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    assert torch.equal(bits(dataset, order), everything[order])
    assert torch.equal(bits(dataset, torch.tensor([7])), everything[7:8])
    assert torch.equal(bits(dataset.subset([7, 3]), torch.tensor([1])), everything[3:4])


def test_scored_bits_do_not_depend_on_how_the_data_is_held() -> None:
    dataset = greys()
    floats = load(dataset.x.numpy()[:, 0] / 255.0, binarize="dynamic")
    rows = torch.arange(40)
    assert torch.equal(bits(floats, rows).float(), bits(dataset, rows))


def test_chunks_do_not_change_the_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = greys().x
    whole = keyed_bits(codes, 255, 5)
    monkeypatch.setattr("lowerbound.data.raw._CHUNK", 100)
    assert torch.equal(keyed_bits(codes, 255, 5), whole)


def test_fixed_bits_are_those_that_are_scored_and_have_a_hash() -> None:
    dataset = greys()
    fixed = dataset.binarized()
    rows = torch.arange(40)
    assert torch.equal(bits(fixed, rows), bits(dataset, rows))
    assert torch.equal(bits(fixed, rows, torch.Generator()), bits(dataset, rows))
    assert fixed.x.dtype == torch.uint8
    assert fixed.bits_sha256 == dataset.binarized(0).bits_sha256
    assert fixed.bits_sha256 != dataset.binarized(1).bits_sha256
    assert fixed.bits_sha256 != fixed.subset(range(39, -1, -1)).bits_sha256
    with pytest.raises(DataError, match="binarized"):
        dataset.bits_sha256  # noqa: B018


def test_fixed_bits_come_back_as_black_and_white() -> None:
    fixed = greys().binarized()
    decoded = fixed.schema.decode(fixed.schema.units(fixed.x))
    assert set(np.unique(decoded)) == {0, 255}


def test_the_threshold_is_half_of_white() -> None:
    pictures = np.array([[[0, 127, 128, 255]]], dtype=np.uint8)
    dataset = load(pictures, binarize="threshold")
    expected = torch.tensor([0.0, 0.0, 1.0, 1.0]).reshape(1, 1, 1, 4)
    assert torch.equal(bits(dataset, torch.tensor([0])), expected)
    assert torch.equal(dataset.schema.encode(pictures), expected)
    assert torch.equal(dataset.binarized().x.float(), expected)


def test_bits_need_no_binarization() -> None:
    dataset = load(np.eye(4, dtype=np.uint8)[None], binarize="dynamic")
    assert dataset.schema.binarize == "none"
    assert dataset.binarized() is dataset


def test_flat_pictures_keep_their_constant_cells_when_binarized() -> None:
    flat = np.random.default_rng(0).integers(0, 256, (30, 12), dtype=np.uint8)
    flat[:, 0] = 0
    dataset = load(flat, binarize="dynamic")
    assert dataset.schema.event_shape == (12,)
    assert dataset.x.dtype == torch.uint8
    assert bits(dataset, torch.arange(30)).shape == (30, 12)


def test_measurements_cannot_be_binarized() -> None:
    with pytest.raises(DataError, match=r"must lie in \[0, 1\]"):
        load(np.random.default_rng(0).normal(size=(9, 3)), binarize="dynamic")


def test_grey_values_are_refused_where_bits_are_needed() -> None:
    pictures = np.zeros((3, 2, 2), dtype=np.uint8)
    pictures[0, 0, 0], pictures[2, 1, 0] = 255, 51
    with pytest.raises(DataError, match=r"such as 0.2 in row 2.*binarize='dynamic' or 'threshold'"):
        require_binary(load(pictures))
    require_binary(load(pictures, binarize="dynamic"))
    require_binary(load(pictures, binarize="threshold"))
    require_binary(load(pictures // 255))
