"""The detector: signs, thresholds, explanations, contaminated training, PyOD's face, its file."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from scipy.spatial.distance import cdist
from scipy.stats import binom
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from lowerbound import VAE, PyODDetector, VAEDetector
from lowerbound.applications.anomaly.reference import OF_PICTURES
from lowerbound.cli import main
from lowerbound.data import Dataset, to_frame
from lowerbound.errors import DataError, ModelFolderError, OptionError
from lowerbound.fitting import Fitted, fit
from lowerbound.fitting.manifest import DETECTOR
from tests.applications.conftest import rows

Array = np.ndarray[Any, Any]

few = pytest.mark.filterwarnings("ignore:a false-alarm rate of .* too few")


@pytest.fixture(scope="module")
def detector() -> VAEDetector:
    return VAEDetector(epochs=30, random_state=0).fit(rows(400))


@pytest.mark.slow
def test_signs(detector: VAEDetector) -> None:
    normal, odd = rows(100, seed=1), rows(100, seed=1) + np.array([0, 0, 0, 9.0, 0])
    assert detector.anomaly_score(odd).mean() > detector.anomaly_score(normal).mean()
    np.testing.assert_array_equal(detector.score_samples(odd), -detector.anomaly_score(odd))
    np.testing.assert_array_equal(
        detector.decision_function(odd), detector.score_samples(odd) - detector.offset_
    )
    np.testing.assert_array_equal(
        detector.predict(odd), np.where(detector.decision_function(odd) < 0, -1, 1)
    )
    assert (detector.predict(odd) == -1).all()


def test_false_alarms_are_as_many_as_promised(detector: VAEDetector) -> None:
    new = rows(2_000, seed=1)
    alarms = float((detector.predict(new) == -1).mean())
    low, high = detector.calibration_.band(0.05, 2_000, level=0.99)
    assert low <= alarms <= high
    np.testing.assert_array_equal(detector.predict(new) == -1, detector.p_values(new) <= 0.05)


def test_rows_are_judged_for_themselves(detector: VAEDetector) -> None:
    X = rows(60, seed=2)
    whole = detector.anomaly_score(X)
    np.testing.assert_allclose(detector.anomaly_score(X[::-1])[::-1], whole, rtol=1e-9)
    alone = np.concatenate([detector.anomaly_score(X[[row]]) for row in range(5)])
    np.testing.assert_allclose(alone, whole[:5], rtol=1e-9)


def test_a_copy_of_a_normal_row_is_normal_and_going_away_is_not(detector: VAEDetector) -> None:
    normal = rows(400)[np.argsort(detector.anomaly_score(rows(400)))[:50]]
    assert (detector.predict(normal.copy()) == 1).all()
    steps = [detector.anomaly_score(normal + away * rows(400).std(0)) for away in (0, 3, 6, 12, 50)]
    assert (np.diff(steps, axis=0) > 0).all()


@pytest.mark.slow
def test_a_change_of_units_keeps_the_ranking() -> None:
    """Scores by the bound shift by the log of the scale, and no other score moves."""
    X, scale = rows(200), np.array([1000.0, 1, 1, 1, 1])
    parameters: dict[str, Any] = {"epochs": 3, "random_state": 0}
    first = VAEDetector(**parameters).fit(X)
    second = VAEDetector(**parameters).fit(X * scale + [5.0, 0, 0, 0, 0])
    before = first.components(X)
    after = second.components(X * scale + [5.0, 0, 0, 0, 0])
    np.testing.assert_allclose(after["bound"] - before["bound"], np.log(1000), rtol=1e-5)
    for name in ("combined", "latent"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-4, atol=1e-5)


def test_shares_sum_to_the_bound_and_name_the_culprit(detector: VAEDetector) -> None:
    X = rows(50, seed=3)
    X[:, 2] += 0.2  # in a column whose standard deviation is a hundredth
    whole = detector.explain(X, excess=False)
    np.testing.assert_allclose(whole.sum(axis=1), detector.components(X)["bound"], atol=1e-6)
    assert (detector.explain(X).drop(columns="rate").idxmax(axis=1) == "x2").mean() > 0.9


@pytest.mark.filterwarnings("ignore:column 'x1' has 1e.25")
def test_a_row_beyond_float32_is_scored(detector: VAEDetector) -> None:
    some = rows(200)[:5].copy()
    some[2, 1] = 1e25
    scores = detector.anomaly_score(some)
    assert np.isfinite(scores).all()
    assert scores.argmax() == 2
    assert detector.predict(some)[2] == -1


def test_a_cell_too_large_to_compute_with_is_named() -> None:
    some = rows(200).copy()
    some[5, 1] = 1.797e308
    with pytest.raises(DataError, match=r"'x1' has 1.797e\+308 in row 5, .* too large to compute"):
        VAEDetector(epochs=1).fit(some)


@pytest.mark.parametrize("criterion", ["combined", "bound", "reconstruction", "latent"])
def test_every_criterion_finds_what_is_far(criterion: str) -> None:
    detector = VAEDetector(criterion=criterion, epochs=3, random_state=0).fit(rows(200))
    assert (detector.predict(rows(20, seed=1) * -5) == -1).all()


@pytest.mark.slow
@pytest.mark.parametrize("contamination", ["auto", 0.1])
def test_contaminated_rows_are_found_among_those_fitted_on(contamination: Any) -> None:
    X = rows(300)
    X[:30] = rows(30, seed=4) * [1, 1, 1, -8, 1]
    detector = VAEDetector(contamination=contamination, random_state=0).fit(X)
    odd = detector.anomaly_score(X)
    assert odd[:30].mean() > np.quantile(odd[30:], 0.9)
    if contamination == 0.1:
        assert (detector.predict(X) == -1).sum() == 30


@pytest.mark.slow
def test_frames_of_mixed_kinds_with_missing_cells() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rows(200), columns=list("abcde"))
    frame["color"] = rng.choice(["red", "green", "blue"], 200)
    frame.loc[::7, "a"] = np.nan
    detector = VAEDetector(epochs=3, random_state=0).fit(frame)
    found = detector.explain(frame.head(3))
    assert list(found.columns) == [*"abcde", "color", "rate"]
    assert np.isfinite(detector.anomaly_score(frame)).all()


def test_pictures_have_heat_maps(digits: tuple[Array, Array]) -> None:
    pictures, _ = digits
    detector = VAEDetector(epochs=2, latent_dim=4, random_state=0).fit(pictures)
    odd = pictures[:2].copy()
    odd[:, 0, 0] = 16  # a corner that is always dark
    heat = detector.explain(odd)
    assert heat.shape == (2, 8, 8)
    assert (heat.reshape(2, -1).argmax(1) == 0).all()
    assert detector.reference_.votes == OF_PICTURES


def test_too_few_rows_are_all_fitted_on_and_that_is_said() -> None:
    with pytest.warns(
        UserWarning, match="takes at least 99 rows that nothing is fitted on, and 60"
    ):
        VAEDetector(epochs=1, false_alarm_rate=0.01).fit(rows(60))


def test_a_detector_is_saved_without_pickle(tmp_path: Path, detector: VAEDetector) -> None:
    detector.save(tmp_path / "model")
    again = VAEDetector.load(tmp_path / "model")
    X = rows(30, seed=5)
    for method in ("anomaly_score", "predict", "p_values"):
        np.testing.assert_array_equal(getattr(again, method)(X), getattr(detector, method)(X))
    pd.testing.assert_frame_equal(again.explain(X), detector.explain(X))
    assert again.get_params()["criterion"] == "combined"
    assert pickle.loads(pickle.dumps(detector)).offset_ == detector.offset_
    VAE.load(tmp_path / "model").score_samples(X)


@pytest.mark.filterwarnings("ignore:column .* has levels that the model was not fitted on")
def test_a_detector_of_levels_is_saved_whole(tmp_path: Path) -> None:
    """Also what a value costs that no row of the fit had, and dependencies of columns."""
    draw = np.random.default_rng(0)
    town = draw.choice(["Bern", "Chur", "Genf"], 200)
    frame = pd.DataFrame({"town": town, "land": np.where(town == "Genf", "west", "east")})
    frame["size"] = draw.normal(size=200)
    detector = VAEDetector(epochs=1, random_state=0).fit(frame)
    detector.save(tmp_path / "model")
    again = VAEDetector.load(tmp_path / "model")
    new = frame.head(6).copy()
    new.loc[0, "town"], new.loc[1, "land"] = "Basel", "south"
    assert set(detector.components(new)["unseen"] > 0) == {True, False}
    pd.testing.assert_frame_equal(again.components(new), detector.components(new))


@pytest.mark.parametrize("draws", [1, 9])
def test_the_command_scores_with_as_many_draws_as_the_detector(tmp_path: Path, draws: int) -> None:
    frame = pd.DataFrame(rows(60)).add_prefix("x")
    found = VAEDetector(network="mlp", epochs=1, n_importance=draws, random_state=0).fit(frame)
    found.save(tmp_path / "model")
    frame.to_parquet(tmp_path / "rows.parquet")
    scores = tmp_path / "scores.csv"
    words = [str(tmp_path / "model"), str(tmp_path / "rows.parquet"), "-o", str(scores)]
    assert main(["detect", *words]) == 0
    bound = pd.read_csv(scores)["bound"].to_numpy()
    np.testing.assert_allclose(bound, found.components(frame)["bound"], rtol=1e-6)


@pytest.mark.slow
def test_distances_of_an_older_file_are_of_log_1_plus_x(tmp_path: Path) -> None:
    amounts = 1e3 * np.exp(np.random.default_rng(0).normal(size=(230, 3)))
    amounts, new = amounts[:200], amounts[200:]
    found = VAEDetector(epochs=1, random_state=0).fit(pd.DataFrame(amounts).add_prefix("x"))
    found.save(tmp_path)
    arrays = load_file(tmp_path / DETECTOR)
    with safe_open(tmp_path / DETECTOR, "numpy") as file:
        facts = file.metadata()
    unit = arrays.pop("inputs.unit")
    assert (arrays["inputs.skewed"] == 1).all()
    assert (unit > 1e3).all()
    space = {name: arrays[f"inputs.{name}"] for name in ("mean", "deviation", "rows")}
    save_file(arrays, tmp_path / DETECTOR, facts)
    again = VAEDetector.load(tmp_path)
    standard = (np.log1p(new) - space["mean"]) / space["deviation"]
    nearest = cdist(standard, space["rows"]).min(1)
    odd = again.components(pd.DataFrame(new).add_prefix("x"))["neighbors"]
    np.testing.assert_allclose(odd, nearest, rtol=1e-6)


def test_numbers_of_numpy_are_saved(tmp_path: Path) -> None:
    parameters: Any = {"n_importance": np.int64(4), "false_alarm_rate": np.float32(0.25)}
    VAEDetector(epochs=1, **parameters).fit(rows(60)).save(tmp_path / "model")
    assert VAEDetector.load(tmp_path / "model").n_importance == 4


def test_a_detector_goes_with_its_model(tmp_path: Path, detector: VAEDetector) -> None:
    """Another model in its folder has another threshold; a kill may leave the old file there."""
    folder = tmp_path / "model"
    detector.save(folder)
    kept = (folder / DETECTOR).read_bytes()
    VAE(epochs=1, random_state=7).fit(rows(60)).save(folder)
    assert not (folder / DETECTOR).exists()
    (folder / DETECTOR).write_bytes(kept)
    with pytest.raises(ModelFolderError, match="belongs to another model, which the one in this"):
        VAEDetector.load(folder)
    detector.save(folder)
    assert VAEDetector.load(folder).offset_ == detector.offset_


@pytest.mark.slow
def test_a_model_that_is_no_detector_says_so(tmp_path: Path, vae: VAE) -> None:
    vae.save(tmp_path / "model")
    with pytest.raises(ModelFolderError, match=r"a model and no detector: use VAE\.load"):
        VAEDetector.load(tmp_path / "model")


def test_a_new_folder_is_complete_or_absent(
    tmp_path: Path, detector: VAEDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def full(folder: Path, *rest: Any) -> None:
        seen.append((tmp_path / "model").exists())
        raise OSError("the disk is full")

    monkeypatch.setattr("lowerbound.applications.anomaly.estimator.write_state", full)
    with pytest.raises(OSError, match="the disk is full"):
        detector.save(tmp_path / "model")
    assert seen == [False]
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_says_so(tmp_path: Path, detector: VAEDetector) -> None:
    detector.save(tmp_path / "model")
    path = tmp_path / "model" / "detector.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelFolderError, match="fit the detector again"):
        VAEDetector.load(tmp_path / "model")


@pytest.mark.parametrize("method", ["p_values", "predict", "decision_function", "anomaly_score"])
def test_methods_before_fit_say_so(method: str) -> None:
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(VAEDetector(), method)(rows(5))


def test_another_criterion_needs_another_threshold(detector: VAEDetector, tmp_path: Path) -> None:
    detector.set_params(criterion="bound")
    try:
        assert np.isfinite(detector.score_samples(rows(5))).all()
        for ask in (detector.predict, detector.p_values, detector.decision_function):
            with pytest.raises(OptionError, match="'combined', and it is now 'bound': fit again"):
                ask(rows(5))
        with pytest.raises(OptionError, match="fit again"):
            detector.save(tmp_path / "model")
    finally:
        detector.set_params(criterion="combined")
    assert np.isfinite(detector.p_values(rows(5))).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"criterion": "bond"}, "did you mean 'bound'"),
        ({"contamination": 0.6}, "a share above 0 and up to 0.5"),
        ({"contamination": "dirty"}, "'clean', 'auto' or a share"),
        ({"contamination": None}, "'clean', 'auto' or a share, not None"),
        ({"false_alarm_rate": 0.0}, "between 0 and 1"),
        ({"calibration": 1.0}, "a share below 1"),
    ],
)
def test_wrong_options_say_what_is_right(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        VAEDetector(**parameters).fit(rows(50))


@pytest.mark.slow
def test_pyods_conventions() -> None:
    X = rows(200)
    detector = PyODDetector(0.1, VAEDetector(random_state=0))
    labels = clone(detector).fit_predict(X)
    detector.fit(X)
    assert set(labels) == {0, 1}
    assert detector.labels_.sum() == 20
    np.testing.assert_array_equal(labels, detector.labels_)
    np.testing.assert_array_equal(detector.labels_, detector.decision_scores_ > detector.threshold_)
    np.testing.assert_allclose(detector.decision_function(X), detector.decision_scores_)
    np.testing.assert_allclose(detector.predict_proba(X).sum(1), 1)
    assert detector.predict(X * -9).all()


@pytest.mark.slow
def test_confidence_is_that_of_pyod() -> None:
    """The sum that ``predict_confidence`` of PyOD 3.6.7 computes, row by row."""
    X = rows(200)
    detector = PyODDetector(0.1, VAEDetector(epochs=5, random_state=0)).fit(X)
    new = np.concatenate([X[:40] * factor for factor in (0.5, 1.0, 1.5, 3.0)])
    scores, count = detector.decision_function(new), len(X)
    below = [np.count_nonzero(detector.decision_scores_ <= score) for score in scores]
    odd = [1 - binom.cdf(count - 20, count, (1 + each) / (2 + count)) for each in below]
    expected = np.where(scores > detector.threshold_, odd, 1 - np.array(odd))
    labels, confidence = detector.predict(new, return_confidence=True)
    np.testing.assert_array_equal(labels, detector.predict(new))
    np.testing.assert_allclose(confidence, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(detector.predict_confidence(new), confidence)
    np.testing.assert_array_equal(
        detector.predict_proba(new, return_confidence=True)[1], confidence
    )


def test_calibration_is_of_rows_that_were_not_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guarantee of the false-alarm rate requires it, so rows are told apart by their scores."""
    fitted_on: list[Array] = []

    def recorded(training: Dataset, *others: Any, **named: Any) -> Fitted:
        fitted_on.append(to_frame(training.schema, training.x).to_numpy())
        return fit(training, *others, **named)

    monkeypatch.setattr("lowerbound.applications.anomaly.estimator.fit", recorded)
    X = rows(400)
    detector = VAEDetector(epochs=3, random_state=0, criterion="bound").fit(X)
    scores, calibration = detector.anomaly_score(X), detector.calibration_.scores
    calibrating = (np.abs(scores[:, None] - calibration) < 1e-9 * np.abs(calibration)).any(1)
    (training,) = fitted_on
    fitting = (np.abs(X[:, None] - training) < 1e-9 * np.abs(training)).all(2).any(1)
    assert calibrating.sum() == len(detector.calibration_) == 80
    assert fitting.sum() == len(training) == 320
    assert not (calibrating & fitting).any()


@pytest.mark.slow
def test_pairs_of_pictures_are_compared_pixel_by_pixel() -> None:
    rng = np.random.default_rng(0)
    template = rng.integers(0, 2, (300, 6, 6)) * 200 + 20
    pairs = np.stack([template, template + rng.integers(0, 20, template.shape)], 1).astype(np.uint8)
    detector = VAEDetector(epochs=60, latent_dim=2, random_state=0).fit(pairs[:250])
    odd = pairs[250:].copy()
    odd[:, 1, 2, 3] = 255 - odd[:, 1, 2, 3]
    assert detector.fitted_.options.model.likelihood == "discretized_logistic_mixture"
    higher = detector.anomaly_score(odd) > detector.anomaly_score(pairs[250:])
    assert higher.mean() > 0.95


def test_scores_of_rows_with_gaps_have_no_unit() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 1)) @ np.ones((1, 4)) + 0.2 * random.normal(size=(300, 4))
    frame = pd.DataFrame(rows * 1e-3, columns=list("abcd"))
    gaps = frame.head(8).copy()
    gaps.iloc[:4, :2] = np.nan
    found = []
    for unit in (1, 1e6):
        detector = VAEDetector(epochs=1, random_state=0).fit(frame * unit)
        found.append(detector.anomaly_score(gaps * unit))
        shares = detector.explain(gaps * unit)
        assert (shares.loc[:3, ["a", "b"]] == 0).all(axis=None)
        assert (shares.loc[4:, ["a", "b"]] != 0).all(axis=None)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-3)
