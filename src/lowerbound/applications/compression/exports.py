"""Export of a fitted model: a copy whose tensors determine every bit of a file.

Files carry the hash of that copy, and only this copy decodes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lowerbound.applications.compression import code_tables, export, transform_codec
from lowerbound.data.dataset import Dataset
from lowerbound.models.base import Model
from lowerbound.registry import Registry


@dataclass(frozen=True)
class Export:
    """A method of exporting models of some kinds.

    Attributes:
        lossy: whether files hold latents alone, so that decompressed rows are approximate.
        takes: whether this method exports a model; also true for its exported copy.
        check: raises UnsupportedError if a part of the model has no exact form.
        copy: (model, rows of its training data, seed) to the copy.
        bare: the copy's structure, into which its tensors are loaded.
    """

    lossy: bool
    takes: Callable[[Model], bool]
    check: Callable[[Model], None]
    copy: Callable[[Model, Dataset, int], Model]
    bare: Callable[[Model], Model]


EXPORTS: Registry[Export] = Registry("export of a model")

EXACT = EXPORTS.register("exact")(
    Export(False, export.takes, export.check_exact, export.export_integer, export.bare)
)
CODES = EXPORTS.register("codes")(
    Export(
        True,
        code_tables.has_codes,
        code_tables.check_codes,
        lambda model, rows, seed: code_tables.export_codes(model),
        code_tables.export_codes,
    )
)
COEFFICIENTS = EXPORTS.register("coefficients")(
    Export(
        True,
        transform_codec.is_transform,
        transform_codec.check_transform,
        transform_codec.export_transform,
        transform_codec.bare_transform,
    )
)


def export_of(model: Model) -> Export:
    """The export of a model; without one, the ``check`` of the exact export raises the error."""
    every = (EXPORTS[name] for name in EXPORTS)
    return next((way for way in every if way.takes(model)), EXACT)
