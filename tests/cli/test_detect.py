"""detect: scores, verdicts, explanations, known anomalies, windows, pictures; and bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.anomaly import reference
from lowerbound.applications.anomaly.normal_rows import _calibrated_by_class
from lowerbound.applications.common.fit_rows import FitRows
from lowerbound.cli import main
from lowerbound.data import load
from lowerbound.data.sequences.windows import Windows
from lowerbound.fitting.folder import read
from lowerbound.inference.likelihood import score
from tests.cli.conftest import Run, fitted


def odd_people(table: Path, path: Path) -> Path:
    """The people, ten more of whom weigh thrice as much, and who they are."""
    frame = pd.read_csv(table).drop(columns="kind")
    odd = frame.head(10).assign(weight=lambda rows: rows["weight"] * 3)
    both = pd.concat([frame.assign(odd=0), odd.assign(odd=1)])
    both.to_csv(path, index=False)
    return path


@pytest.mark.slow
def test_every_row_is_scored_and_the_oddest_explained(
    run: Run, table: Path, table_model: Path, tmp_path: Path
) -> None:
    data = odd_people(table, tmp_path / "odd.csv")
    out = tmp_path / "scores.csv"
    done = run("detect", table_model, data, "-o", out, "--label", "odd", "--json")
    found = done.object
    assert done.code == 0
    assert found["rows"] == 90
    assert found["ranking"]["anomalies"] == 10
    assert found["ranking"]["auroc"] > 0.95
    assert {row["row"] for row in found["oddest"][:3]} <= {str(row) for row in range(80, 90)}
    assert "weight" in found["oddest"][0]["features"]
    scores = pd.read_csv(out)
    assert list(scores) == [
        "row", "score", "p_value", "anomaly", "combined", "bound", "reconstruction", "latent",
        "neighbors", "mahalanobis", "unseen",
    ]  # fmt: skip
    assert scores["anomaly"].sum() == found["found"]
    assert ((scores["p_value"] <= found["verdict"]["alpha"]) == (scores["anomaly"] == 1)).all()
    assert 0.5 < found["planted"]["combined"] <= 1
    text = run("detect", table_model, data, "--label", "odd").out
    assert "known anomalies: AUROC" in text
    assert "nats)" in text


def test_the_bound_is_the_librarys(
    run: Run, table: Path, table_model: Path, tmp_path: Path
) -> None:
    run("detect", table_model, table, "--score", "bound", "-o", tmp_path / "s.parquet")
    known = read(table_model)
    rows = load(table, schema=known.schema)
    few, every = (score(known.model, rows, samples=count) for count in (4, 16))
    bound = np.where(few.effective_sample_size >= 0.9 * 4, few.bound, every.bound)
    found = pd.read_parquet(tmp_path / "s.parquet")
    np.testing.assert_allclose(found["score"], -bound, rtol=1e-6)


def test_rows_that_are_given_calibrate(run: Run, table: Path, pca: Path, tmp_path: Path) -> None:
    rows = pd.concat([pd.read_csv(table)] * 2)
    rows.to_csv(tmp_path / "normal.csv", index=False)
    words = ("detect", pca, table, "--calibrate", tmp_path / "normal.csv", "--alpha", 0.01)
    done = run(*words, "--json")
    verdict = done.object["verdict"]
    assert verdict["rows"] == 160
    assert verdict["alpha"] == 0.01
    assert "so the rate does not hold" not in done.err


def test_rows_of_the_fit_that_calibrate_are_named(run: Run, table: Path, pca: Path) -> None:
    done = run("detect", pca, table, "--calibrate", table)
    assert done.code == 0
    assert "the rows of --calibrate are those that the model was fitted on" in done.err


def test_one_row_calibrates_without_planted_anomalies(
    run: Run, table: Path, pca: Path, tmp_path: Path
) -> None:
    pd.read_csv(table).head(1).to_csv(tmp_path / "one.csv", index=False)
    done = run("detect", pca, table, "--calibrate", tmp_path / "one.csv", "--json")
    assert done.code == 0
    assert done.object["verdict"]["rows"] == 1
    assert done.object["planted"] == {}


def test_too_few_rows_for_a_rate_say_how_many_it_takes(
    run: Run, table: Path, table_model: Path
) -> None:
    done = run("detect", table_model, table, "--alpha", 0.01)
    assert done.code == 2
    assert "takes at least 99 calibration rows, and there are 8" in done.err
    least = run("detect", table_model, table, "--json").object["verdict"]
    assert least["alpha"] == pytest.approx(1 / 9)


def test_pictures_have_heat_maps(
    run: Run, pictures: Path, picture_model: Path, tmp_path: Path
) -> None:
    words = ("detect", picture_model, pictures, "-o", tmp_path / "s.json", "--normal", "above")
    done = run(*words, "--json")
    assert done.object["files"] == [str(tmp_path / "s.json"), str(tmp_path / "s_heat.png")]
    assert (tmp_path / "s_heat.png").read_bytes()[1:4] == b"PNG"
    assert len(json.loads((tmp_path / "s.json").read_text())) == 60
    assert done.object["ranking"]["anomalies"] == 30
    assert done.object["oddest"][0]["row"].endswith(".png")
    done = run("detect", picture_model, pictures, "--score", "unseen")
    assert done.code == 2
    assert "the score 'unseen' is for tables" in done.err


def test_an_autoencoder_has_every_score_but_the_bound(
    run: Run, pictures: Path, autoencoder: Path
) -> None:
    assert run("detect", autoencoder, pictures, "--score", "reconstruction").code == 0
    assert run("detect", autoencoder, pictures).code == 0
    done = run("detect", autoencoder, pictures, "--score", "bound")
    assert done.code == 2
    assert "no prior and so no bound" in done.err


def no_scoring(*arguments: object, **keywords: object) -> None:
    raise AssertionError("rows were scored before the options were checked")


def test_the_normal_class_of_a_model_without_classes_is_refused_before_scoring(
    run: Run, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(pictures / "above", tmp_path / "flat")
    model = fitted(tmp_path / "flat", tmp_path / "model")
    monkeypatch.setattr(reference, "raw_scores", no_scoring)
    done = run("detect", model, pictures, "--normal", "above", "-o", tmp_path / "s.csv")
    assert done.code == 2
    assert "--normal above is not a class of the model" in done.err
    assert "leave --normal out, or fit a folder whose subfolders name the classes" in done.err
    done = run("detect", model, tmp_path / "flat", "--normal", "above")
    assert done.code == 2
    assert "these rows have no classes" in done.err


def test_the_normal_class_is_checked_before_scoring(
    run: Run,
    pictures: Path,
    picture_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reference, "raw_scores", no_scoring)
    done = run("detect", picture_model, pictures, "--normal", "abov")
    assert done.code == 2
    assert "did you mean 'above'" in done.err
    for name in ("new", "newer"):
        shutil.copytree(pictures / "above", tmp_path / "odd" / name)
    done = run("detect", picture_model, tmp_path / "odd", "--normal", "above")
    assert done.code == 2
    assert "none of the rows are of the class 'above'" in done.err


@pytest.mark.slow
def test_the_normal_value_of_a_long_table_is_sought_before_scoring(
    run: Run, table: Path, table_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first chunks hold one value, the last rows the other."""
    monkeypatch.setattr("lowerbound.data.tables.chunks.MOST_ROWS", 20)
    frame = pd.read_csv(table).assign(odd=0)
    frame.loc[75:, "odd"] = 1
    frame.to_csv(tmp_path / "odd.csv", index=False)
    words = ("detect", table_model, tmp_path / "odd.csv", "--label", "odd")
    for normal in ((), ("--normal", "1"), ("--normal", "0")):
        done = run(*words, *normal, "--json")
        assert done.code == 0
        assert done.object["ranking"]["anomalies"] == (75 if normal == ("--normal", "1") else 5)
    monkeypatch.setattr(reference, "raw_scores", no_scoring)
    assert "known: 0, 1" in run(*words, "--normal", "2").err
    frame.assign(odd=0).to_csv(tmp_path / "odd.csv", index=False)
    assert "one value only" in run(*words).err


@pytest.mark.slow
def test_held_out_rows_of_the_normal_class_calibrate(
    run: Run, pictures: Path, picture_model: Path
) -> None:
    """Those of other classes are anomalies; a model that has learned them has a note."""
    every = run("detect", picture_model, pictures, "--json").object["verdict"]["rows"]
    found = []
    for normal, other in (("above", "below"), ("below", "above")):
        done = run("detect", picture_model, pictures, "--normal", normal)
        assert f"calibration rows; held-out rows of '{normal}')" in done.out
        assert f"fitted on rows of other classes too ({other})" in done.err
        done = run("detect", picture_model, pictures, "--normal", normal, "--json")
        found.append(done.object["verdict"])
    assert sum(verdict["rows"] for verdict in found) == every
    for verdict in found:
        assert verdict["alpha"] == pytest.approx(1 / (verdict["rows"] + 1))
    assert found[0]["threshold"] != found[1]["threshold"]
    rows = found[0]["rows"]
    done = run("detect", picture_model, pictures, "--normal", "above", "--alpha", "0.01")
    assert done.code == 2
    assert f"takes at least 99 calibration rows, and there are {rows}" in done.err
    words = ("--normal", "above", "--calibrate", pictures / "above", "--json")
    assert run("detect", picture_model, pictures, *words).object["verdict"]["rows"] == 30


def test_without_held_out_rows_of_the_normal_class_there_is_no_threshold() -> None:
    rows = load(np.arange(4.0)[:, None], label=np.array(["a", "a", "b", "b"]))
    fit = FitRows(rows, None, rows.subset([0, 1]), "2 of 4 rows")
    assert _calibrated_by_class(fit, "a").apart is not None
    found = _calibrated_by_class(fit, "b")
    assert found.apart is None
    assert found.origin == "the rows of the fit, none held out of 'b'"


def test_pictures_have_neither_columns_nor_windows(
    run: Run, pictures: Path, picture_model: Path
) -> None:
    for words in (("--label", "kind"), ("--window", 4)):
        done = run("detect", picture_model, pictures, *words)
        assert done.code == 2
        assert "is not a table, so it has neither columns nor windows" in done.err


@pytest.fixture(scope="module")
def series_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of windows of a series, and the series with a few odd points."""
    folder = tmp_path_factory.mktemp("series")
    noise = 0.1 * np.random.default_rng(0).normal(size=400)
    series = pd.DataFrame({"load": np.sin(np.arange(400) / 4) + noise})
    series.to_csv(folder / "normal.csv", index=False)
    words = ["fit", str(folder / "normal.csv"), "-o", str(folder / "model"), "--no-report"]
    assert main([*words, "--epochs", "5", "--window", "12", "--stride", "2"]) == 0
    series.loc[200:203, "load"] += 3.0
    series.assign(odd=0).to_csv(folder / "series.csv", index=False)
    return folder / "model", folder / "series.csv"


@pytest.mark.slow
@pytest.mark.parametrize("asked", [(), ("--window", 12)])
def test_a_series_is_scored_by_windows(
    run: Run, series_model: tuple[Path, Path], tmp_path: Path, asked: tuple[object, ...]
) -> None:
    model, series = series_model
    out = tmp_path / "s.csv"
    done = run("detect", model, series, *asked, "-o", out, "--json")
    scores = pd.read_csv(out)
    assert done.object["rows"] == len(scores) == 400
    assert abs(int(scores["score"].argmax()) - 201) < 6
    oddest = done.object["oddest"][0]
    assert oddest["p_value"] is None  # the points have one
    start, end = map(int, oddest["row"].split("-"))
    assert end - start == 11
    assert start <= 203
    assert end >= 200
    assert "windows of the fit start" not in done.err


@pytest.mark.slow
def test_rows_of_a_periodic_series_may_begin_anywhere(run: Run, tmp_path: Path) -> None:
    """With equal distances, the windows of the fit would start at four places of the period."""
    time = np.arange(3_000)
    load = np.sin(2 * np.pi * time / 24) + 0.1 * np.random.default_rng(0).normal(size=3_000)
    series = pd.DataFrame({"load": load})
    series[:2_000].to_csv(tmp_path / "old.csv", index=False)
    series[2_003:].to_csv(tmp_path / "new.csv", index=False)
    words = ("--window", 24, "--stride", 6, "--epochs", 30, "--no-report")
    run("fit", tmp_path / "old.csv", "-o", tmp_path / "model", *words)
    done = run("detect", tmp_path / "model", tmp_path / "new.csv", "--alpha", "0.05", "--json")
    assert done.object["found"] / done.object["rows"] < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("asked", [(), ("--window", 8)])
def test_windows_that_start_at_few_places_have_a_note(
    run: Run, series_model: tuple[Path, Path], tmp_path: Path, asked: tuple[object, ...]
) -> None:
    words = ("--window", 8, "--stride", 8, "--epochs", 1, "--no-report")
    run("fit", series_model[1].parent / "normal.csv", "-o", tmp_path / "model", *words)
    done = run("detect", tmp_path / "model", series_model[1].parent / "normal.csv", *asked)
    assert "the windows of the fit start every 8 points" in done.err
    assert "fit again, with --stride 4 or less" in done.err
    assert ("let the rows begin a multiple of 8 points" in done.err) != bool(asked)


@pytest.mark.slow
@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_the_share_of_flagged_points_of_a_normal_series_is_alpha(
    run: Run, series_model: tuple[Path, Path], tmp_path: Path, reduce: str
) -> None:
    """The highest score of all windows of a point is not that of a window."""
    rng = np.random.default_rng(1)
    for name in ("calibrate", "new"):
        load = np.sin(np.arange(2_000) / 4) + 0.1 * rng.normal(size=2_000)
        pd.DataFrame({"load": load}).to_csv(tmp_path / f"{name}.csv", index=False)
    words = ("--calibrate", tmp_path / "calibrate.csv", "--alpha", "0.1", "--reduce", reduce)
    done = run("detect", series_model[0], tmp_path / "new.csv", *words, "--json").object
    assert done["found"] / done["rows"] == pytest.approx(0.1, abs=0.05)
    assert done["verdict"]["rows"] == 2_000


@pytest.mark.slow
def test_a_model_of_windows_remembers_them(
    run: Run, series_model: tuple[Path, Path], tmp_path: Path
) -> None:
    model, series = series_model
    verdict = run("detect", model, series, "--json").object["verdict"]
    windows = len(Windows(12, 2, varied=True).starts(400))
    aside = round(0.1 * windows)  # the end of the series, set aside by the fit
    assert verdict["rows"] == Windows(12, 2, varied=True).covered(aside)  # its points
    done = run("detect", model, series, "--window", 13)
    assert done.code == 2
    assert "fitted on windows of 12 points, not 13: leave --window out" in done.err
    codes = run("encode", model, series, "-o", tmp_path / "codes.csv", "--json").object
    assert codes["rows"] == len(pd.read_csv(tmp_path / "codes.csv")) == windows
    Windows(12, 2).frame(pd.read_csv(series)[["load"]]).to_csv(tmp_path / "cut.csv", index=False)
    assert run("detect", model, tmp_path / "cut.csv", "--json").object["rows"] == windows
    done = run("fit", series, "-o", tmp_path / "m", "--window", 300)
    assert done.code == 2
    assert "too short to set its end aside" in done.err
    done = run("fit", series, "-o", tmp_path / "m", "--stride", 3)
    assert done.code == 2
    assert "give --window N too" in done.err
    done = run("fit", series, "-o", tmp_path / "m", "--window", 0)
    assert done.code == 2
    assert "a window needs at least 1 point" in done.err


def test_a_detector_is_used_as_it_was_fitted(run: Run, table: Path, tmp_path: Path) -> None:
    from lowerbound import VAEDetector

    people = pd.read_csv(table).drop(columns="kind")
    detector = VAEDetector(epochs=2, random_state=0, false_alarm_rate=0.1).fit(people)
    detector.save(tmp_path / "model")
    people.to_csv(tmp_path / "people.csv", index=False)
    run("detect", tmp_path / "model", tmp_path / "people.csv", "-o", tmp_path / "s.csv")
    found = pd.read_csv(tmp_path / "s.csv")["score"]
    np.testing.assert_allclose(found, detector.anomaly_score(people), rtol=1e-5)
    done = run("detect", tmp_path / "model", table, "--score", "surroundings")
    assert done.code == 2
    assert "the score 'surroundings' is for pictures" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "scores.txt"), "scores are written as .csv, .parquet or .json"),
        (("--label", "knd"), "did you mean 'kind'"),
        (("--label", "kind", "--normal", "tal"), "did you mean 'tall'"),
        (("--alpha", "2"), "a false-alarm rate lies between 0 and 1"),
        (("--score", "bond"), "did you mean 'bound'"),
        (("--window", "500"), "a series of 80 points has no window of 500"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Run, table: Path, table_model: Path, words: tuple[str, ...], message: str
) -> None:
    done = run("detect", table_model, table, *words)
    assert done.code == 2
    assert message in done.err


@pytest.mark.slow
def test_only_missing_rows_are_taken_for_moved(run: Run, table: Path, tmp_path: Path) -> None:
    """Whatever else is wrong with the rows that were fitted on is said as it is."""
    own = tmp_path / "own.csv"
    shutil.copy(table, own)
    model = fitted(own, tmp_path / "model", "--label", "kind")
    assert run("detect", model, table).code == 0
    pd.read_csv(table).drop(columns="weight").to_csv(own, index=False)
    done = run("detect", model, table)
    assert done.code == 2
    assert str(own) in done.err
    assert "'weight'" in done.err
    own.write_bytes(b"")
    assert f"{own} is empty; restore it" in run("detect", model, table).err
    pd.read_csv(table).assign(weight=1.0, age=range(80)).to_csv(own, index=False)
    assert f"{own}, which has changed since (other rows" in run("detect", model, table).err
    own.unlink()
    assert f"{own}, which is not there: give normal rows" in run("detect", model, table).err


def test_relative_paths_start_where_the_fit_was(
    run: Run, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another folder, a file of that name is not the data of the fit."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    shutil.copy(table, here / "own.csv")
    monkeypatch.chdir(here)
    model = fitted(Path("own.csv"), Path("model.lb"), "--label", "kind")
    assert run("detect", model, table, "-o", "scores.csv").code == 0
    pd.read_csv(table).assign(weight=lambda t: 3 * t.weight).to_csv(there / "own.csv", index=False)
    monkeypatch.chdir(there)
    assert run("detect", here / "model.lb", table, "-o", "scores.csv").code == 0
    assert (here / "scores.csv").read_bytes() == (there / "scores.csv").read_bytes()
    assert "own.csv" not in (here / "model.lb" / "manifest.json").read_text()
    assert str(here) not in (here / "model.lb" / "request.json").read_text()


def test_rows_that_the_fit_skipped_are_skipped_again(
    run: Run, pictures: Path, tmp_path: Path
) -> None:
    shutil.copytree(pictures, tmp_path / "own")
    (tmp_path / "own" / "above" / "broken.png").write_bytes(b"no picture")
    model = fitted(tmp_path / "own", tmp_path / "model", "--on-error", "skip")
    assert run("detect", model, pictures).code == 0


def test_a_model_whose_rows_are_gone_asks_for_some(
    run: Run, table: Path, table_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(table_model, folder)
    (folder / "request.json").unlink()
    done = run("detect", folder, table)
    assert done.code == 2
    assert "with --calibrate" in done.err
    assert run("detect", folder, table, "--calibrate", table).code == 0
