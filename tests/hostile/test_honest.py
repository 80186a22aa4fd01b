"""What honest people send: strange dates, names, numbers and places end in results or in words."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lowerbound import ProbabilisticPCA
from lowerbound.applications.common.masks import read_mask
from lowerbound.cli import main
from lowerbound.data import load
from lowerbound.errors import DataError, ModelFolderError, OptionError, TrainingError
from lowerbound.evaluation.report import page as report_page
from lowerbound.fitting import FitOptions, fit, folder as model_folder
from lowerbound.inference.likelihood import score
from lowerbound.training import TrainingOptions

SHORT = ("--updates", "3", "--samples", "2", "--gap-rows", "0", "--threads", "1")


def pictures(folder: Path, count: int = 12) -> Path:
    """Small grey pictures."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(noise.integers(0, 255, (8, 8), dtype=np.uint8)).save(
            folder / f"{number}.png"
        )
    return folder


def test_dates_of_all_centuries(tmp_path: Path) -> None:
    days = [f"{year}-{month:02d}-14" for year in (1066, 1500, 2020, 9999) for month in range(1, 13)]
    (tmp_path / "x.csv").write_text("day,n\n" + "".join(f"{d},{i}\n" for i, d in enumerate(days)))
    model, out = str(tmp_path / "m.lb"), tmp_path / "y.csv"
    assert main(["fit", str(tmp_path / "x.csv"), "-o", model, *SHORT, "--no-report"]) == 0
    assert main(["impute", model, str(tmp_path / "x.csv"), "-o", str(out)]) == 0
    assert pd.read_csv(out)["day"].tolist() == days
    frame = pd.DataFrame({"day": [datetime.date(9999, 12, 31), datetime.date(1066, 10, 14)] * 9})
    frame["n"] = np.arange(18)
    frame.to_parquet(tmp_path / "x.parquet")
    assert load(str(tmp_path / "x.parquet")).schema.columns[0].kind == "datetime"


@pytest.mark.slow
def test_two_pictures_and_their_report(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 2)
    words = ["fit", str(folder), "-o", str(tmp_path / "m.lb"), *SHORT, "--test", "0"]
    assert main(words) == 0
    assert (tmp_path / "m.lb" / "report.html").exists()


@pytest.mark.slow
def test_dollar_signs_are_no_mathematics(tmp_path: Path) -> None:
    names = "$\\frac{1}$,b$,class\n"
    rows = "".join(f"{i % 7},{i % 5 + i / 9},{'$x^_'[i % 2 :]}\n" for i in range(60))
    (tmp_path / "x.csv").write_text(names + rows)
    words = ["fit", str(tmp_path / "x.csv"), "-o", str(tmp_path / "m.lb"), "--label", "class"]
    assert main([*words, *SHORT]) == 0
    assert (tmp_path / "m.lb" / "report.html").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="names are no bytes there")
def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    for name in (b"\xff\xfe", b"plain"):
        pictures(tmp_path / os.fsdecode(b"p/" + name))
    model = tmp_path / os.fsdecode(b"m\xff.lb")
    words = ["fit", str(tmp_path / "p"), "-o", str(model), "--conditional", *SHORT]
    assert main(words) == 0
    assert model_folder.read(model).schema.class_names == (r"\xff\xfe", "plain")
    assert main(["sample", str(model), "-n", "4", "-o", str(tmp_path / "x.npz")]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seed", str(10**30)], "--seed takes a whole number from 0 to 4,294,967,295"),
        (["--threads", "1000000"], "threads must be at most 1,024"),
        (["--minutes", "nan"], "--minutes takes a finite number, not nan"),
        (["--set", "objective.beta=NaN"], "--set objective.beta takes a finite number, not nan"),
    ],
)
def test_numbers_out_of_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    data = str(pictures(tmp_path / "p"))
    assert main(["fit", data, "-o", str(tmp_path / "m.lb"), *SHORT, *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "m.lb").exists()


def test_a_home_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "~nosuchuser/x.csv", "-o", str(tmp_path / "m.lb")]) == 2
    assert "there is no home folder ~nosuchuser" in capsys.readouterr().err


@pytest.mark.parametrize("scale", [1e160, 1e300, 1e-200])
def test_numbers_whose_squares_are_none(scale: float) -> None:
    x = np.random.default_rng(0).normal(size=(30, 3))
    with pytest.raises(DataError, match="squares of such numbers do not fit"):
        ProbabilisticPCA(latent_dim=1).fit(x * scale)


def test_large_whole_numbers_are_not_constant() -> None:
    numbers = {"id": [2**63 - 1 - i for i in range(60)], "n": np.arange(60) % 7}
    with pytest.warns(UserWarning, match="'id': no value repeats, so it identifies rows"):
        found = load(pd.DataFrame({**numbers, "code": [2**60 + i % 3 for i in range(60)]}))
    assert {c.name: c.kind for c in found.schema.columns} == {"n": "ordinal", "code": "categorical"}


def test_a_fit_that_diverges_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(100, 4)))
    words = ["fit", str(tmp_path / "x.npz"), "-o", str(tmp_path / "m.lb"), "--updates", "30"]
    assert main([*words, "--learning-rate", "1e10", "--no-report"]) == 1
    assert "training diverged" in capsys.readouterr().err
    assert not (tmp_path / "m.lb" / "manifest.json").exists()
    rows = load(np.random.default_rng(0).normal(size=(100, 4)))
    with pytest.raises(TrainingError, match="29 of 30 updates were not finite"):
        fit(rows, FitOptions(training=TrainingOptions(updates=30, learning_rate=1e10)))
    with pytest.raises(OptionError, match="adam_eps must be finite"):
        TrainingOptions(adam_eps=float("inf"))


@pytest.mark.slow
def test_weights_that_are_nan_are_refused(tmp_path: Path) -> None:
    made = fit(load(np.random.default_rng(0).normal(size=(40, 3))), FitOptions())
    next(iter(made.model.parameters())).data.fill_(float("nan"))
    model_folder.write(tmp_path / "m.lb", made)
    with pytest.raises(ModelFolderError, match=r"model.safetensors hold NaN \("):
        model_folder.read(tmp_path / "m.lb")


def test_a_bound_that_is_no_number_is_said() -> None:
    rows = load(np.random.default_rng(0).normal(size=(40, 3)))
    made = fit(rows, FitOptions(training=TrainingOptions(updates=3)))
    next(iter(made.model.parameters())).data.fill_(float("nan"))
    with pytest.raises(DataError, match="the bound of 40 of 40 rows is not a number"):
        score(made.model, rows)


def test_a_report_that_fails_costs_no_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("no axis")

    monkeypatch.setattr(report_page, "plates", broken)
    data = str(pictures(tmp_path / "p"))
    assert main(["fit", data, "-o", str(tmp_path / "m.lb"), *SHORT]) == 0
    said = capsys.readouterr()
    assert "the report could not be written (ZeroDivisionError: no axis)" in said.err
    assert "report: none, because it could not be drawn (ZeroDivisionError: no axis)" in said.out
    model_folder.read(tmp_path / "m.lb")


def test_masks_of_another_size(tmp_path: Path) -> None:
    schema = load(np.zeros((4, 8, 8), np.uint8)).schema
    large = np.full((16, 16), 255, np.uint8)
    large[:8] = 0
    Image.fromarray(large).save(tmp_path / "mask.png")
    hidden = read_mask(tmp_path / "mask.png", schema, 3)
    assert hidden.shape == (3, 1, 8, 8)
    assert hidden[:, :, :4].all()
    assert not hidden[:, :, 4:].any()
    (tmp_path / "several").mkdir()
    for number, side in enumerate((8, 16, 24)):
        part = Image.fromarray(large).resize((side, side), Image.Resampling.NEAREST)
        part.save(tmp_path / "several" / f"{number}.png")
    assert torch.equal(read_mask(tmp_path / "several", schema, 3), hidden)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="has no pictures"):
        read_mask(tmp_path / "none", schema, 3)
