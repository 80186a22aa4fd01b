"""Which priors can be trained on the latents of a fitted model, and which is the default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from lowerbound.errors import OptionError, unknown
from lowerbound.priors.base import PRIORS
from lowerbound.priors.codes import CODE_PRIORS
from lowerbound.registry import Registry

BEST_FIRST = ("diffusion", "flow", "mixture", "autoregressive", "markov", "marginal")


def trainable(registry: Registry[Any]) -> list[str]:
    """Names of the priors that latents alone can train, the default first.

    A prior whose optional library is not installed comes last.
    """
    names = [name for name in registry if getattr(registry[name], "learns_from_latents", True)]
    return sorted(names, key=lambda name: (not _is_installed(registry[name]), _place(name)))


def check_trainable(name: str, registry: Registry[Any]) -> None:
    """Check that latents alone can train the prior of that name.

    Args:
        name: of a prior.
        registry: ``PRIORS`` if the latents are numbers, ``CODE_PRIORS`` if they are codes.

    Raises:
        OptionError: there is no such prior; or it is for other latents, or made of rows of data.
    """
    names = trainable(registry)
    if name in names:
        return
    choices = f"choose one of: {', '.join(names)}"
    if name in registry:
        raise OptionError(
            f"the prior {name!r} is made of rows of data and cannot be trained on latents; "
            + choices
        )
    if name in PRIORS:
        raise OptionError(
            f"the prior {name!r} is of numbers, and the latents of this model are codes; {choices}"
        )
    if name in CODE_PRIORS:
        raise OptionError(
            f"the prior {name!r} is of codes, and the latents of this model are numbers; {choices}"
        )
    raise unknown("prior", name, names)


@dataclass(frozen=True)
class EveryTrainable:
    """These words, then the names of all priors that can be trained on latents, those of numbers
    first; including priors that are registered later."""

    words: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[str]:
        return iter([*self.words, *trainable(PRIORS), *trainable(CODE_PRIORS)])


def _is_installed(prior: Any) -> bool:
    library = getattr(prior, "library", "")
    return not library or find_spec(library) is not None


def _place(name: str) -> int:
    return BEST_FIRST.index(name) if name in BEST_FIRST else len(BEST_FIRST)
