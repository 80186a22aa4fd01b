"""Packed files are counted while they unpack, and readers of others run with limits."""

from __future__ import annotations

import os
import socket
import struct
import tarfile
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lowerbound import untrusted
from lowerbound.cli import main
from lowerbound.data import load
from lowerbound.data.npz import open_arrays, read_npz
from lowerbound.data.prompts import captions_in_file
from lowerbound.data.tables import workbooks
from lowerbound.data.tables.files import read_frame
from lowerbound.data.tables.on_disk import load_on_disk
from lowerbound.errors import DataError
from lowerbound.untrusted import child, tar
from lowerbound.untrusted.unpacking import check_members, open_zip
from tests.fixtures.cases import FOLDER
from tests.hostile import packed

MOST = 500.0  # megabytes over the base, at a limit of 200


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs the peaks of Linux")
@pytest.mark.slow
def test_peaks_and_refusals(tmp_path: Path) -> None:
    names = tuple(packed.KINDS)
    found = packed.measured(names, tmp_path, 300_000_000, 0.2)
    assert {name: each.megabytes for name, each in found.items() if each.megabytes > MOST} == {}
    assert {name: each.left for name, each in found.items() if each.left} == {}
    read = ("pictures of a shard",)  # smaller, by default
    assert [name for name, each in found.items() if not each.refused and name not in read] == []
    said = {name: each.refused for name, each in found.items()}
    other = (*read, "long name in a shard", "nested parquet")  # refused whatever the limit is
    assert [s for name, s in said.items() if name not in other and "--memory" not in s] == []


def test_a_table_larger_than_memory_is_read_part_by_part(tmp_path: Path) -> None:
    path, rows = tmp_path / "x.csv.gz", 120_000
    rng = np.random.default_rng(0)
    pd.DataFrame({"a": rng.normal(size=rows), "b": rng.integers(9, size=rows)}).to_csv(
        path, index=False, float_format="%.3f"
    )
    with untrusted.memory(0.009):
        with pytest.raises(DataError, match=r"needs 0\.1 GB .*--memory.*--rows-in disk"):
            load(path)
        assert len(load_on_disk(path, tmp_path / "rows")) == rows
        with (tmp_path / "line.csv").open("w") as file:
            file.write("a,b\n1,2\n" + "x" * 3_000_000 + ",3\n")
        with pytest.raises(DataError, match="--memory"):
            load_on_disk(tmp_path / "line.csv", tmp_path / "rows")


def test_sizes_of_members_are_not_believed(tmp_path: Path) -> None:
    """An entry that declares fewer bytes than its member has."""
    path, size = tmp_path / "x.zip", 3_000_000
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(size))
    content = path.read_bytes()
    assert content.count(struct.pack("<I", size)) == 2
    path.write_bytes(content.replace(struct.pack("<I", size), struct.pack("<I", 10)))
    with open_zip(path, DataError) as archive:
        assert [entry.file_size for entry in archive.infolist()] == [10]
        assert check_members(archive, "it", DataError, 1.0) == size
        with untrusted.memory(0.002), pytest.raises(DataError, match=r"it needs 0\.1 GB"):
            check_members(archive, "it", DataError, 1.0)


def test_directories_and_methods_of_zip_files(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(500):
            archive.writestr(f"{number}.npy", b"")
    with untrusted.memory(0.0001), pytest.raises(DataError, match=r"the directory of .* needs"):
        load(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.npy", b"0")
    with pytest.raises(DataError, match="not packed by deflate"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"no array")
    with pytest.raises(DataError, match=r"x\.npz: x\.npy is no array"):
        load(path)


def test_all_arrays_that_are_read_count(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.zeros((400, 2, 2, 2)), y=np.zeros(4_000))
    with untrusted.memory(0.00005), pytest.raises(DataError, match=r"y\.npy needs"):
        load(path)
    with untrusted.memory(0.0001), open_arrays(path) as arrays:
        assert len(arrays["y"]) == 4_000


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import time\ntime.sleep(99)", "takes longer than 1 seconds"),
        pytest.param("while True: pass", "takes longer than 1 seconds", marks=pytest.mark.slow),
        ("x = bytearray(10**9)", "stopped, as it does where more memory is needed than .*0.1 GB"),
        ("import os\nos.abort()", "stopped, as it does"),
    ],
)
def test_readers_that_abort_or_never_end(
    script: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place of a reader of workbooks, whose faults are not shown here."""
    stand_in = tmp_path / "reader.py"
    stand_in.write_text(f"print('[\"a\"]', flush=True)\n{script}\n")
    monkeypatch.setattr(workbooks, "ROWS", stand_in)
    monkeypatch.setattr(workbooks, "LEAST_SECONDS", 1.0)
    monkeypatch.setattr(child, "CLOCK", 0.5 if "sleep" in script else 10.0)
    pd.DataFrame({"a": [1, 2]}).to_excel(tmp_path / "x.xlsx", index=False)
    with untrusted.memory(0.1), pytest.raises(DataError, match=f"x.xlsx is not read: .*{said}"):
        load(tmp_path / "x.xlsx")


def test_a_process_ends_with_whoever_reads_its_lines(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text("while True: print('x' * 99)")
    lines = child.lines(script, [], "it", DataError, 60)
    assert next(lines) == b"x" * 99 + b"\n"
    began = time.perf_counter()
    lines.close()  # type: ignore[attr-defined]
    assert time.perf_counter() - began < 10


def test_workbooks_are_those_of_pandas(tmp_path: Path) -> None:
    """All kinds of cells, by the reader in this process."""
    path = tmp_path / "x.xlsx"
    day = pd.Timestamp("2020-01-02 03:04:05")
    frame = pd.DataFrame(
        {
            "number": [1, -0.5, 1e300, None],
            "whole": [1, 2, 3, 12345678901234567],
            "text": ["02139", "é\u2028x", "N", ""],
            "truth": [True, False, True, False],
            "time": [day, None, day, day],
            "day": [day.date(), None, day.date(), None],
            "clock": [day.time(), day.time(), None, None],
            "long": [pd.Timedelta(hours=27), None, pd.Timedelta(0), pd.Timedelta(days=2)],
            "twice": 1,
        }
    )
    frame.columns = [*frame.columns[:-1], "number"]
    frame.to_excel(path, index=False)
    with pd.ExcelFile(path, engine="calamine") as book:
        expected = pd.read_excel(book, dtype=object).infer_objects()
    found = workbooks.read_workbook(path)
    pd.testing.assert_frame_equal(found, expected)
    kinds = [[type(cell) for cell in found.iloc[:, place]] for place in range(9)]
    assert kinds == [[type(cell) for cell in expected.iloc[:, place]] for place in range(9)]


def record(words: str, length: int | None = None) -> bytes:
    """A record of pax, or one that declares another length."""
    content = f" {words}\n".encode()
    size = len(content) + len(str(len(content) + 2))
    return str(length or size).encode() + content


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        (tarfile.XHDTYPE, record("path=a.png", 3), "a record before a header is damaged"),
        (tarfile.XHDTYPE, record("path=a.png", 999), "a record before a header is damaged"),
        (tarfile.XHDTYPE, record("size=-5"), "'-5' is no size"),
        (tarfile.XHDTYPE, record("size=99999999999"), "needs 100.0 GB of memory"),
        (tarfile.XHDTYPE, b" " * (tar.MOST_RECORDS + 1), "its records have 1,048,577 bytes"),
        (tarfile.XGLTYPE, b"x" * 30, "is no size"),
        (tarfile.GNUTYPE_LONGNAME, bytes(tar.MOST_RECORDS + 1), "at most 1,048,576 are read"),
    ],
)
def test_headers_of_tar_files(
    kind: bytes, content: bytes, said: str, tmp_path: Path, cache: Path
) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        packed._add(archive, "0.png", packed._png(4, 4, 1))
        member = tarfile.TarInfo("records")
        member.type, member.size = kind, len(content)
        with warnings.catch_warnings():
            archive.fileobj.write(member.tobuf(tarfile.USTAR_FORMAT))  # type: ignore[union-attr]
            archive.fileobj.write(content + bytes(-len(content) % 512))  # type: ignore[union-attr]
        packed._add(archive, "1.png", packed._png(4, 4, 2))
    with pytest.raises(DataError, match=said):
        load(path)
    assert not [each for each in cache.rglob("*") if each.is_file()]


def test_names_of_pax_and_gnu_are_read(tmp_path: Path) -> None:
    long = "a/" + "b" * 150 + "/é"
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        path = tmp_path / f"{form}.tar"
        with tarfile.open(path, "w", format=form) as archive:
            for number in range(2):
                packed._add(archive, f"{long}{number}.png", packed._png(4, 4, number))
        assert load(path).ids == (f"{long}0.png", f"{long}1.png")


def test_holes_and_negative_sizes_of_members(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "x.tar"
    for change, said in (("sparse", "is stored with holes"), ("size", "a negative size")):
        member = tarfile.TarInfo("0.png")
        if change == "sparse":
            member.type = tarfile.GNUTYPE_SPARSE
        else:
            member.size = -512
        path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
        with pytest.raises(DataError, match=said):
            load(path)
    assert not [each for each in cache.rglob("*") if each.is_file()]


def test_pictures_that_cannot_be_read_leave_nothing_in_the_cache(
    tmp_path: Path, cache: Path
) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        packed._add(archive, "0.png", b"no picture")
    with pytest.raises(DataError, match="cannot be read as a picture"):
        load(tmp_path / "x.tar")
    assert not [each for each in cache.rglob("*") if each.is_file()]


def test_pictures_count_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(9):
        Image.new("L", (100, 100), number).save(tmp_path / f"{number}.png")
    monkeypatch.setattr("lowerbound.data.pictures.decoding.BYTES_OF_PIXEL", 1)
    with untrusted.memory(0.00005), pytest.raises(DataError, match=r"9 pictures .*--image-size"):
        load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_pipes_and_sockets_wherever_data_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    Image.new("L", (8, 8)).save("pictures/0.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("pictures/1.png")
        with pytest.raises(DataError, match=r"1\.png .*is a pipe, a device or a socket"):
            load("pictures")
    Path("pictures/1.png").unlink()
    os.mkfifo("pictures/1.png")
    with pytest.raises(DataError, match=r"1\.png is not a regular file"):
        load("pictures")
    with pytest.warns(UserWarning, match="1 of 2 pictures"):
        assert len(load("pictures", on_error="skip")) == 1
    for suffix in (".txt", ".csv", ".csv.gz", ".npz", ".json", ".smi"):
        os.mkfifo(f"pipe{suffix}")
    with pytest.raises(DataError, match="not a regular file"):
        captions_in_file(Path("pipe.txt"), None, 3)
    with pytest.raises(DataError, match="not a regular file"):
        read_frame("pipe.csv.gz")
    with pytest.raises(DataError, match="not a regular file"):
        load("pipe.smi", tokens="smiles")
    with pytest.raises(DataError, match="not a regular file"):
        read_npz(Path("pipe.npz"))  # as of --mask
    people, table = str(FOLDER / "data" / "people.csv"), str(FOLDER / "models" / "table")
    for words in (
        ["fit", people, "-o", "m.lb", "--columns", "pipe.json"],
        ["fit", people, "-o", "m.lb", "--captions", "pipe.csv"],
        ["decode", table, "pipe.npz", "-o", "out.csv"],
        ["detect", table, "pipe.csv", "-o", "out.csv"],
    ):
        assert main(words) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1
        assert "pipe." in said[0]
