"""p(x | z) of a refined decoder: draws by removing noise, and a bound on its density."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from lowerbound.distributions.density import Density
from lowerbound.errors import UnsupportedError
from lowerbound.priors.base import PriorTerms
from lowerbound.trace import Emission

if TYPE_CHECKING:  # a name for annotations
    from lowerbound.models.refinement.refiner import Refiner


class RefinedEmission(Emission):
    """p(x | z) of a refiner, given the decoder's mean.

    ``log_prob`` is a lower bound on the density of x before draws are rounded to levels, so it
    serves the ELBO, and neither importance weights nor annealing. Mean and variance are those of
    the unrefined likelihood.

    Args:
        refiner: the diffusion model.
        unrefined: the likelihood of the model, of batch shape (samples, batch).
    """

    density: ClassVar[Density] = "bound"

    def __init__(self, refiner: Refiner, unrefined: Emission) -> None:
        self.refiner, self.unrefined = refiner, unrefined
        guess = unrefined.mean
        self.guess = guess.to(refiner.loc.dtype)
        super().__init__(guess.shape[:2], guess.shape[2:], validate_args=False)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """The bound on log p(x | z) of each row, (samples, batch, 1).

        Raises:
            UnsupportedError: a pixel is hidden.
        """
        if observed is not None and not bool(observed.all()):
            raise UnsupportedError(
                "a refined decoder scores whole pictures, and pixels are hidden: use the model "
                "without its refiner"
            )
        return super().terms(x)

    def _terms(self, x: Tensor) -> Tensor:
        rows = x.expand(self.batch_shape + self.event_shape).flatten(0, 1).flatten(1)
        bound = self.refiner.distribution(self.guess.flatten(0, 1)).log_prob(rows.unsqueeze(0))
        return bound.reshape(*self.batch_shape, 1)

    def training_terms(self, x: Tensor) -> PriorTerms:
        """An estimate of the bound, and the loss, of pictures (batch, *event), (batch,) each.

        The bound is that of the first sample of z.
        """
        return self.refiner.terms(x, self.guess[0])

    def given(self, x: Tensor, observed: Tensor) -> Emission:
        """Refused: a refiner draws whole pictures.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            "hidden pixels are drawn from p(x | z), and a refined decoder draws whole pictures: "
            "use the model without its refiner"
        )

    @property
    def mean(self) -> Tensor:
        return self.unrefined.mean

    @property
    def variance(self) -> Tensor:
        return self.unrefined.variance

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        shape = sample_shape + self.batch_shape + self.event_shape
        rows = self.guess.expand(shape).reshape(-1, *self.event_shape)
        return self.refiner.draw(rows).reshape(shape)
