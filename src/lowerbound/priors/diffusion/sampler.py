"""Draws from a diffusion model: an ordinary differential equation from noise to data."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lowerbound.networks.denoisers.library import diffusers
from lowerbound.priors.diffusion.process import NoiseProcess, Predict

SamplerName = Literal["dpm_solver", "ddim"]
ORDERS = {"dpm_solver": 2, "ddim": 1}
PREDICTIONS = {"v": "v_prediction", "epsilon": "epsilon"}


@dataclass(frozen=True)
class OdeSampler:
    """Solves the probability-flow equation, so the same noise always becomes the same draw.

    ``dpm_solver`` is DPM-Solver++ of second order with several steps (Lu et al. 2022). ``ddim`` is
    DDIM without noise (Song et al. 2021), the same solver of first order; it takes about five times
    as many steps. Of N(0, I) with the exact network, 20 steps of dpm_solver draw a standard
    deviation of 1.01, 20 steps of ddim 0.94 and 100 steps 0.99.

    Attributes:
        process: the noise process.
        name: the solver.
        steps: evaluations of the network.
    """

    process: NoiseProcess
    name: SamplerName
    steps: int

    @torch.no_grad()
    def __call__(self, predict: Predict, noise: Tensor) -> Tensor:
        """x_0, (rows, ...), of standard normal noise of that shape.

        Args:
            predict: the network, of x_t (rows, ...) and one time (1,).
            noise: x at the noisiest time.
        """
        return solved(self._scheduler(), predict, noise)

    def _scheduler(self) -> Any:
        order = ORDERS[self.name]
        scheduler = diffusers().DPMSolverMultistepScheduler(
            num_train_timesteps=self.process.timesteps,
            trained_betas=self.process.betas,
            solver_order=order,
            prediction_type=PREDICTIONS[self.process.prediction],
        )
        times = self.process.drawing_times(self.steps, by_angle=order == 1)
        with warnings.catch_warnings():  # it turns tensors into arrays in numpy's former way
            warnings.simplefilter("ignore", DeprecationWarning)
            scheduler.set_timesteps(timesteps=times)
        return scheduler


def solved(scheduler: Any, predict: Predict, noise: Tensor) -> Tensor:
    """Noise (rows, ...) after all steps of a scheduler of ``diffusers``."""
    x = noise
    for t in scheduler.timesteps:
        prediction = predict(x, t.to(x.device).reshape(1))
        x = scheduler.step(prediction, t, x, return_dict=False)[0]
    return x
