"""Which priors can be trained on the latents of a fitted model, and which is the default."""

from __future__ import annotations

from typing import Any

from lowerbound.errors import OptionError, unknown
from lowerbound.parts import trainable
from lowerbound.priors.base import PRIORS
from lowerbound.priors.codes import CODE_PRIORS
from lowerbound.registry import Registry


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
