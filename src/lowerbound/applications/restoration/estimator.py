"""Imputation as a scikit-learn transformer: missing cells in, completed rows out.

The columns that it was fitted to, and how it fills them, are a JSON file in the model folder; the
schema of the model has neither identifiers nor columns without a value.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from lowerbound.applications.common.estimators.base import FittedEstimator, chosen
from lowerbound.applications.common.estimators.inputs import (
    as_frame,
    checked_numbers,
    describe,
    is_frame,
    new_seed,
    with_names_of,
    with_text_names,
)
from lowerbound.applications.restoration.filling import DRAWS, SAMPLES, impute, imputed_quantiles
from lowerbound.applications.restoration.imputer_files import (
    read_calibration,
    read_trees,
    write_calibration,
    write_trees,
)
from lowerbound.applications.restoration.imputer_fit import (
    BATCH_SIZE,
    HIDDEN_SHARE,
    LEARNING_RATE,
    fit_imputer,
    imputation_options,
)
from lowerbound.applications.restoration.intervals import within_observed
from lowerbound.classical.self_masking import AT_RANDOM
from lowerbound.config import construct
from lowerbound.data.arrays import Array, as_array
from lowerbound.data.columns.matrix import named
from lowerbound.data.columns.values import missing, with_room_for_gaps
from lowerbound.data.dependencies.determined import determined
from lowerbound.data.loading import load
from lowerbound.data.tables.completion import IncompleteColumns
from lowerbound.data.tables.frames import check_filled
from lowerbound.errors import DataError, OptionError, unknown
from lowerbound.fitting import folder as model_folder
from lowerbound.fitting.fitted import FitOptions
from lowerbound.fitting.manifest import IMPUTER, read_beside, write_beside
from lowerbound.inference.prior_draws import whole_count
from lowerbound.models.base import AUTO
from lowerbound.models.options import ModelOptions
from lowerbound.training.options import TrainingOptions
from lowerbound.training.reporter import TrainingReporter, reporter_for

INFINITE = ("-Infinity", "Infinity")  # as text, since JSON has no such numbers
KEPT = ("strategy", "n_importance", "add_indicator", "keep_empty_features", "missing_values")
Self = TypeVar("Self", bound="VAEImputer")

STRATEGIES = ("mean", "median", "sample")


def write_columns(folder: Path, imputer: Any) -> None:
    """Write the file into a model folder atomically."""
    names = getattr(imputer, "feature_names_in_", None)
    said = {
        "names": None if names is None else [str(name) for name in names],
        "empty": imputer.empty_.tolist(),
        "indicator": imputer.indicator_.tolist(),
        "parameters": {name: _plain(getattr(imputer, name)) for name in KEPT},
    }
    write_beside(folder / IMPUTER, said)


def read_columns(folder: Path, imputer: Any) -> dict[str, Any]:
    """Set the columns that the file holds on an imputer; without a file nothing changes.

    Returns:
        The parameters by which the imputer fills rows; none of an older folder.

    Raises:
        ModelFolderError: the file is damaged, or belongs to another model.
    """
    return read_beside(folder / IMPUTER, partial(_set, imputer)) or {}


def _set(imputer: Any, said: Mapping[str, Any]) -> dict[str, Any]:
    empty = np.array(said["empty"], dtype=bool)
    indicator = np.array(said["indicator"], dtype=np.int64)
    names = said["names"]
    if names is not None and len(names) != len(empty):
        raise DataError(f"{len(names)} names of {len(empty)} columns")
    if len(indicator) and not 0 <= indicator.min() <= indicator.max() < len(empty):
        raise DataError("it marks columns that there are not")
    imputer.n_features_in_ = len(empty)
    imputer.empty_, imputer.indicator_ = empty, indicator
    if names is not None:
        imputer.feature_names_in_ = np.array([str(name) for name in names], dtype=object)
    elif hasattr(imputer, "feature_names_in_"):
        del imputer.feature_names_in_
    return _parameters(said.get("parameters", {}))


def _parameters(said: Any) -> dict[str, Any]:
    """The parameters that ``_plain`` wrote."""
    found = {name: dict(said).get(name) for name in KEPT}
    if any(isinstance(value, list | dict) for value in found.values()):
        raise DataError("a parameter is no plain value")
    if (marker := found["missing_values"]) in INFINITE:
        found["missing_values"] = float(marker)
    return {name: value for name, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    """A parameter as JSON has it; a missing value, which is the default, is null."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and math.isinf(value):
        return INFINITE[value > 0]
    usual = isinstance(value, bool | int | float | str) and value == value
    return value if usual else None


def missing_cells(X: Any) -> Array:
    """The mask of missing cells, (rows, columns)."""
    if is_frame(X):
        return np.stack([missing(X.iloc[:, i]) for i in range(X.shape[1])], axis=1)
    values = as_array(X)
    if values.dtype.kind != "f":
        return np.zeros(values.shape, dtype=bool)
    cells: Array = np.isnan(values)
    return cells


def with_gaps(X: Any, marker: Any) -> Any:
    """The rows with NaN instead of ``marker``."""
    import pandas as pd

    if pd.isna(marker):
        return X
    if is_frame(X):
        marked = (marker == X) & _alike(X, marker)
        made = X.copy(deep=False)
        for place in np.flatnonzero(marked.any()):
            # floats have too few digits for whole numbers above 2**53
            made.isetitem(place, with_room_for_gaps(X.iloc[:, place]))
        return made.mask(marked)
    marked = marker == X
    return np.where(marked, np.nan, X) if marked.any() else X


def _alike(X: Any, marker: Any) -> Array:
    """Which columns of a frame have truth values if the marker is one, and none if it is not: 0 and
    False are equal."""
    import pandas as pd

    truth = np.array([pd.api.types.is_bool_dtype(dtype) for dtype in X.dtypes], dtype=bool)
    return np.asarray(truth == isinstance(marker, (bool, np.bool_)))


def without(X: Any, empty: Array) -> Any:
    """The columns with an observed value in the fit."""
    if not empty.any():
        return X
    return X.loc[:, ~empty] if is_frame(X) else X[:, ~empty]


def with_zeros(filled: Any, X: Any, empty: Array) -> Any:
    """The rows with their empty columns in place; missing cells of these are zero in the type of
    the column, and stay missing in a type without a zero: text, levels, dates, objects."""
    if not empty.any():
        return filled
    if not is_frame(X):
        wide = np.where(missing_cells(X), 0, X)
        wide[:, ~empty] = filled
        return wide
    import pandas as pd

    columns, rest = [], iter(range(filled.shape[1]))
    for i in range(X.shape[1]):
        columns.append(_zeros(X.iloc[:, i]) if empty[i] else filled.iloc[:, next(rest)])
    return pd.concat(columns, axis=1)


def _zeros(series: Any) -> Any:
    """A column with zero, or False, in its missing cells, if its type has these."""
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(series.dtype):
        return series
    return series.fillna(False if pd.api.types.is_bool_dtype(series.dtype) else 0)


def with_indicator(filled: Any, X: Any, columns: Array, names: list[str]) -> Any:
    """The rows with a mask of missing cells for some columns of X appended."""
    indicators = missing_cells(X)[:, columns]
    if not is_frame(X):
        return np.hstack([filled, indicators.astype(filled.dtype)])
    import pandas as pd

    beside = pd.DataFrame(indicators, columns=names, index=X.index)
    return pd.concat([filled, beside], axis=1)


@dataclass(eq=False, repr=False)
class VAEImputer(TransformerMixin, FittedEstimator):
    r"""Fills missing cells with a variational autoencoder that was trained with missing cells.

    The encoder reads which cells of a row are observed, x_o. Draws z_k ~ q(z | x_o) are weighted by
    how well they explain x_o (Mattei & Frellsen 2019):

    .. math:: \mathbb{E}[x_m \mid x_o] \approx \sum_k \bar w_k \, \mathbb{E}[x_m \mid z_k]

    Trees of each column given the others are pooled with the model, by weights that are fitted to
    hidden cells (``lowerbound.applications.restoration.column_trees``).

    Training starts at factor analysis fitted to the observed cells, so the model has the linear
    structure before the first update.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 1)) @ np.ones((1, 3))
    >>> X[::2, 1] = np.nan
    >>> imputer = VAEImputer(epochs=2, random_state=0).fit(X)
    >>> completed = imputer.transform(X)
    >>> bool(np.isnan(completed).any()), bool(abs(completed[::2, 1] - X[::2, 0]).max() < 0.5)
    (False, True)

    Rows are a matrix or a pandas frame, with columns of any kind. Missing cells are NaN, None,
    pandas' NA and, in text, "?" and similar marks. Frames are returned as frames with their index
    and types. Observed cells are unchanged, bit for bit. A level that the fit did not see counts as
    missing, with a warning. A row without observed cells gets the mean under the prior. Identifiers
    are not modeled, and their missing cells stay missing.

    Args:
        strategy: "mean" (least squared error; for levels the most probable one), "median" or
            "sample", one draw from p(x_m | x_o). The last two give valid values of a frame's
            column, such as whole numbers; columns of an array are real numbers.
        latent_dim: size of the latent; None: one fewer than columns, 16 at most.
        n_importance: K, latents drawn per row.
        add_indicator: append a column of missing marks for each column with missing cells in the
            fit.
        keep_empty_features: keep columns without any observed value, in their type: as zeros if it
            is of numbers, otherwise (text, levels, dates, objects) with their missing cells. By
            default they are dropped, with a warning.
        missing_values: the value of a missing cell in X, in addition to NaN.
        network_options: options of the network "tabular", such as ``{"hidden": (64, 64)}``.
        likelihood: p(x | z), or "auto": by columns for frames, Gaussian for arrays.
        likelihood_options: options of that likelihood.
        calibration: share of the observed cells that a first fit hides. They calibrate intervals,
            and training is kept only if it improves them over the factor analysis at which it
            starts. This about doubles the time of the fit; 0: no first fit, and no trees. Missing
            cells whose reason is ``missingness`` have no first fit.
        trees: whether trees of each column are pooled with the model, with weights that the hidden
            cells decide; this needs ``calibration``.
        missingness: the reason for missing cells, if you know it: "self_masking_high": high values
            go missing; "self_masking_low": low values; "self_masking": one of the two. The data
            cannot show it, and a wrong choice gives wrong imputations.
        objective: "elbo" or "importance_weighted".
        objective_options: options of that objective, such as ``{"samples": 5}``.
        epochs: passes over the rows; None: from their number, unless ``minutes`` is set.
        minutes: training time; training ends at the first limit of ``epochs`` and ``minutes``.
        batch_size: rows per update.
        learning_rate: Adam's step size at its highest.
        validation: share of the rows held out for early stopping; small tables need every row.
        patience: validations without improvement before training stops; 0: never stops early.
        training_options: further fields of ``lowerbound.training.TrainingOptions``.
        data_options: further keywords of ``lowerbound.data.load``, such as ``{"kinds": {...}}``.
        random_state: an integer makes fit and draws repeatable; None uses a new seed for each fit.
        callbacks: objects that receive the progress of training, such as
            ``lowerbound.training.TensorBoard("runs/1")``; see "Callbacks" in docs/training.md.
        device: where the model computes: "auto", "cpu", "cuda", "cuda:N" or "mps".
        verbose: 1 shows the progress.

    Attributes:
        fitted_: model, schema, options with every default resolved, and history.
        model_: the fitted module.
        history_: the training history.
        calibration_: of the intervals, with the share of hidden cells that the model's own
            intervals covered; None without a first fit.
        trees_: trees of the columns and their weights; None if they add nothing, or without a first
            fit.
        errors_: mean squared error of the hidden cells, in variances of their columns (for levels
            the share of wrong ones), at the start and after training; None without a first fit.
        empty_: whether each column has no observed value, (columns,).
        indicator_: indices of the columns that ``add_indicator`` marks.
        n_features_in_: number of columns.
        feature_names_in_: their names, if X has names.
    """

    strategy: str = "mean"
    _: KW_ONLY
    latent_dim: int | None = None
    n_importance: int = SAMPLES
    add_indicator: bool = False
    keep_empty_features: bool = False
    missing_values: Any = np.nan
    network_options: Mapping[str, Any] | None = None
    likelihood: str = AUTO
    likelihood_options: Mapping[str, Any] | None = None
    calibration: float = HIDDEN_SHARE
    trees: bool = True
    missingness: str = AT_RANDOM
    objective: str = "elbo"
    objective_options: Mapping[str, Any] | None = None
    epochs: int | None = None
    minutes: float | None = None
    batch_size: int = BATCH_SIZE
    learning_rate: float = LEARNING_RATE
    validation: float = 0.0
    patience: int = TrainingOptions.patience
    training_options: Mapping[str, Any] | None = None
    data_options: Mapping[str, Any] | None = None
    random_state: Any = None
    callbacks: Sequence[TrainingReporter] | None = None
    device: str = TrainingOptions.device
    verbose: int = 0

    def fit(self: Self, X: Any, y: Any = None) -> Self:
        """Fit the model to the observed cells of X; y is ignored.

        Raises:
            DataError, ValueError, TypeError: the rows cannot be modeled; the message says where.
            OptionError: a parameter has an invalid value.
        """
        self._check_strategy()
        if not 0 <= self.calibration < 1:
            raise OptionError(f"calibration is a share below 1, not {self.calibration}")
        X = self._checked(X, reset=True)
        gone = missing_cells(X)
        self.empty_: Array = np.asarray(gone.all(0))
        self.indicator_: Array = np.flatnonzero(gone.any(0))
        self._tell_empty(X)
        normal_scores = self.missingness == AT_RANDOM  # a spline fits the observed values alone
        reading = {"missing": "model", "normal_scores": normal_scores, **(self.data_options or {})}
        dataset = construct(load, without(X, self.empty_), options=reading)
        training = {**chosen(TrainingOptions, self), **(self.training_options or {})}
        options = imputation_options(
            dataset,
            chosen(ModelOptions, self),
            {**training, "seed": new_seed(self.random_state)},
            **chosen(FitOptions, self),
        )
        reporter = reporter_for() if self.verbose else None
        share = self.calibration if normal_scores else 0.0
        found = fit_imputer(
            dataset,
            options,
            share,
            self.n_importance,
            with_trees=self.trees,
            reporter=reporter,
            callbacks=self.callbacks,
        )
        self.fitted_, self.calibration_ = found.fitted, found.calibration
        self.errors_, self.trees_ = found.errors, found.trees
        return self

    def transform(self, X: Any) -> Any:
        """The rows with their missing cells filled; complete rows are returned unchanged.

        Raises:
            DataError, ValueError, TypeError: the rows are not of the kind of the fit.
            OptionError: the strategy is unknown.
        """
        check_is_fitted(self)
        self._check_strategy()
        given, X = X, self._checked(X, reset=False)
        rows = self._rows(X)
        if self.strategy == "median":
            answers = self._quantiles(rows, (0.5,))[0]
        else:
            drawn = self.strategy == "sample"
            made = self._impute(rows, int(drawn), self._seed)
            answers = made.draws[0] if made.draws is not None else self._inside(made.mean, rows)
        filled = self._given_back(rows.filled(answers, self.strategy != "mean"), X)
        return with_names_of(filled, given)

    def sample(self, X: Any, n_imputations: int = 5, *, random_state: Any = None) -> Any:
        """Multiple imputation: every missing cell drawn ``n_imputations`` times.

        Args:
            X: rows.
            n_imputations: number of completed tables.
            random_state: None uses the estimator's, so an estimator with a seed repeats its draws.

        Returns:
            (n_imputations, rows, columns), or a list of frames for a frame.
        """
        check_is_fitted(self)
        n_imputations = whole_count(n_imputations, "imputations")
        given, X = X, self._checked(X, reset=False)
        rows = self._rows(X)
        seed = new_seed(self.random_state if random_state is None else random_state)
        draws = self._impute(rows, n_imputations, seed).draws
        tables = [self._given_back(rows.filled(draw, exact=True), X) for draw in draws]
        tables = [with_names_of(table, given) for table in tables]
        return tables if is_frame(X) else np.stack(tables)

    def interval(self, X: Any, level: float = 0.9) -> tuple[Any, Any]:
        """The interval that contains each missing cell with probability ``level``: (low, high).

        The intervals are calibrated on the cells that the first fit hid
        (``lowerbound.applications.restoration.intervals``). Whole numbers, levels and
        other values with steps are often covered more often than ``level``.

        Both are like X, with unchanged observed cells. A column of unordered levels has no
        interval: its missing cells stay missing.

        Raises:
            OptionError: the level is not between 0 and 1.
        """
        check_is_fitted(self)
        if not 0 < level < 1:
            raise OptionError(f"the level of an interval lies between 0 and 1, not {level}")
        given, X = X, self._checked(X, reset=False)
        rows = self._rows(X)
        if self.calibration_ is None:
            ends = tuple(self._quantiles(rows, ((1 - level) / 2, (1 + level) / 2)))
        else:
            found = self._quantiles(rows, self.calibration_.asked(level))
            columns = rows.schema.columns
            ends = self.calibration_.interval(found, level, columns, determined(rows.dataset))
        low, high = (self._given_back(self._unordered(rows, end), X) for end in ends)
        return with_names_of(low, given), with_names_of(high, given)

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Names of the output columns."""
        check_is_fitted(self, "n_features_in_")
        names = _check_feature_names_in(self, input_features)
        kept = names if self.keep_empty_features else names[~self.empty_]
        indicators = self._indicator_names(names) if self.add_indicator else []
        return np.array([*kept, *indicators], dtype=object)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model folder with trees and the calibration of intervals beside it; no pickle."""
        super().save(path)

    def _write_beside(self, folder: Path) -> None:
        super()._write_beside(folder)
        write_calibration(folder, self.calibration_)
        write_trees(folder, self.trees_)
        write_columns(folder, self)

    @classmethod
    def load(cls: type[Self], path: str | os.PathLike[str], **parameters: Any) -> Self:
        """Read a model folder whose model was fitted with missing cells.

        Args:
            path: the folder.
            parameters: parameters of the estimator instead of those of the folder, which are the
                ones by which rows are filled: ``strategy``, ``n_importance``, ``add_indicator``,
                ``keep_empty_features``, ``missing_values`` and the seed.

        Raises:
            ModelFolderError: the folder is missing or altered.
            DataError: the model was fitted to complete rows, or its rows are not a table.
        """
        fitted = model_folder.read(Path(path), parameters.get("device", TrainingOptions.device))
        if not (fitted.schema.missing and fitted.schema.columns):
            raise DataError(
                f"{path} was fitted to complete rows or to pictures; fit a table with "
                "VAEImputer, or with lowerbound fit --missing model"
            )
        imputer = cls(random_state=fitted.options.training.seed)
        describe(imputer, fitted.schema)
        imputer.fitted_ = fitted
        imputer.calibration_ = read_calibration(Path(path), len(fitted.schema.columns))
        imputer.errors_ = None
        imputer.trees_ = read_trees(Path(path), fitted.schema.columns)
        imputer.empty_ = np.zeros(imputer.n_features_in_, dtype=bool)
        imputer.indicator_ = np.arange(imputer.n_features_in_)
        kept = read_columns(Path(path), imputer)
        imputer.set_params(**{**kept, **parameters})
        return imputer

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _check_strategy(self) -> None:
        if self.strategy not in STRATEGIES:
            raise unknown("strategy", self.strategy, STRATEGIES)

    def _checked(self, X: Any, reset: bool) -> Any:
        """X validated by scikit-learn's rules, with missing cells as NaN."""
        X = as_frame(X)
        # if the fit saw no column names, columns are matched by position
        if is_frame(X) and (reset or hasattr(self, "feature_names_in_")):
            check_filled(X)
            X = with_text_names(X)
            validate_data(self, X, reset=reset, skip_check_array=True)
        else:
            X = checked_numbers(
                self,
                X,
                reset=reset,
                ensure_all_finite=False,  # the reader's own error names column and rows
                ensure_min_samples=2 if reset else 1,
            )
        X = with_gaps(X, self.missing_values)
        # numbers of nested lists with None are objects
        return as_array(X) if not is_frame(X) and X.dtype == object else X

    def _rows(self, X: Any) -> IncompleteColumns:
        kept = without(X, self.empty_)
        with warnings.catch_warnings():
            # the fit has already left out identifiers
            warnings.filterwarnings("ignore", "the model was not fitted on column")
            return IncompleteColumns(kept, load(kept, schema=self.fitted_.schema))

    def _impute(self, rows: IncompleteColumns, draws: int, seed: int) -> Any:
        return impute(
            self.model_,
            rows.dataset,
            samples=self.n_importance,
            draws=draws,
            seed=seed,
            trees=self.trees_,
        )

    def _inside(self, mean: Array, rows: IncompleteColumns) -> Array:
        """Means inside the observed range, unless cells are missing because of their size."""
        at_random = self.fitted_.options.model.normal_scores
        return within_observed(mean, rows.dataset) if at_random else mean

    def _quantiles(self, rows: IncompleteColumns, shares: Sequence[float] | Array) -> Array:
        return imputed_quantiles(
            self.model_,
            rows.dataset,
            shares,
            samples=self.n_importance,
            draws=DRAWS,
            seed=self._seed,
            trees=self.trees_,
        )

    def _unordered(self, rows: IncompleteColumns, end: Array) -> Any:
        """The filled rows, but columns of unordered levels keep their missing cells."""
        filled = rows.filled(end, exact=True)
        for i, column in enumerate(rows.schema.columns):
            if not column.rules.ordered and is_frame(filled):
                series = filled[column.name]
                filled[column.name] = series.mask(rows.hidden[:, i])
        return filled

    def _given_back(self, filled: Any, X: Any) -> Any:
        """The result with empty columns and indicator, if requested."""
        if self.keep_empty_features:
            filled = with_zeros(filled, X, self.empty_)
        if not self.add_indicator:
            return filled
        names = self._indicator_names(_check_feature_names_in(self, None))
        return with_indicator(filled, X, self.indicator_, names)

    def _indicator_names(self, names: Array) -> list[str]:
        return [f"missingindicator_{names[i]}" for i in self.indicator_]

    def _tell_empty(self, X: Any) -> None:
        names = list(X.columns) if is_frame(X) else [f"x{i}" for i in range(X.shape[1])]
        empty = [name for name, is_empty in zip(names, self.empty_, strict=True) if is_empty]
        if len(empty) == len(names):
            raise DataError("every value is missing: there is nothing to learn from")
        if empty and not self.keep_empty_features:
            warnings.warn(
                f"no value was observed in {named(empty)}: dropped; keep_empty_features=True keeps "
                "such columns, of numbers as zeros",
                UserWarning,
                stacklevel=3,
            )
