"""What came of a request to codecs: one report for each command, whichever codec did it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowerbound.applications.base import Report, jsonable
from lowerbound.coding.files.container import open_container
from lowerbound.data.arrays import listed

SHOWN = 8  # names of files
WORDS = ("what", "rate", "lines")  # of a report, which JSON has as numbers


@dataclass(frozen=True)
class CompressReport(Report):
    """Data was written as files.

    Attributes:
        files: where; the first few where there are many.
        files_written: how many files there are.
        bytes: of all files.
        header_bytes: of these.
        raw_bytes: of the same numbers as they are.
        codec: the model's name in the files.
        what: how many rows, pictures or clips, in words.
        rate: bytes per number, pixel or second, in words.
        lines: what else to read.
        measures: these and what else the codec counts, by the names that JSON has.
        seconds: it took.
    """

    files: tuple[str, ...]
    files_written: int
    bytes: int
    header_bytes: int
    raw_bytes: int
    codec: str
    what: str
    rate: str
    lines: tuple[str, ...]
    measures: Mapping[str, Any]
    seconds: float = 0.0

    @classmethod
    def of(
        cls,
        paths: Sequence[Path],
        raw_bytes: int,
        what: str,
        rate: str,
        lines: Iterable[str],
        **measures: Any,
    ) -> CompressReport:
        """A report of the files at ``paths``, of one model."""
        files = [open_container(path) for path in paths]
        return cls(
            files=tuple(map(str, paths[:SHOWN])),
            files_written=len(files),
            bytes=sum(file.size for file in files),
            header_bytes=sum(file.overhead for file in files),
            raw_bytes=raw_bytes,
            codec=files[0].header.model_hash.hex(),
            what=what,
            rate=rate,
            lines=tuple(lines),
            measures=measures,
        )

    def text(self) -> str:
        first = (
            f"{self.what} in {self.bytes:,} bytes, {self.rate}, "
            f"{self.raw_bytes / self.bytes:.1f} times smaller: "
            f"{listed(self.files, self.files_written)}"
        )
        return "\n".join((first, *self.lines))

    def to_mapping(self) -> dict[str, Any]:
        fields = super().to_mapping()
        measures: dict[str, Any] = fields.pop("measures")
        return {name: fields[name] for name in fields if name not in WORDS} | measures


@dataclass(frozen=True)
class CompareReport(Report):
    """Codecs beside each other on the same data.

    Attributes:
        measures: bytes and what else was measured, by the names that JSON has.
        lines: the same to read.
    """

    measures: Mapping[str, Any]
    lines: tuple[str, ...]

    def text(self) -> str:
        return "\n".join(self.lines)

    def to_mapping(self) -> dict[str, Any]:
        return {name: jsonable(value) for name, value in self.measures.items()}


@dataclass(frozen=True)
class CodecRate:
    """The same data by one codec at one rate.

    Attributes:
        codec: its name.
        bytes: that it takes.
        measures: rate and quality, by the names that JSON has.
        words: the same as the rest of a line.
    """

    codec: str
    bytes: int
    measures: Mapping[str, Any]
    words: str

    def to_mapping(self) -> dict[str, Any]:
        """The numbers alone, for JSON."""
        return {"codec": self.codec, "bytes": self.bytes, **self.measures}


@dataclass(frozen=True)
class DecompressReport(Report):
    """Rows were written.

    Attributes:
        rows: how many.
        files: where they are; the first few where there are many.
        files_written: how many files there are.
        seconds: it took.
        of: what a row is to the person.
    """

    rows: int
    files: tuple[str, ...]
    files_written: int
    seconds: float
    of: str = "row"

    def text(self) -> str:
        several = "" if self.rows == 1 else "s"
        return f"{self.rows:,} {self.of}{several}: {listed(self.files, self.files_written)}"
