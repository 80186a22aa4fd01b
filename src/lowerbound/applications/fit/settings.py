"""Options of parts, typed as ``part.option=value``, such as ``network.hidden=[200,200]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lowerbound.applications.io.part_settings import option_names, split_setting
from lowerbound.errors import OptionError
from lowerbound.fitting import FitOptions
from lowerbound.likelihoods import LIKELIHOODS
from lowerbound.models import MODELS
from lowerbound.models.options import ModelOptions
from lowerbound.networks import NETWORKS
from lowerbound.objectives import OBJECTIVES
from lowerbound.posteriors import POSTERIORS
from lowerbound.priors import PRIORS

OF_MODEL = ("model", "network", "likelihood", "prior", "posterior")
PARTS = (*OF_MODEL, "objective")


def part_options() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """The names of the options of every part, by its family and its registered name."""
    return {
        "objective": option_names(OBJECTIVES),
        "network": option_names(NETWORKS),
        "model": {name: MODELS[name].option_names() for name in MODELS},
        "likelihood": option_names(LIKELIHOODS),
        "prior": option_names(PRIORS),
        "posterior": option_names(POSTERIORS),
    }


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


def check_parts(options: ModelOptions) -> None:
    """Check that the model is built from every part that is chosen.

    Raises:
        OptionError: it has a part of its own instead, which the message names.
    """
    usual, uses = ModelOptions(), MODELS[options.model].uses
    for part in OF_MODEL[1:]:
        chosen = getattr(options, part)
        if part not in uses and chosen != getattr(usual, part):
            raise OptionError(
                f"--model {options.model} has no choice of {part}: leave out --{part} {chosen}, or "
                "choose another --model"
            )
