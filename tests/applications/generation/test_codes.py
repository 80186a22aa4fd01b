"""Codes survive their files, and files that hold something else are refused by name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.applications.common.rows import write_columns
from lowerbound.applications.generation.codes import CodeTable, check_suffix, columns_of, read_codes
from lowerbound.errors import DataError, OptionError

TABLE = CodeTable(
    z=torch.tensor([[0.125, -3e-7, 12.0], [1.0, 2.0, 1 / 3]]),
    std=torch.tensor([[0.5, 0.25, 1.0], [1.0, 1.0, 1e-3]]),
    label=("3", "cat"),
    ids=("a.png", "b.png"),
)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_what_is_written_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"codes{suffix}"
    assert write_columns(path, columns_of(TABLE, path)) == (str(path),)
    read = read_codes(path, 3)
    torch.testing.assert_close(read.z, TABLE.z, rtol=0, atol=0)
    assert (read.label, read.ids) == (TABLE.label, TABLE.ids)


def test_columns_are_matched_by_number_whatever_their_order(tmp_path: Path) -> None:
    names = [f"z{i}" for i in range(11, 0, -1)]
    pd.DataFrame([range(11, 0, -1)], columns=names).to_csv(tmp_path / "c.csv", index=False)
    assert read_codes(tmp_path / "c.csv", 11).z.tolist() == [list(range(1, 12))]


def test_a_table_without_columns_of_codes_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1.5], "b": [2]}).to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(DataError, match=r"no columns z1, z2, .* but a, b"):
        read_codes(tmp_path / "c.csv", 2)
    pd.DataFrame([[1.5, 2]]).to_csv(tmp_path / "c.csv", index=False)  # numpy's, by position
    assert read_codes(tmp_path / "c.csv", 2).z.tolist() == [[1.5, 2.0]]


def test_codes_that_cannot_be_decoded_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    with pytest.raises(DataError, match="is no file"):
        read_codes(path, 2)
    write_columns(path, columns_of(TABLE, path))
    with pytest.raises(DataError, match="needs 2 numbers, and these have 3 numbers"):
        read_codes(path, 2)
    path.write_text("z1,z2\n1,2\n3,nan\n")
    with pytest.raises(DataError, match="row 1, counted from 0, is not finite"):
        read_codes(path, 2)
    path.write_text("z1,z2\n1,2\n3,abc\n")
    with pytest.raises(DataError, match=r"column 'z2' .* holds 'abc' in row 1, counted from 0"):
        read_codes(path, 2)
    path.write_text("z1,z2\n")
    with pytest.raises(DataError, match="holds no codes"):
        read_codes(path, 2)
    path.write_text("")
    with pytest.raises(DataError, match="cannot be read"):
        read_codes(path, 2)
    with pytest.raises(OptionError, match=r"codes are kept as \.csv"):
        check_suffix(tmp_path / "codes.txt")


def test_a_damaged_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    np.savez(path, z=np.ones((4, 2)))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"cannot be read as numpy arrays"):
        read_codes(path, 2)


WRONG_ARRAYS = {
    "note.txt is no array": {"note.txt": b"some words"},
    "codes are numbers, and these are <U1": {"z": np.array([["a", "b"]])},
    "label has 1 entries for 2 codes": {"z": np.zeros((2, 2)), "label": np.array(["a"])},
    "row 0, counted from 0, is not finite in float32": {"z": np.full((1, 2), 1e300)},
}


@pytest.mark.parametrize("said", WRONG_ARRAYS)
def test_arrays_that_are_no_codes_are_refused(tmp_path: Path, said: str) -> None:
    path = tmp_path / "z.npz"
    parts = WRONG_ARRAYS[said]
    np.savez(path, **{name: part for name, part in parts.items() if isinstance(part, np.ndarray)})
    with zipfile.ZipFile(path, "a") as archive:
        for name, part in parts.items():
            if isinstance(part, bytes):
                archive.writestr(name, part)
    with pytest.raises(DataError, match=said):
        read_codes(path, 2)
