r"""The latent space of a fitted model, and the part of it in which a search stays.

The aggregate posterior :math:`q(z) = E_x\, q(z \mid x)` has mean c and standard deviations s. The
length of a code is :math:`|(z - c) / s|`, and the shell is the length that 99 % of draws from q(z)
do not exceed. A search is projected to it. A penalty by the prior's density would instead
pull codes to the center, where few rows are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.gaussian_mixture import ACTIVE
from lowerbound.distributions.point import density_of
from lowerbound.errors import DataError, UnsupportedError
from lowerbound.inference.codes import EncodedRows, codes_of, encode_rows
from lowerbound.inference.decoding import best_rows
from lowerbound.inference.passes import as_taken, evaluation_mode, placed
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.models.base import Model
from lowerbound.models.powers import Decodes, Encodes, HasPrior, Imagines, require
from lowerbound.trace import Batch
from lowerbound.training.randomness import stream_seed

INSIDE = 0.99  # share of draws from the aggregate posterior inside the shell


@dataclass(frozen=True, eq=False)
class LatentSpace:
    """Codes of known rows, and the way from codes to rows and back.

    Attributes:
        model: one that encodes and decodes one vector.
        codes: posterior means of the known rows, (rows, latent_dim), float64.
        center: c, (latent_dim,).
        deviation: s, (latent_dim,).
        radius: length of the shell.
        active: number of active units, whose mean varies with the row.
    """

    model: Model
    codes: Tensor
    center: Tensor
    deviation: Tensor
    radius: float
    active: int

    @classmethod
    def of(cls, model: Model, dataset: Dataset, *, seed: int = 0) -> LatentSpace:
        """The space of a model and the rows of a data set.

        Raises:
            UnsupportedError: the model lacks encoder or decoder over one vector, or takes a
                condition.
            DataError: the model is collapsed: its codes carry no information on the rows.
        """
        require(model, Encodes, "design rows")
        require(model, Decodes, "design rows")
        if dataset.schema.condition is not None:
            raise UnsupportedError(
                "a conditional model cannot design rows: fit one without --conditional"
            )
        encoded = encode_rows(model, dataset)
        active = active_units(encoded)
        generator = torch.Generator().manual_seed(stream_seed(seed, "aggregate posterior"))
        noise = torch.randn(encoded.mean.shape, generator=generator, dtype=torch.float64)
        drawn = encoded.mean + encoded.deviation * noise
        center, deviation = drawn.mean(0), drawn.std(0).clamp_min(1e-9)
        lengths = ((drawn - center) / deviation).norm(dim=1)
        radius = float(torch.quantile(lengths, INSIDE))
        return cls(model, encoded.mean, center, deviation, radius, active)

    def lengths(self, z: Tensor) -> Tensor:
        """|(z - c) / s| of codes, (rows, latent_dim) to (rows,)."""
        found: Tensor = ((z - self.center) / self.deviation).norm(dim=1)
        return found

    def drift(self, z: Tensor, again: Tensor) -> Tensor:
        """Root mean square difference of two codes of each row, in standard deviations, (rows,)."""
        found: Tensor = ((again - z) / self.deviation).square().mean(1).sqrt()
        return found

    def project(self, z: Tensor) -> Tensor:
        """Codes outside the shell moved to it on the line to the center."""
        share = (self.radius / self.lengths(z).clamp_min(1e-300)).clamp_max(1.0)
        moved: Tensor = self.center + (z - self.center) * share.unsqueeze(1)
        return torch.where((share < 1).unsqueeze(1), moved, z)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draws from the prior; from N(c, s^2) if the model has none."""
        if isinstance(self.model, Imagines):
            seed = int(torch.randint(2**31, (), generator=generator))
            return sample_prior(self.model, count, seed=seed).z.double()
        noise = torch.randn(count, len(self.center), generator=generator, dtype=torch.float64)
        return self.center + self.deviation * noise

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z) in nats, (rows,); NaN if the model has no prior with a density."""
        if not isinstance(self.model, HasPrior):
            return torch.full((len(z),), float("nan"), dtype=torch.float64)
        with evaluation_mode(self.model, gradients=True), torch.no_grad():
            prior = self.model.prior_distribution()
            if density_of(prior) == "none":
                return torch.full((len(z),), float("nan"), dtype=torch.float64)
            found: Tensor = prior.log_prob(as_taken(z, self.model).unsqueeze(1))[:, 0]
        return found.double().cpu()

    def decode(self, z: Tensor) -> Tensor:
        """The best guess of p(x | z), (rows, *event) in model units."""
        return best_rows(self.model, z)

    def encode(self, x: Tensor) -> Tensor:
        """Posterior means of rows in model units, (rows, latent_dim)."""
        encodes = require(self.model, Encodes, "design rows")
        batch = placed(Batch(x=x), self.model)
        with evaluation_mode(self.model, gradients=True), torch.no_grad():
            return codes_of(encodes.encode(batch), batch).mean


def active_units(encoded: EncodedRows) -> int:
    """Number of units of whose variance under q(z) more than 1 % is due to the row.

    Raises:
        DataError: there is none.
    """
    between = encoded.mean.var(0, correction=0)
    total = between + encoded.deviation.square().mean(0)
    shares = between / total.clamp_min(1e-300)
    active = int((shares > ACTIVE).sum())
    if not active:
        raise DataError(
            f"the model is collapsed: 0 of {len(shares)} latent units are active (at most "
            f"{float(shares.max()):.2%} of the variance of a unit is due to the row), so codes say "
            "nothing about rows; fit it again, by lowerbound fit, with a lower objective.beta, or "
            "with objective.free_bits"
        )
    return active
