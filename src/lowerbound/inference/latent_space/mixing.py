r"""Style mixing: the coarse latents of one row, the fine ones of another.

.. math::
    z_{<c} = z_{<c}(A), \qquad z_l \sim q(z_l \mid z_{<l}, B) \text{ for } l \ge c

B's posterior is computed again at every level below the cut, given A's latents, so the details of B
fit to A. Source: Karras et al. 2019 for the matrix of rows and columns.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.errors import OptionError
from lowerbound.inference.passes import batches, evaluation_mode
from lowerbound.models import Mixes, Model, require
from lowerbound.trace import Mean

ROWS_AT_ONCE = 256


def mix_rows(model: Model, coarse: Dataset, fine: Dataset, cut: int | None = None) -> Tensor:
    """Decoder means of every pair of rows, (rows of coarse, rows of fine, *event), model units.

    Args:
        model: one with several levels, whose posterior conditions on the levels above.
        coarse: A, which supplies the latents above the cut.
        fine: B, whose posterior supplies those below it.
        cut: number of levels from A, from the coarsest down; None: ``coarse_levels``.

    Raises:
        UnsupportedError: the model has one latent, or a chain whose posterior ignores upper levels.
        OptionError: the cut leaves no level for one of the two.
    """
    mixes = require(model, Mixes, "mix styles")
    cut = coarse_levels(mixes) if cut is None else cut
    levels = len(mixes.latent_shapes)
    if not 1 <= cut < levels:
        raise OptionError(f"the cut lies between 1 and {levels - 1}, not at {cut}")
    above = _latents(model, coarse, cut)
    return torch.stack(
        [_row(mixes, model, [z[:, i : i + 1] for z in above], fine) for i in range(len(coarse))]
    )


def coarse_levels(model: Mixes) -> int:
    """The number of levels above the style; without a style, of those of the coarsest resolution.

    A style is a last latent of fewer pixels than the one before it. If all levels have the same
    resolution, one level is coarse.
    """
    sizes = [shape[1:] for shape in model.latent_shapes]
    if len(sizes) > 1 and math.prod(sizes[-1]) < math.prod(sizes[-2]):
        return len(sizes) - 1
    count = sizes.count(sizes[0])
    return count if count < len(sizes) else 1


def _latents(model: Model, dataset: Dataset, cut: int) -> list[Tensor]:
    """Posterior means of the uppermost levels, (1, rows, ...) each."""
    parts = []
    for _, batch in batches(dataset, model, ROWS_AT_ONCE):
        with evaluation_mode(model), torch.no_grad():
            parts.append([step.z for step in model(batch, Mean()).steps[:cut]])
    return [torch.cat(latent, 1) for latent in zip(*parts, strict=True)]


def _row(mixes: Mixes, model: Model, above: list[Tensor], fine: Dataset) -> Tensor:
    means = []
    for _, batch in batches(fine, model, ROWS_AT_ONCE):
        given = [z.expand(1, len(batch), *z.shape[2:]) for z in above]
        with evaluation_mode(model), torch.no_grad():
            means.append(mixes.mix(given, batch, Mean()).likelihood.best[0].cpu())
    return torch.cat(means)
