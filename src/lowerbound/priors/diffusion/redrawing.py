"""Latents that are drawn again from partial noise, in whole or where nothing holds them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from lowerbound.priors.diffusion.inversion import Inversion
from lowerbound.priors.diffusion.process import Predict


@dataclass(frozen=True)
class Redrawing:
    r"""Noises rows up to a time, and frees them of the noise again.

    .. math:: x_t = \alpha_t x + \sigma_t \epsilon, \qquad \epsilon \sim N(0, I)

    and back by the probability flow (Meng et al. 2022). Numbers that are kept are replaced at every
    time s by \alpha_s x + \sigma_s \epsilon', with new noise. This alone ignores how the others
    depend on them, because the flow sees the kept numbers with noise only. So each step is
    repeated: noise from s up to t, and the flow down again (Lugmayr et al. 2022, with the flow of
    Xu et al. 2023 as step). The error falls as one over the number of rounds. Where noise exceeds
    data (s > a), a step is made once, because the later ones correct it.

    Attributes:
        path: the times, and the flow between them.
        rounds: how often each step is made.
    """

    path: Inversion
    rounds: int

    @torch.no_grad()
    def __call__(self, predict: Predict, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """Rows drawn again, (rows, numbers).

        Args:
            predict: the network, of x_t and one time (1,).
            x: standardized rows, (rows, numbers).
            kept: numbers that stay as they are, (rows | 1, numbers); None: no number.
        """
        noisy = self._noised(x, self.path.times[-1])
        if kept is None:
            return self.path.cleaned(predict, noisy)
        for t, s in pairwise(reversed(self.path.times)):
            for repeat in reversed(range(self._rounds(t))):
                clean = self.path.stepped(predict, noisy, t, s)
                noisy = torch.where(kept, self._noised(x, s), clean)
                if repeat:
                    noisy = self._noised_further(noisy, s, t)
        first = Inversion(self.path.process, self.path.times[:1])
        return torch.where(kept, x, first.cleaned(predict, noisy))

    def _rounds(self, t: int) -> int:
        process = self.path.process
        return self.rounds if process.sigma[t] <= process.alpha[t] else 1

    def _noised(self, x: Tensor, t: int) -> Tensor:
        """x_t of clean rows."""
        process = self.path.process
        return process.alpha[t] * x + process.sigma[t] * torch.randn_like(x)

    def _noised_further(self, x: Tensor, s: int, t: int) -> Tensor:
        """x_t of x_s, s < t."""
        process = self.path.process
        kept = process.alpha[t] / process.alpha[s]
        spread = (process.sigma[t].square() - (kept * process.sigma[s]).square()).sqrt()
        return kept * x + spread * torch.randn_like(x)
