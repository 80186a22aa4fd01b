"""Texts go through the commands: fit, evaluate, sample, encode, decode, reconstruct, detect."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Run, run

__all__ = ["run"]
pytestmark = [
    pytest.mark.filterwarnings("ignore:the median effective sample size"),
    pytest.mark.filterwarnings("ignore:.* have more than"),
]
QUICK = ("--updates", "30", "--samples", "4", "--set", "likelihood.width=16", "--set",
         "network.context=16", "--set", "network.hidden=[32,16]")  # fmt: skip


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    texts = ["ab" * int(n) + "c" for n in draw.integers(1, 5, 200)]
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(texts) + "\n")
    return path


@pytest.mark.slow
def test_every_command_of_its_page(run: Run, lines: Path, tmp_path: Path) -> None:
    model, table = tmp_path / "m.lb", tmp_path / "t.csv"
    given = lines.read_text().split()
    pd.DataFrame({"text": given}).to_csv(table, index=False)
    done = run("fit", lines, "--tokens", "characters", "--longest", "8", "-o", model, *QUICK)
    assert done.code == 0, done.err
    assert "texts of at most 7 tokens, 3 kinds of token (characters)" in done.err
    long = sum(len(text) > 8 for text in given)
    assert f"{long} of 200 texts have more than 8 tokens" in done.err
    done = run("evaluate", model, table, "--samples", "4")
    assert "bits per character" in done.out
    assert "reconstructions are equal to" in done.out
    assert run("sample", model, "-n", "30", "-o", tmp_path / "new.txt").code == 0
    assert len((tmp_path / "new.txt").read_text().split("\n")) == 31
    assert run("encode", model, table, "-o", tmp_path / "z.csv").code == 0
    codes = pd.read_csv(tmp_path / "z.csv")
    assert len(codes) == 200 - long
    kept = [str(row) for row, text in enumerate(given) if len(text) <= 8]
    assert codes["id"].astype(str).tolist() == kept
    assert run("decode", model, tmp_path / "z.csv", "-o", tmp_path / "d.csv").code == 0
    assert run("reconstruct", model, table, "-o", tmp_path / "r.csv").code == 0
    back = pd.read_csv(tmp_path / "r.csv")
    assert back["text"].tolist() == [given[int(row)] for row in kept]
    decoded = pd.read_csv(tmp_path / "d.csv")["text"]
    assert decoded.tolist() == back["reconstruction"].tolist()
    ends = ",".join(str(given.index(text)) for text in ("abc", "abababc"))
    done = run("interpolate", model, table, "--rows", ends, "-o", tmp_path / "i.csv")
    assert done.code == 0, done.err
    assert "text" in pd.read_csv(tmp_path / "i.csv")
    assert run("detect", model, table, "-o", tmp_path / "a.csv").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tokens", "letters"), "letters"),
        (("--tokens", "characters", "--text", "t"), "is not a table"),
        (("--tokens", "smiles"), "200 of 200 molecules cannot be read"),
    ],
)
def test_bad_options(
    run: Run, lines: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = run("fit", lines, *words, "-o", tmp_path / "m.lb")
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
def test_an_unknown_token_is_named(run: Run, lines: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.lb"
    assert run("fit", lines, "--tokens", "characters", "-o", model, *QUICK).code == 0
    other = tmp_path / "o.txt"
    other.write_text("abx\n")
    done = run("evaluate", model, other)
    assert done.code == 2
    assert "does not know 1 of the tokens: 'x' (row 0)" in done.err
    assert run("sample", model, "-o", tmp_path / "s.png").code == 2


@pytest.mark.slow
def test_codes_predict_columns(run: Run, lines: Path, tmp_path: Path) -> None:
    given, table = lines.read_text().split(), tmp_path / "t.csv"
    lengths = [len(text) for text in given]
    pd.DataFrame({"text": given, "length": lengths, "one": 1}).to_csv(table, index=False)
    fit = ("fit", table, "--tokens", "characters", "--text", "text", "--predict")
    done = run(*fit, "length", "-o", tmp_path / "m.lb", "--json", *QUICK)
    assert done.code == 0, done.err
    assert "codes predict length (180 rows)" in done.err
    (found,) = json.loads(done.out)["findings"]
    assert {*found["quantities"]["length"]} == {"r2", "rmse", "covered"}
    done = run("fit", table, "-o", tmp_path / "m.lb", "--resume")
    assert "predicts length: R2" in done.out
    assert "predicts   length" in run("info", tmp_path / "m.lb").out
    for name, said in (("lenght", "did you mean 'length'"), ("one", "one is 1 in all rows")):
        done = run(*fit, name, "-o", tmp_path / "n.lb", *QUICK)
        assert done.code == 2
        assert said in done.err


@pytest.mark.slow
def test_molecules_are_drawn(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("rdkit", reason="pip install 'lowerbound[chem]'")
    from PIL import Image

    smiles = tmp_path / "few.smi"
    smiles.write_text("\n".join("C" * n + "O" for n in range(1, 8)) + "\n")
    model = tmp_path / "m.lb"
    assert run("fit", smiles, "-o", model, "--test", "0", *QUICK).code == 0
    assert run("sample", model, "-n", "7", "-o", tmp_path / "s.png").code == 0
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.size == (5 * 260, 2 * 220)
    done = run("interpolate", model, smiles, "--rows", "0,6", "--path", "all", "--frames", "4",
               "-o", tmp_path / "i.png")  # fmt: skip
    assert done.code == 0, done.err
    with Image.open(tmp_path / "i.png") as picture:
        assert picture.size[0] == 4 * 260
        assert picture.size[1] % 220 == 0
    done = run("sample", model, "-n", "300", "-o", tmp_path / "t.png")
    assert done.code == 2
    assert "a picture has at most 200 molecules, and there are 300" in done.err
