"""Classifiers beside the network of q(y | x): where only one of them can succeed, and stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from lowerbound import SemiSupervisedVAE
from lowerbound.errors import ModelFolderError
from lowerbound.fitting import folder as model_folder
from lowerbound.models.labels.classifier import ClassifiedRows, ClassifierPool, fit_pool

Rows = tuple[np.ndarray, np.ndarray]
FEW = 60


def exclusive_or(count: int = 600) -> Rows:
    """The class is whether two of six columns have one sign: no line predicts it."""
    x = np.random.default_rng(0).normal(size=(count, 6))
    return x, (x[:, 0] * x[:, 1] > 0).astype(int)


def a_line(count: int = 600) -> Rows:
    """The class is the side of a line through twenty columns: trees need many labels for it."""
    x = np.random.default_rng(0).normal(size=(count, 20))
    return x, (x.sum(1) > 0).astype(int)


def labeled(rows: Rows, few: int, classes: int = 2) -> ClassifiedRows:
    x, y = (part[:few] for part in rows)
    folds = [np.arange(few)[fold::5] for fold in range(5)]
    return ClassifiedRows(x, rows[0].mean(0), rows[0].std(0), y, folds, classes)


def unsure(rows: ClassifiedRows) -> Tensor:
    """Logits of a network that knows nothing."""
    return torch.zeros(len(rows.label), rows.classes, dtype=torch.float64)


def pooled(rows: ClassifiedRows) -> ClassifierPool:
    pool = ClassifierPool(rows.x.shape[1], rows.classes)
    fit_pool(pool, rows, unsure(rows))
    return pool


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "few"), [(exclusive_or(), 200), (a_line(), FEW)])
def test_the_pool_is_as_good_as_its_better_member(rows: Rows, few: int) -> None:
    pool, (x, y) = pooled(labeled(rows, few)), (part[few:] for part in rows)
    each = pool.member_logits(torch.from_numpy(x))
    accuracies = [float((member.argmax(1).numpy() == y).mean()) for member in each]
    found = pool(torch.zeros(len(x), 2), torch.from_numpy(x)).argmax(1).numpy()
    assert max(accuracies) > min(accuracies) + 0.08  # only one of them can succeed
    assert float((found == y).mean()) > max(accuracies) - 0.02


@pytest.mark.slow
def test_the_better_member_has_the_larger_weight() -> None:
    trees, line = pooled(labeled(exclusive_or(), 200)), pooled(labeled(a_line(), FEW))
    assert trees.weights[2] > trees.weights[1]
    assert line.weights[1] > line.weights[2]


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3])
def test_members_are_those_of_scikit_learn(classes: int) -> None:
    x, _ = a_line()
    y = np.digitize(x[:, 0] + x[:, 1], [-1.0, 1.0][: classes - 1])
    rows = labeled((x, y), 90, classes)
    line, trees = pooled(rows).member_logits(torch.from_numpy(x))
    scaled = StandardScaler().fit(x)
    penalties = 10.0 ** np.arange(-3.0, 2.1, 0.5)
    seen = scaled.transform(rows.x), rows.label
    lines = [LogisticRegression(C=C, max_iter=1_000).fit(*seen) for C in penalties]
    answers = [each.predict_proba(scaled.transform(x)) for each in lines]
    assert min(np.abs(line.softmax(1).numpy() - each).max() for each in answers) < 1e-9
    options: dict[str, Any] = {"learning_rate": 0.1, "early_stopping": False, "random_state": 0}
    boosted = [
        HistGradientBoostingClassifier(min_samples_leaf=leaf, max_iter=steps, **options)
        .fit(rows.x, rows.label)
        .predict_proba(x)
        for leaf in (3, 10)
        for steps in (10, 20, 40, 70)
    ]
    assert min(np.abs(trees.softmax(1).numpy() - each).max() for each in boosted) < 1e-9


def test_a_class_without_a_label_has_no_probability_among_the_members() -> None:
    x, y = a_line()
    rows = labeled((x, 2 * y), FEW, classes=3)
    for logits in pooled(rows).member_logits(torch.from_numpy(x)):
        assert float(logits.softmax(1)[:, 1].max()) < 1e-9


def test_without_hidden_labels_the_weights_are_those_of_the_prior() -> None:
    rows = labeled(a_line(), FEW)
    alone = ClassifiedRows(rows.x, rows.shift, rows.scale, rows.label, [], 2)
    pool = ClassifierPool(20, 2)
    fit_pool(pool, alone, torch.zeros(0, 2, dtype=torch.float64))
    torch.testing.assert_close(pool.weights, torch.tensor([4, 4, 1], dtype=torch.float64) / 9)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SemiSupervisedVAE]:
    x, y = exclusive_or()
    given = np.where(np.arange(len(x)) < FEW, y, -1)
    model = SemiSupervisedVAE(latent_dim=2, epochs=2, random_state=0).fit(x, given)
    folder = tmp_path_factory.mktemp("pool") / "few.lb"
    model.save(folder)
    return folder, model


def test_a_stored_model_answers_alike(stored: tuple[Path, SemiSupervisedVAE]) -> None:
    folder, model = stored
    x, _ = exclusive_or()
    assert model.model_.pool.fitted
    back = SemiSupervisedVAE.load(folder)
    assert np.array_equal(back.predict_proba(x), model.predict_proba(x))
    np.testing.assert_allclose(back.score_samples(x[:20]), model.score_samples(x[:20]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pool.trees.branches", -1),  # nowhere
        ("pool.trees.branches", 0),  # in a circle
        ("pool.trees.feature", 99),  # of no column
        ("pool.labeled", 5),  # of no class
    ],
)
def test_altered_members_are_refused(
    stored: tuple[Path, SemiSupervisedVAE], tmp_path: Path, name: str, value: int
) -> None:
    fitted = stored[1].fitted_
    state = {key: tensor.clone() for key, tensor in fitted.model.state_dict().items()}
    state[name][1:] = value
    content = save(state)
    with pytest.raises(ModelFolderError, match="do not fit the model"):
        model_folder._load_weights(fitted.model, content, tmp_path)


@pytest.mark.slow
def test_a_graph_of_the_pool_takes_any_number_of_rows() -> None:
    pool, (x, _) = pooled(labeled(exclusive_or(), FEW)), exclusive_or()
    logits, x = torch.randn(len(x), 2), torch.from_numpy(x)
    rows = {0: torch.export.Dim("rows")}
    graph = torch.export.export(pool, (logits[:5], x[:5]), dynamic_shapes=(rows, rows)).module()
    torch.testing.assert_close(graph(logits, x), pool(logits, x))


@pytest.mark.slow
def test_trees_see_differences_that_float32_does_not_resolve() -> None:
    random = np.random.default_rng(0)
    y = random.integers(0, 2, size=300)
    x = random.normal(size=(300, 3))
    x[:, 0] += 1e3 * y
    x[200:210, 0] = 1e13 * random.random(10)  # beside these, the classes are less than 1e-9 apart
    few = np.where(np.arange(300) < FEW, y, -1)
    model = SemiSupervisedVAE(epochs=1, random_state=0).fit(x, few)
    assert (model.predict(x[210:]) == y[210:]).mean() > 0.95
