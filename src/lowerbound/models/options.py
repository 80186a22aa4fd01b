"""The options of a model: the names of its parts; "auto" chooses a part from the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lowerbound.config import option
from lowerbound.parts import (
    AT_RANDOM,
    AUTO,
    LIKELIHOODS,
    MISSINGNESS,
    MODELS,
    NETWORKS,
    POSTERIORS,
    PRIORS,
)

if TYPE_CHECKING:
    from lowerbound.data.vocabulary import PromptVocabulary


@dataclass(frozen=True)
class ModelOptions:
    """The parts of a model; "auto" and None choose from the data.

    Values are names in the registries. Each ``*_options`` goes to the part of that name.
    ``refiner`` holds the options of a refiner that was trained after the model; None: it has none.
    ``correction`` is that of a table's drawn rows, likewise.
    """

    model: str = option("vae", "the model to fit", choices=MODELS, common=True)
    latent_dim: int | None = option(
        None, "numbers in the code of a row (default: from the data)", common=True
    )
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
    conditional: bool = option(
        False, "condition encoder and decoder on the class: p(x | y)", common=True
    )
    model_options: Mapping[str, Any] = field(default_factory=dict)
    network_options: Mapping[str, Any] = field(default_factory=dict)
    likelihood_options: Mapping[str, Any] = field(default_factory=dict)
    prior_options: Mapping[str, Any] = field(default_factory=dict)
    posterior_options: Mapping[str, Any] = field(default_factory=dict)
    refiner: Mapping[str, Any] | None = None
    correction: Mapping[str, Any] | None = None

    @property
    def prompts(self) -> PromptVocabulary:
        """The vocabulary of prompts that the prior takes; empty if it takes none."""
        from lowerbound.data.vocabulary import PromptVocabulary

        return PromptVocabulary.of(self.model_options.get("prior_options") or self.prior_options)

    @property
    def numbers_only(self) -> bool:
        """Whether a table is read with every column as a real number."""
        by_columns = self.likelihood == AUTO or LIKELIHOODS[self.likelihood].by_columns
        return bool(MODELS[self.model].numbers_only or not by_columns)

    @property
    def is_regression(self) -> bool:
        """Whether the label is read as a number to predict."""
        return bool(MODELS[self.model].is_regression)

    @property
    def infers_label(self) -> bool:
        """Whether the label is inferred for rows without one, so that labels are scarce."""
        return bool(MODELS[self.model].infers_label)

    @property
    def normal_scores(self) -> bool:
        """Whether columns may be mapped to normal scores by their observed values. They may not if
        cells are missing because of their values."""
        return self.missingness == AT_RANDOM
