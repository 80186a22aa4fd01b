"""The detector by PyOD's conventions: higher is worse, 1 is an anomaly, 0 is a normal row.

PyOD itself is neither needed nor imported: only its names, signs and shapes are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import stats
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from lowerbound.data.arrays import Array
from lowerbound.estimators.detector import VAEDetector


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
