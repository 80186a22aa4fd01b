"""Every registered likelihood, in each of the forms that its options give it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.continuous import Continuous
from lowerbound.data.columns.kind import COLUMN_KINDS
from lowerbound.data.columns.levels import Leveled
from lowerbound.errors import DataError
from lowerbound.likelihoods import (
    LIKELIHOODS,
    AutoregressiveColumns,
    LevelsLikelihood,
    Likelihood,
    Mixed,
)

LEVELS = 5
COUNTS = 400  # values of a count that are summed over; those above are rarer than rounding
SHAPES = [(4,), (1, 3, 2), (3, 2, 2)]  # a vector, a gray and a color picture

# Their features are not independent given z, and have tests of their own.
JOINT = {"multinomial"}

# A likelihood that is not named here is tested with its defaults.
FORMS: Mapping[str, list[dict[str, Any]]] = {
    "gaussian": [{"scale": "global"}, {"scale": "feature"}, {"scale": "fixed", "tau": 0.3}],
    "laplace": [{"scale": "global"}, {"scale": "feature"}],
    "student_t": [{"scale": "global"}, {"scale": "feature", "df": 6.0}],
    "discretized_logistic": [{"scale": "decoder"}, {"scale": "global"}, {"scale": "feature"}],
    "discretized_logistic_mixture": [{"components": 3}],
    # the recurrent network has tests of its own: to compile its steps takes a minute
    "autoregressive_tokens": [{"network": "transformer", "width": 16, "depth": 1, "features": 4}],
    "autoregressive": [
        {"pixels": "mixture", "components": 3, "features": 4, "width": 8, "context": 2},
        {"pixels": "categorical", "features": 4, "width": 8, "context": 2},
    ],
}


@dataclass(frozen=True)
class Case:
    """One likelihood with its options, and what its events and moments are."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def build(self, event_shape: tuple[int, ...], levels: int = LEVELS) -> Likelihood:
        """The likelihood over ``event_shape``; ``levels`` where it takes any."""
        part = LIKELIHOODS[self.name]
        if issubclass(part, LevelsLikelihood):
            return part(event_shape, levels=levels, **self.options)
        return part(event_shape, **self.options)

    @property
    def mass(self) -> bool:
        return LIKELIHOODS[self.name].mass

    def shapes(self, proposed: Iterable[tuple[int, ...]]) -> Sequence[tuple[int, ...]]:
        """Those of the proposed event shapes that it takes."""
        return list(proposed)

    def averaged(self, width: int) -> Tensor:
        """Features whose ``mean`` is the average of x, (width,)."""
        return torch.ones(width, dtype=torch.bool)

    def spread(self, width: int) -> Tensor:
        """Features whose ``variance`` is the variance of x, (width,)."""
        return torch.ones(width, dtype=torch.bool)

    def __str__(self) -> str:
        return "-".join([self.name, *map(str, self.options.values())])


@dataclass(frozen=True)
class TableCase(Case):
    """A table's likelihood, with a column of each kind; a wider table repeats them."""

    kinds: tuple[str, ...] = ()

    def columns(self, width: int) -> list[Column]:
        kinds = [self.kinds[j % len(self.kinds)] for j in range(width)]
        return [column(f"c{j}", kind, 3 + j % 2) for j, kind in enumerate(kinds)]

    def build(self, event_shape: tuple[int, ...], levels: int = LEVELS) -> Likelihood:
        (width,) = event_shape
        return LIKELIHOODS[self.name](self.columns(width), **self.options).eval()

    @property
    def mass(self) -> bool:
        return not any(issubclass(COLUMN_KINDS[kind], Continuous) for kind in self.kinds)

    def shapes(self, proposed: Iterable[tuple[int, ...]]) -> Sequence[tuple[int, ...]]:
        return [(len(self.kinds),)]

    def averaged(self, width: int) -> Tensor:
        # a code has to be decoded, and an atom is no number to average with
        return torch.tensor([column.rules.has_deviation for column in self.columns(width)])

    def spread(self, width: int) -> Tensor:
        kinds = [column.kind for column in self.columns(width)]
        return torch.tensor([kind not in ("categorical", "mixed") for kind in kinds])

    def __str__(self) -> str:
        return "-".join([super().__str__(), *self.kinds])


def column(name: str, kind: str, levels: int = 3) -> Column:
    """A column in model units; as many levels as asked for where its kind has any."""
    count = {"binary": 2}.get(kind, levels) if issubclass(COLUMN_KINDS[kind], Leveled) else 0
    return Column(name, kind, levels=tuple(f"level {k}" for k in range(count)))


SMALL = {"cells": 6, "embedding": 4, "features": 2, "width": 8, "layers": 1, "vectors": 2}
TABLES = [
    TableCase("mixed", {}, ("real", "ordinal", "count", "mixed", "real", "categorical")),
    TableCase("mixed", {"embedding": 2}, ("binary", "categorical", "ordinal", "ordinal")),
    TableCase(
        "autoregressive_columns", SMALL, ("real", "categorical", "count", "mixed", "binary", "real")
    ),
    TableCase("autoregressive_columns", SMALL, ("binary", "categorical", "categorical")),
]
CASES = [
    *(
        Case(name, options)
        for name in LIKELIHOODS
        if not LIKELIHOODS[name].by_columns and name not in JOINT
        for options in FORMS.get(name, [{}])
    ),
    *TABLES,
]


def with_shapes(
    shapes: Iterable[tuple[int, ...]], cases: Sequence[Case] = CASES
) -> pytest.MarkDecorator:
    """Each case with each of the event shapes that it takes."""
    pairs = [(case, shape) for case in cases for shape in case.shapes(shapes)]
    names = ["-".join(map(str, [case, *shape])) for case, shape in pairs]
    return pytest.mark.parametrize(("case", "shape"), pairs, ids=names)


def owed(likelihood: Likelihood, rows: int, samples: int = 1, seed: int = 0) -> Tensor:
    """Standard normal numbers in the place of a decoder's, float64."""
    generator = torch.Generator().manual_seed(seed)
    shape = (samples, rows, *likelihood.parameter_shape)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def support(likelihood: Likelihood) -> list[Tensor]:
    """Every value that each feature of a mass can take, in model units."""
    if likelihood.by_columns:
        like = next(likelihood.parameters())
        parameters = like.new_zeros(1, 1, *likelihood.parameter_shape)
        nothing = like.new_zeros(1, *likelihood.event_shape)
        probabilities = likelihood(parameters).given(nothing, nothing.bool()).probabilities
        counts = [probabilities(j).shape[-1] for j in range(*likelihood.event_shape)]
        return [torch.arange(count, dtype=torch.float64) for count in counts]
    if takes(likelihood, 2.0) and not hasattr(likelihood, "levels"):  # counts without an end
        return [torch.arange(COUNTS, dtype=torch.float64)] * math.prod(likelihood.event_shape)
    levels = getattr(likelihood, "levels", 2)
    one = torch.linspace(0, 1, levels, dtype=torch.float64)
    return [one] * math.prod(likelihood.event_shape)


def owners(likelihood: Likelihood) -> Tensor:
    """The pixel (or the feature of a vector) that each owed number is for, flat."""
    if isinstance(likelihood, Mixed | AutoregressiveColumns):
        return likelihood.owners
    pixels = math.prod(likelihood.event_shape[1:] or likelihood.event_shape)
    return torch.arange(math.prod(likelihood.parameter_shape)) % pixels


def takes(likelihood: Likelihood, value: float) -> bool:
    """Whether that value lies in the support."""
    try:
        likelihood.check(torch.full((1, *likelihood.event_shape), value))
    except DataError:
        return False
    return True
