"""The ways to put rows of one size into a file, each for models of its own.

A model is exported first: a copy whose tensors say every bit, and whose hash files carry. Then
``write`` and ``read`` are each other's inverse, up to what a lossy kind loses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lowerbound.coding import code_tables, lossless, transform, vector_quantized
from lowerbound.coding.files.container import Container
from lowerbound.coding.lossless import Progress
from lowerbound.coding.whole_numbers import export
from lowerbound.data.dataset import Dataset
from lowerbound.errors import OptionError
from lowerbound.models import Model, TransformCoder, VectorQuantizedVariationalAutoencoder


@dataclass(frozen=True)
class RowKind:
    """One way.

    Attributes:
        name: of the files' kind.
        lossy: whether rows come back only about as they were.
        check: refuses models that have no exact form.
        export: such a form of a model, from rows of its training data and a seed.
        bare: the form alone, into which tensors are loaded.
        write: (path, exported model, rows, codebooks, progress).
        read: (file, exported model, progress) to rows.
    """

    name: str
    lossy: bool
    check: Callable[[Model], None]
    export: Callable[[Model, Dataset, int], Model]
    bare: Callable[[Model], Model]
    write: Callable[[Path, Any, Tensor, int | None, Progress | None], None]
    read: Callable[[Container, Any, Progress | None], Tensor]


def kind_of(model: Model) -> RowKind:
    """How rows of a model are put into files, whether exported or not."""
    if isinstance(model, TransformCoder):
        return COEFFICIENTS
    return CODES if isinstance(model, VectorQuantizedVariationalAutoencoder) else BITS_BACK


def _write_lossless(
    path: Path, model: Model, x: Tensor, codebooks: int | None, progress: Progress | None
) -> None:
    if codebooks is not None:
        raise OptionError("codebooks is for models with codes, and this one has none (vq_vae has)")
    lossless.write_rows(path, model, x, progress=progress)


def _write_coefficients(
    path: Path, model: TransformCoder, x: Tensor, codebooks: int | None, progress: Progress | None
) -> None:
    if codebooks is not None:
        raise OptionError("codebooks is for models with codes, and this one has none (vq_vae has)")
    transform.write_pictures(path, model, x, progress=progress)


def _write_codes(
    path: Path,
    model: VectorQuantizedVariationalAutoencoder,
    x: Tensor,
    codebooks: int | None,
    progress: Progress | None,
) -> None:
    vector_quantized.write_rows(path, model, x, codebooks=codebooks, progress=progress)


BITS_BACK = RowKind(
    lossless.KIND,
    False,
    export.check_exact,
    export.export_integer,
    export.bare,
    _write_lossless,
    lossless.read_rows,
)
CODES = RowKind(
    vector_quantized.KIND,
    True,
    code_tables.check_codes,
    lambda model, rows, seed: code_tables.export_codes(model),
    code_tables.export_codes,
    _write_codes,
    vector_quantized.read_rows,
)
COEFFICIENTS = RowKind(
    transform.KIND,
    True,
    transform.check_transform,
    transform.export_transform,
    transform.bare_transform,
    _write_coefficients,
    transform.read_pictures,
)
