"""The exact posterior of a linear model with a mixture of Gaussians as prior."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowerbound.classical.mixture_em import LinearMixture
from lowerbound.distributions.gaussian_mixture import members


class LinearMixturePosterior(nn.Module):
    """Parameters of p(z | y), row by row; rows with equal gains share matrices.

    It is a module without weights, so that inference measures the memory of its result.
    """

    def forward(
        self, linear: LinearMixture, rows: Tensor, gains: Tensor, group: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Condition each row.

        Args:
            linear: the model.
            rows: y, (rows, features).
            gains: g of each group, (groups, features).
            group: of each row, (rows,).

        Returns:
            log p(y, c), (rows, components), nats; the means, (rows, components, latents); the
            covariances, (groups, components, latents, latents).
        """
        groups = members(group, len(gains))
        parts = [linear.conditioned(rows[own], g) for own, g in zip(groups, gains, strict=True)]
        back = torch.argsort(torch.cat(groups))
        return (
            torch.cat([part.log_joint for part in parts])[back],
            torch.cat([part.loc for part in parts])[back],
            torch.stack([part.covariance for part in parts]),
        )

    def log_evidence(
        self, linear: LinearMixture, rows: Tensor, gains: Tensor, group: Tensor
    ) -> Tensor:
        """log p(y) of the seen cells in nats, (rows,); arguments as for ``forward``."""
        found = torch.empty_like(rows[:, 0])
        for own, gain in zip(members(group, len(gains)), gains, strict=True):
            found[own] = torch.logsumexp(linear.conditioned(rows[own], gain).log_joint, 1)
        return found
