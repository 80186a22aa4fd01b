"""What a model is made of: the names of its parts, "auto" where they are chosen from the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lowerbound.classical.self_masking import AT_RANDOM, MISSINGNESS
from lowerbound.config import option
from lowerbound.likelihoods import LIKELIHOODS
from lowerbound.models.base import AUTO, MODELS
from lowerbound.networks import NETWORKS
from lowerbound.posteriors import POSTERIORS
from lowerbound.priors import PRIORS


@dataclass(frozen=True)
class ModelOptions:
    """What the model is made of; "auto" and None are chosen from the data.

    The words are the registries' names; the ``*_options`` go to the part of that name.
    """

    model: str = option("vae", "the model to fit", choices=MODELS)
    latent_dim: int | None = option(None, "numbers in the code of a row (default: from the data)")
    network: str = option(AUTO, "network of encoder and decoder", choices=NETWORKS.after(AUTO))
    likelihood: str = option(AUTO, "p(x | z)", choices=LIKELIHOODS.after(AUTO))
    prior: str = option("standard_normal", "p(z)", choices=PRIORS)
    posterior: str = option(AUTO, "q(z | x)", choices=POSTERIORS.after(AUTO))
    missingness: str = option(
        AT_RANDOM,
        "why cells are missing, where you know it: because their values are high, low, or "
        "either; the data cannot show this",
        choices=MISSINGNESS,
    )
    conditional: bool = option(False, "condition encoder and decoder on the class: p(x | y)")
    model_options: Mapping[str, Any] = field(default_factory=dict)
    network_options: Mapping[str, Any] = field(default_factory=dict)
    likelihood_options: Mapping[str, Any] = field(default_factory=dict)
    prior_options: Mapping[str, Any] = field(default_factory=dict)
    posterior_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def numbers_only(self) -> bool:
        """Whether every column is taken for a real number, so that a table is read as such."""
        by_columns = self.likelihood == AUTO or LIKELIHOODS[self.likelihood].by_columns
        return MODELS[self.model].numbers_only or not by_columns

    @property
    def is_regression(self) -> bool:
        """Whether the label is a number to predict, so that it is read as such."""
        return MODELS[self.model].is_regression

    @property
    def normal_scores(self) -> bool:
        """Whether columns may be mapped to normal scores by their observed values: not where cells
        are missing because of their values."""
        return self.missingness == AT_RANDOM
