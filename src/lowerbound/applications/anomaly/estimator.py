"""Anomaly detection as a scikit-learn estimator, by PyOD's conventions where asked.

These are: higher is worse, 1 is an anomaly, 0 is a normal row. PyOD itself is neither needed nor
imported: only its names, signs and shapes are used.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy import stats
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils.validation import check_is_fitted

from lowerbound.applications.anomaly.conformal import (
    ConformalCalibration,
    check_rate,
    raised,
    rows_needed,
)
from lowerbound.applications.anomaly.detector_file import DetectorState, read_state, write_state
from lowerbound.applications.anomaly.reference import (
    Reference,
    check_score,
    compared,
    learn_reference,
    usual_shares,
)
from lowerbound.applications.anomaly.scores import rebuild
from lowerbound.applications.common.estimators import inputs
from lowerbound.applications.common.estimators.inputs import learn_columns, new_seed
from lowerbound.applications.common.estimators.vae import VAE
from lowerbound.applications.common.fit_rows import seen_and_fresh
from lowerbound.data.arrays import Array
from lowerbound.data.columns.values import free_name
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.errors import OptionError
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.model import fit
from lowerbound.inference.shares import Shares, shares
from lowerbound.models.options import ModelOptions
from lowerbound.networks.base import NETWORKS
from lowerbound.parts import AUTO

CALIBRATION = 0.2  # share of the rows that set the threshold if contamination is "clean"
TRIMMED = 0.1  # share of the rows that the second fit leaves out if contamination is "auto"
REFITS = 1
PAIRS: dict[str, Any] = {  # the second channel depends on the first, at each pixel
    "likelihood": "discretized_logistic_mixture",
    "likelihood_options": {"components": 3},
}


@dataclass(eq=False, repr=False, kw_only=True)
class VAEDetector(OutlierMixin, VAE):
    r"""Finds anomalies: rows unlike the training rows, by a variational autoencoder.

    Signs are scikit-learn's: ``score_samples`` and ``decision_function`` are lower for worse rows,
    ``predict`` returns -1 for an anomaly and +1 for a normal row, and ``decision_function`` is
    ``score_samples - offset_``. ``anomaly_score`` is higher for worse rows.

    The default score needs no labels. For tables it is

    .. math:: \tfrac12 (r_\text{bound} + r_\text{reconstruction}) + r_\text{latent}
              + r_\text{neighbors}

    where r = -log p and p is the share of normal rows that score at least as high
    (``lowerbound.applications.anomaly.reference``), and among anomalies the bound and the two
    distances without the model. For pictures it is only the first term; for pictures of a surface,
    in which the place of a pixel says nothing, it is "surroundings".

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(300, 2)) @ np.ones((2, 4))
    >>> detector = VAEDetector(epochs=5, random_state=0).fit(X)
    >>> detector.predict([[9.0, -9.0, 9.0, -9.0]])
    array([-1])

    Args:
        criterion: "combined", "bound" (-L_K, nats), "reconstruction" (-log p(x | z), nats),
            "latent" (distance to the fitted rows through their codes, in standard deviations); for
            tables also "neighbors" and "mahalanobis" (distances without the model), and "unseen"
            (nats of values that the fit did not see, and of dependencies of columns that the row
            breaks); for pictures also "surroundings" (how rare the pixels are among the pixels
            around them, nats).
        contamination: "clean": all training rows are normal; "auto": some are not, so a second fit
            leaves out the worst, and a table's model stays at factor analysis unless ``epochs`` or
            ``minutes`` request more; a share up to 0.5: the same, but the threshold flags that
            share of the training rows.
        false_alarm_rate: share of normal rows that ``predict`` may flag; it holds for new rows by
            conformal calibration, for every model. No effect if ``contamination`` is a share.
        calibration: share of the rows that are not fitted on and set the threshold; at least the
            1 / rate - 1 rows that ``false_alarm_rate`` requires. If there are too few rows, all are
            fitted on, with a warning; 0 does the same without a warning.
        n_importance: most latents drawn per row for the bound; 4 are drawn where their weights are
            even.
        latent_dim and all others: as for ``VAE``. Matrices of numbers are modeled
            column by column, each through its own quantile-normal map. In pictures of two channels,
            such as a template and a picture, the second channel of a pixel depends on the first.

    Attributes:
        offset_: minus the anomaly score above which a row is an anomaly.
        reference_: scores and decoded positions of normal rows.
        calibration_: scores of the calibration rows.
        criterion_: criterion of the threshold and of these scores.
        fitted_, model_, history_, n_iter_, n_features_in_, feature_names_in_: as for ``VAE``.
    """

    criterion: str = "combined"
    contamination: Any = "clean"
    false_alarm_rate: float = 0.05
    calibration: float = CALIBRATION

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the detector to X; y is ignored.

        Raises:
            OptionError: criterion, contamination or false_alarm_rate is invalid.
            DataError: the rows cannot be modeled.

        Warns:
            UserWarning: too few rows to set some aside for the threshold.
        """
        self._check()
        dataset = self._learn(X)
        training, apart = self._apart(dataset)
        fitted, normal = self._robust(training)
        self._adopt(fitted)
        # set the reference from normal rows, by held-out ones if training held some out
        seen, fresh = seen_and_fresh(normal, self.fitted_.options.training)
        model, samples, seed = self.model_, self.n_importance, self._seed
        clean = self.contamination == "clean"
        self.usual_ = usual_shares(model, seen, samples=samples, seed=seed)
        self.reference_ = learn_reference(
            model, seen, fresh, usual=self.usual_, clean=clean, samples=samples, seed=seed
        )
        rows, self.criterion_ = dataset if apart is None else apart, self.criterion
        self.calibration_ = ConformalCalibration.of(self._anomalies(rows))
        if apart is None:
            share = self._share if self._share is not None else self.false_alarm_rate
            self.offset_ = -raised(float(np.quantile(self.calibration_.scores, 1 - share)))
        else:
            self.offset_ = -self.calibration_.threshold(self.false_alarm_rate)
        return self

    def anomaly_score(self, X: Any) -> Array:
        """The anomaly score of each row by ``criterion``, (rows,); higher is worse."""
        return self._anomalies(self._read(X))

    def score_samples(self, X: Any, y: Any = None) -> Array:
        """Minus ``anomaly_score``, (rows,): lower is worse."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> Array:
        """``score_samples - offset_``, (rows,): below zero for anomalies.

        Raises:
            OptionError: ``criterion`` was changed after the fit.
        """
        self._check_calibrated()
        difference: Array = self.score_samples(X) - self.offset_
        return difference

    def predict(self, X: Any) -> Array:
        """-1 for anomalies, +1 for normal rows, (rows,); raises as ``decision_function``."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: Any) -> Array:
        """The probability that a normal row scores at least as high, (rows,).

        If rows were set aside, p-values of new normal rows are uniform or larger. If
        ``contamination`` is a share, they are ranks among the training rows, anomalies included.

        Raises:
            OptionError: ``criterion`` was changed after the fit.
        """
        self._check_calibrated()
        return self.calibration_.p_values(self.anomaly_score(X))

    def components(self, X: Any) -> Any:
        """All scores of each row, a pandas frame; higher is worse."""
        import pandas as pd

        index = X.index if inputs.is_frame(X) else None
        return pd.DataFrame(self._compared(self._read(X)), index=index)

    def explain(self, X: Any, *, excess: bool = True) -> Any:
        """Which features make the bound low: nats of each, and "rate" for the code.

        Args:
            X: rows.
            excess: subtract the average share among the training rows; False: the shares of a row
                sum to its "bound" among ``components``.

        Returns:
            A pandas frame, (rows, columns + 1), in which a constant column appears only if some of
            the rows have another value there; for pictures an array, (rows, H, W), which is the
            rarity of each pixel among those around it if the score is "surroundings".
        """
        dataset = self._read(X)
        surface = self.reference_.surface
        if excess and surface is not None and self.reference_.by_surroundings(self.criterion):
            return surface.heat(rebuild(self.model_, dataset).row).numpy()
        found = self._shares(dataset)
        found = found.above(self.usual_, dataset.observed) if excess else found
        if dataset.schema.data_kind.pictures:
            return found.pixels(dataset.schema.event_shape).numpy()
        import pandas as pd

        index = X.index if inputs.is_frame(X) else None
        nats = _nats_of_columns(dataset, found, self.reference_)
        rate = {free_name("rate", list(nats)): found.rate.numpy()}
        return inputs.with_names_of(pd.DataFrame({**nats, **rate}, index=index), X)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model folder with the detector's reference beside it; no pickle.

        Raises:
            OptionError: ``criterion`` was changed after the fit.
        """
        self._check_calibrated()
        super().save(path)

    def _write_beside(self, folder: Path) -> None:
        super()._write_beside(folder)
        state = DetectorState(self.reference_, self.calibration_, self.usual_, self.offset_)
        write_state(folder, state, {name: getattr(self, name) for name in _KEPT})

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str = VAE.device, **parts: Any) -> Self:
        """Read what ``save`` wrote; ``parts`` as for ``VAE.load``.

        Args:
            path: the folder, written on any device.
            device: as for ``VAE.load``.

        Raises:
            OptionError: this machine has no such device.
            ModelFolderError: the folder is missing, altered, or holds no detector.
        """
        detector = super().load(path, device, **parts)
        state, parameters = read_state(Path(path))
        detector.set_params(**parameters)
        detector.reference_, detector.calibration_ = state.reference, state.calibration
        detector.criterion_ = detector.criterion
        detector.usual_, detector.offset_ = state.usual, state.offset
        return detector

    # fitting --------------------------------------------------------------------------------------

    def _check(self) -> None:
        check_score(self.criterion)
        check_rate(self.false_alarm_rate)
        if not 0 <= self.calibration < 1:
            raise OptionError(f"calibration is a share below 1, not {self.calibration}")
        if not (isinstance(self.contamination, Real) or self.contamination in ("clean", "auto")):
            raise OptionError(
                f"contamination is 'clean', 'auto' or a share, not {self.contamination!r}"
            )
        share = self._share
        if share is not None and not 0 < share <= 0.5:
            raise OptionError(f"contamination is a share above 0 and up to 0.5, not {share}")

    @property
    def _share(self) -> float | None:
        """The share of anomalies among the training rows, if it is given."""
        return None if isinstance(self.contamination, str) else float(self.contamination)

    def _apart(self, dataset: Dataset) -> tuple[Dataset, Dataset | None]:
        """The rows to fit on, and the calibration rows or None."""
        if self._share is not None or self.calibration == 0:
            return dataset, None
        needed = rows_needed(self.false_alarm_rate)
        count = max(needed, round(self.calibration * len(dataset)))
        if 2 * count > len(dataset):
            warnings.warn(
                f"a false-alarm rate of {self.false_alarm_rate:g} takes at least {needed:,} "
                f"rows that nothing is fitted on, and {len(dataset):,} rows are too few to set "
                "them aside: the threshold is taken from the rows fitted on, so expect more "
                "false alarms",
                UserWarning,
                stacklevel=3,
            )
            return dataset, None
        return dataset.split(count / len(dataset), self._new_seed)

    def _robust(self, training: Dataset) -> tuple[Fitted, Dataset]:
        """A model and its training rows: all, or the least anomalous if contaminated."""
        options = self._options(self._new_seed)
        fitted, normal = fit(training, options, reporter=self._reporter()), training
        for _ in range(0 if self.contamination == "clean" else REFITS):
            normal = training.subset(self._least_odd(fitted, training))
            fitted = fit(normal, options, reporter=self._reporter())
        return fitted, normal

    def _least_odd(self, fitted: Fitted, training: Dataset) -> Array:
        """The rows without the share that counts as anomalies, in their order."""
        model, samples, seed = fitted.model, self.n_importance, self._new_seed
        usual = None
        if training.observed is not None:
            usual = usual_shares(model, training, samples=samples, seed=seed)
        reference = learn_reference(
            model, training, usual=usual, clean=False, samples=samples, seed=seed
        )
        reference.check(self.criterion)
        odd = compared(model, reference, training, samples=samples, seed=seed)[self.criterion]
        dropped = TRIMMED if self._share is None else self._share
        count = max(2, round((1 - dropped) * len(training)))
        kept: Array = np.sort(np.argsort(odd, kind="stable")[:count])
        return kept

    def _options(self, seed: int) -> Any:
        options = super()._options(seed)
        model, training = options.model, options.training
        if self._of_pairs and model.likelihood == AUTO:
            return replace(options, model=replace(model, **PAIRS))
        if not self._by_columns:
            return options
        network = "tabular" if model.network == AUTO else model.network
        likelihood = "mixed" if model.likelihood == AUTO else model.likelihood
        limits = training.epochs, training.updates, training.minutes
        unlimited = limits == (None, None, None)
        if self.contamination != "clean" and NETWORKS[network].full_posterior and unlimited:
            # factor analysis has too few parameters to memorize anomalies
            training = replace(training, updates=1)
        model = replace(model, network=network, likelihood=likelihood)
        return replace(options, model=model, training=training)

    # reading and scoring --------------------------------------------------------------------------

    def _learn(self, X: Any) -> Dataset:
        self._new_seed = new_seed(self.random_state)
        X = inputs.as_frame(X)
        plain = inputs.is_frame(X) or not inputs.is_matrix(X)
        numbers_only = ModelOptions(self.kind, likelihood=self.likelihood).numbers_only
        self._by_columns = not plain and not numbers_only
        self._of_pairs = False
        if not self._by_columns:
            dataset = super()._learn(X)
            self._of_pairs = _are_pairs(dataset.schema)
            self._by_columns = dataset.schema.data_kind.named_columns and self.likelihood == AUTO
            return dataset
        return learn_columns(self, X, self._data_options())

    def _compared(self, dataset: Dataset) -> dict[str, Array]:
        samples, seed = self.n_importance, self._seed
        return compared(self.model_, self.reference_, dataset, samples=samples, seed=seed)

    def _shares(self, dataset: Dataset) -> Shares:
        free = self.reference_.unit_free
        return shares(
            self.model_, dataset, samples=self.n_importance, seed=self._seed, unit_free=free
        )

    def _anomalies(self, dataset: Dataset) -> Array:
        self.reference_.check(self.criterion)
        return self._compared(dataset)[self.criterion]

    def _check_calibrated(self) -> None:
        check_is_fitted(self)
        if self.criterion != self.criterion_:
            raise OptionError(
                f"the threshold and the p-values are of criterion={self.criterion_!r}, and it is "
                f"now {self.criterion!r}: fit again, or use score_samples, which needs no threshold"
            )

    def _read(self, X: Any, y: Any = None) -> Dataset:
        check_is_fitted(self)
        return super()._read(X, y)


def _nats_of_columns(dataset: Dataset, found: Shares, reference: Reference) -> dict[str, Array]:
    """Nats of each modeled column, and of each other with a value that the fit did not see."""
    features = found.features.flatten(1).numpy()
    nats = {c.name: features[:, place] for place, c in enumerate(dataset.schema.modeled)}
    new = reference.nats_of_columns(dataset)
    for place in np.flatnonzero(new.any(0)):
        name = dataset.schema.columns[place].name
        # the model treats an unseen value as missing, so it has no share there
        nats[name] = nats.get(name, np.zeros(len(dataset))) + new[:, place]
    return nats


def _are_pairs(schema: Schema) -> bool:
    """Whether rows are pictures of two channels of levels, such as a template and a picture."""
    leveled = schema.data_kind.pictures and (schema.levels or 0) > 2
    return leveled and schema.event_shape[0] == 2


_KEPT = ("criterion", "contamination", "false_alarm_rate", "calibration", "n_importance")


@dataclass(eq=False, repr=False)
class PyODDetector(BaseEstimator):
    """A ``VAEDetector`` with the interface of PyOD's detectors.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 2)) @ np.ones((2, 4))
    >>> detector = PyODDetector(contamination=0.1, detector=VAEDetector(epochs=5, random_state=0))
    >>> int(detector.fit(X).labels_.sum())
    20

    Args:
        contamination: share of anomalies among the training rows, above 0 and up to 0.5.
        detector: supplies the other parameters; None: a ``VAEDetector`` with its defaults.
        random_state: seeds the fit; None: that of ``detector``.

    Attributes:
        decision_scores_: scores of the training rows, higher is worse, (rows,).
        threshold_: score above which a row is an anomaly.
        labels_: 1 for each training row that is an anomaly, otherwise 0, (rows,).
        detector_: the fitted ``VAEDetector``.
        n_features_in_, feature_names_in_: as for ``VAE``.
    """

    contamination: float = 0.1
    detector: VAEDetector | None = None
    random_state: Any = None

    @property
    def n_features_in_(self) -> int:
        return int(self._fitted().n_features_in_)

    @property
    def feature_names_in_(self) -> Array:
        names: Array = self._fitted().feature_names_in_
        return names

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the detector to X; y is ignored.

        Raises:
            OptionError: contamination is not above 0 and up to 0.5.
        """
        chosen = VAEDetector() if self.detector is None else clone(self.detector)
        chosen.set_params(contamination=float(self.contamination))
        if self.random_state is not None:
            chosen.set_params(random_state=self.random_state)
        self.detector_ = chosen.fit(X)
        self.decision_scores_ = self.decision_function(X)
        self.threshold_ = -self.detector_.offset_
        self.labels_ = (self.decision_scores_ > self.threshold_).astype(int)
        return self

    def decision_function(self, X: Any) -> Array:
        """The anomaly score of each row, (rows,); higher is worse."""
        return self._fitted().anomaly_score(X)

    def predict(self, X: Any, return_confidence: bool = False) -> Any:
        """1 for anomalies, 0 for normal rows, (rows,).

        Args:
            X: the rows.
            return_confidence: return ``predict_confidence`` of the rows too.
        """
        scores = self.decision_function(X)
        labels = (scores > self.threshold_).astype(int)
        return (labels, self._confidence(scores)) if return_confidence else labels

    def predict_confidence(self, X: Any) -> Array:
        r"""How sure it is that another sample of training rows would give the same label, (rows,).

        .. math:: P(\text{anomaly}) = P\big(B > n - \lfloor n\gamma \rfloor\big), \quad
            B \sim \text{Binomial}\Big(n, \frac{1 + m}{2 + n}\Big)

        with n training rows, m of which score at most as high as the row, and the contamination
        gamma. Source: Perini, Vercruyssen & Davis 2020, "Quantifying the Confidence of Anomaly
        Detectors in Their Example-Wise Predictions" (ExCeeD).
        """
        return self._confidence(self.decision_function(X))

    def _confidence(self, scores: Array) -> Array:
        count = len(self.decision_scores_)
        below = np.searchsorted(np.sort(self.decision_scores_), scores, side="right")
        normal = count - int(count * self.contamination)
        odd = stats.binom.sf(normal, count, (1 + below) / (2 + count))
        return np.asarray(np.where(scores > self.threshold_, odd, 1 - odd))

    def fit_predict(self, X: Any, y: Any = None) -> Array:
        """``labels_`` after ``fit``."""
        labels: Array = self.fit(X).labels_
        return labels

    def predict_proba(self, X: Any, return_confidence: bool = False) -> Any:
        """(probability of a normal row, of an anomaly), (rows, 2): PyOD's linear unification.

        The score is scaled linearly between the lowest and the highest of the training rows.

        Args:
            X: the rows.
            return_confidence: return ``predict_confidence`` of the rows too.
        """
        scores = self.decision_function(X)
        low, high = self.decision_scores_.min(), self.decision_scores_.max()
        odd = ((scores - low) / max(high - low, np.finfo(float).tiny)).clip(0, 1)
        shares = np.stack([1 - odd, odd], axis=1)
        return (shares, self._confidence(scores)) if return_confidence else shares

    def _fitted(self) -> VAEDetector:
        check_is_fitted(self, "detector_")
        return self.detector_
