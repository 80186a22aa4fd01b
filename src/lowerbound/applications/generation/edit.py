r"""``lowerbound edit``: rows with other attributes, such as a smile or glasses.

They are encoded, their latents are moved from one prompt to another, and decoded:

.. math:: x \mapsto z \to z_T \;(\text{under the prompt of the row}), \qquad
    z_T \to z' \;(\text{under the prompt wanted}), \qquad x' = E[x \mid z']

What is unknown of the prompt of a row is read from z, if the prior has learned to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.applications.common.application import Reporter, WrittenReport, written
from lowerbound.applications.common.conditions import DATA, attribute_prompts, typed_values
from lowerbound.applications.common.drawings import Strip
from lowerbound.applications.common.form import (
    PromptOptions,
)
from lowerbound.applications.common.requested_rows import picked_rows
from lowerbound.applications.common.rows import row_files
from lowerbound.applications.common.sources import open_data
from lowerbound.applications.generation.requests import MOST_ROWS, EditRequest
from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import UNKNOWN
from lowerbound.data.prompts import CLASS
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.evaluation.samples.acceptance import real_rows
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.passes import batches, evaluation_mode
from lowerbound.inference.prior_draws import prior_settings
from lowerbound.models.base import Model
from lowerbound.models.powers import Decodes, Encodes, LearnsPrior, require
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


@dataclass(frozen=True)
class EditReport(WrittenReport):
    """Edited rows were written.

    Attributes:
        rows: how many.
        changes: the attributes that were set, such as mouth=smile.
        known: the other attributes of the rows that were known, and are kept.
        read: those that the model read from the rows, because they were unknown, and kept.
    """

    rows: int
    changes: tuple[str, ...]
    known: tuple[str, ...]
    read: tuple[str, ...]

    def text(self) -> str:
        kept = f"; known and kept: {', '.join(self.known)}" if self.known else ""
        read = f"; read from the rows and kept: {', '.join(self.read)}" if self.read else ""
        return f"{self.rows:,} rows with {', '.join(self.changes)}{kept}{read}: {self.where}"


def edit(request: EditRequest, reporter: Reporter, fitted: Fitted) -> EditReport:
    """Encode rows, move their latents to the new attributes, and decode them.

    Raises:
        UnsupportedError: the model has no prior that edits.
        OptionError: no attribute, or an unknown attribute, value or row; the message suggests the
            nearest.
        DataError: the data or the attributes cannot be read.
    """
    path = Path(request.output)
    row_files(fitted.schema).check_strip(path)
    require_edits(fitted.model)
    values = typed_values(request.set, "--set")
    if not values:
        raise OptionError("nothing to change: give --set ATTRIBUTE=VALUE, such as mouth=smile")
    wanted = fitted.options.model.prompts.given(values)
    dataset = open_data(request.data, fitted, on_error=request.on_error)
    chosen = picked_rows(request.rows, dataset) if request.rows else range(len(dataset))[:MOST_ROWS]
    rows = known_prompts(request.attributes, fitted, dataset).subset(list(chosen))
    assert rows.prompt is not None
    with prior_settings(fitted.model, guidance=request.guidance, steps=request.steps):
        made = edit_rows(
            fitted.model,
            rows,
            wanted,
            strength=request.strength,
            advance=partial(reporter.advance, "editing"),
        )
    strip = Strip(
        torch.stack([made.reconstruction, made.edited], 1),
        tuple(rows.ids or (f"row {row}" for row in chosen)),
        ("reconstruction", "edited"),
        "row",
        "version",
        real_rows(rows).cpu(),
        None,
        "input",
        ids=rows.ids,
        endings=("-reconstruction", ""),
    )
    files = row_files(fitted.schema).write_strip(path, strip)
    changes = tuple(f"{name}={value}" for name, value in values.items())
    known = _kept(fitted, rows.prompt, wanted)
    read = tuple(name for name in _kept(fitted, made.before, wanted) if name not in known)
    return EditReport(len(rows), changes, known, read, **written(files))


def known_prompts(attributes: str, fitted: Fitted, dataset: Dataset) -> Dataset:
    """The rows with the prompts that describe them, -1 where a field is unknown.

    Args:
        attributes: a file; "": what the data holds.
        fitted: the model, whose prior has the vocabulary.
        dataset: all rows of the data.
    """
    vocabulary = fitted.options.model.prompts
    field = dataset.schema.label_column or CLASS
    label = dataset.label is not None and field in vocabulary.fields
    held = not vocabulary.fields.keys().isdisjoint(dataset.factor_names)
    source = attributes or (DATA if held else "")
    found = attribute_prompts(PromptOptions(label=label, attributes=source), dataset)
    if found is None:
        codes = torch.full((len(dataset), len(vocabulary.fields)), UNKNOWN)
    else:
        codes = found.in_terms_of(vocabulary)
    return replace(dataset, prompt=codes, vocabulary=vocabulary)


def _kept(fitted: Fitted, before: Tensor, wanted: Tensor) -> tuple[str, ...]:
    """Names of the fields that are known of some row and were not set."""
    known = (before != UNKNOWN).any(0) & (wanted[0] == UNKNOWN)
    names = fitted.options.model.prompts.fields
    return tuple(name for name, kept in zip(names, known.tolist(), strict=True) if kept)
