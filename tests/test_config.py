"""Options: frozen, strict about names and types, and the same after a trip through JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal

import pytest

from lowerbound.config import construct, from_mapping, option, to_mapping
from lowerbound.errors import OptionError


@dataclasses.dataclass(frozen=True)
class Schedule:
    warm_up: float = option(0.1, "share of the run")
    steps: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Options:
    latent_dim: int | None = option(None, "numbers in z")
    rate: float = option(1e-3, "learning rate")
    kind: Literal["mlp", "transformer"] = "mlp"
    size: tuple[int, int] = (28, 28)
    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    compile: bool = False
    name: str = "run"


FULL = {
    "latent_dim": 16,
    "rate": 0.01,
    "kind": "transformer",
    "size": [32, 64],
    "schedule": {"warm_up": 0.2, "steps": [1, 2, 3]},
    "extra": {"hidden": [4, 5]},
    "compile": True,
    "name": "second",
}


def test_json_and_back() -> None:
    options = from_mapping(Options, FULL)
    assert options.size == (32, 64)
    assert options.schedule == Schedule(0.2, (1, 2, 3))
    assert from_mapping(Options, json.loads(json.dumps(to_mapping(options)))) == options
    assert to_mapping(options) == FULL
    assert from_mapping(Options, to_mapping(Options())) == Options()


def test_options_are_frozen_and_explained() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().rate = 2.0  # type: ignore[misc]
    fields = {field.name: field for field in dataclasses.fields(Options)}
    assert fields["rate"].metadata["help"] == "learning rate"


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"latent_dmi": 3}, "unknown option 'latent_dmi'; did you mean 'latent_dim'"),
        ({"schedule": {"warmup": 0.1}}, "did you mean 'warm_up'"),
        ({"kind": "transfomer"}, "did you mean 'transformer'"),
        ({"rate": "fast"}, "'rate' takes float, not 'fast'"),
        ({"latent_dim": 2.5}, "'latent_dim' takes int, not 2.5"),
        ({"latent_dim": True}, "'latent_dim' takes int, not True"),
        ({"compile": 1}, "'compile' takes bool, not 1"),
        ({"size": [1, 2, 3]}, "'size' takes 2 values, not 3"),
        ({"size": [1, "2"]}, "'size' takes int"),
        ({"schedule": {"steps": ["a"]}}, "'steps' takes int"),
        ({"name": None}, "'name' takes str"),
    ],
    ids=str,
)
def test_mistakes_are_named(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        from_mapping(Options, mapping)


def test_whole_numbers_are_fine_for_real_ones() -> None:
    options = from_mapping(Options, {"rate": 1, "latent_dim": None})
    assert options.rate == 1.0
    assert isinstance(options.rate, float)
    assert options.latent_dim is None


class Part:
    def __init__(self, shape: tuple[int, ...], *, components: int = 10, floor: float = 0.1) -> None:
        self.shape, self.components, self.floor = shape, components, floor


def test_construct_passes_known_options() -> None:
    part = construct(Part, (2,), options={"components": 3})
    assert (part.shape, part.components, part.floor) == ((2,), 3, 0.1)
    assert construct(Part, (2,)).components == 10


def test_construct_names_the_part_and_the_nearest_option() -> None:
    with pytest.raises(OptionError, match=r"option of Part 'component'; did you mean 'components'"):
        construct(Part, (2,), options={"component": 3})
    with pytest.raises(OptionError, match="known: components, floor"):
        construct(Part, options={"shape": (2,)})  # what the model decides is no option
