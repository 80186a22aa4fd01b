"""The gated recurrent unit gives torch's numbers."""

from __future__ import annotations

import torch
from torch import nn

from lowerbound.networks.frame_maps import GatedRecurrentUnit


def test_it_is_the_unit_of_torch() -> None:
    own, other = GatedRecurrentUnit(3, 5), nn.GRU(3, 5, batch_first=True)
    with torch.no_grad():
        other.weight_ih_l0.copy_(own.of_input.weight)
        other.weight_hh_l0.copy_(own.of_state.weight)
        other.bias_ih_l0.copy_(own.of_input.bias.normal_())
        other.bias_hh_l0.copy_(own.of_state.bias.normal_())
    x, start = torch.randn(4, 7, 3), torch.randn(4, 5)
    expected, last = other(x, start.unsqueeze(0))
    states = own(x, start)
    assert torch.allclose(states, expected, atol=1e-6)
    assert torch.allclose(own.step(x[:, -1], states[:, -2]), last[0], atol=1e-6)
