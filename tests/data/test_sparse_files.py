"""Files of sparse matrices are read as matrices, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from lowerbound import untrusted
from lowerbound.data import load
from lowerbound.data.tables.chunks import read_chunks
from lowerbound.errors import DataError

VALUES = np.where(
    np.random.default_rng(0).random((40, 5)) < 0.4, np.random.default_rng(1).normal(size=(40, 5)), 0
)


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
@pytest.mark.parametrize("made", [sparse.csr_matrix, sparse.csr_array])
def test_a_sparse_matrix_is_read_as_it_is(tmp_path: Path, form: str, made: Any) -> None:
    sparse.save_npz(tmp_path / "rows.npz", made(VALUES).asformat(form))
    found = load(tmp_path / "rows.npz")
    values = found.schema.decode(found.batch(torch.arange(40)).x)
    np.testing.assert_allclose(values, VALUES, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["bsr", "dia"])
def test_other_forms_are_refused(tmp_path: Path, form: str) -> None:
    sparse.save_npz(tmp_path / "rows.npz", sparse.csr_matrix(VALUES).asformat(form))
    with pytest.raises(DataError, match=rf"sparse matrix of the form '{form}' .* by \.tocsr\(\)"):
        load(tmp_path / "rows.npz")


def parts(**changed: Any) -> dict[str, Any]:
    matrix = sparse.csr_matrix(VALUES)
    given = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    return {**given, "shape": matrix.shape, "format": np.array(b"csr"), **changed}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"indices": np.full(len(parts()["data"]), 5)}, "cannot be read as numpy arrays"),
        ({"indices": np.full(len(parts()["data"]), -1)}, "cannot be read as numpy arrays"),
        ({"indptr": np.zeros(3, dtype=int)}, "cannot be read as numpy arrays"),
        ({"shape": (40, 5, 1)}, "two sides"),
        ({"shape": (-40, 5)}, "two sides"),
        ({"format": np.array("coo")}, "without its array 'row'"),
    ],
)
def test_a_damaged_sparse_matrix_is_refused(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    np.savez(tmp_path / "rows.npz", **parts(**changed))
    with pytest.raises(DataError, match=words):
        load(tmp_path / "rows.npz")


def test_a_sparse_matrix_above_the_limit_is_refused(tmp_path: Path) -> None:
    huge = sparse.coo_matrix(([1.0], ([0], [0])), shape=(10**6, 10**6))
    sparse.save_npz(tmp_path / "rows.npz", huge)
    with untrusted.memory(0.1), pytest.raises(DataError, match="memory"):
        load(tmp_path / "rows.npz")


LINES = {
    "svmlight": "+1 1:0.5 3:-1.25e-3 7:2\n-1 2:1\n+1 1:3 2:0.125 # a note\n-1\n" * 9,
    "ranks": "2 qid:1 1:0.5 2:1\n0 qid:2 1:0.25\n" * 9,
    "labels": "1,4 1:0.5 2:1\n2 1:0.25 9:1\n" * 9,
}


@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
@pytest.mark.parametrize("name", ["rows.txt", "rows.csv", "rows.data", "rows", "rows.libsvm"])
def test_sparse_lines_are_refused_by_name(tmp_path: Path, name: str, lines: str) -> None:
    path = tmp_path / name
    path.write_text(lines)
    with pytest.raises(DataError, match=r"sparse matrix as LIBSVM .*load_svmlight_file"):
        load(path)
    if path.suffix in (".txt", ".csv"):
        schema = load(VALUES).schema
        with pytest.raises(DataError, match="LIBSVM"):
            next(read_chunks(path, schema))


def test_times_and_ratios_are_no_sparse_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text("n ratio\n" + "".join(f"{n}.5 1:{n}\n" for n in range(1, 40)))
    with pytest.warns(UserWarning, match="column"):  # of ratios
        assert load(path).schema.columns
