"""Settings of a trained prior or refiner that hold during a call only, such as guidance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.models.base import Model
from lowerbound.models.powers import LearnsPrior
from lowerbound.priors.base import Prior
from lowerbound.priors.codes import CodePrior, Narrowing

DIFFUSION = "train one that has, with lowerbound prior --kind diffusion"
CODES = "only a prior over codes has, such as that of a vq_vae; temperature narrows draws of others"
INSTEAD = {"guidance": DIFFUSION, "steps": DIFFUSION, "top_k": CODES, "top_p": CODES}


@contextmanager
def prior_settings(
    model: Model,
    *,
    guidance: float | None = None,
    steps: int | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Iterator[None]:
    """Change how the model's prior and its refiner draw, and restore them after the block.

    Args:
        model: one with a prior or a refiner.
        guidance: strength of the prompt: 0 ignores it, 1 is p(z | prompt), more exaggerates it.
        steps: evaluations of the network for a draw.
        top_k: of codes, only so many of the likeliest are drawn.
        top_p: of codes, only the likeliest that together have this probability are drawn.

    Raises:
        UnsupportedError: neither has such a setting.
        OptionError: a negative guidance, fewer than one step, or another number out of range.
    """
    if guidance is not None and guidance < 0:
        raise OptionError(f"guidance is zero or more, not {guidance:g}")
    if steps is not None and steps < 1:
        raise OptionError(f"a draw takes at least 1 step, not {steps}")
    Narrowing(top_k=top_k, top_p=1.0 if top_p is None else top_p)
    given = {"guidance": guidance, "steps": steps, "top_k": top_k, "top_p": top_p}
    changes = {name: value for name, value in given.items() if value is not None}
    priors = [prior for prior in _priors(model) if changes]
    for name in changes:
        if not any(hasattr(prior, name) for prior in priors):
            raise UnsupportedError(f"the prior of this model has no {name}: {INSTEAD[name]}")
    former = [{name: getattr(p, name) for name in changes if hasattr(p, name)} for p in priors]
    try:
        for prior, values in zip(priors, former, strict=True):
            _set(prior, {name: changes[name] for name in values})
        yield
    finally:
        for prior, values in zip(priors, former, strict=True):
            _set(prior, values)


def _priors(model: Model) -> list[nn.Module]:
    """The modules that draw: the priors, and the refiner."""
    refiner: list[nn.Module] = [] if model.refiner is None else [model.refiner]
    if not isinstance(model, LearnsPrior):
        return refiner
    modules = model.learned_prior.modules()
    return [*refiner, *(module for module in modules if isinstance(module, Prior | CodePrior))]


def _set(prior: nn.Module, values: dict[str, float]) -> None:
    for name, value in values.items():
        setattr(prior, name, value)
