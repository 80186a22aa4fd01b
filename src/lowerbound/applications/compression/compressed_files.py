"""The content of a compressed file, with every byte checked; no model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lowerbound.applications.common.application import Report
from lowerbound.applications.compression.container import KIND, Container, described, open_container


@dataclass(frozen=True)
class FileReport(Report):
    """The content of an intact compressed file.

    Attributes:
        file: name of the file.
        kind: kind of its coder.
        codec: hash of the model that decodes it.
        shape: shape of the rows.
        content: the rows or clips in words.
        bytes: size of the file.
        header_bytes: size of its header.
        chunks: number of parts that decode independently.
        decoded: whether the file was also decoded.
    """

    file: str
    kind: str
    codec: str
    shape: tuple[int, ...]
    content: str
    bytes: int
    header_bytes: int
    chunks: int
    decoded: bool

    def text(self) -> str:
        how = "decodes" if self.decoded else "is intact (--model MODEL also decodes it)"
        return (
            f"{self.file} {how}: {self.content} in {self.bytes:,} bytes, kind {self.kind}, codec "
            f"{self.codec}"
        )


def described_file(path: Path) -> FileReport:
    """The content of the file at a path; see ``whole``."""
    return whole(open_container(path))


def whole(file: Container) -> FileReport:
    """Check every byte of a file, and report its content.

    Raises:
        BitstreamError: the file is damaged; the message states where.
        OSError: the file cannot be read.
    """
    file.verify()
    header = file.header
    sizes = " x ".join(map(str, header.shape[1:]))
    rows = f"{header.shape[0]:,} rows of {sizes} numbers"
    return FileReport(
        file=file.name,
        kind=header.kind,
        codec=header.model_hash.hex(),
        shape=header.shape,
        content=described(file) if header.kind == KIND else rows,
        bytes=file.size,
        header_bytes=file.overhead,
        chunks=len(header.chunks),
        decoded=False,
    )
