from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from lowerbound import ConditionalVAE
from lowerbound.errors import DataError, OptionError

Array = np.ndarray[Any, Any]
Digits = tuple[Array, Array]


@pytest.fixture(scope="module")
def conditional(digits: Digits) -> ConditionalVAE:
    pictures, labels = digits
    X = pictures.reshape(len(pictures), -1).astype(np.float32)
    with pytest.warns(UserWarning, match="no variation"):
        return ConditionalVAE(latent_dim=8, epochs=150, random_state=0).fit(X, labels)


def flat(digits: Digits) -> Array:
    return digits[0].reshape(len(digits[0]), -1).astype(np.float32)


@pytest.mark.slow
def test_give_me_sevens(conditional: ConditionalVAE, digits: Digits) -> None:
    """A classifier that never saw the model finds in the pictures what was asked for."""
    judge = LogisticRegression(max_iter=2000).fit(flat(digits) / 16, digits[1])
    for digit in (0, 7):
        made = conditional.sample(50, y=digit, mean=True)
        assert (judge.predict(made / 16) == digit).mean() > 0.8


def test_a_class_is_meant_by_value_or_text(conditional: ConditionalVAE) -> None:
    expected = conditional.sample(3, y=7)
    for same in ("7", 7.0, np.int64(7), [7, 7, 7], ["7"] * 3, pd.Series([7, 7, 7])):
        np.testing.assert_array_equal(conditional.sample(3, y=same), expected)


def test_without_a_class_all_come_in_turn(conditional: ConditionalVAE) -> None:
    np.testing.assert_array_equal(
        conditional.sample(12), conditional.sample(12, y=[*range(10), 0, 1])
    )


def test_an_unknown_class_is_refused(conditional: ConditionalVAE, digits: Digits) -> None:
    with pytest.raises(OptionError, match="unknown class '11'"):
        conditional.sample(3, y=11)
    with pytest.raises(DataError, match="3 rows but 2 classes"):
        conditional.sample(3, y=[1, 2])
    with pytest.raises(OptionError, match="unknown class"):
        conditional.score_samples(flat(digits)[:2], [1, 99])


def test_the_marginal_is_the_mean_over_classes(conditional: ConditionalVAE, digits: Digits) -> None:
    X = flat(digits)[:20]
    each = [conditional.score_samples(X, np.full(20, digit)) for digit in range(10)]
    expected = logsumexp(each, axis=0) - np.log(10)
    np.testing.assert_allclose(conditional.score_samples(X), expected, rtol=1e-10)


def test_the_right_class_is_worth_nats(conditional: ConditionalVAE, digits: Digits) -> None:
    X, y = flat(digits), digits[1]
    assert conditional.score(X, y) > conditional.score(X, (y + 1) % 10) + 1
    by_class = np.stack([conditional.score_samples(X[:200], np.full(200, d)) for d in range(10)])
    assert (by_class.argmax(0) == y[:200]).mean() > 0.8


@pytest.mark.slow
def test_where_no_class_is_given_the_likeliest_is_taken(
    conditional: ConditionalVAE, digits: Digits
) -> None:
    X = flat(digits)[:30]
    by_class = np.stack([conditional.score_samples(X, np.full(30, d)) for d in range(10)])
    likeliest = by_class.argmax(0)
    np.testing.assert_allclose(conditional.transform(X), conditional.transform(X, likeliest))
    np.testing.assert_allclose(conditional.reconstruct(X), conditional.reconstruct(X, likeliest))


def test_latents_go_back_as_another_class(conditional: ConditionalVAE, digits: Digits) -> None:
    """The same style, another digit."""
    X, y = flat(digits)[:5], digits[1][:5]
    Z = conditional.transform(X, y)
    assert (
        np.abs(conditional.inverse_transform(Z, y) - conditional.inverse_transform(Z, 8)).max() > 1
    )
    each = [conditional.inverse_transform(Z, digit) for digit in range(10)]
    np.testing.assert_allclose(
        conditional.inverse_transform(Z), np.mean(each, 0), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["red", "blue"], ["blue", "red"]),
        ([True, False], [False, True]),
        ([3, 20], [3, 20]),
        ([("a", 1), ("b", 2)], [("a", 1), ("b", 2)]),
        ([2, "two"], [2, "two"]),
    ],
)
def test_classes_are_any_values(X: Array, labels: list[Any], classes: list[Any]) -> None:
    y = [labels[row % 2] for row in range(len(X))]
    model = ConditionalVAE(epochs=1, random_state=0).fit(X, y)
    assert list(model.classes_) == classes
    for label in labels:
        assert model.sample(2, y=label).shape == (2, 5)
    assert model.score_samples(X, y).shape == (len(X),)


def test_classes_are_required(X: Array) -> None:
    with pytest.raises(DataError, match="requires y to be passed, but the target y is None"):
        ConditionalVAE().fit(X)
    with pytest.raises(DataError, match="label"):
        ConditionalVAE().fit(X, np.zeros(len(X) - 1))
    with pytest.raises(DataError, match="no class is known for row 1"):
        ConditionalVAE().fit(X, ["a", None, *["b"] * (len(X) - 2)])
    with pytest.raises(DataError, match="1d array of classes"):
        ConditionalVAE().fit(X, np.zeros((len(X), 2)))


def test_a_frame_brings_its_classes_along(X: Array) -> None:
    frame = pd.DataFrame(X, columns=list("abcde"))
    labels = np.where(X[:, 0] > 0, "up", "down")
    model = ConditionalVAE(epochs=1, validation=0.0, random_state=0).fit(
        frame.assign(way=labels), "way"
    )
    assert list(model.classes_) == ["down", "up"]
    assert list(model.feature_names_in_) == list("abcde")
    given = model.score_samples(frame, labels)
    np.testing.assert_array_equal(model.score_samples(frame.assign(way=labels)), given)
    assert not np.array_equal(model.score_samples(frame), given)
    assert list(model.sample(2, y="up").columns) == list("abcde")


def test_a_named_set_brings_its_classes_along() -> None:
    model = ConditionalVAE(epochs=1, random_state=0).fit("iris")
    assert list(model.classes_) == ["setosa", "versicolor", "virginica"]
    assert model.sample(3, y="setosa").shape == (3, 4)


def test_saved_and_loaded(tmp_path: Path, conditional: ConditionalVAE, digits: Digits) -> None:
    conditional.save(tmp_path / "model")
    again = ConditionalVAE.load(tmp_path / "model")
    X = flat(digits)[:10]
    np.testing.assert_array_equal(again.classes_, conditional.classes_)
    np.testing.assert_array_equal(again.transform(X), conditional.transform(X))
    np.testing.assert_array_equal(again.sample(4, y=7), conditional.sample(4, y=7))
