"""Distances of samples from real rows, with two reference points: other real rows instead of
samples, and shuffled rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lowerbound.config import to_mapping
from lowerbound.evaluation.intervals import Interval
from lowerbound.evaluation.samples.distances import Neighborhoods, TwoSample
from lowerbound.inference.estimate import Estimate, Skipped

MEAN, DRAWN = "mean of p(x | z)", "drawn from p(x | z)"


@dataclass(frozen=True)
class Quality:
    """One set of samples against real rows.

    Attributes:
        frechet: Fréchet distance of the features.
        kernel: unbiased kernel distance of the features.
        near: precision, recall, density and coverage.
        two_sample: accuracy of a classifier of real rows and samples; skipped for tables.
        boosting: AUROC of boosting that distinguishes rows of a table from real ones.
        sharpness: variance of the Laplacian, samples over data; 1 is ideal.
    """

    frechet: Estimate
    kernel: Estimate
    near: Neighborhoods
    two_sample: TwoSample | Skipped
    boosting: Interval | Skipped
    sharpness: Estimate | Skipped


@dataclass(frozen=True)
class SampleQuality:
    """Distances of samples from unseen rows.

    Attributes:
        space: name of the features, such as lenet-1a2b3c4d; figures compare only within one.
        accuracy: accuracy of the feature network on those rows; None if features are the columns.
        rows: number of rows on each side of every comparison.
        found: measures by sampling method and form, MEAN or DRAWN.
        floor: measures of other real rows instead of samples.
        ceiling: measures of shuffled real rows instead of samples.
        shuffled: what was shuffled, as text.
    """

    space: str
    accuracy: float | None
    rows: int
    found: Mapping[str, Mapping[str, Quality]]
    floor: Mapping[str, Quality]
    ceiling: Mapping[str, Quality]
    shuffled: str

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values; each distance under the name of its features."""
        return {
            "space": self.space,
            "accuracy": self.accuracy,
            "rows": self.rows,
            "samples": {way: self._named(forms) for way, forms in self.found.items()},
            "floor": self._named(self.floor),
            "ceiling": self._named(self.ceiling),
            "shuffled": self.shuffled,
        }

    def _named(self, forms: Mapping[str, Quality]) -> dict[str, Any]:
        return {
            form: {
                f"FD[{self.space}]": to_mapping(quality.frechet),
                f"KD[{self.space}]": to_mapping(quality.kernel),
                **to_mapping(quality.near),
                "two_sample": to_mapping(quality.two_sample),
                "boosting": to_mapping(quality.boosting),
                "sharpness": to_mapping(quality.sharpness),
            }
            for form, quality in forms.items()
        }
