from __future__ import annotations

import torch
from scipy.fft import dctn

from lowerbound.networks.restoration import window_cosines


def test_cosines_are_orthonormal_and_scipys() -> None:
    flat = window_cosines(3, 8).flatten(1)
    assert torch.allclose(flat @ flat.T, torch.eye(len(flat)), atol=1e-5)
    window = torch.randn(3, 8, 8)
    expected = torch.from_numpy(dctn(window.double().numpy(), norm="ortho")).float()
    assert torch.allclose(flat @ window.flatten(), expected.flatten(), atol=1e-5)
