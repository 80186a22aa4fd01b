"""Rows of a table with given columns: the given cells are exact, the others follow from them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound import VAE, ConditionalVAE
from lowerbound.cli import main
from lowerbound.data import load
from lowerbound.data.dependencies.determined import with_dependencies
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.fitting import FitOptions, fit
from lowerbound.fitting.folder import write
from lowerbound.inference.tables import draws_with_columns
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions


@pytest.fixture(scope="module")
def vae() -> VAE:
    rng = np.random.default_rng(0)
    height = rng.normal(size=600)
    frame = pd.DataFrame(
        {
            "height": height,
            "weight": 3 * height + 0.1 * rng.normal(size=600),
            "kind": np.where(height > 0, "tall", "short"),
        }
    )
    return VAE(latent_dim=2, epochs=60, random_state=0).fit(frame)


@pytest.mark.slow
def test_given_columns_are_exact_and_others_follow(vae: VAE) -> None:
    for height, kind in ((1.5, "tall"), (-1.5, "short")):
        rows = vae.sample(200, given={"height": height})
        assert list(rows.columns) == ["height", "weight", "kind"]
        np.testing.assert_allclose(rows["height"], height)
        assert abs(rows["weight"].mean() - 3 * height) < 0.6
        assert (rows["kind"] == kind).mean() > 0.9
    both = vae.sample(50, given={"kind": "tall", "weight": 3.0})
    assert set(both["kind"]) == {"tall"}
    assert abs(both["height"].mean() - 1.0) < 0.4


def test_a_given_number_outside_of_the_fitted_ones_is_named(vae: VAE) -> None:
    with pytest.warns(
        UserWarning, match=r"height=-500(\.0)? lies far outside of -\d.* to \d.*of the fit"
    ):
        rows = vae.sample(2, given={"height": -500.0})
    assert rows["height"].tolist() == [-500.0, -500.0]


def test_draws_repeat(vae: VAE) -> None:
    one = vae.sample(5, given={"kind": "tall"}, random_state=3)
    pd.testing.assert_frame_equal(one, vae.sample(5, given={"kind": "tall"}, random_state=3))
    assert not one.equals(vae.sample(5, given={"kind": "tall"}, random_state=4))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_command_gives_columns(vae: VAE, tmp_path: Path, suffix: str) -> None:
    vae.save(tmp_path / "m.lb")
    out = tmp_path / f"rows{suffix}"
    words = ["--given", "kind=short", "--given", "height=-1", "-n", "20", "-o", str(out)]
    assert main(["sample", str(tmp_path / "m.lb"), *words]) == 0
    rows = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
    assert set(rows["kind"]) == {"short"}
    assert set(rows["height"]) == {-1.0}
    assert rows["weight"].nunique() == 20


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An imputer's model of bills whose total is the sum of two columns."""
    draw = np.random.default_rng(0)
    net, tax = draw.integers(10, 90, 300), draw.integers(1, 9, 300)
    frame = pd.DataFrame({"net": net, "tax": tax, "total": net + tax})
    place = tmp_path_factory.mktemp("bills")
    dataset = with_dependencies(load(frame, kinds="infer", missing="model"))
    training = TrainingOptions(updates=2)
    model = ModelOptions(model="vae", latent_dim=2)
    write(place / "bills.lb", fit(dataset, FitOptions(training=training, model=model)))
    return place


def test_drawn_columns_fulfill_the_formulas_that_the_model_keeps(
    bills: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = bills / "rows.csv"
    words = ["sample", str(bills / "bills.lb"), "-n", "60", "-o", str(out)]
    note = "drawn rows may break what the fitted rows fulfill: total = net + tax; lowerbound synth"
    assert main([*words, "--given", "net=40"]) == 0
    assert note not in capsys.readouterr().err
    rows = pd.read_csv(out)
    assert rows["net"].eq(40).all()
    assert rows["total"].eq(rows["net"] + rows["tax"]).all()
    assert main(words) == 0
    assert note in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--given", "wieght=1", "-o", "x.csv"], "weight"),
        (["--given", "kind=tiny", "-o", "x.csv"], "tiny"),
        (
            ["--given", "height=many", "-o", "x.csv"],
            "--given (in Python, given=): column 'height' ",
        ),
        (["--given", "height=many", "-o", "x.csv"], "holds numbers, but not 'many'\n"),
        (["--given", "kind=tall", "-o", "x.npz"], ".csv or .parquet"),
        (["--given", "kind=tall", "-o", "x.csv", "--mean"], "--mean"),
        (["--given", "kind=tall", "-o", "x.csv", "--top-k", "3"], "--top-k"),
    ],
)
def test_mistakes_are_named(
    vae: VAE,
    tmp_path: Path,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    vae.save("m.lb")
    assert main(["sample", "m.lb", *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("x.*"))


def test_what_cannot_be_combined(vae: VAE) -> None:
    with pytest.raises(OptionError, match="without mean"):
        vae.sample(3, given={"kind": "tall"}, mean=True)
    frame: Any = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 2)), columns=["a", "b"])
    model = ConditionalVAE(latent_dim=1, epochs=1).fit(frame, np.arange(30) % 2)
    with pytest.raises(UnsupportedError, match="conditional"):
        model.sample(2, 0, given={"a": 1.0})


def test_the_class_of_a_conditional_model_is_given_as_a_label() -> None:
    fitted: Any = SimpleNamespace(
        options=SimpleNamespace(model=SimpleNamespace(conditional=True)),
        schema=SimpleNamespace(label_column="grade"),
    )
    with pytest.raises(UnsupportedError, match="grade is the class of this model: use --label 2"):
        draws_with_columns(fitted, {"grade": "2"}, seed=0)
    for others in ({"grade": "2", "a": 1}, {"a": 1}):
        with pytest.raises(UnsupportedError, match="columns cannot be given to a conditional"):
            draws_with_columns(fitted, others, seed=0)
