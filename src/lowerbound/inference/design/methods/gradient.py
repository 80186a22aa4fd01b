r"""Ascent of the guide from the best codes, inside the shell.

In standardized codes u = (z - c) / s a step has a fixed length,

.. math:: u \leftarrow \Pi\left(u + \eta\, \nabla g(u) / |\nabla g(u)|\right),

with the projection to the shell. In a ball of radius R a linear g with slope w leads to R w / |w|.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lowerbound.inference.design.methods.base import METHODS, Guide, Proposals, SearchMethod
from lowerbound.inference.design.space import LatentSpace

SCREENED = 32  # ascents for each proposal
STEPS, LENGTH = 20, 0.1  # of an ascent, in standardized codes
JITTER = 1.0  # largest noise at the start, in standard deviations


@METHODS.register("gradient")
class GradientAscent(SearchMethod):
    """Ascends from the best codes with some noise, and stops each after a random number of steps.

    Short ascents keep near known rows, where predictions hold; long ones reach farther. Of several
    ends those are proposed whose decoded rows may be judged and have the best prediction: a row may
    differ from what its code promises.
    """

    def propose(self, z: Tensor, scores: Tensor, rows: Sequence[Any]) -> Proposals:
        search, space = self.search, self.search.space
        count = SCREENED * search.batch
        best = search.best(z, scores, search.batch)
        starts = best[torch.arange(count) % len(best)]
        size = JITTER * search.uniform(count, 1) * space.deviation
        starts = starts + size * search.normal(*starts.shape)
        path = ascend(search.guide, starts, space, STEPS, LENGTH)
        ends = path[search.whole(STEPS + 1, count), torch.arange(count)]
        return Proposals(search.screen(ends, search.batch))


def ascend(guide: Guide, z: Tensor, space: LatentSpace, steps: int, length: float) -> Tensor:
    """The path of an ascent, (steps + 1, rows, latent_dim); its first points are the starts.

    Args:
        guide: what is ascended.
        z: starts, (rows, latent_dim).
        space: center, deviation and shell.
        steps: number of steps.
        length: of a step in standardized codes.
    """
    path = [z]
    for _ in range(steps):
        with torch.enable_grad():
            here = path[-1].detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(guide(here).sum(), here)
        slope = slope * space.deviation  # of standardized codes
        unit = slope / slope.norm(dim=1, keepdim=True).clamp_min(1e-300)
        path.append(space.project(path[-1] + length * space.deviation * unit))
    return torch.stack(path)
