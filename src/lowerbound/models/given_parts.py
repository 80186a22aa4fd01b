"""Parts that a caller gives as objects instead of names.

An object becomes a registered part whose name says where its class is: ``mypackage.nets:Encoder``.
A model folder stores this name. Reading a folder never imports what it names: the caller gives the
object again.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import re
import sys
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from torch import nn

from lowerbound.config import to_mapping
from lowerbound.errors import OptionError
from lowerbound.likelihoods.base import LIKELIHOODS, Likelihood
from lowerbound.networks.base import NETWORKS, Network
from lowerbound.networks.module_pair import ModulePair
from lowerbound.priors.base import PRIORS, Prior
from lowerbound.registry import Registry

GIVEN: Mapping[str, Registry[Any]] = {
    "network": NETWORKS,
    "likelihood": LIKELIHOODS,
    "prior": PRIORS,
}
"""The options that take an object, and where their names are registered."""

PACKAGE = __name__.partition(".")[0]
OF_PACKAGE = re.compile(rf"\b{PACKAGE}(\.\w+)+:")
NAME = re.compile(r"[\w.]+:[\w.<>]+(, [\w.]+:[\w.<>]+)*(#[0-9a-f]+)?")


def by_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of ``ModelOptions`` with a registered name for each object.

    Args:
        values: by option. ``network`` may be a pair of modules (encoder, decoder), an object with
            ``encoder`` and ``decoder``, or a ``Network``; ``likelihood`` and ``prior`` may be a
            ``Likelihood`` and a ``Prior``, or their classes.

    Raises:
        OptionError: an object is none of these.
    """
    found = dict(values)
    for option in GIVEN.keys() & values.keys():
        if not isinstance(values[option], str):
            found[option], own = _named(option, values[option])
            if own:
                found[f"{option}_options"] = own
    return found


def objects_to_give(values: Mapping[str, Any]) -> dict[str, str]:
    """The names of given parts that are not registered in this process, by option."""
    return {
        option: name
        for option, registry in GIVEN.items()
        if NAME.fullmatch(name := str(values.get(option, ""))) and name not in registry
    }


def moved(stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The given names of stored parts whose classes have moved to another module since, by option.

    Only classes of this package move; their names are unique in it.
    """

    def unplaced(values: Mapping[str, Any], option: str) -> str:
        return OF_PACKAGE.sub(f"{PACKAGE}:", str(values.get(option, "")))

    return {
        option: str(given[option])
        for option in GIVEN.keys() & given.keys()
        if unplaced(stored, option) == unplaced(given, option)
    }


def nameless(values: Mapping[str, Any]) -> list[str]:
    """The names of given parts whose classes cannot be imported, such as those in a function."""
    names = [str(values.get(option, "")) for option in GIVEN]
    classes = [one for name in names if NAME.fullmatch(name) for one in _classes(name)]
    return [one for one in classes if not _importable(*one.split(":"))]


def _named(option: str, part: Any) -> tuple[str, dict[str, Any]]:
    """The name of an object, and its own options."""
    kind, options = _network(part) if option == "network" else _instance(option, part)
    registry = GIVEN[option]
    for name in registry:
        if registry[name] is kind:
            return name, options
    name = getattr(kind, "given_name", None) or _place(kind)
    registry.give(name, kind)
    return name, options


def _network(part: Any) -> tuple[type[Network], dict[str, Any]]:
    if isinstance(part, type) and issubclass(part, Network):
        return part, {}
    if isinstance(part, Network) and dataclasses.is_dataclass(part):
        return type(part), to_mapping(part)
    pair = part if isinstance(part, (tuple, list)) else _halves(part)
    if len(pair) != 2 or not all(isinstance(half, nn.Module) for half in pair):
        raise OptionError(
            "network takes a name, a Network, a pair of torch modules (encoder, decoder), or an "
            f"object with .encoder and .decoder, not {type(part).__name__}"
        )
    owners = pair if isinstance(part, (tuple, list)) else (part,)
    name = ", ".join(_place(type(one)) for one in owners) + _structure(*pair)
    body = {"given": tuple(pair), "given_name": name}
    return type("GivenPair", (ModulePair,), body), {}


def _halves(part: Any) -> tuple[Any, Any]:
    return getattr(part, "encoder", None), getattr(part, "decoder", None)


def _instance(option: str, part: Any) -> tuple[type[Any], dict[str, Any]]:
    """A class as it is; an instance as a class that builds copies of it."""
    base: type[Any] = Likelihood if option == "likelihood" else Prior
    if isinstance(part, type) and issubclass(part, base):
        return part, {}
    if not isinstance(part, base):
        raise OptionError(
            f"{option} takes a name, or a subclass or an instance of {base.__name__}, not "
            f"{type(part).__name__}"
        )
    built = classmethod(lambda cls, *_: copy.deepcopy(part))
    builder = "from_schema" if option == "likelihood" else "build"
    body = {builder: built, "given_name": _place(type(part)) + _structure(part)}
    return type(type(part).__name__, (type(part),), body), {}


def _place(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _structure(*modules: nn.Module) -> str:
    """A short hash of layers and shapes, so that modules of one class and other sizes differ."""
    shapes = [[(n, tuple(v.shape)) for n, v in one.state_dict().items()] for one in modules]
    text = repr([*map(repr, modules), shapes])
    return "#" + hashlib.sha256(text.encode()).hexdigest()[:8]


def _classes(name: str) -> list[str]:
    return name.partition("#")[0].split(", ")


def _importable(module: str, qualified: str) -> bool:
    """Whether the imported module has the class; nothing is imported here."""
    try:
        attrgetter(qualified)(sys.modules[module])
    except (AttributeError, KeyError):
        return False
    return True
