"""Data with missing cells as it was given, and written again with those cells filled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.applications.io import rows
from lowerbound.applications.io.files import replacing
from lowerbound.applications.io.grids import grid
from lowerbound.applications.io.masks import read_mask
from lowerbound.applications.io.sources import OnError, conditioned
from lowerbound.data import Dataset, load
from lowerbound.data.npz import read_npz
from lowerbound.data.pictures.pixels import restore_channels
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.completion import Series
from lowerbound.data.sequences.series import cut, has_windows
from lowerbound.data.tables.completion import (
    completed_array,
    completed_frame,
    hidden_cells,
    with_given_text,
)
from lowerbound.data.tables.files import is_table, read_frame, read_text
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting import Fitted

Array = np.ndarray[Any, Any]

SHOWN = 12  # pictures on a sheet
DRAWS_SHOWN = 6


@dataclass(frozen=True, eq=False)
class Incomplete(ABC):
    """Rows with missing cells.

    Attributes:
        dataset: in model units, ``observed`` where there is something.
    """

    dataset: Dataset

    @property
    def schema(self) -> Schema:
        """Of what is written."""
        return self.dataset.schema

    @property
    @abstractmethod
    def hidden(self) -> Array:
        """Where there is something to fill, as the answers are laid out."""

    @property
    @abstractmethod
    def suffixes(self) -> tuple[str, ...]:
        """Of files that they are written as; "" is a folder."""

    @abstractmethod
    def write(self, path: Path, answers: Array, draws: Array | None, exact: bool) -> list[str]:
        """Write the completed rows, and one more of each draw; the files.

        Args:
            path: of one of ``suffixes``.
            answers: in the person's units.
            draws: of as many completed data sets, or None.
            exact: whether the answers are such as the data could hold.
        """

    def counts(self) -> dict[str, int]:
        """Cells to fill, by column; those without any are left out."""
        each = zip(self.schema.columns, self.hidden.sum(0), strict=True)
        return {column.name: int(count) for column, count in each if count}

    def widths(self, low: Array, high: Array) -> dict[str, float]:
        """Mean distance of two ends over the cells to fill, by column; unordered levels have none,
        and other levels are counted."""
        found, hidden = {}, self.hidden
        for i, column in enumerate(self.schema.columns):
            if hidden[:, i].any() and column.rules.ordered:
                found[column.name] = float((high - low)[hidden[:, i], i].mean())
        return found


@dataclass(frozen=True, eq=False)
class IncompleteTable(Incomplete):
    """A frame, and the text of its csv file's cells; None: it came from no csv file."""

    frame: Any
    text: Any = None

    @cached_property
    def hidden(self) -> Array:
        return hidden_cells(self.frame, self.dataset)

    @property
    def suffixes(self) -> tuple[str, ...]:
        return (".csv", ".parquet")

    def write(self, path: Path, answers: Array, draws: Array | None, exact: bool) -> list[str]:
        tables = [(path, answers, exact)]
        for number, draw in enumerate(() if draws is None else draws, 1):
            tables.append((path.with_stem(f"{path.stem}-{number}"), draw, True))
        return [self._write(*table) for table in tables]

    def _write(self, path: Path, answers: Array, exact: bool) -> str:
        schema, hidden = self.schema, self.hidden
        frame = completed_frame(self.frame, schema, answers, hidden, exact=exact)
        if self.text is not None and path.suffix.lower() == ".csv":
            frame = with_given_text(frame, self.text, schema, hidden)
        return rows.write_columns(path, {name: frame[name] for name in frame.columns})[0]


@dataclass(frozen=True, eq=False)
class IncompleteSeries(IncompleteTable):
    """A frame of points in time, whose windows are the rows of the data set."""

    @cached_property
    def series(self) -> Series:
        """The points of the windows."""
        schema = self.dataset.schema
        assert schema.windows is not None
        return Series(schema, schema.windows, len(self.frame))

    @property
    def schema(self) -> Schema:
        return self.series.schema

    @cached_property
    def hidden(self) -> Array:
        windows = cut(self.frame, self.series.windows)
        return self.series.hidden(hidden_cells(windows, self.dataset))

    def widths(self, low: Array, high: Array) -> dict[str, float]:
        return super().widths(*(self.series.answers(end, exact=False) for end in (low, high)))

    def _write(self, path: Path, answers: Array, exact: bool) -> str:
        return super()._write(path, self.series.answers(answers, exact), exact)


@dataclass(frozen=True, eq=False)
class Vectors(Incomplete):
    """A matrix."""

    given: Array

    @cached_property
    def hidden(self) -> Array:
        return hidden_cells(self.given, self.dataset)

    @property
    def suffixes(self) -> tuple[str, ...]:
        return (".npz",)

    def write(self, path: Path, answers: Array, draws: Array | None, exact: bool) -> list[str]:
        arrays = {"x": self._filled(answers)}
        if draws is not None:
            arrays["draws"] = np.stack([self._filled(draw) for draw in draws])
        return list(rows.write_columns(path, arrays))

    def _filled(self, answers: Array) -> Array:
        return completed_array(self.given, self.dataset.schema, answers, self.hidden)


@dataclass(frozen=True, eq=False)
class IncompletePictures(Incomplete):
    """Pictures; answers are rounded to their grey levels."""

    @cached_property
    def hidden(self) -> Array:
        observed, image = self.dataset.observed, self.dataset.schema.image
        if observed is None:
            return np.zeros(self.given.shape, dtype=bool)
        return restore_channels(~observed.numpy(), image.channels if image else "first")

    @cached_property
    def given(self) -> Array:
        """In the person's units and layout."""
        schema = self.dataset.schema
        return schema.decode(schema.units(self.dataset.x))

    @property
    def suffixes(self) -> tuple[str, ...]:
        return rows.PICTURES

    def counts(self) -> dict[str, int]:
        count = int(self.hidden.sum())
        return {"pixels": count} if count else {}

    def widths(self, low: Array, high: Array) -> dict[str, float]:
        hidden = self.hidden
        return {"pixels": float((high - low)[hidden].mean())} if hidden.any() else {}

    def write(self, path: Path, answers: Array, draws: Array | None, exact: bool) -> list[str]:
        given, hidden = self.given, self.hidden
        mean = _filled(given, answers, hidden)
        drawn = [_filled(given, draw, hidden) for draw in (() if draws is None else draws)]
        if path.suffix.lower() == ".npz":
            stacked = {"draws": np.stack(drawn)} if drawn else {}
            return list(rows.write_columns(path, {"x": mean, **stacked}))
        sheet = path if path.suffix else path / "sheet.png"
        with replacing(sheet) as place:
            self._sheet(mean, drawn, exact).save(place, format="PNG")
        files = [str(sheet)]
        if not path.suffix:
            for number, pictures in enumerate([mean, *drawn]):
                ending = f"-{number}" if number else ""
                for i, picture in enumerate(self._seen(pictures)):
                    files += rows.write_picture(path / f"{i:05d}{ending}.png", picture)
        return files

    def _sheet(self, mean: Array, drawn: Sequence[Array], exact: bool) -> Any:
        """Given (what is hidden in grey), several draws, and the answer, side by side."""
        grey = np.where(self.hidden, 0.5 * self.dataset.schema.white, self.given)
        shown = drawn[:DRAWS_SHOWN]
        columns = [self._seen(some[:SHOWN]) for some in (grey, *shown, mean)]
        above = [
            "given",
            *(f"draw {i + 1}" for i in range(len(shown))),
            "filled" if exact else "mean",
        ]
        return grid([list(row) for row in zip(*columns, strict=True)], above=above)

    def _seen(self, pictures: Array) -> Array:
        """(rows, H, W, C) uint8."""
        schema = self.dataset.schema
        channels = schema.image.channels if schema.image else "first"
        if channels != "last":
            pictures = pictures[:, None] if channels == "squeezed" else pictures
            pictures = np.moveaxis(pictures, 1, -1)
        return np.rint(pictures.astype(np.float64) / schema.white * 255).astype(np.uint8)


def _filled(given: Array, answers: Array, hidden: Array) -> Array:
    """What was given, with the hidden cells filled, in its own type."""
    answers = answers if given.dtype.kind == "f" else np.rint(answers)
    return np.where(hidden, answers.astype(given.dtype), given)


def open_incomplete(
    source: str, fitted: Fitted, mask: str | None, on_error: OnError = "raise"
) -> Incomplete:
    """Data of the kind that a model was fitted on, kept as it was given.

    Args:
        source: a path or the name of a set.
        fitted: the model.
        mask: a file or folder of what else is hidden; None: nothing else is.
        on_error: "skip" leaves out pictures that cannot be read.

    Raises:
        DataError: the data or the mask cannot be read, or do not fit the model.
        OptionError: a mask for a table.
    """
    schema = replace(fitted.schema, condition=None)
    if schema.kind != "images" and is_table(source):
        if mask is not None:
            raise OptionError("--mask is for pictures and arrays: empty the cells of a table")
        frame = read_frame(source)
        cuts = schema.windows is not None and not has_windows(frame, schema)
        kind = IncompleteSeries if cuts else IncompleteTable
        return kind(conditioned(load(frame, schema=schema), fitted), frame, read_text(source))
    if schema.kind == "images":
        return IncompletePictures(
            _masked(load(source, schema=schema, on_error=on_error), mask, fitted)
        )
    path = Path(source).expanduser()
    raw = read_npz(path) if path.suffix.lower() in (".npz", ".npy") and path.is_file() else None
    if raw is None:
        raise DataError(f"{source} is no file of rows: give a .csv, .parquet, .npz or .npy file")
    return Vectors(_masked(load(raw.x, label=raw.labels, schema=schema), mask, fitted), raw.x)


def _masked(dataset: Dataset, mask: str | None, fitted: Fitted) -> Dataset:
    """Told their class, and with what the mask hides hidden."""
    dataset = conditioned(dataset, fitted)
    if mask is None:
        return dataset
    seen = ~read_mask(Path(mask).expanduser(), dataset.schema, len(dataset))
    return replace(dataset, observed=seen if dataset.observed is None else seen & dataset.observed)


def check_output(path: Path, data: Incomplete) -> None:
    """Refuse an output of another kind than the data, before any work is done.

    Raises:
        OptionError: names what is written for this kind.
    """
    if path.suffix.lower() not in data.suffixes:
        written = [suffix or "a folder" for suffix in data.suffixes]
        raise OptionError(f"{path}: this data is written as {', '.join(written)}")


def rounded(values: Mapping[str, float]) -> dict[str, str]:
    """Four digits, for people."""
    return {name: f"{value:.4g}" for name, value in values.items()}
