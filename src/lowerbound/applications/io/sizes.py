"""The memory of rows that a user asks for, checked before they are made."""

from __future__ import annotations

from lowerbound import untrusted
from lowerbound.data import Schema
from lowerbound.errors import OptionError
from lowerbound.fitting import Fitted

BYTES_OF_NUMBER = 16  # of memory for a number of a row: z, parameters, the draw, a copy


def check_rows(fitted: Fitted, rows: int, asked: str, schema: Schema | None = None) -> None:
    """Check that rows of a model, with their latents, fit into the limit of memory.

    Args:
        fitted: the model.
        rows: their number.
        asked: the option that asks for them, as the message names it.
        schema: of a row; default: the model's.

    Raises:
        OptionError: they do not fit; the message says how to raise the limit.
    """
    numbers = (schema or fitted.schema).dimension + (fitted.options.model.latent_dim or 0)
    untrusted.check_memory(BYTES_OF_NUMBER * numbers * rows, asked, OptionError)
