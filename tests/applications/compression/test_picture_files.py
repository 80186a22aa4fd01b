"""What a lossy file loses: decibels by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lowerbound.applications.compression.picture_files import MOST, loss_of, psnr


def test_decibels_by_hand() -> None:
    pictures = np.full((3, 4, 5, 3), 100, np.uint8)
    back = pictures.copy()
    back[1] += 10
    back[2] = 0
    expected = [MOST, 20 * math.log10(25.5), 20 * math.log10(2.55)]
    np.testing.assert_allclose(psnr(pictures, back), expected)


def test_pictures_are_compared_as_they_are_written() -> None:
    x = torch.zeros(2, 1, 4, 4)
    loss = loss_of(x, x - 0.2, pictures=True)  # below black, which a file has not
    assert loss.psnr == MOST
    assert "PSNR" in loss.text()


def test_other_rows_have_a_share_of_their_variance() -> None:
    x = torch.tensor([[0.0, 1.0], [2.0, 5.0]])
    assert loss_of(x, x, pictures=False).kept == 1.0
    assert loss_of(x, x.mean(0).expand(2, 2), pictures=False).kept == pytest.approx(0.0)
    half = loss_of(x, x + math.sqrt(2.5 / 2), pictures=False)
    assert half.psnr is None
    assert half.text() == "50.00% of the variance kept"
    assert loss_of(x[:1], x[:1], pictures=False).kept == 1.0
