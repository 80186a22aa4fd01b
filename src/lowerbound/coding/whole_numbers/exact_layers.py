r"""Layers in whole numbers, whose sums are exact and therefore the same on every machine.

.. math:: y_c = s_c\Big(\sum_i W_{ci}\, n_i + b_c\Big), \quad n_i = \mathrm{clip}(\lfloor x_i / s
    \rceil, -255, 255), \quad W_{ci} \in [-255, 255]

With :math:`255 \sum_i |W_{ci}| + |b_c| < 2^{24}` every partial sum is a whole number that float32
represents exactly, in any order of threads, batches and backends. Factors of at most 255 are also
exact in bfloat16 and TF32. Only single multiplications and roundings remain, which
IEEE 754 defines to the last bit. The sum is rounded once more, because some backends compute
convolutions with fractions (Winograd).

Latents and other inputs of both signs have two digits, n = 255 h + l, which represent 16 bits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.networks.processor.short_factors import short_factors

DIGIT = 255  # bfloat16 holds every whole number up to DIGIT + 1
EXACT = 2**24  # float32 holds every whole number below
TWO_DIGITS = DIGIT * DIGIT // 2


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
