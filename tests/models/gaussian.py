"""Pictures that are Gaussian given the decoder's mean, whose best denoiser is known on paper."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowerbound.models.refinement import Refiner

SHAPE = (1, 2, 2)
NUMBERS = 4


class ExactResidualDenoiser(nn.Module):
    r"""v of E[r | r_t, g] for r ~ N(A g + b, S), g standardized."""

    def __init__(self, refiner: Refiner, slope: Tensor, shift: Tensor, covariance: Tensor) -> None:
        super().__init__()
        self.process, self.activations = refiner.process, 1024
        self.slope, self.shift, self.covariance = slope, shift, covariance

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Noisy residual and standardized mean as channels, (rows, 2, 2, 2)."""
        t = t.expand(len(x))
        noisy, seen = (part.flatten(1).double() for part in x.chunk(2, 1))
        alpha, sigma = (values[t].double().unsqueeze(1) for values in self._levels())
        mean = seen @ self.slope.T + self.shift
        eye = torch.eye(NUMBERS, dtype=torch.float64)
        total = alpha.unsqueeze(2) ** 2 * self.covariance + sigma.unsqueeze(2) ** 2 * eye
        gain = alpha.unsqueeze(2) * torch.linalg.solve(total, self.covariance)
        clean = mean + (gain @ (noisy - alpha * mean).unsqueeze(2)).squeeze(2)
        v = (alpha * noisy - clean) / sigma
        found = v if self.process.prediction == "v" else alpha * v + sigma * noisy
        return found.to(x.dtype).reshape(len(x), *SHAPE)

    def _levels(self) -> tuple[Tensor, Tensor]:
        return self.process.alpha, self.process.sigma


class GaussianPictures:
    """x = g + m + s r, r ~ N(A h + b, S), h = (g - m_g) / s_g, and the refiner that knows it."""

    def __init__(self, **options: object) -> None:
        generator = torch.Generator().manual_seed(1)
        self.slope = 0.4 * torch.randn(4, 4, dtype=torch.float64, generator=generator)
        self.shift = torch.tensor([0.3, -0.2, 0.0, 0.1], dtype=torch.float64)
        root = torch.randn(4, 4, dtype=torch.float64, generator=generator)
        self.covariance = root @ root.T / 4 + 0.2 * torch.eye(4, dtype=torch.float64)
        self.refiner = Refiner(SHAPE, width=8, **options)  # type: ignore[arg-type]
        with torch.no_grad():
            for name, value in {"loc": 0.01, "scale": 0.05}.items():
                getattr(self.refiner, name).fill_(value)
            self.refiner.guess_loc.fill_(0.5)
            self.refiner.guess_scale.fill_(0.2)
        exact = ExactResidualDenoiser(self.refiner, self.slope, self.shift, self.covariance)
        self.refiner.denoiser = exact  # type: ignore[assignment]
        self.refiner.eval()

    def conditional(self, guess: Tensor) -> torch.distributions.MultivariateNormal:
        """p(x | g) of means (rows, 1, 2, 2), over 4 numbers."""
        g = guess.flatten(1).double()
        mean = g + 0.01 + 0.05 * ((g - 0.5) / 0.2 @ self.slope.T + self.shift)
        return torch.distributions.MultivariateNormal(mean, 0.05**2 * self.covariance)
