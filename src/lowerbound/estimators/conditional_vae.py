"""The conditional variational autoencoder as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.utils.validation import check_is_fitted

from lowerbound.applications.io.conditions import one_hot
from lowerbound.data import Dataset
from lowerbound.data.arrays import Array
from lowerbound.errors import DataError
from lowerbound.estimators.base import means
from lowerbound.estimators.inputs import rows as inputs
from lowerbound.estimators.inputs.labels import (
    as_labels,
    class_indices,
    classes_of,
    classes_still,
)
from lowerbound.estimators.vae import VAE
from lowerbound.fitting import Fitted
from lowerbound.inference.draws.samples import whole_count
from lowerbound.networks.processor.precision import in_precision


@dataclass(eq=False, repr=False, kw_only=True)
class ConditionalVAE(VAE):
    r"""Variational autoencoder conditioned on the class: p(x | y).

    >>> model = ConditionalVAE(latent_dim=8, epochs=1, random_state=0).fit("digits")
    >>> model.sample(5, y=7).shape  # give me sevens
    (5, 8, 8)

    Classes may be any hashable values with different texts; a class is given by its value or its
    text, ``7`` or ``"7"``. Data may contain the classes: a folder of pictures in the names of its
    subfolders, a table in the column that y names.

    If the class of a row is not given, all classes are equally likely, and the score bounds

    .. math:: \log p(x) = \log \frac{1}{C} \sum_y p(x \mid y)

    transform and reconstruct then use the class with the largest bound on p(x | y), and
    inverse_transform the mean over all classes.

    Args: as for ``VAE``.

    Attributes: those of ``VAE``, and
        classes_: the classes, in the order of the model's inputs; after ``load`` as integers if all
            names are integers, otherwise as text.
    """

    conditional: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model to X and the class of each row.

        Args:
            X: rows.
            y: one class per row, or the name of the class column; None if X is a path, the
                name of a data set, or batches, that have classes.

        Raises:
            DataError, ValueError: there are no classes, or the lengths differ.
        """
        X, y = inputs.with_labels(X, y)
        if y is None and not inputs.is_path(X):
            raise DataError("ConditionalVAE requires y to be passed, but the target y is None")
        label = y if y is None or isinstance(y, str) else as_labels(y)
        dataset = inputs.learn(self, X, label=label, options=self._data_options())
        self._fit(dataset)
        if isinstance(label, np.ndarray):
            self.classes_ = classes_of(label)
        return self

    def score_samples(self, X: Any, y: Any = None) -> Array:
        """A lower bound on log p(x | y), or on log p(x) without a class, in nats, (rows,).

        As ``VAE.score_samples``. Without classes it takes one pass for each class.
        """
        dataset = self._given(X, y)
        if dataset.label is not None:
            return self._bounds(dataset)
        by_class = self._by_class(dataset)
        bounds: Array = logsumexp(by_class, axis=0) - np.log(len(by_class))
        return bounds

    def sample(
        self,
        n_samples: int = 1,
        y: Any = None,
        *,
        mean: bool = False,
        random_state: Any = None,
        given: Mapping[str, Any] | str | None = None,
        guidance: float | None = None,
        steps: int | None = None,
        complete: bool = False,
    ) -> Any:
        """New rows of a class: z ~ p(z), then x ~ p(x | z, y).

        Args:
            n_samples: how many.
            y: a class for all, or one per row; None: cycle through all classes in their order.
            mean: the mean of p(x | z, y) instead of a draw from it.
            random_state, given, guidance, steps, complete: as in ``VAE.sample``.

        Raises:
            OptionError: an unknown class; the message names the nearest one. Or ``n_samples`` is no
                whole number from 1.
        """
        check_is_fitted(self)
        n_samples = whole_count(n_samples)
        if y is None:
            y = [self._names[row % len(self._names)] for row in range(n_samples)]
        condition = self._label_condition(y, n_samples)
        return self._sample(
            n_samples, condition, mean, random_state, given, guidance, steps, complete
        )

    def _adopt(self, fitted: Fitted) -> Self:
        self.classes_ = classes_still(getattr(self, "classes_", ()), fitted.schema.class_names)
        return super()._adopt(fitted)

    def _read(self, X: Any, y: Any = None) -> Dataset:
        dataset = self._given(X, y)
        if dataset.label is None:
            likeliest = self._by_class(dataset).argmax(0)
            dataset = replace(dataset, label=torch.from_numpy(likeliest))
        return dataset

    def _given(self, X: Any, y: Any) -> Dataset:
        """The rows with their given classes, if all rows have one; otherwise without classes."""
        dataset = super()._read(X)
        if y is not None:
            return replace(dataset, label=class_indices(y, len(dataset), self._names))
        known = dataset.label is not None and bool((dataset.label >= 0).all())
        return dataset if known else replace(dataset, label=None)

    def _by_class(self, dataset: Dataset) -> Array:
        """Bounds on log p(x | y) for every y, (classes, rows)."""
        labels = [torch.full((len(dataset),), index) for index in range(len(self._names))]
        return np.stack([self._bounds(replace(dataset, label=label)) for label in labels])

    def _expected(self, z: torch.Tensor, y: Any) -> torch.Tensor:
        """E[x | z, y], or E[x | z] with equally likely classes."""
        model = in_precision(self.model_, z.dtype)
        given = self._names if y is None else [y]
        each = [means(model, z, self._label_condition(label, len(z))) for label in given]
        return torch.stack(each).mean(0)

    def _label_condition(self, y: Any, rows: int) -> torch.Tensor | None:
        """One-hot classes, (rows, classes), from one class for all rows or one for each."""
        return one_hot(self.fitted_, class_indices(y, rows, self._names))

    def _condition(self, dataset: Dataset) -> torch.Tensor | None:
        return one_hot(self.fitted_, dataset.label)

    @property
    def _names(self) -> tuple[str, ...]:
        return self.fitted_.schema.class_names
