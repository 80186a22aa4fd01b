"""How well the encoder of a model recovers the codes of what the model draws."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.inference.codes import codes_of
from lowerbound.inference.draws.samples import Samples
from lowerbound.inference.passes import evaluation_mode, placed
from lowerbound.models import Encodes, Model, require
from lowerbound.trace import Batch

ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Consistency:
    r"""How well the encoder recovers the code of a sample.

    Attributes:
        r_squared: 1 - sum ||z - E_q[z | x]||^2 / sum ||z - mean z||^2 over all units; 1: exact,
            0: no better than the mean code, as for units that the decoder ignores.
        correlation: between z_j and its estimate, for each unit, (latent_dim,).
    """

    r_squared: float
    correlation: Tensor


def reencode(model: Model, samples: Samples, *, from_mean: bool = False) -> Consistency:
    """Encode samples, z ~ p(z), x ~ p(x | z), and compare the result with their codes.

    Args:
        model: one that encodes.
        samples: drawn from it.
        from_mean: encode E[x | z] instead of x ~ p(x | z).

    Raises:
        UnsupportedError: the model has no encoder over one latent.
    """
    encodes = require(model, Encodes, "encode")
    pictures = samples.mean if from_mean else samples.x
    answers = []
    for start in range(0, len(samples), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        condition = None if samples.condition is None else samples.condition[part]
        batch = placed(Batch.drawn(pictures[part], condition), model)
        with evaluation_mode(model, gradients=True), torch.no_grad():
            answers.append(codes_of(encodes.encode(batch), batch).mean)
    return _consistency(samples.z.double(), torch.cat(answers))


def _consistency(z: Tensor, answer: Tensor) -> Consistency:
    centered, found = z - z.mean(0), answer - answer.mean(0)
    norms = (centered.norm(dim=0) * found.norm(dim=0)).clamp_min(1e-300)
    unexplained = (z - answer).square().sum() / centered.square().sum()
    return Consistency(float(1 - unexplained), (centered * found).sum(0) / norms)
