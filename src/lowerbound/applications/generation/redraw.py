r"""``lowerbound redraw``: draw pictures anew near given ones, in whole or inside a mask.

They are drawn again from the noise of a diffusion prior:

.. math:: x \mapsto z \to z_t \to z' \sim p(z \mid \text{what is kept}), \qquad x' = E[x \mid z']
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from lowerbound.applications.common.application import Reporter, SheetReport, written
from lowerbound.applications.common.conditions import prompt_of, typed_values
from lowerbound.applications.common.files import check_apart
from lowerbound.applications.common.masks import ARRAYS, read_mask
from lowerbound.applications.common.requested_rows import check_rows, picked_rows
from lowerbound.applications.common.rows import row_files
from lowerbound.applications.common.sources import open_data
from lowerbound.applications.generation.requests import STRENGTH, STRENGTH_OF_PARTS, RedrawRequest
from lowerbound.data.arrays import Array, check_numbers
from lowerbound.data.dataset import Dataset
from lowerbound.data.incomplete import Incomplete
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError, UnsupportedError, counted
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.passes import batches, evaluation_mode
from lowerbound.inference.prior_draws import prior_settings
from lowerbound.models.base import Model
from lowerbound.models.powers import Decodes, Encodes, LearnsPrior, require
from lowerbound.priors.base import Redraws
from lowerbound.priors.codes import CODE_PRIORS

TASK = "redraw pictures"
ROWS_AT_ONCE = 64
MOST_ROWS = 8


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


@dataclass(frozen=True)
class RedrawReport(SheetReport):
    """Redrawn pictures were written.

    Attributes:
        rows: how many.
        draws: how many of each row.
        share: of the pixels, how many were redrawn; the others are as given.
    """

    rows: int
    draws: int
    share: float

    def text(self) -> str:
        times = f" {self.draws} times" if self.draws > 1 else ""
        part = f", {self.share:.1%} of the pixels" if self.share < 1 else ""
        some = "" if self.shown is None else f", {self.about_shown('them')}"
        return f"{counted(self.rows, 'row')} redrawn{times}{part}{some}: {self.where}"


def redraw(request: RedrawRequest, reporter: Reporter, fitted: Fitted) -> RedrawReport:
    """Noise the latents of pictures, free them of the noise, decode, and keep what is not masked.

    Raises:
        UnsupportedError: the data is not pictures, the model has no prior that redraws, or a part
            should be redrawn of a latent that is a vector.
        OptionError: an unknown attribute, word or row, or a number out of range.
        DataError: the data or the mask cannot be read.
    """
    path, schema = Path(request.output), fitted.schema
    row_files(schema).check(path)
    check_apart(path, request.data)
    if not schema.data_kind.pictures:
        raise UnsupportedError("redraw is for pictures; to change other rows, use lowerbound edit")
    require_redraws(fitted.model)
    dataset = open_data(request.data, fitted, on_error=request.on_error)
    chosen = picked_rows(request.rows, dataset) if request.rows else range(len(dataset))[:MOST_ROWS]
    rows = dataset.subset(list(chosen))
    check_rows(fitted, request.draws * len(rows), f"--draws {request.draws}")
    hidden = _hidden(request.mask, rows)
    default = STRENGTH if hidden is None else STRENGTH_OF_PARTS
    with prior_settings(fitted.model, guidance=request.guidance, steps=request.steps):
        made = redraw_rows(
            fitted.model,
            rows,
            hidden,
            prompt=prompt_of(fitted, typed_values(request.given), request.prompt, len(rows)),
            strength=default if request.strength is None else request.strength,
            rounds=request.rounds,
            draws=request.draws,
            seed=request.seed,
            advance=partial(reporter.advance, "redrawing"),
        )
    writer = row_files(schema)
    files = writer.write_redrawn(path, *_in_place(rows, hidden, made), rows.ids)
    share = 1.0 if hidden is None else float(hidden.double().mean())
    changed = len(rows) if hidden is None else int(hidden.flatten(1).any(1).sum())
    shown = writer.rows_shown(path, changed)
    return RedrawReport(len(rows), request.draws, share, shown=shown, **written(files))


def _hidden(mask: str, rows: Dataset) -> Tensor | None:
    """What is redrawn of each row, (rows, *event); None: all."""
    if not mask:
        return None
    hidden = read_mask(Path(mask).expanduser(), rows.schema, len(rows), rows.ids)
    if not hidden.any():
        array = Path(mask).suffix.lower() in ARRAYS
        lacks = "cell that is True" if array else "black pixel"
        raise OptionError(f"--mask {mask} has no {lacks}, so nothing would be redrawn")
    return hidden


def _in_place(rows: Dataset, hidden: Tensor | None, made: Tensor) -> tuple[Any, list[Array]]:
    """The given rows, and each draw in the data's own units; what is not hidden is as given."""
    schema = rows.schema
    check_numbers(made)
    given = schema.decode(schema.units(rows.x))
    if hidden is None:
        return given, [schema.decode(draw) for draw in made]
    incomplete = Incomplete(given, replace(rows, observed=~hidden))
    drawn = [incomplete.filled(schema.decode(draw, rounded=False), True) for draw in made]
    return incomplete, drawn
