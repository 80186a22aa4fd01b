from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from lowerbound import VAE, Autoencoder, ConditionalVAE, ProbabilisticPCA
from lowerbound.data import load
from lowerbound.errors import ModelFolderError, OptionError
from lowerbound.trace import Batch, Mean
from tests.applications.conftest import rows

Array = np.ndarray[Any, Any]

# converges in a second, without hidden layers
LINEAR: dict[str, Any] = {
    "network": "linear",
    "epochs": 600,
    "learning_rate": 0.05,
    "validation": 0.0,
    "training_options": {"weight_average": 0.0},
    "random_state": 0,
}


def test_the_face(tmp_path: Path, X: Array) -> None:
    vae = VAE(latent_dim=2, epochs=5, random_state=0).fit(X)
    scores = vae.score_samples(X[:10])
    Z = vae.transform(X)
    assert scores.shape == (10,)
    assert vae.sample(8).shape == (8, 5)
    assert Z.shape == (120, 2)
    assert vae.inverse_transform(Z).shape == X.shape
    vae.save(tmp_path / "model.lb")
    np.testing.assert_array_equal(VAE.load(tmp_path / "model.lb").score_samples(X[:10]), scores)


@pytest.mark.slow
def test_scores_are_in_the_units_of_the_data(vae: VAE, X: Array) -> None:
    """A column in other units moves log p by the log of the factor, and nothing else."""
    other = clone(vae).fit(X * [1000.0, 1, 1, 1, 1])
    difference = vae.score_samples(X) - other.score_samples(X * [1000.0, 1, 1, 1, 1])
    np.testing.assert_allclose(difference, np.log(1000), rtol=1e-6)


@pytest.mark.slow
def test_scores_bound_the_exact_marginal_of_a_linear_model(X: Array) -> None:
    """Linear networks can come as near as they like to the model that is solved on paper."""
    X = StandardScaler().fit_transform(X)
    linear = VAE(latent_dim=2, **LINEAR).fit(X)
    best = ProbabilisticPCA(latent_dim=2).fit(X).score(X)
    assert best - 0.01 < linear.score(X) <= best + 1e-6


@pytest.mark.long
def test_more_importance_samples_come_nearer(vae: VAE) -> None:
    X = rows(3000, seed=1)
    scores = [copy.deepcopy(vae).set_params(n_importance=k).score(X) for k in (1, 16, 400)]
    assert scores[0] < scores[1] < scores[2]
    assert scores[1] == vae.score(X)


@pytest.mark.parametrize(("dtype", "relative"), [(np.float64, 1e-7), (np.float32, 1e-4)])
def test_a_row_is_scored_for_itself(vae: VAE, X: Array, dtype: Any, relative: float) -> None:
    X = X.astype(dtype)
    together = vae.score_samples(X)
    np.testing.assert_allclose(vae.score_samples(X[::-1])[::-1], together, rtol=relative)
    alone = np.concatenate([vae.score_samples(X[[row]]) for row in range(5)])
    np.testing.assert_allclose(alone, together[:5], rtol=relative)


def test_one_seed_gives_one_result(X: Array) -> None:
    first, second = (VAE(epochs=2, random_state=3).fit(X) for _ in range(2))
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    np.testing.assert_array_equal(first.score_samples(X), second.score_samples(X))
    np.testing.assert_array_equal(first.sample(5), second.sample(5))
    other = VAE(epochs=2, random_state=4).fit(X)
    assert not np.allclose(first.transform(X), other.transform(X))


def test_samples_repeat_by_seed_only(X: Array) -> None:
    vae = VAE(epochs=1).fit(X)
    assert not np.array_equal(vae.sample(4), vae.sample(4))
    np.testing.assert_array_equal(vae.sample(4, random_state=1), vae.sample(4, random_state=1))
    np.testing.assert_array_equal(vae.score_samples(X), vae.score_samples(X))


def test_a_mean_is_smoother_than_a_draw(vae: VAE) -> None:
    drawn, mean = vae.sample(500), vae.sample(500, mean=True)
    assert (mean.std(0) < drawn.std(0)).all()


@pytest.mark.slow
def test_samples_look_like_the_data(X: Array) -> None:
    vae = VAE(latent_dim=2, random_state=0, epochs=800).fit(X)
    drawn = vae.sample(4000)
    assert (np.abs(drawn.mean(0) - X.mean(0)) < 0.3 * X.std(0)).all()
    np.testing.assert_allclose(drawn.std(0), X.std(0), rtol=0.3)


def test_reconstruction_is_the_transform_put_back(vae: VAE, X: Array) -> None:
    rows, deviation = vae.reconstruct(X, return_std=True)
    np.testing.assert_allclose(rows, vae.reconstruct(X))
    np.testing.assert_allclose(rows, vae.inverse_transform(vae.transform(X)), rtol=1e-6)
    assert deviation.shape == X.shape
    assert (deviation > 0).all()


def test_uncertainty_is_at_least_the_noise_of_the_likelihood(vae: VAE, X: Array) -> None:
    _, deviation = vae.reconstruct(X, return_std=True)
    emission = vae.model_(_batch(vae, X), Mean()).likelihood
    noise = float(emission.variance.detach().sqrt().flatten()[0])
    relative = deviation / X.std(0)
    assert (relative >= noise * (1 - 1e-5)).all()
    assert (relative > noise * 1.001).any()


def test_a_saved_estimator_gives_the_same_numbers(tmp_path: Path, X: Array) -> None:
    vae = VAE(
        latent_dim=3,
        network_options={"hidden": (32, 16)},
        likelihood_options={"scale": "feature"},
        prior="mixture",
        beta=0.5,
        objective_options={"samples": 2},
        n_importance=4,
        epochs=3,
        training_options={"schedule": "linear"},
        random_state=5,
    ).fit(X)
    vae.save(tmp_path / "model")
    again = VAE.load(tmp_path / "model").set_params(n_importance=4)
    assert not again.model_.training
    for method in ("transform", "score_samples", "reconstruct"):
        np.testing.assert_array_equal(getattr(again, method)(X), getattr(vae, method)(X))
    np.testing.assert_array_equal(again.sample(4), vae.sample(4))
    np.testing.assert_array_equal(again.get_feature_names_out(), vae.get_feature_names_out())
    assert again.n_features_in_ == 5
    assert again.n_iter_ == vae.n_iter_
    for name in ("latent_dim", "prior", "beta", "epochs", "training_options", "random_state"):
        assert again.get_params()[name] == vae.get_params()[name], name
    refitted = clone(again).fit(X)
    np.testing.assert_array_equal(refitted.transform(X), vae.transform(X))


def test_a_saved_estimator_holds_no_pickle(tmp_path: Path, vae: VAE) -> None:
    vae.save(tmp_path / "model")
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert files
    for path in files:
        with pytest.raises((pickle.UnpicklingError, ValueError, EOFError, KeyError, IndexError)):
            pickle.loads(path.read_bytes())
        assert path.read_bytes()[:2] != b"PK", "a zip archive, as torch.save writes it"


@pytest.mark.parametrize("kind", [Autoencoder, ConditionalVAE, ProbabilisticPCA])
def test_a_folder_of_another_kind_says_who_can_load_it(
    tmp_path: Path, vae: VAE, kind: type[Any]
) -> None:
    vae.save(tmp_path / "model")
    with pytest.raises(ModelFolderError, match=rf"holds a vae.*{kind.__name__}.*use VAE\.load"):
        kind.load(tmp_path / "model")


def test_pickle_keeps_everything(vae: VAE, X: Array) -> None:
    again = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(again.score_samples(X), vae.score_samples(X))


def test_a_pipeline_scores_and_inverts(X: Array) -> None:
    pipeline = make_pipeline(MinMaxScaler(), VAE(latent_dim=2, epochs=20, random_state=0))
    Z = pipeline.fit(X).transform(X)
    assert Z.shape == (120, 2)
    assert np.isfinite(pipeline.score(X))
    assert pipeline.inverse_transform(Z).shape == X.shape
    assert list(pipeline.get_feature_names_out()) == ["vae0", "vae1"]


@pytest.mark.slow
def test_a_grid_search_finds_the_latents_that_are_there(X: Array) -> None:
    """Two latents made the data, so one is too few."""
    search = GridSearchCV(
        VAE(**LINEAR),
        {"latent_dim": np.array([1, 2]), "beta": [1.0]},
        cv=2,
        refit=False,
    )
    assert search.fit(X).best_params_["latent_dim"] == 2


@pytest.mark.slow
def test_latents_of_pca_and_vae_span_the_same_space(X: Array) -> None:
    X = StandardScaler().fit_transform(X)
    vae = VAE(latent_dim=2, **LINEAR).fit(X)
    principal = PCA(2).fit_transform(X)
    predicted = np.linalg.lstsq(principal, vae.transform(X), rcond=None)
    residual = vae.transform(X) - principal @ predicted[0]
    assert residual.std() < 0.1 * vae.transform(X).std()


def test_every_objective_can_be_named(X: Array) -> None:
    for objective in ("elbo", "importance_weighted", "target_rate"):
        assert np.isfinite(VAE(objective=objective, epochs=1).fit(X).score(X))


def test_beta_is_refused_where_it_means_nothing(X: Array) -> None:
    with pytest.raises(OptionError, match="beta is of the objective 'elbo'"):
        VAE(objective="importance_weighted", beta=4.0).fit(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"network": "mpl"}, "did you mean 'mlp'"),
        ({"likelihood": "gausian"}, "did you mean 'gaussian'"),
        ({"training_options": {"sheduled": 1}}, "did you mean 'schedule'"),
        ({"data_options": {"binarise": "dynamic"}}, "did you mean 'binarize'"),
        ({"network_options": {"hiden": (3,)}}, "did you mean 'hidden'"),
        ({"latent_dim": 0}, "latent_dim must be at least 1"),
        ({"batch_size": 0}, "batch_size must be positive"),
        ({"precision": "float16"}, "precision"),
    ],
)
def test_a_wrong_option_says_what_is_right(
    X: Array, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        VAE(**parameters).fit(X)


def test_nothing_works_before_fit(X: Array, tmp_path: Path) -> None:
    vae = VAE()
    calls = [
        lambda: vae.transform(X),
        lambda: vae.inverse_transform(X),
        lambda: vae.score_samples(X),
        lambda: vae.sample(),
        lambda: vae.reconstruct(X),
        lambda: vae.save(tmp_path / "model"),
        lambda: vae.get_feature_names_out(),
        lambda: vae.model_,
    ]
    for call in calls:
        with pytest.raises(NotFittedError):
            call()


def test_progress_is_shown_when_asked_for(X: Array, capsys: pytest.CaptureFixture[str]) -> None:
    VAE(epochs=2).fit(X)
    assert capsys.readouterr() == ("", "")
    VAE(epochs=2, verbose=1).fit(X)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "bound" in shown.err


def _batch(vae: VAE, X: Array) -> Batch:
    return load(X.astype(np.float32), schema=vae.fitted_.schema).batch(torch.arange(len(X)))


@pytest.mark.slow
def test_noise_is_taken_off_and_nothing_where_there_is_none() -> None:
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(300, 1)) @ np.ones((1, 8)) * 5 + 20
    options = {"weight_average": 0.0, "schedule": "constant"}
    vae = VAE(latent_dim=1, network="linear", epochs=100, batch_size=30, learning_rate=0.01,
              training_options=options, random_state=0)  # fmt: skip
    vae.fit(clean + 0.1 * rng.normal(size=(300, 8)))
    noisy = clean[:40] + 3 * rng.normal(size=(40, 8))
    found = vae.denoise(noisy, 3.0)
    assert np.square(found - clean[:40]).mean() < 0.5 * np.square(noisy - clean[:40]).mean()
    assert vae.denoise(noisy, 3.0, n_draws=2, chains=4).shape == (2, 40, 8)
    assert vae.noise_level(noisy) == pytest.approx(3.0, rel=0.3)
    np.testing.assert_array_equal(vae.denoise(noisy, 0.0, chains=2), noisy)
    with pytest.raises(OptionError, match="a standard deviation, 0 or more"):
        vae.denoise(noisy, -1.0)
