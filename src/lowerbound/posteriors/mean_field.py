"""q(z | x) of a sequence with independent times."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.posteriors.gaussian import GaussianHeads


class MeanField(nn.Module):
    r"""q(z | x) = prod_t N(z_t; mu_t, diag sigma_t^2), by a bidirectional recurrent network.

    .. math::
        e_t = W (x_t, o_t), \quad f_t = \tanh(e_t + F f_{t-1}), \quad b_t = \tanh(e_t + B b_{t+1})

    with o_t the mask of observed cells; f is zero before the start of a sequence and b after its
    end. The two heads at t are linear in f_t, b_t and e_t.

    Args:
        features: numbers of x at a time.
        latent_dim: d, numbers of z at a time.
        hidden: numbers of each of e, f and b.
    """

    def __init__(self, features: int, latent_dim: int, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Linear(2 * features, hidden)
        self.forth = nn.Linear(hidden, hidden, bias=False)
        self.back = nn.Linear(hidden, hidden, bias=False)
        self.leave = nn.Linear(3 * hidden, 2 * latent_dim)
        self.heads = GaussianHeads()

    def forward(self, x: Tensor, observed: Tensor | None, starts: Tensor) -> list[Distribution]:
        """q(z_t | x) of each time, batch shape (1, batch).

        Args:
            x: (batch, time, features), finite.
            observed: like x, False where hidden; None: all cells are observed.
            starts: (batch | 1, time), True where a sequence starts.
        """
        seen = torch.ones_like(x) if observed is None else observed.to(x)
        entered = self.enter(torch.cat([x, seen], -1)).unbind(1)
        goes_on = (~starts).to(x).unsqueeze(-1).unbind(1)
        before = _scan(self.forth, entered, goes_on)
        after = _scan(self.back, entered[::-1], (*goes_on[:1], *goes_on[:0:-1]))[::-1]
        numbers = [torch.cat(each, -1) for each in zip(before, after, entered, strict=True)]
        return [self.heads(self.leave(each).unsqueeze(0)) for each in numbers]


def _scan(
    step: nn.Module, entered: tuple[Tensor, ...], goes_on: tuple[Tensor, ...]
) -> list[Tensor]:
    """Compute h_i = tanh(e_i + g_i W h_{i-1}) for all i in order."""
    found: list[Tensor] = [torch.tanh(entered[0])]
    for each, kept in zip(entered[1:], goes_on[1:], strict=True):
        found.append(torch.tanh(each + kept * step(found[-1])))
    return found
