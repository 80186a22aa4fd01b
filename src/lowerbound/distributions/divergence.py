r"""The rate of a latent: KL(q || p), in closed form if the pair of types has one.

.. math:: \mathrm{KL}(q \,\|\, p) = \mathbb{E}_{q}[\log q(z) - \log p(z)] \ge 0 \quad\text{(nats)}

torch's registry of divergences is not used, because its dispatch breaks compiled graphs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
)

from lowerbound.distributions.one_hot import OneHotCodes
from lowerbound.distributions.reparameterization import UnitNormal, base_normal


def closed_form_kl(posterior: Distribution, prior: Distribution) -> Tensor | None:
    """KL(posterior || prior) in nats, one number per row; None if there is no closed form.

    Source: Kingma & Welling 2014, appendix B, for diagonal Gaussians.
    """
    q, p = base_normal(posterior), base_normal(prior)
    if q is not None and p is not None:
        return normal_kl(q, p).flatten(-max(len(posterior.event_shape), 1)).sum(-1)
    if isinstance(posterior, MultivariateNormal) and p is not None:
        whitened = posterior.scale_tril / p.scale.unsqueeze(-1)
        distance = (posterior.loc - p.loc) / p.scale
        log_ratio = torch.log(torch.diagonal(whitened, dim1=-2, dim2=-1)).sum(-1)
        squares = whitened.square().sum((-2, -1)) + distance.square().sum(-1)
        return 0.5 * (squares - posterior.loc.shape[-1]) - log_ratio
    if isinstance(posterior, OneHotCodes) and isinstance(prior, OneHotCodes):
        return posterior.kl(prior)
    q_classes, p_classes = _categorical(posterior), _categorical(prior)
    if q_classes is not None and p_classes is not None:
        per_latent = _categorical_categorical(q_classes, p_classes)
        dims = per_latent.dim() - len(posterior.batch_shape)
        return per_latent.flatten(-dims).sum(-1) if dims else per_latent
    return None


def unit_kl(posterior: Distribution, prior: Distribution) -> Tensor | None:
    """KL of each number of a latent, (samples | 1, batch | 1, *event), in nats.

    None if the two are not products of Gaussians.
    """
    q, p = base_normal(posterior), base_normal(prior)
    return None if q is None or p is None else normal_kl(q, p)


def monte_carlo_kl(posterior: Distribution, prior: Distribution, z: Tensor) -> Tensor:
    """log q(z) - log p(z) at given draws z ~ q, (samples, batch): unbiased for the KL, in nats."""
    difference: Tensor = posterior.log_prob(z) - prior.log_prob(z)
    return difference


def normal_kl(q: Normal, p: Normal) -> Tensor:
    """KL(q || p) of each element in nats; the shapes are broadcast."""
    if isinstance(p, UnitNormal):
        squares = torch.addcmul(q.scale * q.scale, q.loc, q.loc)
        return 0.5 * (squares - 1.0) - torch.log(q.scale)
    ratio = q.scale / p.scale
    distance = (q.loc - p.loc) / p.scale
    return 0.5 * (ratio * ratio + distance * distance - 1.0) - torch.log(ratio)


def _categorical(distribution: Distribution) -> Categorical | None:
    while isinstance(distribution, Independent):
        distribution = distribution.base_dist
    if isinstance(distribution, OneHotCategorical):
        classes: Categorical = distribution._categorical
        return classes
    return distribution if isinstance(distribution, Categorical) else None


def _categorical_categorical(q: Categorical, p: Categorical) -> Tensor:
    log_ratio = torch.log_softmax(q.logits, -1) - torch.log_softmax(p.logits, -1)
    # a class of probability zero adds nothing to value and gradient, but 0 * -inf is NaN
    return (q.probs * torch.where(q.probs > 0, log_ratio, 0.0)).sum(-1)
