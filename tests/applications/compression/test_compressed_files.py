"""What a report says of a compressed file, against the bytes of the file."""

from __future__ import annotations

import zlib
from pathlib import Path

from lowerbound.applications.compression import container
from lowerbound.applications.compression.compressed_files import whole
from lowerbound.applications.compression.lossless import KIND


def test_the_bytes_of_a_report_add_up(tmp_path: Path) -> None:
    payloads = (b"abc", b"defgh", b"")
    path = tmp_path / "x.lbz"
    chunks = [(payload, zlib.crc32(payload)) for payload in payloads]
    container.write(path, KIND, bytes(range(8)), (7, 3, 2), b"set", chunks)
    report = whole(container.open_container(path))
    assert (report.bytes, report.chunks) == (path.stat().st_size, len(payloads))
    assert report.header_bytes + sum(map(len, payloads)) == report.bytes
    assert (report.shape, report.content) == ((7, 3, 2), "7 rows of 3 x 2 numbers")
    assert (report.codec, report.decoded) == ("0001020304050607", False)
