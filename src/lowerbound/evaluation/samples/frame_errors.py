"""Squared error of predicted frames, beside that of the last frame that was seen."""

from __future__ import annotations

import math
from collections import defaultdict

import torch
from torch import Tensor

from lowerbound.inference.frames import PredictedFrames

PREDICTION, DRAW, MEAN_OF_DRAWS = "prediction", "draw", "mean of draws"
LAST, RECONSTRUCTION = "last frame", "reconstruction"
LEAST_ERROR = 1e-10  # so that an exact frame has a PSNR of 100 dB


class FrameErrors:
    """Mean squared errors per number of a frame, by episode and by frame after the context.

    The kinds are: ``prediction`` (the path of means), ``last frame`` (the last frame that was seen,
    repeated), ``reconstruction`` (the frame itself, encoded and decoded: what the decoder can
    show), ``draw`` (one draw, if there are any), and ``mean of draws`` (if there are several).
    """

    def __init__(self) -> None:
        self._sums: dict[str, dict[int, Tensor]] = defaultdict(dict)
        self._windows: dict[int, int] = defaultdict(int)

    def add(self, found: PredictedFrames) -> None:
        """Count the predictions of further windows."""
        guesses = {
            PREDICTION: found.mean,
            LAST: found.last,
            RECONSTRUCTION: found.reconstruction[:, found.context :],
        }
        if len(found.draws):
            guesses[DRAW] = found.draws[0]
        if len(found.draws) > 1:
            guesses[MEAN_OF_DRAWS] = found.draws.mean(0)
        for name, guess in guesses.items():
            error = (guess - found.future).double().square().flatten(2).mean(2)
            for episode, values in zip(found.episode.tolist(), error, strict=True):
                before = self._sums[name].get(episode, torch.zeros_like(values))
                self._sums[name][episode] = before + values
        for episode in found.episode.tolist():
            self._windows[episode] += 1

    @property
    def windows(self) -> int:
        """How many windows were counted."""
        return sum(self._windows.values())

    @property
    def episodes(self) -> tuple[int, ...]:
        """Numbers of the episodes of the windows."""
        return tuple(self._windows)

    def by_frame(self) -> dict[str, list[float]]:
        """The mean squared error of each predicted frame, by kind."""
        return {
            name: (torch.stack(list(sums.values())).sum(0) / self.windows).tolist()
            for name, sums in self._sums.items()
        }

    def means(self) -> dict[str, float]:
        """The mean squared error over all predicted frames, by kind."""
        return {name: sum(each) / len(each) for name, each in self.by_frame().items()}

    def ratio(self) -> tuple[float, float | None]:
        """Error of the prediction over that of the last frame, and its standard error.

        The standard error leaves out one episode at a time (jackknife), because windows of one
        episode are alike; None for a single episode. The ratio is not finite if no frame changes.
        """
        sums = [
            torch.stack([values.sum() for values in self._sums[name].values()])
            for name in (PREDICTION, LAST)
        ]
        predicted, last = sums
        if len(predicted) < 2:
            return float(predicted.sum() / last.sum()), None
        left_out = (predicted.sum() - predicted) / (last.sum() - last)
        spread = (len(left_out) - 1) * left_out.var(unbiased=False)
        return float(predicted.sum() / last.sum()), float(spread.sqrt())


def about_ratio(ratio: float, error: float | None = None) -> str:
    """The ratio in words, also if the last frame repeated has no error."""
    if not math.isfinite(ratio):
        return "squared error: no frame changes, so the last frame repeated has none"
    spread = "" if error is None else f" ± {error:.3f}"
    return f"squared error: {ratio:.3f}{spread} of that of the last frame repeated"


def psnr(error: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error of values in [0, 1]; 100 at most."""
    return -10 * math.log10(max(error, LEAST_ERROR))
