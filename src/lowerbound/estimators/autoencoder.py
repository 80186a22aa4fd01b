"""The autoencoder as a scikit-learn estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from lowerbound.estimators.trained import TrainedEstimator
from lowerbound.inference.reconstruction import reconstruction_error


@dataclass(eq=False, repr=False, kw_only=True)
class Autoencoder(TrainedEstimator):
    """Autoencoder: z = f(x), x' = g(z), trained to give x back and for nothing else.

    It has no prior, so it cannot be sampled from and says nothing about log p(x): there is no
    ``score_samples``. It stands beside ``VAE`` to show what the prior is good for.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3)) @ np.ones((3, 5))
    >>> Autoencoder(latent_dim=1, epochs=5, random_state=0).fit(X).transform(X).shape
    (200, 1)

    Args: as of ``VAE``, without those of prior, posterior, objective and importance samples. With
        ``likelihood="gaussian"`` the error is squared, with "laplace" absolute.

    Attributes: as of ``VAE``.
    """

    kind: ClassVar[str] = "autoencoder"

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log p(x | z = f(x)), nats per row in the units of X; higher is better.

        Its objective has no cost of the code, so it bounds log p(x) from neither side and cannot be
        compared with the score of a ``VAE``: among autoencoders of one likelihood it ranks
        reconstructions.
        """
        error = reconstruction_error(self.model_, self._read(X, y))
        return -error.log_loss.mean
