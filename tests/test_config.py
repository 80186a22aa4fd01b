"""Options: frozen, strict about names and types, and the same after a trip through JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pytest

from lowerbound import SemiSupervisedRegressor, SemiSupervisedVAE
from lowerbound.config import (
    RenamedWarning,
    construct,
    from_mapping,
    in_words,
    old_names_in_silence,
    option,
    renamed_keywords,
    to_mapping,
)
from lowerbound.data import load, schema as data_schema
from lowerbound.errors import OptionError
from lowerbound.objectives import OBJECTIVES


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
    stages: Mapping[str, Schedule] = dataclasses.field(default_factory=dict)
    compile: bool = False
    name: str = "run"


FULL = {
    "latent_dim": 16,
    "rate": 0.01,
    "kind": "transformer",
    "size": [32, 64],
    "schedule": {"warm_up": 0.2, "steps": [1, 2, 3]},
    "extra": {"hidden": [4, 5]},
    "stages": {"first": {"warm_up": 0.3, "steps": [7]}},
    "compile": True,
    "name": "second",
}


def test_json_and_back() -> None:
    options = from_mapping(Options, FULL)
    assert options.size == (32, 64)
    assert options.schedule == Schedule(0.2, (1, 2, 3))
    assert options.stages == {"first": Schedule(0.3, (7,))}
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
        ({"rate": "fast"}, "'rate' takes a number, not 'fast'"),
        ({"latent_dim": 2.5}, "'latent_dim' takes a whole number, not 2.5"),
        ({"latent_dim": True}, "'latent_dim' takes a whole number, not True"),
        ({"compile": 1}, "'compile' takes true or false, not 1"),
        (
            {"size": [1, 2, 3]},
            r"'size' takes two whole numbers, such as \[200,200\], not \[1, 2, 3\]",
        ),
        (
            {"size": [1, "2"]},
            r"'size' takes two whole numbers, such as \[200,200\], not \[1, '2'\]",
        ),
        (
            {"schedule": {"steps": ["a"]}},
            r"'steps' takes whole numbers, such as \[200,200\], not \['a'\]",
        ),
        ({"name": None}, "'name' takes text"),
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


@dataclasses.dataclass(frozen=True)
class Renamed:
    learning_rate: float = option(1e-3, "step size", formerly="pace")
    extra: int = 0


@renamed_keywords(parts="components")
class RenamedPart(Part):
    def __init__(self, shape: tuple[int, ...], *, components: int = 10) -> None:
        super().__init__(shape, components=components)


@renamed_keywords(guess="compute")
def answer(x: int, *, compute: int = 1) -> int:
    return x * compute


def test_an_old_name_works_and_the_new_one_is_said() -> None:
    with pytest.warns(RenamedWarning, match="option 'pace' is now called 'learning_rate'"):
        options = from_mapping(Renamed, {"pace": 1, "extra": 3})
    assert options == Renamed(1.0, 3)
    assert to_mapping(options) == {"learning_rate": 1.0, "extra": 3}
    with pytest.warns(RenamedWarning, match="'parts' is now called 'components'"):
        assert construct(RenamedPart, (2,), options={"parts": 3}).components == 3
    with pytest.warns(RenamedWarning, match="'parts' is now called 'components'"):
        assert RenamedPart((2,), parts=4).components == 4  # type: ignore[call-arg]
    with pytest.warns(RenamedWarning, match="'guess' is now called 'compute'"):
        assert construct(answer, 2, options={"guess": 5}) == 10


def test_new_names_and_files_of_an_earlier_version_are_read_in_silence() -> None:
    assert from_mapping(Renamed, {"learning_rate": 2}).learning_rate == 2.0
    assert construct(RenamedPart, (2,), options={"components": 3}).components == 3
    with old_names_in_silence():
        assert from_mapping(Renamed, {"pace": 2}).learning_rate == 2.0


def test_one_value_has_one_name() -> None:
    with pytest.raises(OptionError, match="'pace' is the old name of 'learning_rate': give one"):
        from_mapping(Renamed, {"pace": 1, "learning_rate": 2})
    with pytest.raises(OptionError, match="'learning_rate' takes a number"):
        from_mapping(Renamed, {"learning_rate": "fast"})
    with pytest.raises(OptionError, match="known: components"):  # the old name is not suggested
        construct(RenamedPart, (2,), options={"part": 3})


@pytest.mark.parametrize(
    ("part", "old", "new", "value"),
    [
        (OBJECTIVES["semi_supervised"], "sure", "confidence_threshold", 0.7),
        (OBJECTIVES["semi_supervised"], "moves", "augmentation", 0.5),
        (OBJECTIVES["semi_supervised_regression"], "moves", "augmentation", 0.5),
        (OBJECTIVES["adversarial"], "dreams", "prior_samples", False),
        (SemiSupervisedVAE, "moves", "augmentation", 0.5),
        (SemiSupervisedRegressor, "moves", "augmentation", 0.5),
    ],
    ids=str,
)
def test_names_of_the_last_version(part: Any, old: str, new: str, value: Any) -> None:
    with pytest.warns(RenamedWarning, match=f"'{old}' is now called '{new}'"):
        made = part(**{old: value})
    assert getattr(made, new) == value
    assert not hasattr(made, old)


def test_schemas_of_the_last_version() -> None:
    with pytest.warns(RenamedWarning, match="'bend' is now called 'normal_scores'"):
        data = load(np.arange(12.0).reshape(6, 2) ** 2, bend=False).with_targets(range(6))
    then = to_mapping(data.schema)
    then["measurement"] = then.pop("target")
    with old_names_in_silence():
        assert data_schema.Schema.from_mapping(then) == data.schema


def test_tuples_of_several_types_have_an_example() -> None:
    assert in_words(tuple[tuple[str, int], ...]) == (
        'values, each (text, a whole number), such as [["a",200],["a",200]]'
    )
    assert in_words(tuple[int, int]) == "two whole numbers, such as [200,200]"
