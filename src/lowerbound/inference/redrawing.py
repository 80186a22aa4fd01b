r"""Pictures drawn again from the noise of a diffusion prior, in whole or inside a mask.

.. math:: x \mapsto z \to z_t \to z' \sim p(z \mid \text{what is kept}), \qquad x' = E[x \mid z']
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.inference.passes import batches, evaluation_mode
from lowerbound.models import Decodes, Encodes, LearnsPrior, Model, require
from lowerbound.priors.base import Redraws
from lowerbound.priors.codes import CODE_PRIORS

TASK = "redraw pictures"
ROWS_AT_ONCE = 64


def require_redraws(model: Model) -> Redraws:
    """The model's prior, if it can draw latents again.

    Raises:
        UnsupportedError: it cannot.
    """
    learning = require(model, LearnsPrior, TASK)
    prior = learning.learned_prior
    if not isinstance(prior, Redraws):
        codes = all(kind in CODE_PRIORS for kind in learning.prior_kinds())
        first = (
            "fit a vae, because the latents of this model are codes, and then run " if codes else ""
        )
        raise UnsupportedError(
            "to redraw pictures, the model needs latents that are numbers and a diffusion prior: "
            f"{first}lowerbound prior --kind diffusion"
        )
    return prior


def redraw_rows(
    model: Model,
    rows: Dataset,
    hidden: Tensor | None,
    *,
    prompt: Tensor | None = None,
    strength: float,
    rounds: int,
    draws: int = 1,
    seed: int = 0,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """E[x | z'] of latents drawn again, (draws, rows, *event) in model units, on the CPU.

    Args:
        model: one whose prior draws latents again.
        rows: pictures.
        hidden: cells to be redrawn, (rows, *event); None: all. Places of the latent map without a
            hidden cell are kept. Other cells of the result change too, as decoding is not local.
        prompt: of a conditional prior, (rows, codes).
        strength: share of the noise that a row passes through, above 0 to 1.
        rounds: how often a step is repeated where something is kept.
        draws: how many of each row.
        seed: of the draws.
        advance: is called with the rows done and the number of all rows.

    Raises:
        UnsupportedError: the prior cannot, the model has no encoder or decoder, or part of a latent
            that is a vector should be kept.
        OptionError: a number is out of range.
    """
    if not 0 < strength <= 1:
        raise OptionError(f"strength is above 0 and at most 1, not {strength:g}")
    if rounds < 1 or draws < 1:
        raise OptionError(f"rounds and draws must be at least 1, not {rounds} and {draws}")
    prior, encodes = require_redraws(model), require(model, Encodes, TASK)
    decodes = require(model, Decodes, TASK)
    kept = None if hidden is None else ~touched(hidden, prior.latent_shape)
    found: list[Tensor] = []
    with seeded(seed), evaluation_mode(model, gradients=True), torch.no_grad():
        for part, batch in batches(rows, model, ROWS_AT_ONCE):
            z = encodes.encode(batch).mean[0].repeat(draws, 1)
            known, held = (
                None if each is None else each[part].to(z.device).repeat(draws, 1)
                for each in (prompt, kept)
            )
            drawn = prior.redrawn(z, known, strength, held, rounds).unflatten(0, (draws, -1))
            found.append(decodes.decode(drawn, batch.condition).mean.cpu())
            advance(part.stop, len(rows))
    return torch.cat(found, 1)


def touched(hidden: Tensor, latent_shape: tuple[int, ...]) -> Tensor:
    """Numbers of a latent map whose block of pixels has a hidden cell, (rows, numbers).

    Args:
        hidden: (rows, channels, height, width).
        latent_shape: (channels, height, width); each side is halved, rounding up, some times.

    Raises:
        UnsupportedError: the latent is a vector.
    """
    if len(latent_shape) != 3:
        raise UnsupportedError(
            "the latent of this model is a vector, and each of its numbers describes all of a "
            "picture, so no part of it can be redrawn alone: fit a model whose latent is a map, "
            "with --set model.stride=4, or redraw all without a mask"
        )
    sides = zip(hidden.shape[2:], latent_shape[1:], strict=True)
    block = [2 ** math.ceil(math.log2(pixels / places)) for pixels, places in sides]
    pixels = hidden.any(1, keepdim=True).float()
    places = max_pool2d(pixels, block, ceil_mode=True).bool()
    return places.expand(-1, *latent_shape).flatten(1)
