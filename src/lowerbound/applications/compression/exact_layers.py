r"""Networks in numbers whose sums are exact and therefore the same on every machine.

Layers of weights become layers in whole numbers, by the observed ranges of their inputs:

.. math:: y_c = s_c\Big(\sum_i W_{ci}\, n_i + b_c\Big), \quad n_i = \mathrm{clip}(\lfloor x_i / s
    \rceil, -255, 255), \quad W_{ci} \in [-255, 255]

With :math:`255 \sum_i |W_{ci}| + |b_c| < 2^{24}` every partial sum is a whole number that float32
represents exactly, in any order of threads, batches and backends. Factors of at most 255 are also
exact in bfloat16 and TF32. Only single multiplications and roundings remain, which
IEEE 754 defines to the last bit. The sum is rounded once more, because some backends compute
convolutions with fractions (Winograd).

Latents and other inputs of both signs have two digits, n = 255 h + l, which represent 16 bits.

Layers of a Transformer are in fixed-point numbers, whole multiples of a power of two held in
float64. Sums of products of such numbers are exact in whatever order threads, batches and backends
add them up, as long as all of them and their total have fewer than 53 bits: inputs have 18 bits
here, weights 16, and at most 2 ** 12 of them are added. What is left are single additions,
multiplications, divisions and roundings, which IEEE 754 defines to the last bit. Exponentials are
looked up in a table that decimal arithmetic computes; square roots are corrected to the whole
number below.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.networks.causal_transformer import seen_by
from lowerbound.networks.matrix_products import short_factors

DIGIT = 255  # bfloat16 holds every whole number up to DIGIT + 1
EXACT = 2**24  # float32 holds every whole number below
TWO_DIGITS = DIGIT * DIGIT // 2  # numbers of two digits are at most so far from 0
FINE = 2.0**16  # parts of one in sums and results
COARSE = 2.0**10  # parts of one in what is multiplied
MOST = 2.0**7  # the largest number that is multiplied; beyond, numbers are clipped
WEIGHT_BITS = 15  # of a weight in fixed point, beside its sign
PER_UNIT = 256  # entries of the exponentials' table per unit
UNITS = 16  # differences beyond count as this one
EXP_ONE = 2**20  # the whole number that stands for exp(0)
MOST_SQUARE = 2.0**52  # largest number whose root is taken


class ExactLayer(nn.Module):
    """An affine or convolutional layer in whole numbers.

    Args:
        layer: the original layer.
        peak: the largest represented |input|; larger inputs are clipped.
        signed: whether inputs have both signs, and so two digits.
    """

    weight: Tensor
    bias: Tensor
    scale: Tensor
    step: Tensor
    digits: Tensor

    def __init__(self, layer: nn.Linear | nn.Conv2d, peak: float, signed: bool) -> None:
        super().__init__()
        self.stride = layer.stride if isinstance(layer, nn.Conv2d) else None
        self.padding = layer.padding if isinstance(layer, nn.Conv2d) else None
        step = max(peak, 1e-6) / (TWO_DIGITS if signed else DIGIT)
        weight, bias, scale = whole_numbers(layer.weight, layer.bias, step)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("scale", scale)
        self.register_buffer("step", torch.tensor(step))
        self.register_buffer("digits", torch.tensor(2 if signed else 1))

    def forward(self, x: Tensor) -> Tensor:
        shape = (1, -1, *[1] * (x.dim() - 2))
        scale, bias = self.scale.view(shape), self.bias.view(shape)
        whole = (x / self.step).round_()
        if self.digits == 1:
            return self._sum(whole.clamp_(-DIGIT, DIGIT)).add_(bias).mul_(scale)
        whole.clamp_(-TWO_DIGITS, TWO_DIGITS)
        high = (whole / DIGIT).round_()
        # the two digits' sums together pass float32's whole numbers, not float64's
        total = self._sum(high).double().mul_(DIGIT)
        total.add_(self._sum(whole.sub_(high.mul_(DIGIT))))
        return total.add_(bias.double()).mul_(scale.double()).to(x.dtype)

    def _sum(self, digits: Tensor) -> Tensor:
        with short_factors():  # which hold every digit
            if self.stride is None:
                return F.linear(digits, self.weight).round_()
            assert self.padding is not None
            return F.conv2d(digits, self.weight, None, self.stride, self.padding).round_()


def whole_numbers(
    weight: Tensor, bias: Tensor | None, step: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(weight, bias, scale): whole numbers per output channel, and the value of one unit.

    Raises:
        AssertionError: a sum could pass float32's whole numbers; it cannot.
    """
    flat = weight.detach().double().flatten(1)
    offset = torch.zeros(len(flat)) if bias is None else bias.detach()
    reach = DIGIT * flat.abs().sum(1) + (offset.double() / step).abs()
    rounding = DIGIT * flat.shape[1] + 1
    unit = torch.maximum(flat.abs().amax(1) / DIGIT, reach / (EXACT - rounding)).clamp_min(1e-30)
    whole = torch.round(flat / unit.unsqueeze(1))
    whole_bias = torch.round(offset.double() / (unit * step))
    assert bool((DIGIT * whole.abs().sum(1) + whole_bias.abs() < EXACT).all())
    # adding zero removes the sign of zeros, which a file of integers cannot store
    return whole.view_as(weight).float() + 0.0, whole_bias.float() + 0.0, (unit * step).float()


@dataclass
class Range:
    """Observed inputs of a layer: the largest |x|, and whether both signs occur."""

    peak: float = 0.0
    signed: bool = False

    def see(self, x: Tensor) -> None:
        self.peak = max(self.peak, float(x.abs().max())) if x.numel() else self.peak
        self.signed |= bool((x < 0).any())


Ranges = Mapping[str, Range]


@contextmanager
def ranges_in(model: nn.Module) -> Iterator[Ranges]:
    """Record the ranges of the inputs of each layer of weights inside the ``with`` block."""
    ranges = {name: Range() for name, _ in _weighted(model)}
    hooks = [layer.register_forward_hook(_watch(ranges[name])) for name, layer in _weighted(model)]
    try:
        yield ranges
    finally:
        for hook in hooks:
            hook.remove()


def exact_layers_in(model: nn.Module, ranges: Ranges) -> None:
    """Replace layers of weights by exact layers; a missing range means any input."""
    for name, layer in list(_weighted(model)):
        seen = ranges.get(name, Range(1.0))
        put(model, name, ExactLayer(layer, seen.peak, seen.signed))


def put(model: nn.Module, name: str, part: nn.Module) -> None:
    """Replace the part of that name."""
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, part)


def _watch(found: Range) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def see(layer: nn.Module, given: tuple[Tensor, ...], answer: Tensor) -> None:
        found.see(given[0])

    return see


def _weighted(model: nn.Module) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
    for name, layer in model.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            yield name, layer


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
