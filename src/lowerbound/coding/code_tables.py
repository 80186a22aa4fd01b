r"""A model of codes whose prior is in whole numbers: how its codes are put into files.

.. math:: \hat p_i(k) = n_i(k) / 2^{24}, \qquad n_i(k) \ge 1, \quad \textstyle\sum_k n_i(k) = 2^{24}

Only these tables decide about bits, and they are stored, not computed: so a file gives the same
codes on every machine. Encoder and decoder stay as they were fitted, in floating-point numbers:
one finds codes before any of them is coded, the other starts once all of them are known.
"""

from __future__ import annotations

import copy
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from lowerbound.coding.refusals import refuse_beside_rows
from lowerbound.coding.stack import PRECISION, whole_shares
from lowerbound.errors import UnsupportedError
from lowerbound.models import Model, VectorQuantizedVariationalAutoencoder, name_of
from lowerbound.priors.codes import CodeDistribution, CodePrior, UniformCodes

MOST_CODES = 1 << 20  # of a codebook, so that one part in 2 ** 24 for each code costs little


class TableCodes(CodePrior):
    """p(z) of another prior over codes, in whole numbers.

    Args:
        prior: that one. Where it is uniform all places share one table.

    Attributes:
        counts: n, (places or 1, K).
    """

    counts: Tensor

    def __init__(self, prior: CodePrior) -> None:
        super().__init__(prior.shape, prior.codes)
        table = prior().log_probabilities.flatten(0, -2)
        self.register_buffer(
            "counts", whole_counts(table[:1] if isinstance(prior, UniformCodes) else table)
        )

    def forward(self) -> CodeDistribution:
        places = self.counts.double().log().float() - PRECISION * torch.log(torch.tensor(2.0))
        count = torch.Size(self.shape).numel()
        return CodeDistribution(places.expand(count, -1).unflatten(0, self.shape))

    @property
    def tables(self) -> Tensor:
        """n of each place, (places, K)."""
        return self.counts.expand(torch.Size(self.shape).numel(), -1)


@torch.no_grad()
def whole_counts(log_probabilities: Tensor) -> Tensor:
    """Tables (..., K) of numbers from 1 that sum to 2 ** 24 each, as near as can be, int32."""
    shares = torch.softmax(log_probabilities.double(), -1)
    tables = [whole_shares(row.numpy()) for row in shares.reshape(-1, shares.shape[-1])]
    return torch.from_numpy(np.stack(tables)).int().view_as(shares)


def has_codes(model: Model) -> TypeGuard[VectorQuantizedVariationalAutoencoder]:
    """Whether the model's latents are codes under priors that tables can replace."""
    return isinstance(model, VectorQuantizedVariationalAutoencoder)


def check_codes(model: Model) -> None:
    """Raise UnsupportedError where rows cannot be put into files as codes."""
    if not has_codes(model):
        raise UnsupportedError(f"{name_of(model)} has no codes: that takes a vq_vae model")
    refuse_beside_rows(model)
    if max(model.codebook_sizes) > MOST_CODES:
        raise UnsupportedError(f"a codebook of a file has at most {MOST_CODES:,} codes")


def export_codes(model: Model) -> VectorQuantizedVariationalAutoencoder:
    """The model with priors in whole numbers, on the CPU, in evaluation mode; ``model`` stays.

    Raises:
        UnsupportedError: it has no codes, or takes more than a row to find them.
    """
    check_codes(model)
    exported = copy.deepcopy(model).cpu().float().eval()
    assert isinstance(exported, VectorQuantizedVariationalAutoencoder)
    for level, prior in enumerate(exported.priors):
        assert isinstance(prior, CodePrior)
        exported.priors[level] = TableCodes(prior)
    exported.forget_readings()
    return exported.requires_grad_(False)
