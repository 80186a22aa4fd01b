"""Whatever holds rows goes in, and answers come as the rows came; what is taken as a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.sparse import csr_array

from lowerbound import VAE, ProbabilisticPCA, TableSynthesizer, VAEDetector, VAEImputer
from lowerbound.applications.common.estimators.inputs import new_seed
from lowerbound.errors import DataError

Array = np.ndarray[Any, Any]
Digits = tuple[Array, Array]


@pytest.fixture
def quick() -> VAE:
    return VAE(latent_dim=2, epochs=1, random_state=0)


def test_a_frame_comes_back_as_a_frame(quick: VAE, X: Array) -> None:
    frame = pd.DataFrame(X, columns=list("abcde")).assign(e=lambda f: f.e.round().astype("int64"))
    quick.fit(frame)
    for rows in (
        quick.sample(3),
        quick.inverse_transform(np.zeros((3, 2))),
        quick.reconstruct(frame),
    ):
        assert isinstance(rows, pd.DataFrame)
        assert list(rows.columns) == list("abcde")
    assert quick.sample(3).e.dtype == np.int64
    assert quick.reconstruct(frame).e.dtype == np.float64
    assert isinstance(quick.reconstruct(frame, return_std=True)[1], pd.DataFrame)
    for part in quick.reconstruct(frame[::-1], return_std=True):
        assert list(part.index) == list(frame.index[::-1])
    assert quick.n_features_in_ == 5


@pytest.mark.slow
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_expectations_have_the_fitted_types(quick: VAE, X: Array, library: str) -> None:
    frame = pd.DataFrame(X.astype(np.float32), columns=list("abcde"))
    frame["e"] = frame["e"].round().astype("Int64")
    rows: Any = frame
    if library == "polars":
        rows = pytest.importorskip("polars", reason="pip install polars").from_pandas(frame)
    quick.fit(rows)
    whole = "Float64" if library == "pandas" else "float64"
    for made in (
        quick.reconstruct(rows),
        quick.inverse_transform(np.zeros((3, 2))),
        quick.sample(3, mean=True),
    ):
        assert made.dtypes.astype(str).tolist() == ["float32"] * 4 + [whole]


def test_a_frame_can_be_asked_for(quick: VAE, X: Array) -> None:
    frame = pd.DataFrame(X, columns=list("abcde"), index=[f"row{i}" for i in range(len(X))])
    latents = quick.set_output(transform="pandas").fit_transform(frame)
    assert list(latents.columns) == ["vae0", "vae1"]
    assert list(latents.index) == list(frame.index)


def test_columns_are_known_by_name(quick: VAE, X: Array) -> None:
    frame = pd.DataFrame(X, columns=list("abcde"))
    quick.fit(frame)
    with pytest.raises(ValueError, match="same order as they were in fit"):
        quick.transform(frame[list("edcba")])
    with pytest.raises(ValueError, match="yet now missing"):
        quick.transform(frame[list("abc")])


def test_columns_that_name_rows_are_left_out_and_may_stay(quick: VAE, X: Array) -> None:
    names = [f"row {i}" for i in range(len(X))]
    frame = pd.DataFrame(X, columns=list("abcde")).assign(name=names)
    with pytest.warns(UserWarning, match="column 'name': no value repeats"):
        quick.fit(frame)
    assert list(quick.feature_names_in_) == list("abcde")
    np.testing.assert_array_equal(quick.transform(frame), quick.transform(frame[list("abcde")]))


def test_columns_named_by_numbers_are_known_by_their_text(quick: VAE, X: Array) -> None:
    assert list(quick.fit(pd.DataFrame(X)).feature_names_in_) == list("01234")


PAIRS = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["group", "number"])


@pytest.mark.parametrize("names", [range(3), PAIRS, ["0", 1, 2.5]], ids=["range", "pairs", "mixed"])
def test_results_have_the_column_names_of_the_rows(quick: VAE, X: Array, names: Any) -> None:
    frame = pd.DataFrame(X[:, :3], columns=names)
    quick.fit(frame)
    for rows in (
        *quick.reconstruct(frame, return_std=True),
        quick.inverse_transform(np.zeros((3, 2))),
        quick.sample(2),
        quick.sample(2, given={str(next(iter(frame))): 1.0}),
    ):
        pd.testing.assert_index_equal(rows.columns, frame.columns)
    assert np.isfinite((frame - quick.reconstruct(frame)).to_numpy()).all()
    holes = frame.mask(np.arange(frame.size).reshape(frame.shape) % 7 == 0)
    imputer = VAEImputer(epochs=1, calibration=0, random_state=0).fit(holes)
    for rows in (imputer.transform(holes), *imputer.sample(holes, 1), *imputer.interval(holes)):
        pd.testing.assert_index_equal(rows.columns, frame.columns)
    assert not holes.fillna(imputer.transform(holes)).isna().to_numpy().any()


@pytest.mark.parametrize("names", [range(3), PAIRS], ids=["range", "pairs"])
def test_synthetic_rows_have_the_column_names_of_the_rows(X: Array, names: Any) -> None:
    frame = pd.DataFrame(X[:, :3], columns=names)
    synthesizer = TableSynthesizer(minutes=0.001, least_people=1, random_state=0).fit(frame)
    for rows in (synthesizer.sample(2), synthesizer.complete(frame)):
        pd.testing.assert_index_equal(rows.columns, frame.columns)
    completed = synthesizer.complete(frame.iloc[:, :2])
    assert list(completed.columns) == list(frame.columns)


def test_a_tensor_is_an_array(quick: VAE, X: Array) -> None:
    expected = quick.fit(X).transform(X)
    np.testing.assert_array_equal(
        quick.fit(torch.from_numpy(X)).transform(torch.from_numpy(X)), expected
    )


def test_single_precision_stays(quick: VAE, X: Array) -> None:
    X = X.astype(np.float32)
    quick.fit(X)
    assert quick.transform(X).dtype == np.float32
    assert quick.sample(3).dtype == np.float32
    assert quick.reconstruct(X).dtype == np.float32
    assert quick.transform(X.astype(np.float64)).dtype == np.float64


@pytest.mark.parametrize(
    "shape", [(60, 8, 8), (60, 1, 8, 8), (60, 8, 8, 3), (60, 3, 8, 8)], ids=str
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32], ids=["bytes", "floats"])
def test_pictures_keep_their_layout_and_type(
    quick: VAE, shape: tuple[int, ...], dtype: Any
) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, size=shape)
    pictures = pictures.astype(np.uint8) if dtype is np.uint8 else (pictures / 255).astype(dtype)
    quick.fit(pictures)
    assert quick.n_features_in_ == np.prod(shape[1:])
    assert quick.transform(pictures).shape == (60, 2)
    drawn = quick.sample(4)
    assert drawn.shape == (4, *shape[1:])
    assert drawn.dtype == dtype
    rows, deviation = quick.reconstruct(pictures[:5], return_std=True)
    assert rows.shape == deviation.shape == (5, *shape[1:])
    assert rows.dtype == (np.float32 if dtype is np.float32 else np.float64)
    assert quick.score_samples(pictures[:5]).shape == (5,)


def test_pictures_in_lists_are_pictures(quick: VAE, digits: Digits) -> None:
    pictures = digits[0][:20]
    expected = quick.fit(pictures).transform(pictures)
    images = [Image.fromarray(picture) for picture in pictures]
    for same in (pictures.tolist(), list(pictures), tuple(torch.from_numpy(pictures)), images):
        np.testing.assert_allclose(quick.fit(same).transform(same), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"inhomogeneous|ragged"):
        quick.fit([[[1, 2], [3]], [[1, 2], [3, 4]]])


def test_pictures_of_another_size_are_refused(quick: VAE, digits: Digits) -> None:
    quick.fit(digits[0])
    with pytest.raises(DataError, match="8 high and 8 wide"):
        quick.transform(digits[0][:, :7])


def test_a_folder_of_pictures(quick: VAE, digits: Digits, tmp_path: Path) -> None:
    for index, picture in enumerate(digits[0][:40]):
        Image.fromarray(picture * 15).save(tmp_path / f"{index:03d}.png")
    quick.fit(str(tmp_path))
    assert quick.transform(tmp_path).shape == (40, 2)
    assert quick.sample(2).dtype == np.uint8
    np.testing.assert_allclose(quick.transform(digits[0][:40] * 15), quick.transform(tmp_path))


def test_a_table_file(quick: VAE, X: Array, tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame.to_csv(tmp_path / "table.csv", index=False)
    quick.fit(tmp_path / "table.csv")
    assert list(quick.feature_names_in_) == list("abcde")
    assert list(quick.sample(2).columns) == list("abcde")
    np.testing.assert_allclose(quick.transform(str(tmp_path / "table.csv")), quick.transform(frame))


@pytest.mark.slow
def test_a_named_set(quick: VAE) -> None:
    assert quick.fit("digits").sample(3).shape == (3, 8, 8)
    assert quick.transform("digits").shape == (1797, 2)


def test_bits_from_grey_values(digits: Digits) -> None:
    vae = VAE(latent_dim=2, epochs=1, binarize="dynamic").fit(digits[0] * 15)
    assert set(np.unique(vae.sample(20))) <= {0, 255}
    assert (vae.score_samples(digits[0][:5] * 15) < 0).all()


def test_a_loaded_estimator_knows_names_and_widths(quick: VAE, X: Array, tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=list("abcde"))
    quick.fit(frame).save(tmp_path / "model")
    again = VAE.load(tmp_path / "model")
    assert list(again.feature_names_in_) == list("abcde")
    assert again.n_features_in_ == 5
    pd.testing.assert_frame_equal(again.sample(4), quick.sample(4))
    with pytest.raises(ValueError, match="same order as they were in fit"):
        again.transform(frame[list("edcba")])


@pytest.mark.slow
def test_fitting_anew_forgets_the_names(quick: VAE, X: Array, digits: Digits) -> None:
    quick.fit(pd.DataFrame(X, columns=list("abcde")))
    assert not hasattr(quick.fit(X), "feature_names_in_")
    quick.fit(pd.DataFrame(X, columns=list("abcde")))
    assert not hasattr(quick.fit(digits[0]), "feature_names_in_")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_named(quick: VAE, X: Array, value: float) -> None:
    bad = X.copy()
    bad[3, 1] = value
    with pytest.raises(DataError, match=r"'x1' has (NaN|inf) in row 3"):
        quick.fit(bad)
    with pytest.raises(DataError, match=r"'x1' has (NaN|inf) in row 3"):
        quick.fit(X).transform(bad)


def test_a_wrong_width_is_said_in_scikit_learns_words(quick: VAE, X: Array) -> None:
    with pytest.raises(ValueError, match="X has 4 features, but VAE is expecting 5 features"):
        quick.fit(X).score_samples(X[:, :4])
    with pytest.raises(DataError, match=r"latents have shape \(rows, 2\)"):
        quick.inverse_transform(np.zeros((3, 5)))


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (np.empty((0, 3)), ValueError),
        (np.ones((4, 3)), DataError),
        (csr_array(np.eye(4)), TypeError),
        ([[1, 2], [3]], ValueError),
        (np.array([["a", "b"]] * 4), ValueError),
        ("no such file", DataError),
        (np.ones((1, 3)), ValueError),
    ],
    ids=["empty", "constant", "sparse", "ragged", "text", "path", "one row"],
)
def test_what_cannot_be_modeled_is_refused(quick: VAE, bad: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        quick.fit(bad)


def test_whole_numbers_are_summed_up_by_pca(digits: Digits) -> None:
    X = digits[0].reshape(500, -1)
    with pytest.warns(UserWarning, match="no variation"):
        pca = ProbabilisticPCA(latent_dim=5).fit(X)
    assert pca.transform(X).dtype == np.float64


def test_a_loaded_estimator_draws_whole_number_names(X: Array, tmp_path: Path) -> None:
    frame = pd.DataFrame(X[:60])
    detector = VAEDetector(latent_dim=2, epochs=1, random_state=0).fit(frame)
    detector.save(tmp_path / "model")
    loaded = VAEDetector.load(tmp_path / "model")
    pd.testing.assert_index_equal(loaded.sample(2).columns, pd.Index([0, 1, 2, 3, 4]))
    assert list(loaded.explain(frame).columns) == [0, 1, 2, 3, 4, "rate"]
    VAEDetector(latent_dim=2, epochs=1, random_state=0).fit(X[:60]).save(tmp_path / "model")
    assert not (tmp_path / "model" / "column_names.json").exists()


def test_an_integer_is_itself() -> None:
    assert new_seed(7) == 7
    assert new_seed(np.int64(7)) == 7


def test_nothing_is_something_new_each_time(untouched_random_state: None) -> None:
    assert len({new_seed(None) for _ in range(5)}) == 5


@pytest.mark.parametrize("kind", [np.random.RandomState, np.random.default_rng])
def test_generators_move_on(kind: type[np.random.RandomState]) -> None:
    first, second = kind(0), kind(0)
    seeds = [new_seed(first) for _ in range(3)]
    assert seeds == [new_seed(second) for _ in range(3)]
    assert len(set(seeds)) == 3


def test_what_is_no_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be used to seed"):
        new_seed("seven")
