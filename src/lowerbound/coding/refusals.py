"""What no file can be written of, whichever way its model codes."""

from __future__ import annotations

from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.models import Model


def refuse_beside_rows(model: Model) -> None:
    """Raise UnsupportedError where coding a row takes more than its numbers.

    A class would have to be in the file; so would which cells of a row are missing.
    """
    names = ("condition_dim", "told")
    if any(getattr(part, name, 0) for part in model.modules() for name in names):
        raise UnsupportedError(
            "a conditional model cannot compress: files do not hold classes; fit one without "
            "--conditional"
        )
    if model.inputs is not None:
        raise UnsupportedError(
            "a model of a table's columns, or of missing values, cannot compress: that takes "
            "pictures or numbers without gaps"
        )


def used_codebooks(requested: int | None, there: int) -> int:
    """How many codebooks are used, the coarsest first; None: all that are there.

    Raises:
        OptionError: the model does not have so many.
    """
    if requested is not None and not 1 <= requested <= there:
        raise OptionError(f"codebooks is from 1 to the model's {there}, not {requested}")
    return requested or there
