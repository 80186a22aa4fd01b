"""Files of rows in the data's own units: writing results, and reading rows to restore.

A kind of data with file formats other than arrays has a module here, which registers a subclass of
``RowFiles`` under the kind's name; ``row_files`` returns it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.common.columnar_files import columnar
from lowerbound.applications.common.drawings import Strip
from lowerbound.applications.common.form import FRAMES_PER_SECOND
from lowerbound.applications.common.masks import read_mask
from lowerbound.data.arrays import Array, as_array, check_numbers
from lowerbound.data.dataset import Dataset
from lowerbound.data.incomplete import Incomplete
from lowerbound.data.loading import load
from lowerbound.data.npz import read_npz
from lowerbound.data.pictures.folders import OnError
from lowerbound.data.schema import Schema
from lowerbound.data.tables.text_form import TextForm
from lowerbound.errors import OptionError
from lowerbound.models.base import Model
from lowerbound.registry import Registry

Files = tuple[str, ...]
NPZ = ".npz"


@dataclass(frozen=True, eq=False)
class Drawn:
    """Some rows to write.

    Attributes:
        x: (rows, *event) in model units.
        extra: further columns or arrays, one value per row.
    """

    x: Tensor
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_cells(self.x)


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """Some rows and their reconstruction, (rows, *event) each in model units.

    Attributes:
        x: input rows.
        mean: mean of the reconstruction.
        std: its standard deviation; None: unknown.
        ids: a name of each row.
        cells: what ``RowFiles.cells_of`` gives.
    """

    x: Tensor
    mean: Tensor
    std: Tensor | None = None
    ids: Files | None = None
    cells: Any = None

    def __post_init__(self) -> None:
        _check_cells(self.mean)


def _check_cells(x: Tensor) -> None:
    """As ``check_numbers``; NaN is a missing cell of a table or of a history, not of a picture."""
    check_numbers(x, gaps=x.ndim <= 3)


@dataclass(frozen=True, eq=False)
class Filled:
    """Some rows with their missing cells filled.

    Attributes:
        rows: given rows.
        answers: completed rows in the data's own units.
        draws: draws of completed rows, (draws, rows, ...), or None.
    """

    rows: Incomplete
    answers: Array
    draws: Array | None = None


class RebuiltItems(NamedTuple):
    """Reconstructions of whole items, such as clips, that were cut into rows."""

    items: int
    kept: float  # share of their variance
    files: Files


class Restored(NamedTuple):
    """Given rows, restored rows and draws of them, as arrays in the data's own units or frames."""

    given: Incomplete | Array
    answer: Any
    drawn: Sequence[Any]
    names: tuple[str, str]  # of given and restored rows, on a sheet
    ids: Files | None = None  # a name of each row


class NoisyRows(NamedTuple):
    """Noisy rows as they are read."""

    values: Array  # in the data's own units, NaN where missing
    labels: Any = None
    ids: Files | None = None  # a name of each row
    cells: Any = None  # a table as a pandas frame, also columns outside the schema; sound as clips


class RowFiles:
    """Files of rows of one schema; the base class writes arrays.

    Attributes:
        suffixes: suffixes of files that it writes; "" is a folder.
        written: these formats, in words.
    """

    suffixes: ClassVar[tuple[str, ...]] = (NPZ,)
    written: ClassVar[str] = "rows are written as .npz"

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    # rows -----------------------------------------------------------------------------------------

    def within_range(self) -> RowFiles:
        """Files of rows whose numbers and dates are set into the range of the fitted rows.

        Raises:
            OptionError: the rows are not those of a table.
        """
        raise OptionError("--within-range is for rows of a table: leave it out")

    def check(self, path: Path, folder: bool = False) -> None:
        """Check the suffix of an output file, before any work is done.

        Args:
            path: output; one without suffix is a folder.
            folder: whether it is a folder even if its name has a suffix.

        Raises:
            OptionError: the suffix is unknown; the message names the formats of this kind of data.
        """
        if ("" if folder else path.suffix.lower()) not in self.suffixes:
            raise OptionError(f"{path}: {self.written}")

    def write(
        self, path: Path, x: Tensor, *, rounded: bool, extra: Mapping[str, Any] | None = None
    ) -> Files:
        """Write rows in the format of ``path``'s suffix.

        Args:
            path: output with one of ``suffixes``.
            x: (rows, *event) in model units.
            rounded: round to the nearest value that the data can have.
            extra: further columns or arrays, one value per row.

        Returns:
            The files written.

        Raises:
            NotFiniteError: a value is NaN or infinite.
        """
        _check_cells(x)
        if path.suffix.lower() != NPZ:
            return self._write(path, x, rounded, extra or {})
        return write_columns(path, {"x": self.schema.decode(x, rounded), **(extra or {})})

    def write_folder(self, path: Path, x: Tensor, *, rounded: bool) -> Files:
        """As ``write``, into a folder whose name may have a suffix."""
        raise OptionError(f"{path}: {self.written}")

    def _write(self, path: Path, x: Tensor, rounded: bool, extra: Mapping[str, Any]) -> Files:
        """Write rows for suffixes other than .npz."""
        raise OptionError(f"{path}: {self.written}")

    def in_parts(self, path: Path) -> bool:
        """Whether parts of rows are written to ``path`` one by one, with only one in memory."""
        return False

    def write_parts(self, path: Path, parts: Iterable[Drawn], *, rounded: bool) -> Files:
        """As ``write``, of rows that are made part by part; where ``in_parts`` is False, all parts
        are in memory before they are written."""
        made = list(parts)
        extra = {name: [v for part in made for v in part.extra[name]] for name in made[0].extra}
        return self.write(path, torch.cat([part.x for part in made]), rounded=rounded, extra=extra)

    def write_reconstructions(self, path: Path, parts: Iterable[Reconstructed]) -> Files:
        """Write rows beside their reconstructions, part by part.

        Args:
            path: output with one of ``suffixes``.
            parts: the rows; one part, unless they are those of a table.
        """
        if path.suffix.lower() != NPZ:
            (part,) = parts
            return self._write_reconstruction(path, part)
        with columnar(path) as file:
            for part in parts:
                arrays = {"x": part.x, "reconstruction": part.mean}
                decoded = {name: self.schema.decode(x, rounded=False) for name, x in arrays.items()}
                file.add(decoded | self._deviation(part.mean, part.std))
        return (str(path),)

    def rows_shown(self, path: Path, rows: int) -> int | None:
        """How many of ``rows`` rows, beside what was made of them, are in the output at ``path``;
        None: all, unless it is a sheet of pictures."""
        return None

    def _write_reconstruction(self, path: Path, part: Reconstructed) -> Files:
        return self._write(path, part.mean, rounded=False, extra={})

    def _deviation(self, mean: Tensor, std: Tensor | None) -> dict[str, Array]:
        """``std`` in the data's own units; empty if it is unknown or values are not numbers."""
        center = self.schema.decode(mean, rounded=False)
        if std is None or center.dtype.kind != "f":
            return {}
        return {"std": self.schema.decode(mean + std, rounded=False) - center}

    def cells_of(self, source: str, path: Path, on_error: OnError) -> Any:
        """What was cut into the rows of ``source`` and gives its names to the output; None: rows
        are items of their own.

        Raises:
            DataError: the items cannot be read.
        """
        return None

    def rebuild(
        self, model: Model, source: str, path: Path, on_error: OnError
    ) -> RebuiltItems | None:
        """Write reconstructions of whole items that were cut into rows; None: items are rows.

        Args:
            model: model that encodes and decodes the items.
            source: source of the items.
            path: output with one of ``suffixes``.
            on_error: "skip" leaves out what cannot be read.

        Raises:
            UnsupportedError: the model cannot encode or decode them.
            DataError: the items cannot be read, or do not fit the schema.
        """
        return None

    # strips ---------------------------------------------------------------------------------------

    def check_strip(self, path: Path) -> None:
        """As ``check``, for a strip."""
        self.check(path)

    def write_strip(self, path: Path, strip: Strip, per_second: float = FRAMES_PER_SECOND) -> Files:
        """Write a strip in the format of ``path``'s suffix.

        Args:
            path: output with a suffix that ``check_strip`` accepts.
            strip: rows along paths.
            per_second: frames per second of an animation.

        Returns:
            The files written, the requested one first.
        """
        x = strip.x.flatten(0, 1)
        if path.suffix.lower() != NPZ:
            return self._write(path, x, rounded=False, extra={})
        return write_columns(path, {**strip.row_keys, "x": self.schema.decode(x, rounded=False)})

    # rows to be restored --------------------------------------------------------------------------

    def read_incomplete(self, source: str, mask: str | None, on_error: OnError) -> Incomplete:
        """Read rows with missing cells; given cells are kept unchanged.

        Args:
            source: a path or the name of a set.
            mask: a file or folder with a mask of further hidden cells; None: none.
            on_error: "skip" leaves out what cannot be read.

        Raises:
            DataError: the data or the mask cannot be read, or do not fit the schema.
            OptionError: a mask is given for data that marks missing cells itself.
        """
        dataset = self._masked(load(source, schema=self.schema, on_error=on_error), mask)
        return Incomplete(self.schema.decode(self.schema.units(dataset.x)), dataset)

    def _masked(self, dataset: Dataset, mask: str | None) -> Dataset:
        """The rows with the cells of the mask hidden."""
        if mask is None:
            return dataset
        seen = ~read_mask(Path(mask).expanduser(), self.schema, len(dataset), dataset.ids)
        seen = seen if dataset.observed is None else seen & dataset.observed
        return replace(dataset, observed=seen)

    def filled_suffixes(self, rows: Incomplete) -> tuple[str, ...]:
        """Suffixes of files that ``write_filled`` writes."""
        return (NPZ,)

    def write_filled(self, path: Path, parts: Iterable[Filled], exact: bool) -> Files:
        """Write the completed rows, and each draw of them, part by part.

        Args:
            path: output with one of ``filled_suffixes``.
            parts: the rows; one part, unless they are those of a table.
            exact: whether the answers are values that the data can have.
        """
        (part,) = parts
        drawn = [self._filled(path, part.rows, draw, True) for draw in _each(part.draws)]
        answer = self._filled(path, part.rows, part.answers, exact)
        last = "filled" if exact else "mean"
        return self._restored(
            path, Restored(part.rows, answer, drawn, ("given", last), part.rows.dataset.ids)
        )

    def _filled(self, path: Path, rows: Incomplete, answers: Array, exact: bool) -> Any:
        return rows.filled(answers, exact)

    def read_noisy(self, source: str, on_error: OnError) -> NoisyRows:
        """Read noisy rows.

        Raises:
            DataError: the rows cannot be read, or do not fit the schema.
        """
        path = Path(source).expanduser()
        if path.suffix.lower() in (NPZ, ".npy") and path.is_file():
            raw = read_npz(path)
            return NoisyRows(as_array(raw.x), raw.labels)
        schema = self.schema
        found = load(source, schema=schema, on_error=on_error)
        values = schema.decode(schema.units(found.x)).astype(np.float32)
        if found.observed is not None:
            seen = schema.data_kind.laid_out(schema, found.observed.numpy())
            values = np.where(seen, values, np.float32(np.nan))
        labels = None
        if found.label is not None:
            labels = [schema.class_names[label] for label in found.label.tolist()]
        return NoisyRows(values, labels, found.ids)

    def write_clean(
        self,
        path: Path,
        given: Array,
        clean: Array,
        drawn: Sequence[Array],
        ids: Files | None = None,
        cells: Any = None,
    ) -> Files:
        """Write denoised rows and draws of them, all (rows, ...) in the data's own units.

        Args:
            path: output with one of ``suffixes``.
            given: noisy rows.
            clean, drawn: denoised rows, and draws of them.
            ids: a name of each row.
            cells: of ``NoisyRows``; a table keeps its other columns, sound its clips.
        """
        return self._restored(path, Restored(given, clean, drawn, ("noisy", "mean"), ids))

    def write_redrawn(
        self,
        path: Path,
        given: Incomplete | Array,
        drawn: Sequence[Array],
        ids: Files | None = None,
    ) -> Files:
        """Write draws of rows, (rows, ...) each in the data's own units.

        Args:
            path: output with one of ``suffixes``.
            given: rows; incomplete where only parts are redrawn.
            drawn: one or several draws; the last is the result.
            ids: a name of each row.
        """
        last = f"draw {len(drawn)}" if len(drawn) > 1 else "redrawn"
        return self._restored(path, Restored(given, drawn[-1], drawn[:-1], ("given", last), ids))

    def _restored(self, path: Path, rows: Restored) -> Files:
        if path.suffix.lower() != NPZ:
            return self._write_restored(path, rows)
        draws = {"draws": np.stack(rows.drawn)} if rows.drawn else {}
        return write_columns(path, {"x": rows.answer, **draws})

    def _write_restored(self, path: Path, rows: Restored) -> Files:
        """Write restored rows for suffixes other than .npz."""
        raise OptionError(f"{path}: restored rows of this kind are written as {NPZ}")


def _each(draws: Array | None) -> Sequence[Array]:
    return () if draws is None else list(draws)


ROW_FILES = Registry[type[RowFiles]](
    "kind of data",
    "lowerbound.applications.common",
    {
        "vectors": "table_rows",
        "table": "table_rows",
        "events": "table_rows",
        "compositions": "table_rows",
        "tokens": "table_rows",
        "audio": "audio_rows",
        "images": "picture_rows",
    },
)


def row_files(schema: Schema) -> RowFiles:
    """The ``RowFiles`` for a schema's kind of data."""
    if schema.kind not in ROW_FILES:
        return RowFiles(schema)
    return ROW_FILES[schema.kind](schema)


def write_columns(
    path: Path, named: Mapping[str, Any], form: TextForm | None = None, *, rounded: bool = False
) -> Files:
    """Write one table or one .npz of arrays; the arguments are those of ``columnar``."""
    with columnar(path, form, rounded=rounded) as file:
        file.add(named)
    return (str(path),)
