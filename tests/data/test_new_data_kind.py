"""A kind of data of the worked example, registered at run time, goes through every command."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound import VAE
from lowerbound.applications.common.rows import ROW_FILES, RowFiles, row_files
from lowerbound.data import DATA_KINDS, load
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.folder import read
from tests.cli.conftest import Run, run
from tests.docs.pages import DOCS, blocks

__all__ = ["run"]

# letters in pairs, so that there is something to learn
WORDS = ["".join(p) for p in np.random.default_rng(0).choice(["ab", "ba", "cc"], size=(120, 2))]


@pytest.fixture(scope="module", autouse=True)
def words() -> Iterator[None]:
    """The blocks of the page that register the kind and its files; they are taken out again."""
    namespace = vars(types.ModuleType("docs.extending"))
    namespace.update(np=np, torch=torch, DataError=DataError)
    for block in blocks(DOCS / "extending.md", "python"):
        if '_KINDS.register("words")' in block or "ROW_FILES.register" in block:
            exec(compile(block, "extending.md", "exec", dont_inherit=True), namespace)
    yield
    del DATA_KINDS._parts["words"], ROW_FILES._parts["words"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("words") / "some.words"
    path.write_text("\n".join(WORDS))
    return path


@pytest.fixture(scope="module")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "words"
    VAE(latent_dim=2, epochs=200, random_state=0).fit(str(data)).save(folder)
    return folder


def test_rows_become_bits_and_come_back(data: Path) -> None:
    dataset = load(data)
    assert dataset.schema.event_shape == (4 * 3,)
    assert dataset.schema.details == {"alphabet": "abc"}
    np.testing.assert_array_equal(dataset.schema.decode(dataset.all().filled), WORDS)
    read = type(dataset.schema).from_mapping(dataset.schema.to_mapping())
    assert read == dataset.schema
    assert hash(read) == hash(dataset.schema)
    with pytest.raises(DataError, match=r"letters \['z'\]"):
        read.pack(["abcz"])


@pytest.mark.slow
def test_commands_take_it(run: Run, data: Path, tmp_path: Path) -> None:
    """fit with its report, info, evaluate, sample, encode, decode, reconstruct, and a path."""
    folder, codes = tmp_path / "m", tmp_path / "codes.npz"
    done = run("fit", data, "-o", folder, "--updates", "20", "--samples", "3", "--latent-dim", "2")
    assert done.code == 0, done.err
    assert "108 words over abc" in done.err  # a tenth is the test part
    assert "network mlp (rows have no neighbors)" in done.err
    assert (folder / "report.html").exists()
    assert "words over abc" in run("info", folder).out
    assert "nats per row" in run("evaluate", folder, data).out
    for words in (
        ("sample", folder, "-n", "5", "-o", tmp_path / "new.txt"),
        ("encode", folder, data, "-o", codes),
        ("decode", folder, codes, "-o", tmp_path / "decoded.npz"),
        ("reconstruct", folder, data, "--uncertainty", "--draws", "2", "-o", tmp_path / "r.npz"),
        ("reconstruct", folder, data, "-o", tmp_path / "r.txt"),
        ("interpolate", folder, data, "--rows", "0,1", "-o", tmp_path / "path.npz"),
        ("detect", folder, data, "-o", tmp_path / "scores.csv"),
    ):
        done = run(*words)
        assert done.code == 0, done.err
    assert len((tmp_path / "new.txt").read_text().split()) == 5
    assert {len(word) for word in (tmp_path / "new.txt").read_text().split()} == {4}
    with np.load(tmp_path / "r.npz") as arrays:
        assert arrays["x"].tolist() == WORDS
        assert set(arrays) == {"x", "reconstruction"}  # words have no standard deviation


@pytest.mark.slow
def test_a_model_learns_it(data: Path, model: Path) -> None:
    """Two pairs of three have an entropy of 2 log 3 nats, which no model is below; indicators that
    know nothing of each other cost 12 times the entropy of one in three."""
    found = VAE.load(model)
    least, independent = 2 * np.log(3), 12 * (np.log(3) - 2 / 3 * np.log(2))
    assert least - 0.1 < -found.score(str(data)) < 0.7 * independent
    assert found.sample(4).shape == (4,)
    assert read(model).schema == load(data).schema


def test_other_sources_and_outputs_are_refused(model: Path, tmp_path: Path) -> None:
    schema = read(model).schema
    with pytest.raises(OptionError, match=r"words are written as \.txt or \.npz"):
        row_files(schema).check(Path("out.csv"))
    with pytest.raises(OptionError, match=r"rows are written as \.npz"):
        RowFiles(schema).check(Path("out.csv"))
    (tmp_path / "long.words").write_text("abcabc")
    with pytest.raises(DataError, match="not as long"):
        load(tmp_path / "long.words", schema=schema)
