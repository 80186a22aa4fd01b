"""Packed files that are merely large, made at run time, and what reading them takes.

A file is read in a process of its own, which first reads a small one of its kind, so that the
libraries are there; then the peak of its memory over that is measured, with that of a process that
it starts. Inputs repeat a block, so that they compress to little and are made quickly.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

BLOCK = 1 << 20  # bytes that are repeated
PIXELS = 10_000  # of a side of a large picture
Make = Callable[[Path, int], None]


def _repeated(compress: Callable[[bytes], bytes], line: bytes) -> Make:
    """A file of about so many bytes of lines; packed blocks one after another are one file."""

    def make(path: Path, size: int) -> None:
        block = line * (min(BLOCK, size) // len(line))
        with path.open("wb") as file:
            file.write(compress(b"a,b,c,d\n"))
            packed = compress(block)
            for _ in range(size // len(block)):
                file.write(packed)

    return make


def _one_line(path: Path, size: int) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"a,b\n" if size > BLOCK else b"a,b\n1,2\n2,3\n4,5\n")
        for _ in range(size // BLOCK):
            file.write(b"x" * BLOCK)


def _arrays(name: str, width: tuple[int, ...]) -> Make:
    """An .npz file whose array has so many bytes."""

    def make(path: Path, size: int) -> None:
        rows = max(size // (8 * int(np.prod(width))), 4)
        start = io.BytesIO()
        described = {"descr": "<f8", "fortran_order": False, "shape": (rows, *width)}
        np.lib.format.write_array_header_1_0(start, described)
        block = np.random.default_rng(0).normal(size=1_000).tobytes() * (BLOCK // 8_000)
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open(f"{name}.npy", "w", force_zip64=True) as file,
        ):
            file.write(start.getvalue())
            _write(file, rows * 8 * int(np.prod(width)), block)

    return make


def _write(file: IO[bytes], size: int, block: bytes) -> None:
    while size > 0:
        file.write(block[:size])
        size -= len(block)


def _shard(path: Path, size: int) -> None:
    """A picture, and a member of so many bytes that is no picture."""
    with (
        gzip.open(path, "wb", compresslevel=1) as file,
        tarfile.open(fileobj=file, mode="w|") as tar,
    ):
        for number in range(4):
            _add(tar, f"{number}.png", _png(4, 4, number))
        member = tarfile.TarInfo("film.mp4")
        member.size = size
        tar.addfile(member, _Zeros(size))


def _long_names(path: Path, size: int) -> None:
    """Pictures, and a name of a further one with so many letters."""
    with (
        gzip.open(path, "wb", compresslevel=1) as file,
        tarfile.open(fileobj=file, mode="w|") as tar,
    ):
        for number in range(4):
            _add(tar, f"{number}.png", _png(4, 4, number))
        name = tarfile.TarInfo("././@LongLink")
        name.type, name.size = tarfile.GNUTYPE_LONGNAME, size
        tar.addfile(name, _Zeros(size))
        _add(tar, "9.png", _png(4, 4, 9))


def _many_pictures(path: Path, size: int) -> None:
    """Pictures that have so many bytes of pixels together."""
    side = 16 if size < BLOCK else 1_000
    with tarfile.open(path, "w") as tar:
        for number in range(max(size // side**2, 4)):
            _add(tar, f"{number}.png", _png(side, side, number))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


class _Zeros:
    """A file of zeros."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:
        size = min(size if size >= 0 else self.left, self.left)
        self.left -= size
        return bytes(size)


def _png(height: int, width: int, level: int) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("L", (width, height), level % 256).save(stream, "PNG")
    return stream.getvalue()


def _picture(path: Path, size: int) -> None:
    path.write_bytes(_png(PIXELS if size > BLOCK else 4, PIXELS if size > BLOCK else 4, 7))


def _workbook(path: Path, size: int) -> None:
    """A workbook whose first sheet is so many bytes of XML."""
    import openpyxl  # type: ignore[import-untyped]

    book, stream = openpyxl.Workbook(), io.BytesIO()
    for cells in [("a", "b"), (1, 2.5), (2, 3.5), (4, 1.5)]:
        book.active.append(cells)
    book.save(stream)
    row = b'<row><c t="n"><v>1.5</v></c><c t="n"><v>2</v></c></row>'
    with (
        zipfile.ZipFile(stream) as plain,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            content, end = plain.read(name), b"</sheetData>"
            if not name.endswith("sheet1.xml") or end not in content:
                packed.writestr(name, content)
                continue
            start, rest = content.split(end)
            with packed.open(name, "w") as file:
                file.write(start)
                _write(file, size // len(row) * len(row), row * (BLOCK // len(row)))
                file.write(end + rest)


def _sheet_of_text(path: Path, size: int) -> None:
    """An .ods file whose sheet is so many bytes of XML."""
    spaces = "urn:oasis:names:tc:opendocument:xmlns:"
    kinds = ("office", "table", "text")
    names = " ".join(f'xmlns:{kind}="{spaces}{kind}:1.0"' for kind in kinds)
    front = f"<office:document-content {names}><office:body><office:spreadsheet>"
    front += '<table:table table:name="a">'
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    rows = [f"<table:table-row>{cell.format(a) * 2}</table:table-row>" for a in "xyz"]
    row = "".join(rows).encode()
    end = b"</table:table></office:spreadsheet></office:body></office:document-content>"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        packed.writestr("META-INF/manifest.xml", "<manifest/>")
        with packed.open("content.xml", "w") as file:
            file.write(front.encode())
            _write(file, max(size // len(row), 4) * len(row), row * (BLOCK // len(row)))
            file.write(end)


def _parquet(path: Path, size: int) -> None:
    """Rows of one text and a number, that have so many bytes together."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    letters = 100_000 if size > BLOCK else 3
    rows = max(size // letters, 100)
    numbers = pa.array(np.arange(rows, dtype=np.int64) % 7)
    text = pa.DictionaryArray.from_arrays(pa.array(np.arange(rows) % 2), ["x" * letters, "y"])
    pq.write_table(pa.table({"a": text, "b": numbers}), path, store_schema=False)


def _nested(path: Path, size: int) -> None:
    """Rows with a list of numbers, that have so many bytes together."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 100
    cells = pa.array(np.zeros(max(size // 8 // rows, 1) * rows, np.int64))
    starts = np.arange(rows + 1, dtype=np.int64) * (len(cells) // rows)
    lists = pa.LargeListArray.from_arrays(pa.array(starts), cells)
    pq.write_table(pa.table({"a": lists, "b": np.arange(rows)}), path)


@dataclass(frozen=True)
class Kind:
    """Files of a kind.

    Attributes:
        suffix: of their names.
        make: writes one, of about so many unpacked bytes.
        codes: whether it is read as codes that ``decode`` takes.
    """

    suffix: str
    make: Make
    codes: bool = False


LINE = b"0.123,7,1.5,words\n0.456,8,2.5,other\n0.789,9,3.5,words\n"
KINDS = {
    "csv.gz": Kind(".csv.gz", _repeated(gzip.compress, LINE)),
    "csv.bz2": Kind(".csv.bz2", _repeated(bz2.compress, LINE)),
    "csv.xz": Kind(".csv.xz", _repeated(lzma.compress, LINE)),
    "one line of a csv.gz": Kind(".csv.gz", _one_line),
    "array of an npz": Kind(".npz", _arrays("x", (50,))),
    "sequences of an npz": Kind(".npz", _arrays("sequences", (10, 5))),
    "codes of an npz": Kind(".npz", _arrays("z", (4,)), codes=True),
    "skipped member of a shard": Kind(".tar.gz", _shard),
    "long name in a shard": Kind(".tar.gz", _long_names),
    "pictures of a shard": Kind(".tar", _many_pictures),
    "picture": Kind(".png", _picture),
    "xlsx": Kind(".xlsx", _workbook),
    "ods": Kind(".ods", _sheet_of_text),
    "repeated text of parquet": Kind(".parquet", _parquet),
    "nested parquet": Kind(".parquet", _nested),
}


@dataclass(frozen=True)
class Measured:
    """What reading a file took.

    Attributes:
        megabytes: the peak of memory over the base, with a process that was started.
        seconds: on the clock.
        refused: the sentence; "": it was read.
        left: files in the cache.
    """

    megabytes: float
    seconds: float
    refused: str
    left: int


def measured(
    names: Sequence[str], folder: Path, size: int, gigabytes: float
) -> dict[str, Measured]:
    """Make a file of each kind, of so many unpacked bytes, and read it under a limit of memory."""
    jobs = []
    for name in names:
        kind, number = KINDS[name], list(KINDS).index(name)
        small, large = (folder / f"{each}{number}{kind.suffix}" for each in ("small", "large"))
        kind.make(small, 1_000)
        kind.make(large, size)
        jobs.append([str(small), str(large), kind.codes])
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.hostile.packed", str(gigabytes)]
    done = subprocess.run(
        [*command, json.dumps(jobs)],
        env=environment, cwd=Path(__file__).parents[2], capture_output=True, check=True,
    )  # fmt: skip
    answers = [Measured(**each) for each in json.loads(done.stdout)]
    return dict(zip(names, answers, strict=True))


def main(gigabytes: float, jobs: Sequence[tuple[str, str, bool]]) -> list[dict[str, Any]]:
    """Read files in this process; see ``measured``."""
    from lowerbound import untrusted
    from lowerbound.applications.generation.codes import read_codes
    from lowerbound.data import load
    from lowerbound.errors import LowerboundError

    def read(path: str, codes: bool) -> str:
        try:
            _ = read_codes(Path(path), 4) if codes else load(path)
        except LowerboundError as error:
            return str(error)
        return ""

    cache, answers = Path(os.environ["XDG_CACHE_HOME"]), []
    with untrusted.memory(gigabytes):
        for small, large, codes in jobs:
            read(small, codes)
            before = set(cache.rglob("*"))
            watch = _Watch()
            began = time.perf_counter()
            said = read(large, codes)
            seconds = time.perf_counter() - began
            left = [path for path in set(cache.rglob("*")) - before if path.is_file()]
            answers.append(vars(Measured(watch.peak(), seconds, said, len(left) if said else 0)))
    return answers


class _Watch:
    """The peak of the memory of this process and of those that it starts, over the present."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak is the present
        self._base, self._children, self._ended = _resident("self"), 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def peak(self) -> float:
        """Megabytes."""
        self._ended.set()
        self._thread.join()
        return _resident("self", "VmHWM") - self._base + self._children

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            for tasks in Path("/proc/self/task").iterdir():
                try:
                    children = (tasks / "children").read_text("ascii").split()
                except OSError:
                    continue
                self._children = max([self._children, *map(_resident, children)])


def _resident(process: str, what: str = "VmRSS") -> float:
    """Megabytes of a process; 0: it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text("ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]), json.loads(sys.argv[2]))))
