"""Train on released rows, test on real ones: is a model as good as if it had seen the real rows?

Every learner, four of scikit-learn's with usual settings, is trained twice, on the real rows and on
the released ones, and tested on the same real rows that neither has seen. The standard error of the
difference is that of a paired bootstrap over the test rows. Source: Esteban, Hyland & Rätsch 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.classical.linear_regression import small_fit
from lowerbound.data.arrays import Array
from lowerbound.errors import DataError
from lowerbound.evaluation.intervals import Interval
from lowerbound.evaluation.samples.column_judge import (
    MOST_INDICATORS,
    CodedColumns,
    boosted_classifier,
    boosted_regressor,
)

HIDDEN = (64,)  # units of the perceptron
TREES = 100  # of the forest
RESAMPLES = 100  # of the test rows
FEWEST_LABELED = 20

ACCURACY, F1, AUROC, R2, RMSE = "accuracy", "F1", "AUROC", "R²", "RMSE"


@dataclass(frozen=True)
class Learner:
    """A learner by its name.

    Attributes:
        name: in reports.
        classifier, regressor: functions of (unordered columns, seed) that make it.
        dense: whether its input is indicators and standardized numbers, not codes.
    """

    name: str
    classifier: Callable[[Array, int], Any]
    regressor: Callable[[Array, int], Any]
    dense: bool

    def input(self, codes: CodedColumns, values: Array) -> Array:
        """Encoded rows as the learner's input."""
        return indicators(codes, values) if self.dense else codes.for_trees(values)[0]


def indicators(codes: CodedColumns, values: Array) -> Array:
    """Numbers, NaN if missing, and one indicator per level, (rows, width)."""
    parts: list[Array] = []
    for i, column in enumerate(codes.columns):
        own = values[:, i]
        if column.column.levels:
            width = min(len(column.levels), MOST_INDICATORS)
            places = range(1, width) if len(column.levels) == 2 else range(width)
            parts.append((own[:, None] == np.array(places)).astype(np.float64))
        else:
            parts.append(own[:, None])
    return np.concatenate(parts, axis=1)


def _scaled(model: Any) -> Any:
    """A model behind imputation by the median and standardization."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    filled = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(filled, StandardScaler(), model)


def _logistic(unordered: Array, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return _scaled(LogisticRegression(max_iter=500, random_state=seed))


def _ridge(unordered: Array, seed: int) -> Any:
    from sklearn.linear_model import Ridge

    return _scaled(Ridge(random_state=seed))


def _forest(unordered: Array, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TREES, min_samples_leaf=2, random_state=seed, n_jobs=1)


def _forest_of_numbers(unordered: Array, seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(TREES, min_samples_leaf=2, random_state=seed, n_jobs=1)


def _network(unordered: Array, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return _scaled(
        MLPClassifier(hidden_layer_sizes=HIDDEN, alpha=1e-3, max_iter=60, random_state=seed)
    )


def _network_of_numbers(unordered: Array, seed: int) -> Any:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPRegressor
    from sklearn.preprocessing import StandardScaler

    model = MLPRegressor(hidden_layer_sizes=HIDDEN, alpha=1e-3, max_iter=60, random_state=seed)
    return TransformedTargetRegressor(_scaled(model), transformer=StandardScaler())


LINEAR = Learner("linear model", _logistic, _ridge, dense=True)
FOREST = Learner("random forest", _forest, _forest_of_numbers, dense=False)
BOOSTING = Learner("gradient boosting", boosted_classifier, boosted_regressor, dense=False)
NETWORK = Learner("neural network", _network, _network_of_numbers, dense=True)
LEARNERS = (LINEAR, FOREST, BOOSTING, NETWORK)
"""Logistic or ridge regression, a forest, boosting, and a network of one layer."""


@dataclass(frozen=True)
class Comparison:
    """One figure of one learner.

    Attributes:
        learner: name of the learner.
        measure: "accuracy", "F1" of the rarest class, "AUROC"; "R²", "RMSE" in units of the label.
        real: of the learner trained on real rows.
        synthetic: of the learner trained on released rows.
        loss: by how much the released rows are worse, with its 95 % interval.
    """

    learner: str
    measure: str
    real: float
    synthetic: float
    loss: Interval


@dataclass(frozen=True)
class Usefulness:
    """What learners learn from released rows.

    Attributes:
        label: the column that they predict.
        classes: the classes, the most frequent first; empty for a number.
        test_rows: real rows with a label that the learners are tested on.
        comparisons: one for each learner and measure.
        absent: classes that the released rows do not have.
    """

    label: str
    classes: tuple[str, ...]
    test_rows: int
    comparisons: tuple[Comparison, ...]
    absent: tuple[str, ...] = ()

    @property
    def main_measure(self) -> str:
        """AUROC of classes, R² of a number."""
        return AUROC if self.classes else R2

    def best(self, measure: str) -> tuple[Comparison, Comparison]:
        """(best trained on real rows, best trained on released rows), by a measure."""
        found = [c for c in self.comparisons if c.measure == measure]
        return max(found, key=lambda c: c.real), max(found, key=lambda c: c.synthetic)


def usefulness(
    codes: CodedColumns,
    label: str,
    real: Array,
    synthetic: Array,
    test: Array,
    seed: int = 0,
    learners: Sequence[Learner] = LEARNERS,
) -> Usefulness:
    """Compare learners trained on released rows with the same trained on real rows.

    Args:
        codes: the columns, the label among them.
        label: name of the column to predict.
        real, synthetic, test: encoded rows, (rows, columns). Rows without a label are left out, and
            so are released rows of a class that the real rows do not have.
        seed: of learners and of the bootstrap.
        learners: trained one after another.

    Raises:
        DataError: the label is constant, no other column is left, or too few rows have a label.
    """
    task = Task(codes, label, test, seed)
    parts = [task.part(rows) for rows in (real, synthetic)]
    found: list[Comparison] = []
    for learner in learners:
        a, b = (task.predicted(learner, part) for part in parts)
        found += _compared(learner.name, task.y, a, b, task.classes, seed)
    present = set(parts[1][1].tolist())
    absent = tuple(level for code, level in enumerate(task.classes) if code not in present)
    return Usefulness(label, task.classes, len(task.y), tuple(found), absent)


class Task:
    """To predict one column by the others, tested on given rows.

    Args:
        codes: the columns, the label among them.
        label: name of the column to predict.
        test: encoded rows, (rows, columns).
        seed: of the learners.

    Raises:
        DataError: the label is constant, no other column is left, or too few rows have a label.
    """

    def __init__(self, codes: CodedColumns, label: str, test: Array, seed: int) -> None:
        self._place = codes.position(label)
        column = codes.columns[self._place]
        if column.constant or len(codes.columns) < 2:
            what = f"the label {label!r} has one value" if column.constant else "the label is alone"
            raise DataError(f"{what}: nothing can be learned; choose another --label, or none")
        self.label, self.seed = label, seed
        self.classes = column.levels
        self._inputs = codes.without(label)
        self._x, self.y = self.part(test)

    def part(self, rows: Array) -> tuple[Array, Array]:
        """(inputs, labels) of the rows with a known label."""
        y, classes = rows[:, self._place], len(self.classes)
        kept = ~np.isnan(y) & ((y < classes) if classes else True)
        if kept.sum() < FEWEST_LABELED:
            raise DataError(
                f"only {int(kept.sum())} rows of a table have a label in {self.label!r}; the "
                f"learners need {FEWEST_LABELED} in each of the three tables"
            )
        return np.delete(rows[kept], self._place, axis=1), y[kept]

    def predicted(self, learner: Learner, training: tuple[Array, Array]) -> Array:
        """Probabilities (rows, classes), or numbers (rows,), of the test rows."""
        x, y = training
        # boosting refuses a column without a value, and nothing can be learned from it
        seen = ~np.isnan(x).all(0)
        x, tested = (np.where(seen, rows, 0.0) for rows in (x, self._x))
        make = learner.classifier if self.classes else learner.regressor
        model = make(self._inputs.for_trees(x)[1], self.seed)
        x, tested = (learner.input(self._inputs, rows) for rows in (x, tested))
        # probabilities (rows, classes), or numbers (rows,), of the test rows
        classes = len(self.classes)
        if not classes:
            with small_fit():
                return np.asarray(model.fit(x, y).predict(tested))
        found = np.zeros((len(tested), classes))
        present = np.unique(y).astype(int)
        if len(present) == 1:
            found[:, present[0]] = 1.0
            return found
        with small_fit():
            found[:, present] = model.fit(x, y.astype(int)).predict_proba(tested)
        return found

    def score(self, learner: Learner, training: Array) -> tuple[str, float]:
        """(AUROC or R², its value) of a learner trained on encoded rows."""
        predicted = self.predicted(learner, self.part(training))
        if self.classes:
            return AUROC, class_area(self.y, predicted)
        return R2, r2(self.y, predicted)


def _compared(
    learner: str, y: Array, real: Array, synthetic: Array, classes: Sequence[str], seed: int
) -> list[Comparison]:
    """The figures of one learner."""
    measures = _class_measures(y, len(classes)) if classes else {R2: r2, RMSE: rmse}
    random = np.random.default_rng(seed)
    draws = [random.integers(0, len(y), len(y)) for _ in range(RESAMPLES)]
    found = []
    for name, measure in measures.items():
        sign = -1 if name == RMSE else 1
        a, b = measure(y, real), measure(y, synthetic)
        again = [sign * (measure(y[d], real[d]) - measure(y[d], synthetic[d])) for d in draws]
        loss, half = sign * (a - b), 1.96 * float(np.nanstd(again))
        found.append(Comparison(learner, name, a, b, Interval(loss, loss - half, loss + half)))
    return found


def _class_measures(y: Array, classes: int) -> dict[str, Callable[[Array, Array], float]]:
    counts = np.bincount(y.astype(int), minlength=classes)
    rarest = int(np.argmin(np.where(counts == 0, np.iinfo(counts.dtype).max, counts)))
    return {
        ACCURACY: lambda y, p: float((p.argmax(1) == y).mean()),
        F1: lambda y, p: f1(y == rarest, p.argmax(1) == rarest),
        AUROC: class_area,
    }


def f1(true: Array, said: Array) -> float:
    """2 TP / (2 TP + FP + FN); 0 if the class is neither there nor predicted."""
    hits = float((true & said).sum())
    total = float(true.sum() + said.sum())
    return 2 * hits / total if total else 0.0


def class_area(y: Array, probabilities: Array) -> float:
    """AUROC of two classes; of more, the mean over classes of one against the rest."""
    from scipy.stats import rankdata

    areas = []
    count = probabilities.shape[1]
    for code in [1] if count == 2 else range(count):
        own = y == code
        n, m = int(own.sum()), int((~own).sum())
        if n and m:
            ranks = rankdata(probabilities[:, code])
            areas.append((ranks[own].sum() - n * (n + 1) / 2) / (n * m))
    return float(np.mean(areas)) if areas else float("nan")


def r2(y: Array, predicted: Array) -> float:
    """1 - residual over total sum of squares."""
    total = float(((y - y.mean()) ** 2).sum())
    return 1 - float(((y - predicted) ** 2).sum()) / total if total else float("nan")


def rmse(y: Array, predicted: Array) -> float:
    """The root of the mean squared error, in units of the label."""
    return float(np.sqrt(((y - predicted) ** 2).mean()))
