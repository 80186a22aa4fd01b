"""The nonlinearities by name, and the gain that keeps signals at unit scale after each."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from lowerbound.registry import Registry

ACTIVATIONS: Registry[Callable[[], nn.Module]] = Registry("activation")

for _name, _kind in {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
}.items():
    ACTIVATIONS.register(_name)(_kind)


@lru_cache
def gain(name: str) -> float:
    r"""The weight scale g that undoes an activation f: E[(g f(u))^2] = 1 for u ~ N(0, 1).

    By Gauss-Hermite quadrature; sqrt(2) for relu (He et al. 2015), 1.59 for tanh.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    values = ACTIVATIONS[name]()(torch.from_numpy(nodes)).numpy()
    second_moment = float((weights * values**2).sum() / weights.sum())
    return 1.0 / math.sqrt(second_moment)
