"""What a compressed file holds, every byte of it checked; read without loading a model."""

from __future__ import annotations

from dataclasses import dataclass

from lowerbound.applications.base import Report
from lowerbound.coding.files.container import Container

SUFFIX = ".lbz"


@dataclass(frozen=True)
class FileReport(Report):
    """A file is whole.

    Attributes:
        file: which.
        kind: of its coder.
        codec: the model that it takes.
        shape: of the rows.
        bytes: of the file.
        header_bytes: of these.
        chunks: parts that decode apart.
        decoded: whether it was decoded too, and not only read.
    """

    file: str
    kind: str
    codec: str
    shape: tuple[int, ...]
    bytes: int
    header_bytes: int
    chunks: int
    decoded: bool

    def text(self) -> str:
        how = "decodes" if self.decoded else "is as it was written (--model MODEL decodes it too)"
        sizes = " x ".join(map(str, self.shape[1:]))
        return (
            f"{self.file} {how}: {self.shape[0]:,} rows of {sizes} numbers in {self.bytes:,} "
            f"bytes, kind {self.kind}, codec {self.codec}"
        )


def whole(file: Container) -> FileReport:
    """What a file holds, once every byte of it has been checked.

    Raises:
        BitstreamError: it is not as it was written; the message says where.
        OSError: it cannot be read any more.
    """
    file.verify()
    header = file.header
    return FileReport(
        file=file.name,
        kind=header.kind,
        codec=header.model_hash.hex(),
        shape=header.shape,
        bytes=file.size,
        header_bytes=file.overhead,
        chunks=len(header.chunks),
        decoded=False,
    )
