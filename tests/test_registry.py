"""Names that a person types."""

from __future__ import annotations

import pytest

from lowerbound.errors import LowerboundError, OptionError, unknown
from lowerbound.likelihoods import LIKELIHOODS
from lowerbound.posteriors import POSTERIORS
from lowerbound.priors import PRIORS
from lowerbound.registry import Registry


def registry() -> Registry[type]:
    built = Registry[type]("prior")
    built.register("standard_normal")(int)
    built.register("mixture")(float)
    return built


def test_names_map_to_parts_in_order() -> None:
    parts = registry()
    assert parts["mixture"] is float
    assert list(parts) == ["standard_normal", "mixture"]
    assert len(parts) == 2
    assert "mixture" in parts
    assert "flow" not in parts


def test_a_listed_part_is_imported_when_it_is_looked_up_and_no_other_takes_its_name() -> None:
    listed = Registry[object]("module", "lowerbound", {"one": "errors", "two": "registry"})
    assert (list(listed), "two" in listed, len(listed)) == (["one", "two"], True, 2)
    with pytest.raises(KeyError, match="registered twice"):
        listed.register("one")(Registry)
    listed.register("two")(Registry)
    listed.register("three")(int)
    assert list(listed) == ["one", "two", "three"]


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"unknown prior 'mixtur'; did you mean 'mixture'\?"):
        registry()["mixtur"]
    with pytest.raises(
        OptionError, match=r"unknown prior 'zzz' \(known: mixture, standard_normal\)"
    ):
        registry()["zzz"]


def test_a_name_is_given_once() -> None:
    with pytest.raises(KeyError, match="registered twice"):
        registry().register("mixture")(str)


def test_the_error_is_one_that_a_user_can_mend() -> None:
    error = unknown("option", "latent_dm", ["latent_dim", "epochs"])
    assert isinstance(error, LowerboundError)
    assert isinstance(error, ValueError)
    assert "did you mean 'latent_dim'" in str(error)
    assert "known: none" in str(unknown("option", "x", []))


@pytest.mark.parametrize(
    "family", [LIKELIHOODS, POSTERIORS, PRIORS], ids=lambda family: family.kind
)
def test_families_are_documented_and_name_themselves(family: Registry[type]) -> None:
    assert len(family) >= 2
    for name in family:
        part = family[name]
        assert part.__doc__
        assert name == name.lower()


def test_the_promised_parts_are_there() -> None:
    assert set(LIKELIHOODS) >= {
        "bernoulli",
        "categorical",
        "continuous_bernoulli",
        "discretized_logistic",
        "discretized_logistic_mixture",
        "gaussian",
        "laplace",
        "student_t",
    }
    assert set(PRIORS) >= {"flow", "mixture", "standard_normal", "vamp"}
    assert set(POSTERIORS) >= {"flow", "gaussian"}
