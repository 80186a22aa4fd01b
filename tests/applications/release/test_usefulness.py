"""Train on synthetic, test on real: the figures are scikit-learn's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, r2_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lowerbound.applications.release.usefulness import (
    BOOSTING,
    FOREST,
    LEARNERS,
    LINEAR,
    NETWORK,
    RMSE,
    Usefulness,
    _compared,
    usefulness,
)
from lowerbound.errors import DataError
from lowerbound.evaluation.samples.column_judge import CodedColumns


def halves(loader: Any) -> tuple[Any, Any]:
    frame = loader(as_frame=True).frame.sample(frac=1, random_state=0).reset_index(drop=True)
    return frame.iloc[::2].reset_index(drop=True), frame.iloc[1::2].reset_index(drop=True)


def figures(found: Usefulness, learner: str) -> dict[str, tuple[float, float]]:
    own = [c for c in found.comparisons if c.learner == learner]
    return {c.measure: (c.real, c.synthetic) for c in own}


def test_real_on_real_is_scikit_learns_own_figure() -> None:
    train, test = halves(load_breast_cancer)
    codes = CodedColumns.learn(train)
    a, b = codes.encode(train), codes.encode(test)
    found = usefulness(codes, "target", a, a, b, learners=(LINEAR, BOOSTING))
    x, y = train.drop(columns="target"), test.drop(columns="target")
    plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    boosted = HistGradientBoostingClassifier(max_iter=200, learning_rate=0.1, random_state=0)
    for name, model in (("linear model", plain), ("gradient boosting", boosted)):
        model.fit(x.to_numpy(), train["target"])
        said = model.predict(y.to_numpy())
        scores = model.predict_proba(y.to_numpy())[:, 1]
        own = figures(found, name)
        assert own["accuracy"] == pytest.approx((accuracy_score(test["target"], said),) * 2)
        rare = f1_score(test["target"], said, pos_label=0)
        assert own["F1"] == pytest.approx((rare,) * 2)
        assert own["AUROC"] == pytest.approx((roc_auc_score(test["target"], scores),) * 2)
    assert all(c.loss.low <= 0 <= c.loss.high for c in found.comparisons)


def test_three_classes_have_the_mean_of_one_against_the_rest() -> None:
    train, test = halves(load_wine)
    codes = CodedColumns.learn(train)
    a, b = codes.encode(train), codes.encode(test)
    found = usefulness(codes, "target", a, a, b, learners=(LINEAR,))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    model.fit(train.drop(columns="target").to_numpy(), train["target"])
    scores = model.predict_proba(test.drop(columns="target").to_numpy())
    expected = roc_auc_score(test["target"], scores, multi_class="ovr")
    assert figures(found, "linear model")["AUROC"][0] == pytest.approx(expected, abs=1e-6)


def test_a_number_has_r2_and_its_error_in_units_of_the_label() -> None:
    train, test = halves(load_diabetes)
    codes = CodedColumns.learn(train, {"sex": "binary"})
    a, b = codes.encode(train), codes.encode(test)
    found = usefulness(codes, "target", a, a, b)
    assert min(figures(found, learner.name)["R²"][0] for learner in LEARNERS) > 0.2
    model = make_pipeline(StandardScaler(), Ridge())
    model.fit(train.drop(columns="target").to_numpy(), train["target"])
    said = model.predict(test.drop(columns="target").to_numpy())
    own = figures(found, "linear model")
    assert own["R²"][0] == pytest.approx(r2_score(test["target"], said), abs=2e-3)
    rmse = float(np.sqrt(((test["target"] - said) ** 2).mean()))
    assert own["RMSE"][0] == pytest.approx(rmse, rel=2e-3)


def test_labels_without_meaning_are_useless() -> None:
    train, test = halves(load_breast_cancer)
    codes = CodedColumns.learn(train)
    drawn = train.assign(target=np.random.default_rng(0).permutation(train["target"]))
    rows = [codes.encode(frame) for frame in (train, drawn, test)]
    found = usefulness(codes, "target", *rows, learners=(FOREST,))
    real, synthetic = figures(found, "random forest")["AUROC"]
    assert real > 0.97
    assert synthetic < 0.8
    (loss,) = [c.loss for c in found.comparisons if c.measure == "AUROC"]
    assert loss.low > 0.1


def test_one_class_only_is_named_and_learns_nothing() -> None:
    train, test = halves(load_breast_cancer)
    codes = CodedColumns.learn(train)
    rows = [codes.encode(frame) for frame in (train, train[train["target"] == 1], test)]
    found = usefulness(codes, "target", *rows, learners=(NETWORK,))
    assert found.absent == ("0",)
    assert figures(found, "neural network")["AUROC"][1] == 0.5
    assert figures(found, "neural network")["F1"][1] == 0.0


@pytest.mark.parametrize("label", ["target", "malic_acid"])
def test_an_empty_column_of_a_table_teaches_nothing(label: str) -> None:
    train, test = halves(load_wine)
    train["hue"] = np.where(train["hue"] > 1, "much", "little")
    test["hue"] = np.where(test["hue"] > 1, "much", "little")
    learners = (LINEAR, BOOSTING)
    codes = CodedColumns.learn(train)
    a, b = codes.encode(train), codes.encode(test)
    gappy = a.copy()
    for name in ("hue", "alcohol"):
        gappy[:, codes.position(name)] = np.nan
    found = usefulness(codes, label, a, gappy, b, learners=learners)
    fewer = CodedColumns.learn(train.drop(columns=["hue", "alcohol"]))
    c, d = fewer.encode(train), fewer.encode(test)
    expected = usefulness(fewer, label, c, c, d, learners=learners)
    for learner in ("linear model", "gradient boosting"):
        synthetic = [pair[1] for pair in figures(found, learner).values()]
        assert synthetic == pytest.approx(
            [pair[1] for pair in figures(expected, learner).values()], rel=0.02
        )


def test_a_label_that_cannot_be_learned_is_refused() -> None:
    train, test = halves(load_breast_cancer)
    train["target"] = 1
    codes = CodedColumns.learn(train)
    a, b = codes.encode(train), codes.encode(test)
    with pytest.raises(DataError, match="'target' has one value"):
        usefulness(codes, "target", a, a, b)


def test_the_interval_of_a_loss_is_by_paired_resampling() -> None:
    """Of two predictions with the same errors, but for a few rows, the loss is known well."""
    draw = np.random.default_rng(0)
    y = draw.normal(size=400)
    real = y + draw.normal(size=400)
    synthetic = real + 0.1 * draw.normal(size=400)
    found = {each.measure: each.loss for each in _compared("line", y, real, synthetic, (), 0)}[RMSE]
    difference = (synthetic - y) ** 2 - (real - y) ** 2
    rmse = np.sqrt(np.mean((real - y) ** 2))
    error = difference.std() / np.sqrt(400) / (2 * rmse)  # to first order
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.2)
    loss = np.sqrt(np.mean((synthetic - y) ** 2)) - rmse
    assert found.value == pytest.approx(loss)
