"""Options of parts, typed as ``part.option=value``, such as ``network.hidden=[200,200]``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lowerbound.applications.io.part_settings import split_setting
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
        part, name, value = split_setting(setting, PARTS)
        field = f"{part}_options"
        if part in OF_MODEL:
            changed: dict[str, Any] = {field: {**getattr(options.model, field), name: value}}
            options = replace(options, model=replace(options.model, **changed))
        else:
            options = replace(options, objective_options={**options.objective_options, name: value})
    return options
