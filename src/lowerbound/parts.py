"""The parts that options may name, readable without torch.

Each registry lists its parts by name; the module of a part is imported when it is looked up. The
types of the parts are said where the family is defined, such as ``lowerbound.models.base.MODELS``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from lowerbound.registry import Registry

AUTO = "auto"
"""The name that leaves the choice of a part to the data."""
AT_RANDOM = "at_random"
DIRECTIONS = {"self_masking_high": 1, "self_masking_low": -1, "self_masking": 0}
MISSINGNESS = (AT_RANDOM, *DIRECTIONS)
"""Why cells are missing; the numbers are the sides of a column whose values hide themselves."""
CHAINS, TEMPERATURES = 32, 60  # of denoising, for each row

MODELS: Registry[Any] = Registry(
    "model",
    "lowerbound.models",
    {
        "autoencoder": "autoencoder",
        "hierarchical": "hierarchical",
        "ladder": "ladder",
        "pca": "pca",
        "semi_supervised": "semi_supervised",
        "semi_supervised_regression": "semi_supervised_regression",
        "vae": "vae",
        "event_history": "sequences.event_history",
        "linear_state_space": "sequences.linear_state_space",
        "recurrent_state_space": "sequences.recurrent_state_space",
        "transform": "transform",
        "vq_vae": "vq_vae",
    },
)

NETWORKS: Registry[Any] = Registry(
    "network",
    "lowerbound.networks",
    {
        "mlp": "mlp",
        "tabular": "tabular",
        "linear": "mlp",
        "autoencoder_kl": "pictures.autoencoder_kl",
        "convolutional": "pictures.convolutional",
        "frames": "signals",
        "positions": "tokens",
        "recurrent": "tokens",
        "sequence_transformer": "tokens",
        "transformer": "transformer",
    },
)

LIKELIHOODS: Registry[Any] = Registry(
    "likelihood",
    "lowerbound.likelihoods",
    {
        "mixed": "mixed",
        "autoregressive_columns": "autoregressive.columns",
        "bernoulli": "bernoulli",
        "categorical": "categorical",
        "discretized_logistic": "discretized_logistic",
        "discretized_logistic_mixture": "discretized_logistic_mixture",
        "autoregressive": "autoregressive.pixels",
        "autoregressive_tokens": "autoregressive.tokens",
        "continuous_bernoulli": "bernoulli",
        "gaussian": "location_scale",
        "laplace": "location_scale",
        "multinomial": "categorical",
        "student_t": "location_scale",
    },
)

PRIORS: Registry[Any] = Registry(
    "prior",
    "lowerbound.priors",
    {
        "diffusion": "diffusion.prior",
        "flow": "flow",
        "mixture": "mixture",
        "recurrent": "temporal",
        "standard_normal": "flow",
        "vamp": "mixture",
    },
)

CODE_PRIORS: Registry[Any] = Registry(
    "prior over codes",
    "lowerbound.priors",
    {
        "uniform": "codes",
        "marginal": "codes",
        "autoregressive": "autoregressive_codes",
        "markov": "sequential_codes",
    },
)

POSTERIORS: Registry[Any] = Registry(
    "posterior",
    "lowerbound.posteriors",
    {
        "gaussian": "gaussian",
        "clamped_gaussian": "gaussian",
        "flow": "gaussian",
        "full": "gaussian",
    },
)

OBJECTIVES: Registry[Any] = Registry(
    "objective",
    "lowerbound.objectives",
    {
        "elbo": "elbo",
        "adversarial": "adversarial",
        "factor": "factor",
        "features": "features",
        "importance_weighted": "importance_weighted",
        "semi_supervised": "semi_supervised",
        "semi_supervised_regression": "semi_supervised_regression",
        "target_rate": "elbo",
        "spectral": "features",
        "structural": "features",
        "beta_tc": "factor",
    },
)


OF_ROWS = ("vamp",)
LIBRARIES = {"diffusion": "diffusers"}
"""What ``learns_from_latents`` and ``library`` of the listed priors say, readable without torch."""
BEST_FIRST = ("diffusion", "flow", "mixture", "autoregressive", "markov", "marginal")


def trainable(registry: Registry[Any]) -> list[str]:
    """Names of the priors that latents alone can train, the default first.

    A prior whose optional library is not installed comes last.
    """
    names = [name for name in registry if _learns_from_latents(registry, name)]
    return sorted(names, key=lambda name: (not _is_installed(registry, name), _place(name)))


@dataclass(frozen=True)
class EveryTrainable:
    """These words, then the names of all priors that can be trained on latents, those of numbers
    first; including priors that are registered later."""

    words: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[str]:
        return iter([*self.words, *trainable(PRIORS), *trainable(CODE_PRIORS)])


def _learns_from_latents(registry: Registry[Any], name: str) -> bool:
    if registry.lists(name):
        return name not in OF_ROWS
    return bool(getattr(registry[name], "learns_from_latents", True))


def _is_installed(registry: Registry[Any], name: str) -> bool:
    listed = registry.lists(name)
    library = LIBRARIES.get(name, "") if listed else getattr(registry[name], "library", "")
    return not library or find_spec(library) is not None


def _place(name: str) -> int:
    return BEST_FIRST.index(name) if name in BEST_FIRST else len(BEST_FIRST)
