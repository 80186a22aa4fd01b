"""Checks of a caller's own likelihood and prior: the shapes of what they return.

A shape that torch broadcasts would not fail. It would change the bound.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.likelihoods import Likelihood
from lowerbound.priors import Prior
from lowerbound.trace import Emission

PACKAGE = __name__.partition(".")[0]
ROWS = 2


@torch.no_grad()
def check_own_parts(model: nn.Module, dataset: Dataset, *, started: bool) -> None:
    """Check the likelihoods and priors of a model that are not of this package.

    They are called in evaluation mode, and the random state stays as it is.

    Args:
        model: on any device.
        dataset: the training rows.
        started: False checks the parts that set nothing from training rows, before the model does;
            True checks the others.

    Raises:
        OptionError: a shape is wrong; the message names it.
    """
    own = [
        part
        for part in model.children()
        if isinstance(part, (Likelihood, Prior))
        and type(part).__module__.partition(".")[0] != PACKAGE
        and _sets_itself(part) == started
    ]
    modes = [(module, module.training) for part in own for module in part.modules()]
    try:
        for part in own:
            part.eval()
            with seeded(0):
                _check(part, model, dataset)
    finally:
        for module, mode in modes:
            module.training = mode


def _sets_itself(part: Likelihood | Prior) -> bool:
    """Whether a part sets something from training rows."""
    base = Likelihood if isinstance(part, Likelihood) else Prior
    return type(part).initialize is not base.initialize


def _check(part: Likelihood | Prior, model: nn.Module, dataset: Dataset) -> None:
    if isinstance(part, Prior):
        _check_prior(part)
        return
    rows = dataset.subset(range(min(ROWS, len(dataset)))).all().filled
    weight = next((each for each in model.parameters() if each.is_floating_point()), rows)
    _check_likelihood(part, rows.to(weight.device, weight.dtype))


def _check_likelihood(likelihood: Likelihood, x: Tensor) -> None:
    name = type(likelihood).__name__
    emission = likelihood(x.new_zeros(1, len(x), *likelihood.parameter_shape))
    if not isinstance(emission, Emission):
        raise OptionError(
            f"likelihood: {name} must return an Emission, not {type(emission).__name__}"
        )
    rows = 1, len(x)
    terms = tuple(emission.terms(x).shape)
    if terms[:2] != rows or len(terms) < 3:
        raise OptionError(
            f"likelihood: the terms of {name} must have the shape (samples, rows, features, ...), "
            f"one number per feature, and have {terms} for 1 sample of {len(x)} rows; lowerbound "
            "sums them"
        )
    wanted = (*rows, *x.shape[1:])
    for what, values in (("mean", emission.mean), ("draws", emission.sample())):
        if tuple(values.shape) != wanted:
            raise OptionError(
                f"likelihood: the {what} of {name} must have the shape (samples, rows, *event), "
                f"which is {wanted} for 1 sample of {len(x)} rows, and have {tuple(values.shape)}"
            )


def _check_prior(prior: Prior) -> None:
    try:
        found = prior()
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return  # it needs the posterior of rows
    batch, event = tuple(found.batch_shape), tuple(found.event_shape)
    dim = prior.latent_dim
    if (batch, event) != ((1, 1), (dim,)):
        raise OptionError(
            f"prior: p(z) of {type(prior).__name__} must have batch shape (1, 1) and event shape "
            f"({dim},), and has {batch} and {event}: for numbers that are independent, "
            f"Independent(Normal(loc, scale), 1) with loc and scale of shape (1, 1, {dim})"
        )
