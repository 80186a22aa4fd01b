from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from lowerbound.networks.matrix_products import native_bf16, short_factors, short_layers


def settings() -> list[str]:
    backend: Any = torch.backends.mkldnn
    return [backend.conv.fp32_precision, backend.matmul.fp32_precision]


@pytest.mark.parametrize("channels", [3, 40, 258])
def test_sums_of_whole_numbers_are_exact(channels: int) -> None:
    """A product of whole numbers up to 255 with whole numbers up to 255, in both forms."""
    generator = torch.Generator().manual_seed(0)
    most = min(255, 2**24 // (255 * 9 * channels))
    x = torch.randint(-255, 256, (2, channels, 33, 40), generator=generator).float()
    w = torch.randint(-most, most + 1, (16, channels, 3, 3), generator=generator).float()
    with short_factors():
        sums = F.conv2d(x, w, padding=1)
        products = F.linear(x.movedim(1, -1), w[:, :, 0, 0])
    assert torch.equal(sums.double(), F.conv2d(x.double(), w.double(), padding=1))
    exact = F.linear(x.double().movedim(1, -1), w[:, :, 0, 0].double())
    assert torch.equal(products.double(), exact)


@pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "conv"), reason="torch has no such setting")
def test_the_precision_of_others_comes_back() -> None:
    before = settings()
    with pytest.raises(RuntimeError, match="inside"), short_factors():
        raise RuntimeError("inside")
    assert settings() == before


@pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "conv"), reason="torch has no such setting")
def test_threads_that_overlap_restore_the_precision() -> None:
    before, first, second = settings(), short_factors(), short_factors()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert settings() == before


def test_layers_are_short_where_that_is_fast() -> None:
    with short_layers():
        found = F.linear(torch.ones(4, 4), torch.ones(4, 4))
    assert found.dtype == (torch.bfloat16 if native_bf16() else torch.float32)
