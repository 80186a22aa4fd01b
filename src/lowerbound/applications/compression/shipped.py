"""The codec that comes with the package: photographs can be compressed without a fit.

::

    compress photo.png                 writes photo.lbz
    decompress photo.lbz -o back.png

``shipped/photographs/README.md`` names what it was trained on, and how good it is on other
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
    """The transform coder of photographs, exported.

    Raises:
        OptionError: this copy of the package comes without it.
    """
    found = sorted((PHOTOGRAPHS / FOLDER).glob("*.safetensors"))
    if not found:
        raise OptionError("this copy of lowerbound has no codec of its own: name a model folder")
    return read_exported(found[-1])


def shipped_model() -> Fitted:
    """The same as a model that was fitted somewhere else."""
    return Fitted(shipped().model, shipped().schema, FitOptions(), History())
