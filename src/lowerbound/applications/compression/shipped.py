"""The codec in the package: it compresses photographs without a fit.

::

    compress photo.png                 writes photo.lbz
    decompress photo.lbz -o back.png

``shipped/photographs/README.md`` describes its training data and its quality on other
photographs; ``benchmarks/ship_photographs.py`` makes it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lowerbound.applications.compression.exported_models import (
    FOLDER,
    ExportedModel,
    read_exported,
)
from lowerbound.errors import OptionError
from lowerbound.fitting import FitOptions, Fitted
from lowerbound.training import History

PHOTOGRAPHS = Path(__file__).parents[2] / "shipped" / "photographs"


@cache
def shipped() -> ExportedModel:
    """The exported transform coder of photographs.

    Raises:
        OptionError: this installation does not include it.
    """
    found = sorted((PHOTOGRAPHS / FOLDER).glob("*.safetensors"))
    if not found:
        raise OptionError("this copy of lowerbound has no codec of its own: name a model folder")
    return read_exported(found[-1])


def shipped_model() -> Fitted:
    """The same as a fitted model."""
    return Fitted(shipped().model, shipped().schema, FitOptions(), History())
