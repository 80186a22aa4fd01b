r"""What a world model predicts of a state besides its frame: the reward, and whether it goes on.

.. math:: p(r, c \mid s) = p(r \mid s)\, \mathrm{Bernoulli}(c; \sigma(l(s)))

r is the reward of arriving at the state, a distribution over exponentially spaced values, and c is
1 unless the episode terminates there. Source: Hafner et al. 2021 and 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.distributions.two_hot import VALUES, TwoHot
from lowerbound.networks.mlp import normalized_layers

COUNT = 2  # numbers of an outcome: reward, goes on


class Outcomes(nn.Module):
    """p(reward, goes on | state).

    Args:
        features: numbers of a state.
        width: of the hidden layer of each.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.of_reward = normalized_layers(features, width, 1, VALUES)
        self.of_end = normalized_layers(features, width, 1, 1)

    def reward(self, features: Tensor) -> TwoHot:
        """p(r | s), batch shape (...), for states (..., features)."""
        return TwoHot(self.of_reward(features))

    def goes_on(self, features: Tensor) -> Tensor:
        """The logit of c = 1, (...)."""
        logit: Tensor = self.of_end(features).squeeze(-1).float()
        return logit

    def log_prob(self, features: Tensor, outcomes: Tensor) -> Tensor:
        """log p(r, c | s) of what is known, (...), nats.

        Args:
            features: (..., features).
            outcomes: (..., 2), NaN where unknown.
        """
        known = ~outcomes.isnan()
        reward, on = torch.where(known, outcomes, 0.0).unbind(-1)
        reward, on = torch.broadcast_tensors(reward, on)
        wide = features.shape[:-1]
        terms = torch.stack(
            [
                self.reward(features).log_prob(reward.expand(wide)),
                -F.binary_cross_entropy_with_logits(
                    self.goes_on(features), on.expand(wide), reduction="none"
                ),
            ],
            -1,
        )
        return torch.where(known, terms, 0.0).sum(-1)
