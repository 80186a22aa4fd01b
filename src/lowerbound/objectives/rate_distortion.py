"""The bound under a target rate, which determines the weight of the KL."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.errors import OptionError
from lowerbound.objectives.base import OBJECTIVES, Bound
from lowerbound.objectives.elbo import ELBO


@OBJECTIVES.register("target_rate")
class TargetRate(ELBO):
    r"""Minimize the distortion subject to a rate of ``target`` nats per example.

    .. math:: \min_\theta \max_\lambda \; D + e^\lambda (R - R^*)

    The dual variable lambda rises while the rate is above the target and falls while it is below
    (Rezende & Viola 2018 constrain the distortion this way). This is the integral part of the
    controller of Shao et al. 2020, in the logarithm of the weight. lambda is saved with the
    checkpoint. The newest weights are kept: the best value belongs to the rate of the ELBO, which
    is another one.

    Args:
        target: R*, nats per example, summed over latents.
        samples: draws of z per row.
        speed: step of the dual variable per update.
        balance: exponent that balances a table's columns in the loss; see ``ELBO``.
    """

    log_weight: Tensor
    judged_by_value = False

    def __init__(
        self,
        *,
        target: float = 10.0,
        samples: int = 1,
        speed: float = 0.01,
        balance: float = 0.0,
    ) -> None:
        super().__init__(samples=samples, balance=balance)
        if target <= 0:
            raise OptionError(f"the target rate must be positive, not {target}")
        self.target = target
        self.speed = speed
        self.register_buffer("log_weight", torch.zeros(()))

    def weight(self) -> Tensor:
        return self.log_weight.exp()

    @torch.no_grad()
    def after_update(self, bound: Bound) -> None:
        relative = (bound.rates.sum(0).mean() - self.target) / self.target
        self.log_weight.add_(self.speed * relative.clamp(-1.0, 1.0)).clamp_(-7.0, 7.0)
