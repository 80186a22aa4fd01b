"""Files of tables: .csv, .parquet, or .npz of a matrix; histories of events as long tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from glob import escape
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from lowerbound.applications.common.columnar_files import Columnar, columnar
from lowerbound.applications.common.drawings import Strip
from lowerbound.applications.common.files import replacing
from lowerbound.applications.common.form import FRAMES_PER_SECOND
from lowerbound.applications.common.rows import (
    NPZ,
    ROW_FILES,
    Drawn,
    Files,
    Filled,
    NoisyRows,
    Reconstructed,
    Restored,
    RowFiles,
    write_columns,
)
from lowerbound.data.arrays import Array
from lowerbound.data.columns.matrix import table_values
from lowerbound.data.columns.values import free_name
from lowerbound.data.incomplete import Incomplete
from lowerbound.data.loading import load
from lowerbound.data.npz import read_npz
from lowerbound.data.pictures.folders import OnError
from lowerbound.data.sciences.smiles import molecule_grid
from lowerbound.data.sequences.event_table import history_frame
from lowerbound.data.sequences.series import has_windows
from lowerbound.data.sequences.token_kind import TokenForm
from lowerbound.data.synthetic.form import TableForm
from lowerbound.data.tables.completion import GivenText, IncompleteColumns, IncompleteSeries
from lowerbound.data.tables.files import is_table, read_for, read_text
from lowerbound.data.tables.frames import to_frame
from lowerbound.data.tables.numbers import notations_of, with_numbers, with_points
from lowerbound.data.tables.text_form import TextForm
from lowerbound.durable import write_text
from lowerbound.errors import DataError, OptionError, UnsupportedError

CSV, PARQUET = ".csv", ".parquet"
LINES = (".txt", ".smi")
PNG = ".png"
DRAWN_COLUMNS, MOST_DRAWN = 5, 200  # of a picture of molecules
TABLES = (CSV, PARQUET, NPZ)


@ROW_FILES.register("table")
@ROW_FILES.register("vectors")
class ColumnFiles(RowFiles):
    """Files of tables with named columns; an .npz file holds the rows as one array."""

    suffixes: ClassVar[tuple[str, ...]] = TABLES
    written = f"tables are written as {', '.join(TABLES[:-1])} or {TABLES[-1]}"

    def within_range(self) -> RowFiles:
        if not self.schema.data_kind.named_columns:
            return super().within_range()
        if not any(column.observed or column.levels for column in self.schema.columns):
            raise OptionError(
                "--within-range: this model folder keeps no ranges of its columns; fit the model "
                "again, or leave the option out"
            )
        return ColumnFilesWithinRange(self.schema)

    def frame(self, x: Tensor, rounded: bool) -> Any:
        """Rows as a frame in the data's own units; ``rounded`` also restores their types."""
        return to_frame(self.schema, x, rounded)

    def columns(self, x: Tensor, *, rounded: bool) -> dict[str, Any]:
        """The columns of ``frame`` by name."""
        frame = self.frame(x, rounded)
        return {name: frame[name] for name in frame.columns}

    def in_parts(self, path: Path) -> bool:
        return path.suffix.lower() in (CSV, PARQUET)

    def _write(self, path: Path, x: Tensor, rounded: bool, extra: Mapping[str, Any]) -> Files:
        return self.write_parts(path, [Drawn(x, extra)], rounded=rounded)

    def write_parts(self, path: Path, parts: Iterable[Drawn], *, rounded: bool) -> Files:
        if not self.in_parts(path):
            return super().write_parts(path, parts, rounded=rounded)
        # pandas reads whole numbers beside empty cells as floats
        gaps = [c.name for c in self.schema.columns if c.missing_share and (rounded or c.levels)]
        form = TableForm.of(self.schema)
        first = 0
        with columnar(path, TextForm.of(self.schema), rounded=rounded) as file:
            for part in parts:
                frame = form.refreshed(self.frame(part.x, rounded), first)
                first += len(frame)
                if gaps and path.suffix.lower() == CSV:
                    frame = frame.assign(**form.spelled(frame)[gaps])
                file.add({**{name: frame[name] for name in frame}, **part.extra})
        return (str(path),)

    def _table(self, path: Path, named: Mapping[str, Any], rounded: bool) -> Files:
        """Write columns; a .csv file is written as that of the fitted table was."""
        return write_columns(path, named, TextForm.of(self.schema), rounded=rounded)

    def write_reconstructions(self, path: Path, parts: Iterable[Reconstructed]) -> Files:
        if not self.in_parts(path):
            return super().write_reconstructions(path, parts)
        with columnar(path, TextForm.of(self.schema)) as file:
            for part in parts:
                file.add(self._reconstruction(part))
        return (str(path),)

    def _reconstruction(self, part: Reconstructed) -> dict[str, Any]:
        """The columns of reconstructed rows, and of their standard deviation."""
        named: dict[str, Any] = {} if part.ids is None else {"id": list(part.ids)}
        named |= self.columns(part.mean, rounded=False)
        for deviation in self._deviation(part.mean, part.std).values():
            named |= {
                free_name(f"{column.name}_std", named): deviation[:, i]
                for i, column in enumerate(self.schema.columns)
                if column.rules.has_deviation
            }
        return named

    def write_strip(self, path: Path, strip: Strip, per_second: float = FRAMES_PER_SECOND) -> Files:
        if path.suffix.lower() == NPZ:
            return super().write_strip(path, strip, per_second)
        taken = {column.name for column in self.schema.columns}
        named = {f"{key}_" if key in taken else key: keys for key, keys in strip.row_keys.items()}
        values = self.columns(strip.x.flatten(0, 1), rounded=False)
        return self._table(path, {**named, **values}, False)

    def read_incomplete(self, source: str, mask: str | None, on_error: OnError) -> Incomplete:
        if is_table(source):
            if mask is not None:
                raise OptionError(
                    "--mask is for pictures and arrays; in a table, leave missing cells empty"
                )
            frame, others = read_for(self.schema, source)
            text = read_text(source, self.schema.text_dialect)
            text = None if text is None else with_points(text, others, self.schema)
            cuts = self.schema.windows is not None and not has_windows(frame, self.schema)
            kind = IncompleteSeries if cuts else IncompleteColumns
            return kind(frame, load(frame, schema=self.schema), text)
        path = Path(source).expanduser()
        if path.suffix.lower() not in (NPZ, ".npy") or not path.is_file():
            wrong = (
                f"{source} is not a file of rows" if path.exists() else f"there is no file {path}"
            )
            raise DataError(f"{wrong}: give a .csv, .parquet, .npz or .npy file")
        raw = read_npz(path)
        dataset = self._masked(load(raw.x, label=raw.labels, schema=self.schema), mask)
        return IncompleteColumns(raw.x, dataset)

    def filled_suffixes(self, rows: Incomplete) -> tuple[str, ...]:
        return TABLES[:-1] if hasattr(rows.given, "columns") else (NPZ,)

    def write_filled(self, path: Path, parts: Iterable[Filled], exact: bool) -> Files:
        if not self.in_parts(path):
            return super().write_filled(path, parts, exact)
        form, given, places = TextForm.of(self.schema), GivenText(), [path]
        with ExitStack() as stack:
            files: list[Columnar] = []
            for part in parts:
                answers = [part.answers, *(() if part.draws is None else part.draws)]
                if not files:
                    form = form.like(part.rows.given)
                    places += [numbered_path(path, number) for number in range(1, len(answers))]
                    opened = (columnar(place, form, rounded=True) for place in places)
                    files = [stack.enter_context(file) for file in opened]
                for number, (file, answer) in enumerate(zip(files, answers, strict=True)):
                    frame = part.rows.filled(answer, exact or number > 0)
                    if path.suffix.lower() == CSV:
                        frame = given.kept(frame, part.rows)
                    file.add({name: frame[name] for name in frame.columns})
        return tuple(map(str, places))

    def read_noisy(self, source: str, on_error: OnError) -> NoisyRows:
        if not is_table(source):
            return super().read_noisy(source, on_error)
        by_name = self.schema.data_kind.named_columns
        frame = with_numbers(read_for(self.schema, source)[0], notations_of(self.schema))
        values = table_values(frame, self.schema.columns, by_name=by_name)
        return NoisyRows(values, cells=frame if by_name else None)

    def write_clean(
        self,
        path: Path,
        given: Array,
        clean: Array,
        drawn: Sequence[Array],
        ids: Files | None = None,
        cells: Any = None,
    ) -> Files:
        if cells is None or not self.in_parts(path):
            return super().write_clean(path, given, clean, drawn, ids)
        names = [column.name for column in self.schema.columns]
        answers = [
            cells.assign(**dict(zip(names, rows.T, strict=True))) for rows in (clean, *drawn)
        ]
        return self._write_restored(
            path, Restored(given, answers[0], answers[1:], ("noisy", "mean"), ids)
        )

    def _write_restored(self, path: Path, rows: Restored) -> Files:
        files: Files = ()
        columns = [column.name for column in self.schema.columns]
        for number, answer in enumerate([rows.answer, *rows.drawn]):
            place = numbered_path(path, number) if number else path
            if not hasattr(answer, "columns"):
                files += self._table(place, dict(zip(columns, answer.T, strict=True)), True)
            else:
                files += self._table(place, {name: answer[name] for name in answer.columns}, True)
        return files


def numbered_path(path: Path, number: int) -> Path:
    """The path of a draw, beside that of the answers."""
    return path.with_stem(f"{path.stem}-{number}")


def numbered_paths(path: Path, draws: int) -> list[Path]:
    """The paths of the draws at which there may be files already."""
    there = path.parent.glob(f"{escape(path.stem)}-*{escape(path.suffix)}")
    numbers = (place.stem.removeprefix(f"{path.stem}-") for place in there)
    found = {int(number) for number in numbers if number.isdecimal()}
    return [numbered_path(path, number) for number in sorted(found) if number <= draws]


class ColumnFilesWithinRange(ColumnFiles):
    """Tables whose numbers and dates lie in the range of the fitted rows."""

    suffixes = TABLES[:-1]
    written = f"--within-range writes {' or '.join(TABLES[:-1])}"

    def frame(self, x: Tensor, rounded: bool) -> Any:
        return to_frame(self.schema, x, rounded, within_range=True)


@ROW_FILES.register("events")
class EventFiles(RowFiles):
    """Long tables with the columns of the fitted one; drawn entities have fresh names."""

    suffixes = (".csv", ".parquet")
    written = "events are written as .csv or .parquet"

    def in_parts(self, path: Path) -> bool:
        return True

    def write_parts(self, path: Path, parts: Iterable[Drawn], *, rounded: bool) -> Files:
        """Write histories, (rows, events, features) in each part, one part after another."""
        first = 0
        with columnar(path, TextForm.of(self.schema)) as file:
            for part in parts:
                frame = history_frame(self.schema, part.x, first=first)
                file.add({name: frame[name] for name in frame.columns})
                first += len(part.x)
        return (str(path),)

    def _write(self, path: Path, x: Tensor, rounded: bool, extra: Mapping[str, Any]) -> Files:
        return self.write_parts(path, [Drawn(x)], rounded=rounded)

    def _write_reconstruction(self, path: Path, part: Reconstructed) -> Files:
        frame = history_frame(self.schema, part.mean, names=part.ids)
        named = {name: frame[name] for name in frame.columns}
        return write_columns(path, named, TextForm.of(self.schema))


@ROW_FILES.register("compositions")
class CompositionFiles(RowFiles):
    """Tables with a column of formulas; an .npz file holds the fractions of the elements."""

    suffixes = (".csv", ".parquet", NPZ)
    written = "compositions are written as .csv, .parquet or .npz"

    def _write(self, path: Path, x: Tensor, rounded: bool, extra: Mapping[str, Any]) -> Files:
        name = self.schema.details["column"] or "formula"
        return write_columns(path, {name: self.schema.decode(x, rounded=True), **extra})

    def _write_reconstruction(self, path: Path, part: Reconstructed) -> Files:
        named = {"formula": part.x, "reconstruction": part.mean}
        return write_columns(path, {name: self.schema.decode(v) for name, v in named.items()})

    def read_noisy(self, source: str, on_error: OnError) -> NoisyRows:
        if is_table(source):
            raise UnsupportedError(
                f"{source} holds formulas, which are exact: give noisy fractions of the elements, "
                "as an .npz or .npy file"
            )
        return super().read_noisy(source, on_error)


@ROW_FILES.register("tokens")
class TokenFiles(RowFiles):
    """Texts, one in each line of a .txt or .smi file, or in a column of a table; molecules can also
    be drawn as a .png."""

    suffixes = (*LINES, ".csv", ".parquet")
    written = "texts are written as .txt, .smi, .csv or .parquet"

    def check(self, path: Path, folder: bool = False) -> None:
        drawn = path.suffix.lower() == PNG and not folder
        if not drawn or not self.schema.data_kind.molecular(self.schema):
            super().check(path, folder)

    @property
    def column(self) -> str:
        """Name of the column of the texts."""
        return TokenForm.of(self.schema).column or "text"

    def _write(self, path: Path, x: Tensor, rounded: bool, extra: Mapping[str, Any]) -> Files:
        texts = self.schema.decode(x)
        if path.suffix.lower() == PNG:
            return self._draw(path, list(texts), DRAWN_COLUMNS)
        if path.suffix.lower() not in LINES:
            return write_columns(path, {self.column: texts, **extra})
        write_text(path, "".join(f"{text}\n" for text in texts))
        return (str(path),)

    def _write_reconstruction(self, path: Path, part: Reconstructed) -> Files:
        if path.suffix.lower() in (*LINES, PNG):
            return self._write(path, part.mean, True, {})
        named: dict[str, Any] = {} if part.ids is None else {"id": list(part.ids)}
        named |= {self.column: self.schema.decode(part.x)}
        return write_columns(path, {**named, "reconstruction": self.schema.decode(part.mean)})

    def write_strip(self, path: Path, strip: Strip, per_second: float = FRAMES_PER_SECOND) -> Files:
        if path.suffix.lower() in LINES:
            return super().write_strip(path, strip, per_second)
        texts = list(self.schema.decode(strip.x.flatten(0, 1)))
        if path.suffix.lower() == PNG:
            headings = [
                f"{name:.3g}" if isinstance(name, float) else name for name in strip.columns
            ]
            captions = [f"{line}  {name}".strip() for line in strip.lines for name in headings]
            return self._draw(path, texts, len(strip.columns), captions)
        return write_columns(path, {**strip.row_keys, self.column: texts})

    def _draw(
        self, path: Path, texts: Sequence[Any], columns: int, captions: Sequence[str] | None = None
    ) -> Files:
        """Draw molecules.

        Raises:
            OptionError: they are too many for a picture.
        """
        if len(texts) > MOST_DRAWN:
            raise OptionError(
                f"{path}: a picture has at most {MOST_DRAWN} molecules, and there are "
                f"{len(texts):,}; write a .smi file instead"
            )
        with replacing(path) as place:
            place.write_bytes(molecule_grid(texts, captions, columns=columns))
        return (str(path),)
