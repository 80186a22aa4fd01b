"""Replace layers of weights by exact ones, with the observed ranges of their inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from lowerbound.coding.whole_numbers.exact_layers import ExactLayer


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
