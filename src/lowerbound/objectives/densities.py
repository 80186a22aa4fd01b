"""Check that the densities of a pass are of the kind that a computation needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.distributions import Distribution

from lowerbound.distributions.density import density_of
from lowerbound.errors import UnsupportedError
from lowerbound.likelihoods import LIKELIHOODS
from lowerbound.models.base import MODELS
from lowerbound.posteriors import POSTERIORS
from lowerbound.priors import PRIORS
from lowerbound.registry import Registry
from lowerbound.trace import Trace

PARTS: dict[str, Registry[Any]] = {
    "prior": PRIORS,
    "posterior": POSTERIORS,
    "likelihood": LIKELIHOODS,
}


def require_exact_densities(trace: Trace, task: str) -> None:
    """Check for importance weights, because a mean of exponentials of bounds is not a bound.

    Args:
        trace: a pass.
        task: the computation, for the message.

    Raises:
        UnsupportedError: a density is a bound or missing; the message names what can be used.
    """
    for part, level, distribution in _parts(trace):
        if density_of(distribution) != "exact":
            raise _refusal(part, level, distribution, f"{task} needs the exact one")


def allowed_samples(trace: Trace, samples: int) -> int:
    """K of a bound: ``samples``, or 1 where a density of this pass is only a lower bound."""
    bounded = any(density_of(distribution) == "bound" for _, _, distribution in _parts(trace))
    return 1 if bounded else samples


def require_bounded_densities(trace: Trace) -> None:
    """Check for the ELBO: log p may be a lower bound; log q must be exact, as it is subtracted.

    Raises:
        UnsupportedError: a density is missing, or the density of a posterior is a bound; the
            message names alternatives.
    """
    for part, level, distribution in _parts(trace):
        density = density_of(distribution)
        if density == "none" or (density == "bound" and part == "posterior"):
            raise _refusal(part, level, distribution, "the ELBO needs one")


def _parts(trace: Trace) -> Iterator[tuple[str, int, Distribution]]:
    """Each distribution of a pass, with its part of the model and its level."""
    for level, step in enumerate(trace.steps):
        yield "prior", level, step.prior
        if step.posterior is not None:
            yield "posterior", level, step.posterior
    yield "likelihood", len(trace.steps), trace.likelihood


def _refusal(part: str, level: int, distribution: Distribution, need: str) -> UnsupportedError:
    bounded = density_of(distribution) == "bound"
    found = "only a lower bound on its density" if bounded else "no density"
    exact = [n for n in PARTS[part] if getattr(PARTS[part][n], "density", "exact") == "exact"]
    able = [n for n in MODELS if hasattr(MODELS[n], "imagine")]
    return UnsupportedError(
        f"the {part} at level {level}, {type(distribution).__name__}, gives {found}, and {need}: "
        + f"choose a {part} that has it ({', '.join(exact)})"
        + (
            ", or take the ELBO: objective 'elbo', 1 sample"
            if bounded
            else f", in a model whose latents have densities ({', '.join(able)})"
        )
    )
