"""Synthetic rows of a table, as a scikit-learn estimator."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from lowerbound.applications.common.estimators.base import FittedEstimator, read_names
from lowerbound.applications.common.estimators.inputs import (
    as_frame,
    as_numbers,
    checked_numbers,
    describe,
    is_frame,
    new_seed,
    with_names,
    with_names_of,
    with_text_names,
)
from lowerbound.applications.release.synthesizer_fit import SynthesizerOptions, fit_synthesizer
from lowerbound.data.columns.inference import Hint
from lowerbound.data.protection.record import LEAST_PEOPLE, Protection
from lowerbound.errors import DataError
from lowerbound.fitting import folder as model_folder
from lowerbound.inference.tables import TableSource
from lowerbound.parts import AUTO
from lowerbound.training.callbacks import with_callbacks
from lowerbound.training.options import TrainingOptions
from lowerbound.training.reporter import TrainingReporter, reporter_for

if TYPE_CHECKING:
    from lowerbound.applications.release.release_audit import ReleaseAudit
    from lowerbound.applications.release.requests import AuditOptions

FROM_ARRAY = "array"  # key in the details of a schema: the fitted rows were an array, without names


@dataclass(eq=False, repr=False)
class TableSynthesizer(FittedEstimator):
    r"""Learns a table and draws synthetic rows with its columns, types, ranges and constraints.

    The model is a VAE whose decoder draws each column given z and any other columns,

    .. math:: p(x \mid z) = \prod_j p(x_j \mid z, x_{<j}),

    in any order, so that columns can be given without rejecting rows
    (``lowerbound.likelihoods.autoregressive.columns``). The rows of a fit keep their types, pandas
    categories and nullable types included; their resolution: whole numbers, cents and days stay so;
    their ranges; and the pattern of missing cells.

    No value is drawn that fewer than ``least_people`` entities have: names, mails and other columns
    that identify people get fresh values of the same format, other rare levels become frequent
    ones, numbers and dates are bounded, and free text is left out; ``protection_`` has the record.
    Synthetic rows are not anonymous by that alone: see ``audit``, and ``lowerbound private-table``
    for a guarantee.

    >>> import numpy as np, pandas as pd
    >>> age = np.random.default_rng(0).integers(18, 90, 300)
    >>> people = pd.DataFrame({"age": age, "old": np.where(age > 60, "yes", "no")})
    >>> synthesizer = TableSynthesizer(minutes=0.02, random_state=0).fit(people)
    >>> synthesizer.sample(3).dtypes.equals(people.dtypes)
    True
    >>> synthesizer.sample(100, given={"old": "yes"})["old"].unique().tolist()
    ['yes']

    Args:
        constraints: ranges and inequalities that every row fulfills: "age >= 18", "start <= end".
        combinations: columns of which only combinations in the data occur: ("city", "country").
        kinds: of columns, if the inferred ones are wrong: {"zip": "categorical"}.
        prior: p(z): "standard_normal", "mixture", "flow", "diffusion", or "auto", which chooses
            among the first three by held-out rows.
        minutes: training time; None: from the number of rows and columns.
        least_people: entities that a value needs to be drawn; 1: values are not protected. See
            "Values are protected" in docs/synthetic_tables.md.
        entity: the column whose values are the entities, if a person has several rows; None: each
            row is one.
        random_state: an integer makes fit and draws repeatable; None uses a new seed for each.
        callbacks: objects that receive the progress of training, such as
            ``lowerbound.training.TensorBoard("runs/1")``; see "Callbacks" in docs/training.md.
        device: where the model computes: "auto", "cpu", "cuda", "cuda:N" or "mps".
        verbose: 1 shows the progress.

    Attributes:
        fitted_: model, schema, options with every default resolved, and history.
        model_: the fitted module.
        history_: the training history.
        n_features_in_: number of columns.
        feature_names_in_: their names, if X has names.
    """

    _: KW_ONLY
    constraints: Sequence[str] = ()
    combinations: Sequence[Sequence[str]] = ()
    kinds: Mapping[str, Hint] | None = None
    prior: str = AUTO
    minutes: float | None = None
    least_people: int = LEAST_PEOPLE
    entity: str | None = None
    random_state: Any = None
    callbacks: Sequence[TrainingReporter] | None = None
    device: str = TrainingOptions.device
    verbose: int = 0

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model to the rows of X, a pandas frame or a matrix; y is ignored.

        Raises:
            DataError, ValueError, TypeError: the rows cannot be modeled, are too few to be
                protected, or do not fulfill a constraint.
            OptionError: a constraint cannot be parsed, or a column or prior does not exist.
        """
        X = as_frame(X)
        self._given_columns = X.columns if is_frame(X) else None
        frame = self._frame(self._checked(X, reset=True))
        options = SynthesizerOptions(
            constraints=tuple(self.constraints),
            combinations=tuple(self.combinations),
            kinds=self.kinds,
            prior=self.prior,
            minutes=self.minutes,
            least_people=self.least_people,
            entity=self.entity,
            seed=new_seed(self.random_state),
            device=self.device,
        )
        reporter = with_callbacks(reporter_for() if self.verbose else None, self.callbacks)
        self.fitted_ = fit_synthesizer(frame, options, reporter=reporter)
        self.frames_ = is_frame(X)
        if not self.frames_:
            schema = self.fitted_.schema
            schema = replace(schema, details={**schema.details, FROM_ARRAY: True})
            self.fitted_ = replace(self.fitted_, schema=schema)
        return self

    @property
    def protection_(self) -> Protection:
        """What was protected in the fitted rows."""
        check_is_fitted(self)
        return Protection.of(self.fitted_.schema.details) or Protection(least_people=1)

    def sample(
        self,
        n_samples: int = 1,
        *,
        given: Mapping[str, Any] | None = None,
        complete: bool = False,
        random_state: Any = None,
    ) -> Any:
        """New rows, like X.

        Row i depends on the seed and on i only: more rows begin with the same ones.

        Args:
            n_samples: how many.
            given: values that columns have in all rows: {"sex": "Female"}. Rows are drawn from the
                model conditioned on them; none is drawn and rejected.
            complete: draw no missing cells; otherwise they are as frequent as in X, and depend on
                the other columns as there.
            random_state: None uses the estimator's; if that is None too, each call draws anew.

        Raises:
            OptionError: a negative number, an unknown column or level, or values that cannot occur
                together.
        """
        check_is_fitted(self)
        source = TableSource(self.fitted_, complete=complete)
        seed = self._draw_seed(random_state)
        if given:
            rows = source.with_given(given, seed).frames(n_samples)
        else:
            rows = source.blocks(n_samples, seed)
        return self._joined(list(rows))

    def complete(self, X: Any, *, random_state: Any = None) -> Any:
        """The rows of X with missing cells, and columns that X does not have, drawn.

        Given cells keep their values.

        Raises:
            OptionError: an unknown column or level, or given cells that cannot occur together.
        """
        check_is_fitted(self)
        X = as_frame(X)
        frame = with_text_names(X) if is_frame(X) else self._frame(as_numbers(X))
        rows = TableSource(self.fitted_).completed(frame, None, self._draw_seed(random_state))
        made = self._joined(list(rows))
        made = made.set_axis(X.index, axis=0) if is_frame(X) and is_frame(made) else made
        return with_names_of(made, X)

    def evaluate(
        self, X: Any, *, label: str | None = None, holdout: Any = None, random_state: Any = None
    ) -> ReleaseAudit:
        """Draw as many rows as X has and measure them; see ``audit``."""
        count = len(X)
        drawn = self.sample(count, random_state=random_state)
        return self.audit(X, holdout, synthetic=drawn, label=label)

    def audit(
        self,
        X: Any,
        holdout: Any = None,
        *,
        synthetic: Any = None,
        label: str | None = None,
        options: AuditOptions | None = None,
    ) -> ReleaseAudit:
        """Usefulness and privacy of synthetic rows, side by side; see ``lowerbound audit``.

        Args:
            X: the rows of the fit.
            holdout: rows of the same source that the fit has not seen; attacks and learners need
                them.
            synthetic: the rows to be released; None draws as many as X has.
            label: the column that learners predict.
            options: sizes.

        Raises:
            DataError: too few rows, other columns, or a holdout that shares rows with X.
        """
        from lowerbound.applications.release.evidence import AuditedTables
        from lowerbound.applications.release.release_audit import audit_tables

        check_is_fitted(self)
        if synthetic is None:
            synthetic = self.sample(len(X))
        tables = [None if rows is None else self._frame(rows) for rows in (X, synthetic, holdout)]
        real, made, held = tables
        return audit_tables(AuditedTables.of(real, made, held, label, self.kinds), options)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **parameters: Any) -> Self:
        """Read a model folder of ``save``, or of ``lowerbound synthesizer``.

        Args:
            path: the folder.
            parameters: parameters of the estimator; those of the fit are in the folder.

        Raises:
            ModelFolderError: the folder is missing or altered.
            UnsupportedError: the model is not of a table.
        """
        fitted = model_folder.read(Path(path), parameters.get("device", TrainingOptions.device))
        form = TableSource(fitted).form
        made = cls(**{"random_state": fitted.options.training.seed, **parameters})
        describe(made, fitted.schema)
        made.n_features_in_ = len(form.columns)
        made._given_columns = read_names(Path(path))
        made.fitted_, made.frames_ = fitted, FROM_ARRAY not in fitted.schema.details
        if made.frames_:
            made.feature_names_in_ = np.array([each.name for each in form.columns], dtype=object)
        else:
            del made.feature_names_in_
        return made

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _draw_seed(self, random_state: Any) -> int:
        return new_seed(self.random_state if random_state is None else random_state)

    def _checked(self, X: Any, reset: bool) -> Any:
        """X validated by scikit-learn's rules."""
        if is_frame(X):
            X = with_text_names(X)
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X
        return checked_numbers(
            self, X, reset=reset, ensure_all_finite="allow-nan", ensure_min_samples=2
        )

    def _frame(self, X: Any) -> Any:
        """The rows as a frame; columns of a matrix are x0, x1, ..."""
        import pandas as pd

        X = as_frame(X)
        if is_frame(X):
            return X
        values = np.asarray(X)
        if values.ndim != 2:
            raise DataError(f"expected (rows, columns), found an array of shape {values.shape}")
        made = pd.DataFrame(values, columns=[f"x{i}" for i in range(values.shape[1])])
        return made.infer_objects()  # numbers of nested lists with None are objects

    def _joined(self, frames: list[Any]) -> Any:
        import pandas as pd

        made = pd.concat(frames, ignore_index=True)
        return with_names(made, self._given_columns) if self.frames_ else made.to_numpy()
