"""Options of parts, typed as ``part.option=value``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lowerbound.applications.form import value_of
from lowerbound.config import options_of
from lowerbound.errors import OptionError, unknown
from lowerbound.registry import Registry


def option_names(registry: Registry[Any]) -> Mapping[str, Sequence[str]]:
    """The names of the options of every registered part."""
    return {name: options_of(registry[name]) for name in registry}


def split_setting(setting: str, parts: Sequence[str]) -> tuple[str, str, Any]:
    """Part, name of the option, and value.

    Raises:
        OptionError: a setting is not ``part.option=value``, or there is no such part.
    """
    place, equals, text = setting.partition("=")
    part, dot, name = place.strip().partition(".")
    if not (equals and dot and part and name):
        raise OptionError(
            f"--set takes part.option=value, such as network.hidden=[200,200]: {setting!r}"
        )
    if part not in parts:
        raise unknown("part", part, parts)
    return part, name.replace("-", "_"), value_of(text.strip())
