"""Estimators of models with several latents, or with codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lowerbound.estimators.vae import VAE


@dataclass(eq=False, repr=False, kw_only=True)
class HierarchicalVAE(VAE):
    r"""Hierarchical VAE: a chain of latents, p(x | z_1) p(z_1 | z_2) ... p(z_T).

    ``transform`` gives the mean of q(z_1 | x), the latent that the row is decoded from.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3)) @ np.ones((3, 5))
    >>> HierarchicalVAE(latent_dim=2, epochs=5, random_state=0).fit(X).transform(X).shape
    (200, 2)

    Parameters and attributes are those of ``VAE``, with the same meaning as for ``VAE``.
    ``model_options={"levels": 3}`` sets T, ``prior`` is that of the top.
    """

    kind: ClassVar[str] = "hierarchical"


@dataclass(eq=False, repr=False, kw_only=True)
class LadderVAE(VAE):
    r"""Ladder VAE: latents from coarse to fine, each posterior on the way down to the data.

    ``transform`` gives the latents of all levels side by side, each level's mean given those above.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3)) @ np.ones((3, 5))
    >>> LadderVAE(latent_dim=2, epochs=5, random_state=0).fit(X).sample(3).shape
    (3, 5)

    Parameters and attributes are those of ``VAE``, with the same meaning as for ``VAE``.
    ``latent_dim`` is the size of the widest latent, and ``latent_dim_`` that of all together.
    ``model_options={"levels": 3}`` sets the number of levels. Each level has its own Gaussian prior
    and posterior, so ``prior`` and ``posterior`` keep their defaults.
    """

    kind: ClassVar[str] = "ladder"


@dataclass(eq=False, repr=False, kw_only=True)
class VQVAE(VAE):
    r"""VQ-VAE: the latent is codes, each the nearest vector of a codebook.

    ``transform`` gives the vectors of a row's codes side by side.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3)) @ np.ones((3, 5))
    >>> VQVAE(epochs=5, random_state=0).fit(X).sample(3).shape
    (3, 5)

    Parameters and attributes are those of ``VAE``, with the same meaning as for ``VAE``.
    ``latent_dim`` is the length of a vector, and ``latent_dim_`` that of all vectors of a row.
    ``model_options={"codes": 512}`` sets the size of a codebook. The prior over codes is an option
    of the model too, so ``prior`` and ``posterior`` keep their defaults.
    """

    kind: ClassVar[str] = "vq_vae"
