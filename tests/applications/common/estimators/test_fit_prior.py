"""fit_prior of an estimator: another prior, and scikit-learn's conventions as before."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from lowerbound import VAE
from lowerbound.errors import OptionError

RNG = np.random.default_rng(0)
X = np.array([[-4.0, 0.0, 4.0], [4.0, 4.0, -4.0]])[np.arange(200) % 2]
X = X + 0.3 * RNG.normal(size=X.shape)
QUICK = {"updates": 100, "learning_rate": 0.03}


@pytest.fixture
def vae() -> VAE:
    options = {"updates": 400}
    return VAE(
        latent_dim=2, network="mlp", learning_rate=0.01, training_options=options, random_state=0
    ).fit(X)


@pytest.mark.slow
def test_only_the_prior_changes_and_samples_follow_it(vae: VAE) -> None:
    codes, parameters = vae.transform(X), vae.get_params()
    before = vae.sample(50, random_state=1)
    assert vae.fit_prior(X, kind="mixture", components=2, training_options=QUICK) is vae
    assert np.array_equal(vae.transform(X), codes)
    assert not np.array_equal(vae.sample(50, random_state=1), before)
    facts = vae.fitted_.options.prior_fit
    assert facts is not None
    assert (facts.kind, facts.former_kind, facts.rows) == ("mixture", "standard_normal", 200)
    assert facts.validation is not None
    assert facts.former is not None
    assert facts.validation > facts.former
    assert vae.get_params() == parameters
    assert clone(vae).get_params() == parameters
    assert np.isfinite(vae.score_samples(X)).all()


@pytest.mark.slow
def test_the_new_prior_is_saved(vae: VAE, tmp_path) -> None:
    for kind in ("mixture", "flow"):
        vae.fit_prior(X, kind=kind, training_options={"updates": 3})
    vae.save(tmp_path / "m")
    loaded = VAE.load(tmp_path / "m")
    assert loaded.get_params()["prior"] == "standard_normal"
    assert np.allclose(loaded.score_samples(X), vae.score_samples(X))


@pytest.mark.slow
def test_a_fit_comes_first_and_unknown_names_are_refused(vae: VAE) -> None:
    with pytest.raises(NotFittedError):
        VAE().fit_prior(X)
    with pytest.raises(OptionError, match="did you mean 'mixture'"):
        vae.fit_prior(X, kind="mixtures")
    with pytest.raises(OptionError, match="unknown option of MixturePrior 'component'"):
        vae.fit_prior(X, kind="mixture", component=3)
