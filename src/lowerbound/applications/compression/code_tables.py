r"""Export of a model of codes: its prior in whole numbers.

.. math:: \hat p_i(k) = n_i(k) / 2^{24}, \qquad n_i(k) \ge 1, \quad \textstyle\sum_k n_i(k) = 2^{24}

Only these tables determine the bits, and they are stored, not computed. A file therefore gives the
same codes on every machine. Encoder and decoder keep their floating-point numbers: the encoder
runs before coding starts, and the decoder after all codes are known.

Codes that depend on each other have weights in whole numbers instead: see ``context_models``.
"""

from __future__ import annotations

import copy
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.compression.context_models import in_whole_numbers
from lowerbound.applications.compression.stack import PRECISION, whole_shares
from lowerbound.errors import UnsupportedError
from lowerbound.inference.codes import refuse_beside_rows
from lowerbound.models.base import Model
from lowerbound.models.powers import name_of
from lowerbound.models.vq_vae import VectorQuantizedVariationalAutoencoder
from lowerbound.priors.codes import CodeDistribution, CodePrior, UniformCodes

MOST_CODES = 1 << 20  # per codebook, so that a count of at least 1 per code costs little


class TableCodes(CodePrior):
    """A prior p(z) over codes in whole numbers.

    Args:
        prior: the original prior. If it is uniform, all places share one table.

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
    """Tables (..., K) of numbers from 1 that sum to 2 ** 24, nearest to the shares, int32."""
    shares = torch.softmax(log_probabilities.double(), -1)
    tables = [whole_shares(row.numpy()) for row in shares.reshape(-1, shares.shape[-1])]
    return torch.from_numpy(np.stack(tables)).int().view_as(shares)


def has_codes(model: Model) -> TypeGuard[VectorQuantizedVariationalAutoencoder]:
    """Whether the model's latents are codes under priors that tables can replace."""
    return isinstance(model, VectorQuantizedVariationalAutoencoder)


def check_codes(model: Model) -> None:
    """Raise UnsupportedError if the model cannot write rows as codes."""
    if not has_codes(model):
        raise UnsupportedError(f"{name_of(model)} has no codes: that takes a vq_vae model")
    refuse_beside_rows(model)
    if max(model.codebook_sizes) > MOST_CODES:
        raise UnsupportedError(f"a codebook of a file has at most {MOST_CODES:,} codes")


def export_codes(model: Model) -> VectorQuantizedVariationalAutoencoder:
    """Copy the model, with priors in whole numbers, to the CPU in evaluation mode.

    Raises:
        UnsupportedError: it has no codes, or needs more than a row to find them.
    """
    check_codes(model)
    exported = copy.deepcopy(model).cpu().float().eval()
    assert isinstance(exported, VectorQuantizedVariationalAutoencoder)
    for level, prior in enumerate(exported.priors):
        assert isinstance(prior, CodePrior)
        exported.priors[level] = in_whole_numbers(prior) or TableCodes(prior)
    exported.forget_readings()
    return exported.requires_grad_(False)
