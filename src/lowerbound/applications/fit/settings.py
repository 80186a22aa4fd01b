"""Options of parts, typed as ``part.option=value``, such as ``network.hidden=[200,200]``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lowerbound.applications.form import value_of
from lowerbound.errors import OptionError, unknown
from lowerbound.fitting import FitOptions

OF_MODEL = ("model", "network", "likelihood", "prior", "posterior")
PARTS = (*OF_MODEL, "objective")


def with_settings(options: FitOptions, settings: Sequence[str]) -> FitOptions:
    """The options with each setting added to the options of its part.

    Building the part checks whether it has such an option.

    Raises:
        OptionError: a setting is not ``part.option=value``, or there is no such part.
    """
    for setting in settings:
        part, name, value = _split(setting)
        field = f"{part}_options"
        if part in OF_MODEL:
            changed: dict[str, Any] = {field: {**getattr(options.model, field), name: value}}
            options = replace(options, model=replace(options.model, **changed))
        else:
            options = replace(options, objective_options={**options.objective_options, name: value})
    return options


def _split(setting: str) -> tuple[str, str, Any]:
    place, equals, text = setting.partition("=")
    part, dot, name = place.strip().partition(".")
    if not (equals and dot and part and name):
        raise OptionError(
            f"--set takes part.option=value, such as network.hidden=[200,200]: {setting!r}"
        )
    if part not in PARTS:
        raise unknown("part", part, PARTS)
    return part, name.replace("-", "_"), value_of(text.strip())
