"""Every registered likelihood, in each of the forms that its options give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lowerbound.errors import DataError
from lowerbound.likelihoods import LIKELIHOODS, LevelsLikelihood, Likelihood

LEVELS = 5
SHAPES = {"vector": (4,), "gray": (1, 3, 2), "color": (3, 2, 2)}

# A likelihood that is not named here is tested with its defaults.
FORMS: Mapping[str, list[dict[str, Any]]] = {
    "gaussian": [{"scale": "global"}, {"scale": "feature"}, {"scale": "fixed", "tau": 0.3}],
    "laplace": [{"scale": "global"}, {"scale": "feature"}],
    "student_t": [{"scale": "global"}, {"scale": "feature", "df": 6.0}],
    "discretized_logistic": [{"scale": "decoder"}, {"scale": "global"}, {"scale": "feature"}],
    "discretized_logistic_mixture": [{"components": 3}],
}


@dataclass(frozen=True)
class Case:
    """One likelihood with its options."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def build(self, event_shape: tuple[int, ...], levels: int = LEVELS) -> Likelihood:
        """The likelihood over ``event_shape``; ``levels`` where it takes any."""
        part = LIKELIHOODS[self.name]
        if issubclass(part, LevelsLikelihood):
            return part(event_shape, levels=levels, **self.options)
        return part(event_shape, **self.options)

    def __str__(self) -> str:
        return "-".join([self.name, *map(str, self.options.values())])


CASES = [Case(name, options) for name in LIKELIHOODS for options in FORMS.get(name, [{}])]


def has_mass(case: Case) -> bool:
    return LIKELIHOODS[case.name].mass


def owed(likelihood: Likelihood, rows: int, samples: int = 1, seed: int = 0) -> Tensor:
    """Standard normal numbers in the place of a decoder's, float64."""
    generator = torch.Generator().manual_seed(seed)
    shape = (samples, rows, *likelihood.parameter_shape)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def support(likelihood: Likelihood) -> Tensor | None:
    """Every value that a feature can take, in model units; None for a density."""
    if not likelihood.mass:
        return None
    levels = getattr(likelihood, "levels", 2)
    return torch.linspace(0, 1, levels, dtype=torch.float64)


def takes(likelihood: Likelihood, value: float) -> bool:
    """Whether that value lies in the support."""
    try:
        likelihood.check(torch.full((1, *likelihood.event_shape), value))
    except DataError:
        return False
    return True
