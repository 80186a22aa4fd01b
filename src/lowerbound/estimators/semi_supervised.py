"""The semi-supervised variational autoencoder as a scikit-learn classifier."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from torch.nn.functional import one_hot

from lowerbound.config import renamed_keywords
from lowerbound.data import Dataset, encode_labels
from lowerbound.data.arrays import Array
from lowerbound.data.labels import UNKNOWN
from lowerbound.errors import DataError, OptionError
from lowerbound.estimators.inputs import rows as inputs
from lowerbound.estimators.inputs.answers_file import read_answers, write_answers
from lowerbound.estimators.inputs.given_labels import given_labels
from lowerbound.estimators.inputs.labels import class_indices, class_name, classes_of, classes_still
from lowerbound.estimators.labeled import LabeledEstimator
from lowerbound.fitting import FitOptions, Fitted
from lowerbound.inference.classes import class_probabilities
from lowerbound.objectives.labels.semi_supervised import require_labels


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
