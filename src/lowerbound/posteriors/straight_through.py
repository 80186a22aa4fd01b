"""Gradients through a quantization, whose own gradient is zero."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.registry import Registry

LEAST_NORM = 1e-6

Gradient = Callable[[Tensor, Tensor], Tensor]
GRADIENTS: Registry[Gradient] = Registry("gradient past quantization")


@GRADIENTS.register("straight_through")
def straight_through(encoded: Tensor, quantized: Tensor) -> Tensor:
    """``quantized``, (..., dim), with its gradient passed to ``encoded``: dL/de = dL/dq.

    Source: Bengio et al. 2013; van den Oord et al. 2017, section 3.2.
    """
    # e + (q - e) would round; this value is exactly q
    return quantized.detach() + (encoded - encoded.detach())


@GRADIENTS.register("rotation")
def rotation(encoded: Tensor, quantized: Tensor) -> Tensor:
    r"""``encoded``, rotated and scaled onto ``quantized`` by a map without gradient.

    .. math::
        q = \lambda R e, \quad \lambda = \frac{\|q\|}{\|e\|}, \quad
        R = I - 2 r r^T + 2 \hat q \hat e^T, \quad r = \frac{\hat e + \hat q}{\|\hat e + \hat q\|}

    so dL/de = lambda R^T dL/dq: the angle between gradient and vector is equal for e and q.
    Source: Fifty et al. 2025, section 4.2.
    """
    with torch.no_grad():
        norms = torch.linalg.vector_norm(encoded, dim=-1, keepdim=True).clamp_min(LEAST_NORM)
        from_, to = encoded / norms, F.normalize(quantized, dim=-1, eps=LEAST_NORM)
        between = F.normalize(from_ + to, dim=-1, eps=LEAST_NORM)
        stretch = torch.linalg.vector_norm(quantized, dim=-1, keepdim=True) / norms
    reflected = encoded - 2 * between * (between * encoded).sum(-1, keepdim=True)
    rotated: Tensor = stretch * (reflected + 2 * to * (from_ * encoded).sum(-1, keepdim=True))
    return quantized.detach() + (rotated - rotated.detach())
