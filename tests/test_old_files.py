"""Model folders and compressed files that commit 0f43454 wrote still load and decode, bit for bit.

``tests/fixtures/cases.py`` says how each was made. Answers are compared by their hash. Processors,
even of one name, take sums in another order: where the hash differs, some values of each answer
have to agree to 5e-5 of the largest, whole numbers and words nearly all, since a draw may fall on
the other side of a border. The
combined anomaly score by a folder of a table without a detector's state is left out: it is made
from the rows of the fit by whatever the present version combines. The anomaly scores in nats of
that table are of a later version, which adds the usual nats of missing cells and leaves out the
unit of the column with an atom. Their bounds are of 16 draws in all rows.
"""

from __future__ import annotations

import json
import lzma
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.inference import shares
from tests.fixtures.answers import ask, call, decompressed, digest, sha256, some
from tests.fixtures.cases import FILES, FOLDER, FOLDERS, File, Folder

RELATIVE = 5e-5
RELATIVE_OF = {  # by the last word of an answer's name
    "p_value": 0.1,  # a rank, of rows that tie with themselves: a few steps
    "p_values": 0.1,
    "combined": 0.1,  # of ranks and of distances
    "latent": 1e-3,  # features that hardly vary are divided by their deviation
}
SAME_SIZE = 0.02  # of files by a codec that was made anew
EQUAL = 0.8  # of the whole numbers and words that were kept, elsewhere


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums of several threads are taken in another order."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def all_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds of 16 draws in all rows, as in the answers."""
    monkeypatch.setattr(shares, "EVEN", np.inf)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_folder_answers_as_it_did(folder: Folder, tmp_path: Path) -> None:
    place = _copied(folder.name, tmp_path)
    found = ask(folder, place, FOLDER / "data", tmp_path)
    expected = json.loads((FOLDER / "answers" / f"{folder.name}.json").read_text())
    assert set(expected) <= set(found)
    different = [name for name, was in expected.items() if not _agrees(name, found[name], was)]
    assert not different


def _agrees(name: str, found: np.ndarray[Any, Any], was: dict[str, Any]) -> bool:
    if digest(found) == was["sha256"]:
        return True
    if found.ndim == 0:  # a hash of weights holds everywhere
        return False
    values, expected = some(found), np.asarray(was["some"])
    if len(values) != len(expected):
        return False
    if values.dtype.kind != "f":
        return bool(np.mean(values == expected) >= EQUAL)
    return _close(values, expected, RELATIVE_OF.get(name.split()[-1], RELATIVE))


def _close(values: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], relative: float) -> bool:
    least = relative * float(np.nanmax(np.abs(expected)))
    return np.allclose(values, expected, relative, least, equal_nan=True)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_file_decodes_and_is_written_again(file: File, tmp_path: Path) -> None:
    pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")
    path = FOLDER / "files" / f"{file.name}.lbz"
    expected = json.loads(path.with_suffix(".json").read_text())
    assert sha256(path) == expected.pop("lbz")
    model = _copied(file.folder, tmp_path) if file.folder else None
    found = decompressed(file, path, model, tmp_path)
    assert set(found) == set(expected)
    if file.levels:
        assert all(_within_a_level(found[name], expected[name]) for name in found)
    elif not file.lossy:
        assert found == expected
    call("info", path)
    call("verify", path, *(["--model", model] if model else []))

    again = tmp_path / "again.lbz"
    words = [*([model] if model else []), FOLDER / "data" / file.data, "-o", again, *file.words]
    call("compress", *words)
    if not file.lossy:
        assert again.read_bytes() == path.read_bytes()
    if model:  # rounding real numbers to whole ones anew may fall on the other side
        shutil.rmtree(model / "codecs", ignore_errors=True)
        call("compress", *words)
        assert again.stat().st_size == pytest.approx(path.stat().st_size, rel=SAME_SIZE)
        call("verify", again, "--model", model)


def _within_a_level(found: list[int], expected: list[int]) -> bool:
    return len(found) == len(expected) and bool(np.abs(np.subtract(found, expected)).max() <= 1)


def _copied(name: str, tmp_path: Path) -> Path:
    """A copy that may be written to, its codecs unpacked."""
    place = Path(shutil.copytree(FOLDER / "models" / name, tmp_path / "model"))
    for packed in place.glob("codecs/*.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()
    return place
