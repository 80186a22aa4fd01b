"""Bad input: exit code 2, one sentence that names what and where, and nothing is lost."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lowerbound import durable
from tests.cli.conftest import QUICK, Outcome, Run


def refused(done: Outcome, *words: str) -> None:
    """One sentence, the last line, with these words in it; no trace of a program."""
    assert done.code == 2
    assert done.out == ""
    last = done.err.splitlines()[-1]
    assert last.startswith("lowerbound: ")
    assert "Traceback" not in done.err
    for word in words:
        assert word in last, last


TABLES = {
    "empty": ("", "is empty"),
    "header only": ("a,b\n", "empty"),
    "ragged": ("a,b\n1,2\n3,4,5\n", "line 3 has 3 fields"),
    "not a number": ("a,b\n1,2\n3,x\n5,6\n7,1\n", "'b' holds numbers, but not in row 1"),
    "infinite": ("a,b\n1,2\n3,inf\n5,6\n", "'b' has inf in row 1, counted from 0 (row 1: inf)"),
    "constant": ("a,b\n1,2\n1,2\n1,2\n", "no column varies"),
    "names": ("a\n" + "".join(f"n{i}x\n" for i in range(30)), "'a' identifies rows, and no column"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_cannot_be_modeled(run: Run, tmp_path: Path, name: str) -> None:
    text, words = TABLES[name]
    (tmp_path / "t.csv").write_text(text)
    refused(run("fit", tmp_path / "t.csv", "-o", tmp_path / "m", *QUICK), words)
    assert not (tmp_path / "m").exists()


def test_missing_values_are_refused_where_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,\n5,6\n")
    done = run("fit", tmp_path / "t.csv", "-o", tmp_path / "m", "--missing", "error")
    refused(done, "'b' has NaN in row 1")


def test_kinds_of_columns_that_make_no_sense(run: Run, table: Path, tmp_path: Path) -> None:
    words = ("fit", table, "-o", tmp_path / "m", *QUICK)
    refused(run(*words, "--kind", "age"), "--kind takes COLUMN=KIND, not 'age'")
    refused(run(*words, "--kind", "age=reel"), "kind of column 'age'", "reel")
    refused(run(*words, "--kind", "aeg=real"), "did you mean 'age'")
    (tmp_path / "columns.json").write_text("[]")
    refused(run(*words, "--columns", tmp_path / "columns.json"), "is not a file of columns")


def test_sources_that_are_not_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    refused(run("fit", tmp_path / "pictures", "-o", tmp_path / "m"), "has no pictures")
    refused(run("fit", tmp_path / "nothing.csv", "-o", tmp_path / "m"), "there is no file")
    refused(run("fit", "digit", "-o", tmp_path / "m"), "did you mean 'digits'")
    (tmp_path / "notes.docx").write_text("text")
    refused(run("fit", tmp_path / "notes.docx", "-o", tmp_path / "m"), "of no known kind")


def test_a_label_that_is_not_there(run: Run, table: Path, tmp_path: Path) -> None:
    done = run("fit", table, "-o", tmp_path / "m", "--label", "knd")
    refused(done, "no column 'knd'", "did you mean 'kind'")


def test_a_conditional_model_needs_labels(run: Run, table: Path, tmp_path: Path) -> None:
    done = run("fit", table, "-o", tmp_path / "m", *QUICK, "--conditional")
    refused(done, "needs labels")


@pytest.fixture
def mixed(pictures: Path, tmp_path: Path) -> Path:
    """Pictures, one of them cut short and one of another size."""
    folder = tmp_path / "mixed"
    shutil.copytree(pictures, folder)
    broken = folder / "above" / "00.png"
    broken.write_bytes(broken.read_bytes()[:40])
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "below" / "odd.png")
    return folder


def test_a_broken_picture_is_named_or_counted(run: Run, mixed: Path, tmp_path: Path) -> None:
    done = run("fit", mixed, "-o", tmp_path / "m", *QUICK)
    refused(done, "above/00.png cannot be read")
    done = run("fit", mixed, "-o", tmp_path / "m", *QUICK, "--on-error", "skip")
    assert done.code == 0
    assert "note: 1 of 61 pictures cannot be read and are left out: 00.png" in done.err
    for task in (("interpolate",), ("attributes",), ("arithmetic", "1 - 2 + 3"), ("reconstruct",)):
        words = (task[0], tmp_path / "m", mixed, *task[1:], "-o", tmp_path / "out")
        refused(run(*words), "above/00.png cannot be read", "--on-error skip")
        done = run(*words, "--on-error", "skip")
        assert (done.code, "00.png" in done.err) == (0, True), done.err
    assert (tmp_path / "out" / "below" / "odd.png").exists()  # under its own name


def test_pictures_of_many_sizes_are_resized_and_it_is_said(
    run: Run, mixed: Path, tmp_path: Path
) -> None:
    words = (*QUICK, "--on-error", "skip", "--image-size", "4", "--resize", "crop")
    done = run("fit", mixed, "-o", tmp_path / "m", *words)
    assert "4x4 pixels" in done.err
    done = run("fit", mixed, "-o", tmp_path / "n", *QUICK, "--on-error", "skip")
    assert "note: pictures come in 2 sizes" in done.err


def test_grey_values_are_not_bits(run: Run, pictures: Path, tmp_path: Path) -> None:
    words = ("fit", pictures, "-o", tmp_path / "m", *QUICK, "--likelihood", "bernoulli")
    refused(run(*words), "binariz")
    assert run(*words, "--binarize", "threshold").code == 0


def test_new_data_must_fit_the_model(
    run: Run, table_model: Path, picture_model: Path, table: Path, tmp_path: Path
) -> None:
    (tmp_path / "narrow.csv").write_text("size,age\n170,20\n160,30\n")
    done = run("encode", table_model, tmp_path / "narrow.csv", "-o", tmp_path / "z.csv")
    refused(done, "'weight' missing")
    np.save(tmp_path / "wide.npy", np.zeros((4, 7, 7), np.uint8))
    done = run("encode", picture_model, tmp_path / "wide.npy", "-o", tmp_path / "z.csv")
    refused(done, "expected pictures of 1 channel(s), 6 high and 5 wide")
    assert not (tmp_path / "z.csv").exists()


OPTIONS = {
    "--latentdim 3": ("unknown option --latentdim", "did you mean --latent-dim"),
    "--network mpl": ("unknown value for --network: 'mpl'", "did you mean 'mlp'"),
    "--likelihood gausian": ("did you mean 'gaussian'",),
    "--prior vampp": ("did you mean 'vamp'",),
    "--objective elb": ("did you mean 'elbo'",),
    "--model vea": ("unknown value for --model: 'vea'", "did you mean 'vae'"),
    "--latent-dim 0": ("--latent-dim must be at least 1, not 0",),
    "--latent-dim two": ("--latent-dim takes a whole number, not 'two'",),
    "--batch-size -3": ("--batch-size must be positive, not -3",),
    "--schedule cosin": ("did you mean 'cosine'",),
    "--test 1.5": ("--test is a share of the rows",),
    "--set network.hiden=[3]": ("unknown --set network.hiden", "did you mean 'hidden'"),
    "--set netwrk.hidden=[3]": ("did you mean 'network'",),
    "--set hidden": ("part.option=value",),
    "--set objective.bta=2": ("'bta'", "did you mean 'beta'"),
    "--samples 0": ("--samples must be at least 1",),
    "--binarize dynamc": ("did you mean 'dynamic'",),
}


@pytest.mark.parametrize("line", OPTIONS)
def test_options_that_make_no_sense(run: Run, table: Path, tmp_path: Path, line: str) -> None:
    quick = ("--updates", "2", "--no-report")
    done = run("fit", table, "-o", tmp_path / "m", *quick, *line.split())
    refused(done, *OPTIONS[line])


def test_commands_that_are_not_there(run: Run) -> None:
    refused(run("reconstuct"), "unknown command 'reconstuct'", "lowerbound reconstruct")
    refused(run("--jsn"), "unknown option '--jsn'")
    done = run("sampel", "--json")
    assert (done.code, done.object["command"]) == (2, "sampel")
    assert "did you mean: lowerbound sample" in done.object["error"]


def test_outputs_of_no_known_kind(
    run: Run, table: Path, table_model: Path, picture_model: Path, tmp_path: Path
) -> None:
    refused(run("sample", table_model, "-o", tmp_path / "x.png"), "tables are written as")
    refused(run("sample", picture_model, "-o", tmp_path / "x.csv"), "pictures are written as")
    refused(run("encode", table_model, table, "-o", tmp_path / "z.txt"), "codes are kept as")
    refused(run("sample", table_model, "-o", tmp_path / "x.csv", "-n", "0"), "at least 1")
    words = ("reconstruct", table_model, table, "-o", tmp_path / "x.csv", "--uncertainty")
    refused(run(*words, "--draws", "1"), "--draws must be at least 2")


def test_folders_that_hold_no_model(run: Run, tmp_path: Path) -> None:
    refused(run("info", tmp_path / "gone"), "there is no model folder")
    refused(run("info", tmp_path), "no manifest.json")
    (tmp_path / "agent.jsonl").touch()
    for words in (["info"], ["control", "evaluate"], ["control", "video", "-o", "x.gif"]):
        refused(run(*words, tmp_path), "holds the records of an agent (agent.jsonl), and no model")
    refused(run("sample", tmp_path / "gone", "-o", tmp_path / "x.png"), "there is no model folder")


def test_codes_of_another_length(run: Run, table_model: Path, tmp_path: Path) -> None:
    (tmp_path / "z.csv").write_text("z1,z2,z3,z4\n1,2,3,4\n")
    done = run("decode", table_model, tmp_path / "z.csv", "-o", tmp_path / "x.csv")
    refused(done, "z.csv: each code needs 2 numbers, and these have 4")


def test_a_full_disk_leaves_the_file_before(
    run: Run, table_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv"
    run("sample", table_model, "-o", path)
    before = path.read_bytes()

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "sync", full)
    done = run("sample", table_model, "-o", path, "--seed", "9")
    refused(done, f"{path}.unfinished: no space left on device", "free some space")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_at_the_end_of_a_fit(
    run: Run, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "write_tensors", full)
    done = run("fit", table, "-o", tmp_path / "m", *QUICK)
    refused(done, "no space left on device")


def test_a_place_that_may_not_be_written(run: Run, table_model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("sample", table_model, "-o", tmp_path / "file" / "x.csv")
    refused(done, str(tmp_path / "file"), "a part of the path is a file")
