"""Few labels by scikit-learn's conventions: what counts as one, and what is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator

from lowerbound import VAE, SemiSupervisedVAE
from lowerbound.applications.labels.estimator import given_labels
from lowerbound.applications.labels.labeled import above, starting_from
from lowerbound.data import load
from lowerbound.errors import DataError, ModelFolderError, OptionError
from lowerbound.fitting import FitOptions, fit
from lowerbound.fitting.assembly import assemble, initialize
from lowerbound.fitting.manifest import ANSWERS
from lowerbound.models import SemiSupervisedVariationalAutoencoder
from lowerbound.models.options import ModelOptions

ROWS = 120
TRUE = np.arange(ROWS) % 2
X = np.random.default_rng(0).normal(size=(ROWS, 3)) + 3 * TRUE[:, None]
FEW = np.where(np.arange(ROWS) < 10, TRUE, -1)


def small(**changes: Any) -> SemiSupervisedVAE:
    return SemiSupervisedVAE(latent_dim=2, epochs=40, random_state=0, **{"folds": 0, **changes})


@pytest.fixture(scope="module")
def fitted() -> SemiSupervisedVAE:
    return small().fit(X, FEW)


def test_ten_labels_tell_two_clouds_apart(fitted: SemiSupervisedVAE) -> None:
    assert (fitted.predict(X) == TRUE).mean() > 0.97
    assert fitted.classes_.tolist() == [0, 1]
    probability = fitted.predict_proba(X)
    assert np.abs(probability.sum(1) - 1).max() < 1e-12


def test_given_labels_are_kept(fitted: SemiSupervisedVAE) -> None:
    wrong = FEW.copy()
    wrong[:2] = 1 - TRUE[:2]
    model = small().fit(X, wrong)
    assert (model.transduction_[:10] == wrong[:10]).all()
    assert (model.label_distributions_[:10] == np.eye(2)[wrong[:10]]).all()
    assert np.abs(model.label_distributions_.sum(1) - 1).max() < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("unknown", [None, np.nan, pd.NA, ""])
def test_text_may_be_missing_in_any_way(unknown: Any, fitted: SemiSupervisedVAE) -> None:
    y = np.array(["no", "yes"], object)[TRUE]
    y[10:] = unknown
    model = small().fit(X, y)
    assert model.classes_.tolist() == ["no", "yes"]
    # the codes are the same, so the answers are
    assert np.array_equal(model.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.slow
def test_a_declared_value_means_unlabeled(fitted: SemiSupervisedVAE) -> None:
    for value in (7, float("nan")):
        y = np.where(FEW >= 0, FEW.astype(float), value)
        model = small(unlabeled_value=value).fit(X, y)
        assert np.array_equal(model.predict_proba(X), fitted.predict_proba(X))


def test_a_declared_value_means_unlabeled_in_a_named_column() -> None:
    frame = pd.DataFrame(X, columns=list("abc"))
    for unknown, classes in ((1, [0, 2]), ("?", ["no", "yes"])):
        column = np.where(np.arange(ROWS) < 10, np.array(classes)[TRUE], unknown)
        model = small(unlabeled_value=unknown).set_params(epochs=1).fit(frame.assign(k=column), "k")
        assert model.classes_.tolist() == classes
        assert model.transduction_[:10].tolist() == column[:10].tolist()
        assert set(model.transduction_.tolist()) <= set(classes)


def test_minus_one_and_one_alone_are_classes_and_the_count_is_named() -> None:
    with pytest.warns(UserWarning, match="of 3 rows"):
        labels, known = given_labels([1, -1, 1, -1, -1])
    assert known.all()
    assert labels.tolist() == [1, -1, 1, -1, -1]
    assert given_labels([1, -1, 1], unlabeled_value=-1)[1].tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.full(ROWS, -1), "no row has a label"),
        (np.where(FEW == 1, -1, FEW), "of one class"),
        (FEW[:-1], "119 labels"),
        (np.where(FEW >= 0, FEW, np.nan), "y holds NaN"),
        (np.linspace(0.1, 0.9, ROWS), "continuous"),
        ([1, "a"] * (ROWS // 2), r"such as 1 \(int\) and 'a' \(str\): .* text, such as '1'"),
        (["a", None, 2.0, "a"] * (ROWS // 4), r"such as 2\.0 \(float\) and 'a' \(str\)"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(y: Any, message: str) -> None:
    with pytest.raises((DataError, ValueError), match=message):
        small().fit(X, y)


def test_an_unsure_answer_is_no_answer(fitted: SemiSupervisedVAE) -> None:
    between = np.full((1, 3), 1.5)
    least = float(fitted.predict_proba(between).max()) + 1e-6
    fitted.abstain_below = least
    try:
        assert fitted.predict(between).tolist() == [-1]
        assert fitted.predict(np.full((1, 3), 5.0)).tolist() == [1]
    finally:
        fitted.abstain_below = 0.0


@pytest.mark.slow
def test_shares_that_labels_do_not_tell(tmp_path: Path) -> None:
    for said in ({0: 0.9, 1.0: 0.1}, [0.9, 0.1]):
        model = SemiSupervisedVAE(2, epochs=1, random_state=0, class_prior=said).fit(X, FEW)
        assert model.model_.log_prior.exp().tolist() == pytest.approx([0.9, 0.1])
    made = model.sample(2_000, random_state=0)
    assert np.isfinite(made).all()
    model.save(tmp_path / "m.lb")
    back = SemiSupervisedVAE.load(tmp_path / "m.lb")
    assert list(back.class_prior) == [0.9, 0.1]
    assert back.model_.log_prior.exp().tolist() == pytest.approx([0.9, 0.1])
    with pytest.raises(OptionError, match="unknown class in class_prior '2'"):
        small(class_prior={0: 0.9, 2: 0.1}).fit(X, FEW)


def test_rows_of_a_class_are_made(fitted: SemiSupervisedVAE) -> None:
    low, high = (fitted.sample(200, y=label, random_state=0).mean() for label in (0, 1))
    assert low < 1.0
    assert high > 2.0
    with pytest.raises(OptionError, match="unknown class"):
        fitted.sample(2, y=2)


def test_codes_hold_the_class_and_the_style(fitted: SemiSupervisedVAE) -> None:
    codes = fitted.transform(X)
    assert codes.shape == (ROWS, 4)
    np.testing.assert_allclose(codes[:, :2], fitted.predict_proba(X), atol=1e-6)
    assert fitted.inverse_transform(codes).shape == X.shape


def test_a_loaded_model_leaves_the_same_rows_unlabeled(
    fitted: SemiSupervisedVAE, tmp_path: Path
) -> None:
    for value in (-5, "?", float("nan"), None):
        fitted.set_params(abstain_below=0.99, unlabeled_value=value)
        try:
            fitted.save(tmp_path / "m.lb")
            expected = fitted.predict(X).tolist()
        finally:
            fitted.set_params(abstain_below=0.0, unlabeled_value=None)
        back = SemiSupervisedVAE.load(tmp_path / "m.lb")
        assert back.abstain_below == 0.99
        assert repr(back.unlabeled_value) == repr(value)
        assert list(map(str, back.predict(X))) == list(map(str, expected))
    (tmp_path / "m.lb" / ANSWERS).write_text("{}")
    with pytest.raises(ModelFolderError, match=ANSWERS):
        SemiSupervisedVAE.load(tmp_path / "m.lb")
    (tmp_path / "m.lb" / ANSWERS).unlink()  # as in older folders
    assert SemiSupervisedVAE.load(tmp_path / "m.lb").abstain_below == 0.0


@pytest.mark.slow
def test_a_saved_model_says_the_same(fitted: SemiSupervisedVAE, tmp_path: Path) -> None:
    model = small(stacked=True, folds=2).fit(X, FEW)
    assert float(model.model_.temperature) != 1.0
    model.save(tmp_path / "m.lb")
    back = SemiSupervisedVAE.load(tmp_path / "m.lb")
    assert back.stacked
    assert np.array_equal(back.predict_proba(X), model.predict_proba(X))


@pytest.mark.slow
def test_classes_of_rows_with_columns_come_from_a_calibrated_pool(
    fitted: SemiSupervisedVAE,
) -> None:
    assert not fitted.model_.pool.fitted  # without folds, the network alone
    assert float(fitted.model_.temperature) == 1.0
    usual = small(folds=None).fit(X, FEW)
    assert usual.model_.pool.fitted
    assert float(usual.model_.temperature) != 1.0
    assert (usual.predict(X) == fitted.predict(X)).all()
    assert "cross-validation is right about" in usual.fitted_.calibration
    np.testing.assert_allclose(usual.predict_proba(X).sum(1), 1.0)


@pytest.mark.slow
def test_training_keeps_a_classifier_that_was_fitted_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = []
    take = SemiSupervisedVariationalAutoencoder.take_label

    def remember(model: Any, other: Any) -> None:
        take(model, other)
        taken.append([value.clone() for value in model.classifier.parameters()])

    monkeypatch.setattr(SemiSupervisedVariationalAutoencoder, "take_label", remember)
    model = small(folds=None).fit(X, FEW).model_
    assert len(taken) == 1
    for before, after in zip(taken[0], model.classifier.parameters(), strict=True):
        assert torch.equal(before, after)


def test_a_single_label_of_a_class_cannot_be_hidden() -> None:
    y = np.where(np.arange(ROWS) < 3, TRUE, -1)
    model = small(folds=None).fit(X, y)  # the weights are those of the prior
    torch.testing.assert_close(
        model.model_.pool.weights, torch.tensor([4, 4, 1], dtype=torch.float64) / 9
    )
    assert "cross-validation" not in model.fitted_.calibration
    with pytest.raises(OptionError, match="cannot be hidden"):
        small(folds=2).fit(X, y)
    with pytest.raises(OptionError, match="vae has no probabilities of classes"):
        fit(load(X), FitOptions(folds=2))


@pytest.mark.long
def test_features_of_pictures_keep_their_linear_path(tmp_path: Path) -> None:
    digits = load_digits()
    pictures = digits.images[:300, None].astype(np.uint8)
    y = np.where(np.arange(300) < 40, digits.target[:300], -1)
    vae = VAE(3, posterior="gaussian", epochs=2, random_state=0).fit(pictures)
    assert vae.model_.path.is_open
    model = small(stacked=True, features=vae).fit(pictures, y)
    model.save(tmp_path / "m.lb")
    for stacked in (model, SemiSupervisedVAE.load(tmp_path / "m.lb")):
        np.testing.assert_allclose(stacked.transform(pictures), vae.transform(pictures), rtol=1e-5)
        codes = stacked.transform(pictures[:20])
        np.testing.assert_allclose(
            stacked.inverse_transform(codes), vae.inverse_transform(codes), rtol=1e-5
        )
    assert not any(value.requires_grad for value in model.model_.path.parameters())
    own = small(stacked=True).fit(pictures, y)
    assert not own.model_.path.is_open


def test_every_part_of_the_features_is_shared_and_frozen() -> None:
    """Also the input, whose units are those of the rows that the features were fitted on."""
    sizes = 3 + 2 * np.random.default_rng(1).normal(size=ROWS)
    frame = pd.DataFrame(X, columns=list("abc")).assign(town=TRUE.astype(str), size=sizes)
    vae = VAE(2, network="mlp", posterior="gaussian", epochs=1, random_state=0).fit(frame)
    other = frame.assign(a=5 * frame["a"] + 9)
    rows = load(other.assign(y=np.where(TRUE, "no", "yes")), label="y")
    options = above(vae.fitted_, FitOptions(ModelOptions("semi_supervised", latent_dim=2)))
    model = assemble(rows.schema, options.model)
    initialize(model, rows)
    starting_from(vae.fitted_)(model)
    parts = {name for name, part in model.named_children() if getattr(vae.model_, name, None)}
    assert {"encoder", "decoder", "likelihood", "inputs"} <= parts
    for name in parts & {"encoder", "decoder", "likelihood", "inputs", "path"}:
        theirs = getattr(vae.model_, name).state_dict()
        for key, value in getattr(model, name).state_dict().items():
            assert torch.equal(value, theirs[key]), f"{name}.{key}"
        assert not any(value.requires_grad for value in getattr(model, name).parameters())


def test_frozen_features_survive_a_clone() -> None:
    vae = VAE(3, network="mlp", posterior="gaussian", epochs=1, random_state=0).fit(X)
    model = clone(small(stacked=True, features=FrozenEstimator(vae)).set_params(epochs=1))
    np.testing.assert_allclose(model.fit(X, FEW).transform(X), vae.transform(X), rtol=1e-5)
    with pytest.raises(OptionError, match=r"features= .* stacked=True"):
        small(features=vae).fit(X, FEW)


@pytest.mark.slow
def test_features_of_one_vae_serve_several_fits() -> None:
    vae = VAE(3, network="mlp", posterior="gaussian", epochs=30, random_state=0).fit(X)
    model = small(stacked=True, features=vae).fit(X, FEW)
    for name, weight in vae.model_.encoder.state_dict().items():
        assert (weight == model.model_.encoder.state_dict()[name]).all()
    np.testing.assert_allclose(model.transform(X), vae.transform(X), rtol=1e-6)
    with pytest.raises(DataError, match="in other units"):
        small(stacked=True, features=vae).fit(2 * X, FEW)
