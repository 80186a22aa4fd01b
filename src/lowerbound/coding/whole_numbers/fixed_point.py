r"""Layers of a Transformer in fixed-point numbers, whose results are the same on every machine.

A number is a whole multiple of a power of two, held in float64. Sums of products of such numbers
are exact in whatever order threads, batches and backends add them up, as long as all of them and
their total have fewer than 53 bits: inputs have 18 bits here, weights 16, and at most 2 ** 12 of
them are added. What is left are single additions, multiplications, divisions and roundings, which
IEEE 754 defines to the last bit. Exponentials are looked up in a table that decimal arithmetic
computes; square roots are corrected to the whole number below.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.networks.causal_transformer import seen_by

FINE = 2.0**16  # parts of one in sums and results
COARSE = 2.0**10  # parts of one in what is multiplied
MOST = 2.0**7  # the largest number that is multiplied; beyond, numbers are clipped
WEIGHT_BITS = 15
PER_UNIT = 256  # entries of the exponentials' table per unit
UNITS = 16  # differences beyond count as this one
EXP_ONE = 2**20  # the whole number that stands for exp(0)
MOST_SQUARE = 2.0**52


def fine(x: Tensor) -> Tensor:
    """The nearest multiples of 1 / FINE."""
    return torch.round(x * FINE) / FINE


def coarse(x: Tensor) -> Tensor:
    """The nearest multiples of 1 / COARSE from -MOST to MOST."""
    return torch.round(x * COARSE).clamp(-MOST * COARSE, MOST * COARSE) / COARSE


@cache
def _exponentials() -> Tensor:
    """EXP_ONE * exp(-j / PER_UNIT), whole numbers in float64, the same on every machine."""
    context = Context(prec=30)
    found = [
        int((EXP_ONE * context.exp(Decimal(-j) / PER_UNIT)).to_integral_value())
        for j in range(UNITS * PER_UNIT + 1)
    ]
    return torch.tensor(found, dtype=torch.float64)


def whole_softmax(scores: Tensor) -> Tensor:
    """Whole numbers in proportion to exp(scores), at most EXP_ONE each, of the last axis."""
    steps = torch.round(scores * PER_UNIT)
    below = (steps.amax(-1, keepdim=True) - steps).clamp_max(UNITS * PER_UNIT)
    return _exponentials()[below.long()]


class FixedLinear(nn.Module):
    """An affine map in fixed-point numbers.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,).
    """

    weight: Tensor
    bias: Tensor
    unit: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        wide = weight.detach().double().cpu()
        _, exponent = math.frexp(float(wide.abs().max()))
        unit = 2.0 ** (WEIGHT_BITS - max(exponent, -20))
        most = 2.0**WEIGHT_BITS - 1
        # adding zero takes the sign off zeros, which no file of integers would keep
        self.register_buffer("weight", torch.round(wide * unit).clamp(-most, most) + 0.0)
        shift = torch.zeros(len(wide)) if bias is None else bias.detach().cpu()
        self.register_buffer("bias", torch.round(shift.double() * FINE) + 0.0)
        self.register_buffer("unit", torch.tensor(unit, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return fine(F.linear(coarse(x), self.weight) / self.unit) + self.bias / FINE


class FixedNorm(nn.Module):
    """Layer norm in fixed-point numbers."""

    weight: Tensor
    bias: Tensor

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        for name, values in (("weight", norm.weight), ("bias", norm.bias)):
            whole = torch.round(values.detach().cpu().double() * COARSE)
            self.register_buffer(name, whole + 0.0)

    def forward(self, x: Tensor) -> Tensor:
        centered = coarse(x - fine(x.sum(-1, keepdim=True) / x.shape[-1]))
        squares = centered.square().sum(-1, keepdim=True) / x.shape[-1]
        whole = torch.floor((squares + 1e-5) * FINE * FINE).clamp_max(MOST_SQUARE)
        normed = centered / (_root(whole) / FINE)
        return fine(normed * (self.weight / COARSE)) + self.bias / COARSE


def _root(whole: Tensor) -> Tensor:
    """The whole number below the square root: libraries may round the root either way."""
    root = torch.floor(torch.sqrt(whole))
    root = root - (root * root > whole).double()
    return root + ((root + 1) * (root + 1) <= whole).double()


class FixedAttention(nn.Module):
    """Causal attention in fixed-point numbers, as of ``CausalSoftmax``."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        scores = coarse(query) @ coarse(key).transpose(2, 3) / math.sqrt(query.shape[3])
        seen = seen_by(query.shape[2], key.shape[2], query.device)
        weights = whole_softmax(scores.masked_fill(~seen, -math.inf)) * seen
        return fine(weights @ coarse(value) / weights.sum(-1, keepdim=True))
