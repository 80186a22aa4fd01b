"""What a file declares, or a user asks for, is compared with a limit before memory is taken."""

from __future__ import annotations

import io
import json
import resource
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound import untrusted
from lowerbound.cli import main
from lowerbound.data import load
from lowerbound.data.audio.clips import read_wav
from lowerbound.data.sequences.windows import Windows
from lowerbound.data.tables.files import read_frame
from lowerbound.errors import DataError, LowerboundError, OptionError
from lowerbound.fitting import folder as model_folder
from lowerbound.untrusted import memory
from tests.fixtures.cases import FOLDER
from tests.hostile.targets import changed_folder

MOST = 300.0  # megabytes that the peak of memory may rise


@pytest.fixture(autouse=True)
def in_little_memory() -> Iterator[None]:
    """Every test here takes little memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MOST


def header(shape: tuple[int, ...], dtype: str = "<f8") -> bytes:
    """The beginning of an array in numpy's format."""
    out = io.BytesIO()
    described = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, described)
    return out.getvalue()


def test_arrays(tmp_path: Path) -> None:
    large = tmp_path / "large.npz"
    with zipfile.ZipFile(large, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header((2**30,)) + bytes(1_000))
    with pytest.raises(DataError, match=r"large.npz: x.npy needs 8\.6 GB .*--memory"):
        load(str(large))
    small = tmp_path / "small.npz"
    with zipfile.ZipFile(small, "w") as archive:
        archive.writestr("x.npy", header((1_000, 1_000)) + bytes(1_000))
    with pytest.raises(DataError, match="cut short: it declares 8,000,000 bytes"):
        load(str(small))
    alone = tmp_path / "alone.npy"
    alone.write_bytes(header((2**40,)))
    with pytest.raises(DataError, match=r"needs 8,796\.1 GB"):
        load(str(alone))


def test_sound(tmp_path: Path) -> None:
    """Of 59 bytes, which declare 2^28 samples of 24 bits: the samples that are there are read."""
    path = tmp_path / "clip.wav"
    form = struct.pack("<HHIIHH", 1, 1, 8_000, 24_000, 3, 24)
    sound = struct.pack("<4sI", b"data", 3 * 2**28) + bytes(range(1, 16))
    inside = b"WAVE" + struct.pack("<4sI", b"fmt ", len(form)) + form + sound
    path.write_bytes(b"RIFF" + struct.pack("<I", 2**32 - 1) + inside)
    assert path.stat().st_size == 59
    assert len(read_wav(path)[0]) == 5


def test_pictures(tmp_path: Path) -> None:
    path, side = tmp_path / "white.png", 13_000

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    front = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = (
        chunk(b"IHDR", front),
        chunk(b"IDAT", zlib.compress(bytes(1_000))),
        chunk(b"IEND", b""),
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with pytest.raises(DataError, match=r"white.png needs 4\.4 GB"):
        load(str(path))


def test_actions_of_many_classes(tmp_path: Path) -> None:
    frames, path = np.zeros((24, 4, 4), np.uint8), tmp_path / "clips.npz"
    frames[::2] = 255
    named = {"episode": np.zeros(24, int), "action": np.arange(24) % 3}
    np.savez(path, frames=frames, action_classes=np.array(12_000_000), **named)
    with memory(0.4), pytest.raises(DataError, match=r"clips.npz needs .* GB"):
        load(str(path), windows=Windows(2))


def test_windows_of_a_long_series() -> None:
    with memory(0.001), pytest.raises(DataError, match="windows of the series needs"):
        Windows(500).cut(np.zeros((1_000, 2)))


@pytest.mark.parametrize("hidden", [40_000, 10**9])
def test_model_folders(tmp_path: Path, hidden: int) -> None:
    def wide(config: dict[str, object]) -> None:
        model = config["model"]
        assert isinstance(model, dict)
        model["network_options"]["hidden"] = [hidden, hidden]

    copied = changed_folder(FOLDER / "models" / "autoencoder", tmp_path / "m", "config.json", wide)
    with pytest.raises(LowerboundError, match="far more memory than its weights"):
        model_folder.read(copied)


@pytest.mark.parametrize(
    "words",
    [
        "impute imputer gaps.csv --draws",
        "interpolate table people.csv --frames",
        "interpolate table people.csv --path geodesic --nodes",
        "attributes table people.csv --frames",
    ],
)
def test_rows_that_are_asked_for(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, model, *rest = words.split()
    given = [str(FOLDER / "data" / word) if "." in word else word for word in rest]
    output = tmp_path / "x.csv"
    model = str(FOLDER / "models" / model)
    assert main([command, model, *given, str(10**20), "-o", str(output)]) == 2
    said = capsys.readouterr().err
    assert "GB of memory, and the limit is 4 GB: raise it with --memory" in said
    assert "or ask for fewer" in said
    assert not output.exists()


@pytest.mark.parametrize("command", ["sample", "synthesize"])
def test_rows_that_no_disk_holds(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are written part by part, so memory is no limit of them."""
    model, output = str(FOLDER / "models" / "table"), tmp_path / "new" / "x.csv"
    assert main([command, model, "-n", str(10**20), "-o", str(output)]) == 2
    assert f"GB of disk, and {output.parent} has" in capsys.readouterr().err
    assert not output.parent.exists()
    assert not output.parent.exists()


def test_the_limit_is_an_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((1_000, 1_000)))
    with untrusted.memory(0.001), pytest.raises(DataError, match=r"limit is 0\.001 GB"):
        load(str(tmp_path / "x.npz"))
    words = ["schema", str(tmp_path / "x.npz"), "--json"]
    assert main([*words, "--memory", "0.001"]) == 2
    assert "0.001 GB" in json.loads(capsys.readouterr().out)["error"]
    assert main([*words, "--memory", "lots"]) == 2
    assert "--memory takes a number of gigabytes" in capsys.readouterr().err
    with pytest.raises(OptionError, match="above 0, not nan"), untrusted.memory(float("nan")):
        pass


def test_rows_of_a_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pd.DataFrame({"a": np.zeros(200_000), "b": np.zeros(200_000)}).to_parquet(path)
    assert path.stat().st_size < 10_000
    with untrusted.memory(0.003), pytest.raises(DataError, match="memory"):
        read_frame(path)
    assert len(read_frame(path)) == 200_000


def test_parts_of_a_parquet_file_that_declare_other_rows(tmp_path: Path) -> None:
    """Arrow takes memory for as many rows as a part declares: 2^31 in a file of 10 kB took 4 GB."""
    path, rows = tmp_path / "x.parquet", 12_345
    pd.DataFrame({"a": np.arange(rows)}).to_parquet(path)
    content, declared = path.read_bytes(), b"\x16\xf2\xc0\x01"  # 2 * 12,345, in 7 bits each
    places = [i for i in range(len(content)) if content.startswith(declared, i)]
    refused = 0
    for place in places:
        path.write_bytes(content[:place] + b"\x16\xf2\xc0\x02" + content[place + 4 :])
        try:
            read_frame(path)
        except DataError as error:
            refused += "other numbers of rows" in str(error)
    assert len(places) >= 2
    assert refused == 2  # in the row group, and in the file
