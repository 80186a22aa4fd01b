r"""Rows with other attributes: encode, move the latent from one prompt to another, decode.

.. math:: x \mapsto z \to z_T \;(\text{under the prompt of the row}), \qquad
    z_T \to z' \;(\text{under the prompt wanted}), \qquad x' = E[x \mid z']

What is unknown of the prompt of a row is read from z, if the prior has learned to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import UNKNOWN
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.inference.passes import batches, evaluation_mode
from lowerbound.models import Decodes, Encodes, LearnsPrior, Model, require
from lowerbound.priors.base import Edits

TASK = "edit rows by their attributes"
ROWS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class EditedRows:
    """Rows before and after an edit in model units, (rows, *event) each, on the CPU.

    Attributes:
        reconstruction: E[x | z] at the code of each row.
        edited: E[x | z'].
        before: the prompts of the rows, (rows, fields), with what was read from their latents.
    """

    reconstruction: Tensor
    edited: Tensor
    before: Tensor


def require_edits(model: Model) -> Edits:
    """The model's prior, if it can edit latents.

    Raises:
        UnsupportedError: it cannot.
    """
    prior = require(model, LearnsPrior, TASK).learned_prior
    if not isinstance(prior, Edits):
        raise UnsupportedError(
            "to edit rows by their attributes, the model needs a diffusion prior that is given "
            "them: lowerbound prior --kind diffusion --attributes"
        )
    return prior


def edit_rows(
    model: Model,
    rows: Dataset,
    wanted: Tensor,
    *,
    strength: float,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> EditedRows:
    """Change the attributes of rows.

    Args:
        model: one whose prior edits latents.
        rows: with the prompts that describe them.
        wanted: what to change, (rows | 1, fields); -1 where a field stays as it is.
        strength: share of the noise that a row passes through, above 0 to 1.
        advance: is called with the rows done and the number of all rows.

    Raises:
        UnsupportedError: the prior cannot edit, or the model has no encoder or decoder.
        OptionError: the strength is out of range.
    """
    if not 0 < strength <= 1:
        raise OptionError(f"strength is above 0 and at most 1, not {strength:g}")
    prior, encodes = require_edits(model), require(model, Encodes, TASK)
    decodes = require(model, Decodes, TASK)
    before: list[Tensor] = []
    after: list[Tensor] = []
    prompts: list[Tensor] = []
    wanted = wanted.expand(len(rows), -1)
    with evaluation_mode(model, gradients=True), torch.no_grad():
        for part, batch in batches(rows, model, ROWS_AT_ONCE):
            z = encodes.encode(batch).mean[0]
            assert batch.prompt is not None
            known, want = prior.described(z, batch.prompt), wanted[part].to(z.device)
            moved = prior.edited(z, known, torch.where(want == UNKNOWN, known, want), strength)
            prompts.append(known.cpu())
            for found, code in ((before, z), (after, moved)):
                found.append(decodes.decode(code.unsqueeze(0), batch.condition).mean[0].cpu())
            advance(part.stop, len(rows))
    return EditedRows(torch.cat(before), torch.cat(after), torch.cat(prompts))
