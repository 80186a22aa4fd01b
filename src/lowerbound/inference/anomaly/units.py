r"""The unit of a column in scores of rows that must not depend on it.

A change of units by a factor c adds log c to -log p of every row, and no row is odder for it. In a
column with an atom it adds log c to the rows beside the atom alone: so in cents they would be odder
than in euros. There, the values beside the atom are measured in their standard deviations.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset

SAMPLES = 16  # K
FEW = 4  # K of rows whose weights are even by then
EVEN = 0.9  # least effective sample size of such rows, as a share of K


def unit_nats(dataset: Dataset, mass: bool) -> Tensor | None:
    """The part of -log p of each cell that its unit decides in a column with an atom, (rows,
    columns), float64; None: no column has one.

    Args:
        dataset: the rows.
        mass: whether the likelihood is a probability mass, which has no unit.
    """
    columns = dataset.schema.modeled
    if mass or dataset.x.ndim != 2 or dataset.x.shape[1] != len(columns):
        return None
    units = dataset.x.double().cpu().numpy()
    each = [column.rules.log_unit(units[:, place]) for place, column in enumerate(columns)]
    nats = torch.from_numpy(np.stack(each, 1))
    if not bool(nats.any()):
        return None
    return nats if dataset.observed is None else torch.where(dataset.observed.cpu(), nats, 0.0)


def are_even(sizes: Tensor, few: int) -> Tensor:
    """In which rows ``few`` draws are enough for the bound, by their effective sample sizes."""
    return sizes >= EVEN * few
