"""Results of the compression commands: one report per command, the same for every codec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowerbound.applications.base import Report, jsonable
from lowerbound.coding.files.container import open_container
from lowerbound.data.arrays import listed

SHOWN = 8  # names of files
LARGER, SMALLER = 0.95, 1.05  # bytes of the source over those written, between which both are equal
WORDS = ("what", "rate", "lines")  # fields left out of JSON, which has the numbers


@dataclass(frozen=True)
class CompressReport(Report):
    """Data was written as files.

    Attributes:
        files: paths; only the first few if there are many.
        files_written: number of files.
        bytes: total of all files.
        header_bytes: bytes of headers within that total.
        raw_bytes: bytes of the same numbers, uncompressed.
        codec: the model's name in the files.
        what: number of rows, pictures or clips, as text.
        rate: bits per number or pixel, or kbit/s, as text.
        lines: further lines of the text report.
        measures: these and further numbers of the codec, by their names in JSON.
        source_bytes: bytes of the files that were read; None if they hold other data too.
        seconds: time taken.
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
    source_bytes: int | None = None
    seconds: float = 0.0

    @classmethod
    def of(
        cls,
        paths: Sequence[Path],
        raw_bytes: int,
        what: str,
        rate: str,
        lines: Iterable[str],
        source_bytes: int | None = None,
        **measures: Any,
    ) -> CompressReport:
        """A report of the files at ``paths``, of one model."""
        files = [open_container(path) for path in paths]
        hashes = [file.header.model_hash for file in files]
        return cls(
            files=tuple(map(str, paths[:SHOWN])),
            files_written=len(files),
            bytes=sum(file.size for file in files),
            header_bytes=sum(file.overhead for file in files),
            raw_bytes=raw_bytes,
            codec=next(filter(any, hashes), hashes[0]).hex(),  # stored files have no model's
            what=what,
            rate=rate,
            lines=tuple(lines),
            measures=measures,
            source_bytes=source_bytes,
        )

    def text(self) -> str:
        first = (
            f"{self.what} in {self.bytes:,} bytes, {self.rate}, {self._times()}: "
            f"{listed(self.files, self.files_written)}"
        )
        return "\n".join((first, *self.lines))

    def _times(self) -> str:
        """How the sizes compare: with the source files, or else with the values as they are."""
        source = self.source_bytes is not None
        before = self.raw_bytes if self.source_bytes is None else self.source_bytes
        ratio = before / self.bytes
        if ratio < LARGER:
            words = f"{1 / ratio:.1f} times larger than"
        else:
            words = f"{ratio:.1f} times smaller than" if ratio > SMALLER else "about as large as"
        return f"{words} {'the source' if source else 'the values'} ({before:,} bytes)"

    def to_mapping(self) -> dict[str, Any]:
        fields = super().to_mapping()
        measures: dict[str, Any] = fields.pop("measures")
        left_out = WORDS if self.source_bytes is not None else (*WORDS, "source_bytes")
        return {name: fields[name] for name in fields if name not in left_out} | measures


@dataclass(frozen=True)
class CompareReport(Report):
    """Codecs compared on the same data.

    Attributes:
        measures: bytes and other measures, by their names in JSON.
        lines: the same as text.
    """

    measures: Mapping[str, Any]
    lines: tuple[str, ...]

    def text(self) -> str:
        return "\n".join(self.lines)

    def to_mapping(self) -> dict[str, Any]:
        return {name: jsonable(value) for name, value in self.measures.items()}


@dataclass(frozen=True)
class CodecRate:
    """One codec at one rate.

    Attributes:
        codec: its name.
        bytes: bytes it takes.
        measures: rate and quality, by their names in JSON.
        words: the same as the rest of a text line.
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
    """Rows were decompressed and written.

    Attributes:
        rows: number of rows.
        files: paths; only the first few if there are many.
        files_written: number of files.
        seconds: time taken.
        of: name of a row in messages.
    """

    rows: int
    files: tuple[str, ...]
    files_written: int
    seconds: float
    of: str = "row"

    def text(self) -> str:
        several = "" if self.rows == 1 else "s"
        return f"{self.rows:,} {self.of}{several}: {listed(self.files, self.files_written)}"
