"""The autoencoder as a scikit-learn estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from lowerbound.estimators.trained import TrainedEstimator
from lowerbound.inference.reconstruction import reconstruction_error


@dataclass(eq=False, repr=False, kw_only=True)
class Autoencoder(TrainedEstimator):
    """Autoencoder: z = f(x), x' = g(z), trained only to reconstruct x.

    It has no prior, so it cannot sample and gives no bound on log p(x): there is no
    ``score_samples``. Compare it with ``VAE`` to see the effect of the prior.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3)) @ np.ones((3, 5))
    >>> Autoencoder(latent_dim=1, epochs=5, random_state=0).fit(X).transform(X).shape
    (200, 1)

    Parameters and attributes are as for ``VAE``, without those of prior, posterior, objective and
    importance samples. ``likelihood="gaussian"`` gives a squared error, "laplace" an absolute one.
    """

    kind: ClassVar[str] = "autoencoder"

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log p(x | z = f(x)), nats per row in the units of X; higher is better.

        The objective has no rate, so the score does not bound log p(x) and cannot be compared with
        that of a ``VAE``. It ranks the reconstructions of autoencoders with the same likelihood.
        """
        error = reconstruction_error(self.model_, self._read(X, y))
        return -error.log_loss.mean
