"""The semi-supervised models as scikit-learn estimators: a classifier, and a regressor of targets.

Labels may be missing, by scikit-learn's conventions for semi-supervised learning. How a classifier
of few labels answers is a JSON file in the model folder.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from torch.nn.functional import one_hot

from lowerbound.applications.common.estimators import inputs
from lowerbound.applications.common.estimators.inputs import (
    as_labels,
    class_indices,
    class_name,
    classes_of,
    classes_still,
    without_masked,
)
from lowerbound.applications.labels.classify import class_probabilities
from lowerbound.applications.labels.labeled import LabeledEstimator
from lowerbound.config import renamed_keywords
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import UNKNOWN, encode_labels
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.manifest import ANSWERS, read_beside, write_beside
from lowerbound.fitting.options import FitOptions
from lowerbound.inference.regression import predictions
from lowerbound.objectives.semi_supervised import require_labels

FLOAT = "float"  # such numbers are text in the file, because JSON has no NaN


@renamed_keywords(moves="augmentation")
@dataclass(eq=False, repr=False, kw_only=True)
class SemiSupervisedRegressor(RegressorMixin, LabeledEstimator):
    r"""Semi-supervised regressor for partially labeled rows; the label is a latent.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> price = rng.normal(size=300)
    >>> X = price[:, None] * [1.0, -2.0, 0.5] + 0.3 * rng.normal(size=(300, 3))
    >>> y = np.where(np.arange(300) < 20, price, np.nan)  # twenty labels; NaN means unlabeled
    >>> model = SemiSupervisedRegressor(latent_dim=2, epochs=300, learning_rate=0.01)
    >>> model = model.set_params(random_state=0).fit(X, y)
    >>> bool(model.score(X[20:], price[20:]) > 0.8)
    True

    It maximizes the bound of Kingma et al. 2014 (M2) with y ~ N(mean, variance) of the labels
    instead of a class. A known label is used; an unknown one is drawn from the Gaussian q(y | x).
    q(y | x) also learns from the labels directly and from a mean teacher; see
    ``lowerbound.objectives.MeanTeacherRegression``. Scores of rows are bounds on log p(x).

    Args:
        latent_dim: size of the style, the variation that the label does not explain; None: from
            the data.
        augmentation: of pictures, 0 to 1: strength of random rotations, shifts, zooms and shears
            that are assumed not to change the label.
        stacked: M1+M2: features from a VAE of all rows, and the label and the style above them.
        features: a fitted ``VAE`` for these features, which several fits can share; None: fitted
            here.
        folds: number of additional fits, each with another part of the labels hidden, for rows with
            columns. They find the weights of the network, a Gaussian process and boosted trees in
            q(y | x), and its standard deviation. 0: the network alone; None: 5 short fits for rows
            with columns, otherwise 0.
        prior: p(z) of the style: "standard_normal", "mixture" or "flow".
        prior_options: options of that prior.
        model_options: further fields of ``SemiSupervisedRegression.Options``.
        objective_options: options of ``lowerbound.objectives.MeanTeacherRegression``.
        validation, patience: no effect, because labeled rows are too few to hold any out.
        network, likelihood, n_importance, epochs and all others: as for ``VAE``.

    Attributes: those of ``VAE``.
    """

    kind: ClassVar[str] = "semi_supervised_regression"

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model to X and the known labels.

        Args:
            X: rows.
            y: one number per row, NaN or None for an unlabeled row, or the name of the label
                column; None if X is batches that have labels.

        Raises:
            DataError, ValueError: there is no label, all labels are equal, the lengths differ, or
                the labels are text.
        """
        X, y = inputs.with_labels(X, y)
        if y is None:
            raise DataError(
                "SemiSupervisedRegressor requires y to be passed, but the target y is None"
            )
        named = isinstance(y, str)
        options = {**self._data_options(), "regression": named}
        if not named and "kinds" not in (self.data_options or {}) and _is_matrix(X):
            options["kinds"] = "real"
        dataset = inputs.learn(self, X, label=y if named else None, options=options)
        return self._fit(dataset if named else _with_targets(dataset, y))

    def predict(self, X: Any, *, return_std: bool = False) -> Any:
        """The mean of q(y | x) of each row, (rows,).

        Args:
            X: rows.
            return_std: also return the standard deviation. For rows with columns it is scaled by
                the errors at hidden labels, so that 1.96 of it on either side are a 95 % band.

        Returns:
            Numbers in the units of the labels, or (numbers, standard deviations).
        """
        mean, deviation = (part.numpy() for part in predictions(self.model_, self._read(X)))
        return (mean, deviation) if return_std else mean

    def _label_condition(self, y: Any, rows: int) -> torch.Tensor:
        values = np.asarray(y, float)
        if values.shape not in ((), (rows,)):
            raise DataError(f"{rows} rows but labels of shape {values.shape}")
        if not np.isfinite(values).all():
            raise DataError("rows are made of labels that are finite, and y holds NaN or infinity")
        scale = self.fitted_.schema.target
        assert scale is not None
        wanted = torch.from_numpy(np.broadcast_to(values, (rows,)).copy())
        return scale.standardized(wanted).float().unsqueeze(1)


def _is_matrix(X: Any) -> bool:
    """Whether a frame has only floating-point numbers. It is then read as a matrix, so predictions
    do not depend on the presence of column names."""
    if not inputs.is_frame(X):
        return False
    return all(np.dtype("f8") == kind for kind in X.dtypes) and not X.isna().to_numpy().any()


def _with_targets(dataset: Dataset, y: Any) -> Dataset:
    """The rows with their labels.

    Raises:
        DataError: the lengths differ, or the labels are not numbers.
    """
    y = without_masked(y)
    if getattr(y, "ndim", 1) == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    labels = as_labels(y)
    if len(labels) != len(dataset):
        raise DataError(f"{len(dataset):,} rows of X but {len(labels):,} labels in y")
    return dataset.with_targets(labels)


def write_answers(folder: Path, abstain_below: float, unlabeled_value: Any) -> None:
    """Write the file into a model folder atomically.

    An ``unlabeled_value`` that is no number, text, boolean or None is not kept.
    """
    value = unlabeled_value.item() if isinstance(unlabeled_value, np.generic) else unlabeled_value
    if isinstance(value, float):
        value = {FLOAT: repr(value)}
    elif not isinstance(value, bool | int | str):
        value = None
    said = {"abstain_below": float(abstain_below), "unlabeled_value": value}
    write_beside(folder / ANSWERS, said)


def read_answers(folder: Path) -> dict[str, Any]:
    """The parameters in the file; none of an older folder.

    Raises:
        ModelFolderError: the file is damaged, or belongs to another model.
    """
    return read_beside(folder / ANSWERS, _parameters) or {}


def _parameters(said: Mapping[str, Any]) -> dict[str, Any]:
    value = said["unlabeled_value"]
    if isinstance(value, dict):
        value = float(value[FLOAT])
    if isinstance(value, list):
        raise DataError("unlabeled_value is a list")
    return {"abstain_below": float(said["abstain_below"]), "unlabeled_value": value}


def given_labels(y: Any, unlabeled_value: Any = None) -> tuple[Array, Array]:
    """(the known labels (known,), a mask of the labeled rows (rows,)).

    The value -1 among numbers means unlabeled, or ``unlabeled_value`` instead of it. Among other
    values None, NaN, pandas' NA and empty text mean unlabeled.

    Raises:
        DataError, ValueError: labels are fractions, text among other values, NaN among numbers is
            not declared, or no label is known.

    Warns:
        UserWarning: -1 and 1 are the only numbers, so -1 is a class.
    """
    y = without_masked(y)
    if getattr(y, "ndim", 1) == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    labels = _numbers_as_such(as_labels(y))
    if labels.dtype.kind in "biuf":
        known = _known_numbers(labels, unlabeled_value)
    else:
        known = ~np.array([_blank(value) for value in labels.tolist()], bool)
        if unlabeled_value is not None:
            known &= np.array([value != unlabeled_value for value in labels.tolist()], bool)
    if not known.any():
        raise DataError(
            f"no row has a label: all {len(labels):,} values of y mean unlabeled; label some rows "
            "of each class"
        )
    found = _numbers_as_such(labels[known])
    _check_types(found.tolist())
    check_classification_targets(found)
    return found, known


def _numbers_as_such(labels: Array) -> Array:
    """An array of objects that are all numbers as an array of numbers; others unchanged."""
    values, numbers = labels.tolist(), int | float | np.number
    if labels.dtype != object or not all(isinstance(value, numbers) for value in values):
        return labels
    return np.array(values)


def _check_types(values: list[Any]) -> None:
    """Raise DataError for text among values of another type, which have no order."""
    text = next((value for value in values if isinstance(value, str)), None)
    other = next((value for value in values if not isinstance(value, str)), None)
    if text is not None and other is not None:
        raise DataError(
            f"y holds classes of different types, such as {other!r} ({type(other).__name__}) and "
            f"{text!r} ({type(text).__name__}): write all of them as text, such as {str(other)!r}, "
            "and mark unlabeled rows by None"
        )


def _known_numbers(labels: Array, unlabeled_value: Any) -> Array:
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        declared = isinstance(unlabeled_value, float) and np.isnan(unlabeled_value)
        if not declared or np.isinf(labels).any():
            raise DataError(
                f"y holds {'infinity' if np.isinf(labels).any() else 'NaN'}: mark unlabeled rows "
                "by -1, or set unlabeled_value=float('nan')"
            )
        missing: Array = np.isnan(labels)
        return ~missing
    value = -1 if unlabeled_value is None else unlabeled_value
    known: Array = labels != value
    others = np.unique(labels[known])
    if unlabeled_value is None and not known.all() and others.tolist() == [1]:
        warnings.warn(
            f"y contains only -1 and 1, so -1 is a class, of {int((~known).sum()):,} rows; if it "
            "means unlabeled, set unlabeled_value=-1",
            UserWarning,
            stacklevel=4,
        )
        known = np.ones(len(labels), bool)
    return known


def _blank(value: Any) -> bool:
    """Whether a label that is not a number is missing."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or str(value) in ("nan", "<NA>", "NaT")


@renamed_keywords(moves="augmentation")
@dataclass(eq=False, repr=False, kw_only=True)
class SemiSupervisedVAE(ClassifierMixin, LabeledEstimator):
    r"""Semi-supervised classifier for partially labeled rows; the class is a latent.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 4)) + 3 * (np.arange(200) % 2)[:, None]
    >>> y = np.full(200, -1)
    >>> y[:10] = np.arange(10) % 2  # ten labels; -1 means unlabeled
    >>> model = SemiSupervisedVAE(latent_dim=2, epochs=60, random_state=0).fit(X, y)
    >>> bool((model.predict(X) == np.arange(200) % 2).mean() > 0.95)
    True

    It maximizes the bound of Kingma et al. 2014 (M2), which sums over the classes of an unlabeled
    row. The classifier q(y | x) also learns from the labels directly, from a graph of neighbors and
    from a mean teacher; see ``lowerbound.objectives.SemiSupervised``. Scores of rows are bounds on
    log p(x), without these terms. Cross-validation on the given labels chooses all settings that
    depend on the data, so no further labels are needed.

    Args:
        latent_dim: size of the style, the variation within a class; None: from the data.
        augmentation: of pictures, 0 to 1: strength of random rotations, shifts, zooms and shears
            that are assumed not to change the class (at most 0.2 radians, 7 % of a side, 10 % and
            15 %). It hurts if left and right, or up and down, distinguish classes.
        stacked: M1+M2: features from a VAE of all rows, and the class and the style above them.
        features: a fitted ``VAE`` for these features, which several fits can share; None: fitted
            here.
        folds: number of additional fits, each with another part of the labels hidden. They find the
            temperature that calibrates the probabilities and, for rows with columns, the weights
            of the network, logistic regression and boosted trees in q(y | x). 0: neither, and the
            network alone; None: 5 short fits for rows with columns, otherwise 0.
        abstain_below: ``predict`` returns the value that means unlabeled if the probability of the
            likeliest class is below this number.
        unlabeled_value: the value of y that means unlabeled; None: -1 among numbers (unless -1 and
            1 are the only two values), None, NaN, NA and empty text among others.
        class_prior: p(y), if the labels are not a random sample: "uniform", or the probability of
            each class, in the order of ``classes_`` or by class; None: the shares among the labels,
            with one added to each count.
        prior: p(z) of the style: "standard_normal", "mixture" or "flow".
        prior_options: options of that prior.
        model_options: further fields of ``SemiSupervisedVariationalAutoencoder.Options``.
        objective_options: options of ``lowerbound.objectives.SemiSupervised``.
        validation, patience: no effect, because labeled rows are too few to hold any out.
        network, likelihood, n_importance, epochs and all others: as for ``VAE``.

    Attributes: those of ``VAE``, and
        classes_: the classes, in the order of the columns of ``predict_proba``.
        transduction_: the class of each training row: its label, or the likeliest class.
        label_distributions_: class probabilities of each training row.
    """

    abstain_below: float = 0.0
    unlabeled_value: Any = None
    class_prior: Any = None

    kind: ClassVar[str] = "semi_supervised"

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model to X and the known labels.

        Args:
            X: rows.
            y: one label per row, some of which mean unlabeled, or the name of the label column;
                None if X is a path, the name of a data set, or batches, that have classes.

        Raises:
            DataError, ValueError: there is no label, all labels are of one class, the lengths
                differ, or the labels are fractions.
        """
        X, y = inputs.with_labels(X, y)
        if y is None and not inputs.is_path(X):
            raise DataError("SemiSupervisedVAE requires y to be passed, but the target y is None")
        named = y is None or isinstance(y, str)
        dataset = inputs.learn(self, X, label=y if named else None, options=self._data_options())
        given: Array | None = None
        if not named:
            given, known = given_labels(y, self.unlabeled_value)
            dataset = _with_labels(dataset, given, known)
        elif self.unlabeled_value is not None:
            dataset = _without_class(dataset, class_name(self.unlabeled_value))
        require_labels(dataset)
        self._fit(dataset)
        if given is not None:
            self.classes_ = classes_of(given, minus_one_is_a_class=True)
        self._transduce(dataset)
        return self

    def predict_proba(self, X: Any) -> Array:
        """q(y | x) for each row, (rows, classes); rows sum to one."""
        probability: Array = class_probabilities(self.model_, self._read(X)).numpy()
        return probability

    def predict(self, X: Any) -> Array:
        """The likeliest class of each row, (rows,); unlabeled below ``abstain_below``."""
        probability = self.predict_proba(X)
        chosen: Array = self.classes_[probability.argmax(1)]
        unsure = probability.max(1) < self.abstain_below
        if not unsure.any():
            return chosen
        unknown = self.unlabeled_value
        if unknown is None and self.classes_.dtype.kind in "iuf":
            unknown = -1
        if class_name(unknown) in map(class_name, self.classes_):
            raise OptionError(
                f"{unknown!r} would mean both a class and an unsure row: set unlabeled_value to "
                "another value, or leave out abstain_below"
            )
        answers: Array = chosen.astype(np.result_type(chosen, np.array(unknown)))
        answers[unsure] = unknown
        return answers

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model folder, and beside it how ``predict`` answers unsure rows; no pickle."""
        super().save(path)

    def _write_beside(self, folder: Path) -> None:
        super()._write_beside(folder)
        write_answers(folder, self.abstain_below, self.unlabeled_value)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], device: str = LabeledEstimator.device, **parts: Any
    ) -> Self:
        """Read what ``save`` wrote, or another folder of such a model; as ``VAE.load``.

        Args:
            path: the folder, written on any device.
            device, parts: as for ``VAE.load``.

        Raises:
            OptionError: this machine has no such device.
            ModelFolderError: the folder is missing, altered, or holds another kind of model.
        """
        estimator = super().load(path, device, **parts)
        estimator.set_params(**read_answers(Path(path)))
        return estimator

    def _adopt(self, fitted: Fitted) -> Self:
        self.classes_ = classes_still(getattr(self, "classes_", ()), fitted.schema.class_names)
        return super()._adopt(fitted)

    def _label_condition(self, y: Any, rows: int) -> torch.Tensor:
        names = self.fitted_.schema.class_names
        return one_hot(class_indices(y, rows, names), len(names)).float()

    def _options(self, seed: int) -> FitOptions:
        options = super()._options(seed)
        if self.class_prior is None:
            return options
        said = {**options.model.model_options, "class_prior": _said(self.class_prior)}
        return replace(options, model=replace(options.model, model_options=said))

    @classmethod
    def _parameters_of(cls, fitted: Fitted) -> dict[str, Any]:
        values = super()._parameters_of(fitted)
        model = dict(values["model_options"] or {})
        prior = model.pop("class_prior", None)
        return {**values, "class_prior": prior, "model_options": model or None}

    def _transduce(self, dataset: Dataset) -> None:
        """Set the classes and probabilities of the training rows."""
        probability = class_probabilities(self.model_, dataset)
        assert dataset.label is not None
        known = dataset.label >= 0
        probability[known] = one_hot(dataset.label[known], probability.shape[1]).double()
        self.label_distributions_ = probability.numpy()
        self.transduction_ = self.classes_[self.label_distributions_.argmax(1)]


def _said(class_prior: Any) -> Any:
    """A class prior in the form of the model's options, with classes by name."""
    if isinstance(class_prior, str):
        return class_prior
    if isinstance(class_prior, Mapping):
        return {class_name(value): float(share) for value, share in class_prior.items()}
    return tuple(float(share) for share in class_prior)


def _with_labels(dataset: Dataset, labels: Array, known: Array) -> Dataset:
    """The rows with their known labels.

    Raises:
        DataError: the lengths differ.
    """
    if len(known) != len(dataset):
        raise DataError(f"{len(dataset):,} rows of X but {len(known):,} labels in y")
    codes, names = encode_labels(labels, minus_one_is_a_class=True)  # the others are gone
    label = torch.full((len(dataset),), UNKNOWN)
    label[torch.from_numpy(known)] = codes
    return replace(dataset, label=label, schema=replace(dataset.schema, class_names=names))


def _without_class(dataset: Dataset, name: str) -> Dataset:
    """The rows with the labels of a class unknown; unchanged if there is no such class."""
    names = dataset.schema.class_names
    if dataset.label is None or name not in names:
        return dataset
    place = names.index(name)
    label = dataset.label - (dataset.label > place).long()
    label[dataset.label == place] = UNKNOWN
    kept = names[:place] + names[place + 1 :]
    return replace(dataset, label=label, schema=replace(dataset.schema, class_names=kept))
