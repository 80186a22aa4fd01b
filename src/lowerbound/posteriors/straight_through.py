"""Gradients past a quantization, which has none of its own."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lowerbound.registry import Registry

Gradient = Callable[[Tensor, Tensor], Tensor]
GRADIENTS: Registry[Gradient] = Registry("gradient past quantization")


@GRADIENTS.register("straight_through")
def straight_through(encoded: Tensor, quantized: Tensor) -> Tensor:
    """``quantized``, (..., dim), whose gradient is that of ``encoded``: dL/de = dL/dq.

    Source: Bengio et al. 2013; van den Oord et al. 2017, section 3.2.
    """
    # not e + (q - e): the value is q to the last bit
    return quantized.detach() + (encoded - encoded.detach())
