r"""Reference for samples: unseen real rows, other real rows for the floor, and features.

Both have as many rows as there are samples, because distances from different numbers of rows do
not compare.

Sharpness of pictures is the variance of their Laplacian, samples divided by data:

.. math:: (\Delta x)_{ij} = x_{i+1,j} + x_{i-1,j} + x_{i,j+1} + x_{i,j-1} - 4 x_{ij}

Below 1 samples are blurred, above 1 they have noise that the data does not have. Source:
Pech-Pacheco et al. 2000.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.errors import DataError
from lowerbound.evaluation.intervals import Interval
from lowerbound.evaluation.samples.acceptance import real_rows
from lowerbound.evaluation.samples.column_judge import in_cells_of, judged_columns
from lowerbound.evaluation.samples.distances import (
    DRAWN,
    FEWEST,
    MEAN,
    Quality,
    SampleQuality,
    frechet_distance,
    kernel_distance,
    neighborhoods,
    rows_for_frechet,
    two_sample_test,
)
from lowerbound.evaluation.samples.feature_network import (
    DESCRIPTION,
    WIDTH,
    FeatureNetwork,
    fit_feature_network,
    labelled_rows,
    load_feature_network,
    save_feature_network,
)
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.inference.prior_draws import Samples
from lowerbound.models.base import Model
from lowerbound.models.powers import HasPrior

LEAST_SIDE = 3  # of a Laplacian
COLUMNS = "columns"
MOST_COLUMNS = 64  # at most, for a comparison without a feature network
MOST_ROWS = 5_000  # at most, because all pairs of rows are compared
NO_SHARPNESS = "sharpness is for pictures"
JUDGED_BY_BOOSTING = "boosting judges rows of columns"
JUDGED_BY_NETWORK = "a network judges rows without columns"


def laplacian_variance(pictures: Tensor) -> Tensor:
    """Variance of each picture's Laplacian, the mean over its channels, (rows,).

    Args:
        pictures: (rows, C, H, W); the border is left out, because neighbors are missing.

    Raises:
        DataError: no pictures, or fewer than 3 pixels a side.
    """
    if pictures.ndim != 4 or min(pictures.shape[-2:]) < LEAST_SIDE:
        raise DataError(
            f"sharpness is for pictures of at least {LEAST_SIDE} pixels a side, not for rows of "
            f"shape {tuple(pictures.shape[1:])}"
        )
    x = pictures.double()
    around = x[..., 2:, 1:-1] + x[..., :-2, 1:-1] + x[..., 1:-1, 2:] + x[..., 1:-1, :-2]
    laplacian = around - 4 * x[..., 1:-1, 1:-1]
    variance: Tensor = laplacian.flatten(2).var(2, correction=0).mean(1)
    return variance


def sharpness_ratio(real: Tensor, samples: Tensor) -> Estimate:
    """Mean Laplacian variance of samples divided by that of real pictures, with its standard error.

    Raises:
        DataError: as ``laplacian_variance``, or the real pictures are all flat.
    """
    ours, theirs = laplacian_variance(samples), laplacian_variance(real)
    if not float(theirs.mean()) > 0:
        raise DataError("the real pictures are flat, so there is no sharpness to compare with")
    ratio = float(ours.mean() / theirs.mean())
    if min(len(ours), len(theirs)) < 2:
        return Estimate(ratio, None)
    # error of a ratio of independent means, to first order
    parts = [float(rows.var() / len(rows)) / float(theirs.mean()) ** 2 for rows in (ours, theirs)]
    return Estimate(ratio, math.sqrt(parts[0] + ratio**2 * parts[1]))


@dataclass(frozen=True, eq=False)
class ReferenceSamples:
    """Real rows and features, the same for all compared models.

    Attributes:
        space: name of the features.
        network: network of the features; None: rows are their own features.
        real: unseen rows.
        others: as many other real rows, which the network has not learned from.
        seed: seed of shuffles, blocks, resamples and classifiers.
    """

    space: str
    network: FeatureNetwork | None
    real: Dataset
    others: Dataset
    seed: int
    _bounds: dict[tuple[str, str], Quality] = field(default_factory=dict, repr=False)

    @property
    def pictures(self) -> bool:
        """Whether rows are pictures."""
        return self.real.schema.data_kind.pictures

    def compare(self, model: Model, samples: Mapping[str, Samples]) -> SampleQuality:
        """Measure samples, by sampling method."""
        forms = self.forms(model)
        found = {
            way: {form: self.measure(MAKE[form](drawn), form) for form in forms}
            for way, drawn in samples.items()
        }
        return SampleQuality(
            space=self.space,
            accuracy=None if self.network is None else self.network.description.accuracy,
            rows=len(self.real),
            found=found,
            floor={form: self._bound("floor", form, self._other_rows) for form in forms},
            ceiling={form: self._bound("ceiling", form, self._shuffled_rows) for form in forms},
            shuffled="pixels of each picture" if self.pictures else "columns, each independently",
        )

    def forms(self, model: Model) -> tuple[str, ...]:
        """Forms of samples to measure.

        A table's mean has no noise, so its columns would look too narrow; an autoencoder's
        p(x | z) is no model of noise.
        """
        if not isinstance(model, HasPrior):
            return (MEAN,)
        return (MEAN, DRAWN) if self.pictures else (DRAWN,)

    @property
    def tabular(self) -> bool:
        """Whether rows are compared column by column, in units of their own."""
        return self.network is None and bool(self.real.schema.columns)

    def measure(self, rows: Tensor, form: str) -> Quality:
        """Measure rows in model units against the same number of real rows.

        Complete rows of a table are compared in the cells that the real rows have.

        Raises:
            DataError: too few rows; the message gives the required number.
        """
        rows = rows[: len(self.real)]
        theirs = self._given(self.real, form)
        if self.tabular:
            rows = in_cells_of(theirs, rows.detach().cpu())
        real, ours = self.features(theirs), self.features(rows)
        return Quality(
            frechet=frechet_distance(real, ours, seed=self.seed),
            kernel=kernel_distance(real, ours, seed=self.seed),
            near=neighborhoods(real, ours),
            two_sample=(
                Skipped(JUDGED_BY_BOOSTING)
                if self.tabular
                else two_sample_test(real, ours, seed=self.seed)
            ),
            boosting=self._boosted(theirs, rows),
            sharpness=self._sharpness(theirs, rows),
        )

    def _boosted(self, real: Tensor, rows: Tensor) -> Interval | Skipped:
        if not self.tabular:
            return Skipped(JUDGED_BY_NETWORK)
        return judged_columns(self.real.schema, real, rows.detach().cpu(), self.seed)

    def features(self, rows: Tensor) -> Tensor:
        """(rows, width), float64.

        Without a network they are the columns in standard deviations of the other real rows, from
        their mean, because counts and levels have large units; missing cells are at the mean.
        """
        if self.network is not None:
            return self.network.features(rows)
        center, scale = self._moments
        numbers = rows.detach().cpu().double().flatten(1)
        return ((numbers - center) / scale).nan_to_num(nan=0.0)

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each column of the other real rows; 1 for a constant column."""
        others = self._given(self.others, DRAWN).double().flatten(1)
        center = others.nanmean(0).nan_to_num(nan=0.0)
        scale = (others - center).square().nanmean(0).sqrt()
        return center, torch.where(scale > 0, scale, 1.0)

    def _sharpness(self, real: Tensor, rows: Tensor) -> Estimate | Skipped:
        if not self.pictures:
            return Skipped(NO_SHARPNESS)
        if min(real.shape[-2:]) < LEAST_SIDE:
            return Skipped(f"{NO_SHARPNESS} of at least {LEAST_SIDE} pixels a side")
        return sharpness_ratio(real, rows.detach().cpu())

    def _bound(self, which: str, form: str, make: Callable[[str], Tensor]) -> Quality:
        """Measure real rows instead of samples; computed once for all models."""
        # unless bits are drawn, real rows are the same in both forms
        key = which, form if self.real.schema.binarize == "dynamic" else ""
        if key not in self._bounds:
            self._bounds[key] = self.measure(make(form), form)
        return self._bounds[key]

    def _other_rows(self, form: str) -> Tensor:
        return self._given(self.others, form)

    def _shuffled_rows(self, form: str) -> Tensor:
        return shuffled(self._given(self.others, form), self.pictures, self.seed)

    def _given(self, rows: Dataset, form: str) -> Tensor:
        """Real rows in the form of samples; missing cells of a table are NaN."""
        given = real_as(rows, form)
        return given.masked_fill(~rows.mask.cpu(), float("nan")) if self.tabular else given


MAKE: Mapping[str, Callable[[Samples], Tensor]] = {
    MEAN: lambda samples: samples.mean,
    DRAWN: lambda samples: samples.x,
}


def fit_reference(
    training: Dataset,
    held_out: Dataset,
    *,
    samples: int,
    network_rows: int,
    folder: str = "",
    seed: int = 0,
) -> ReferenceSamples | Skipped:
    """Real rows and features, or the reason why samples cannot be measured.

    Pictures, and vectors of more than 64 columns, use a feature network that learns
    from labels; other rows are compared column by column, in standard deviations.

    Args:
        training: one part trains the network, another gives the floor.
        held_out: unseen rows.
        samples: number of samples to measure.
        network_rows: labeled rows, at most, that train the network; 0: nothing is measured.
        folder: folder of a feature network: read if it exists, otherwise written.
        seed: seed of all random choices.
    """
    if not network_rows:
        return Skipped("not requested")
    try:
        wide = training.schema.dimension > MOST_COLUMNS and training.label is not None
        if training.schema.data_kind.pictures or wide:
            return _with_network(training, held_out, samples, network_rows, folder, seed)
        real, others = _even(held_out, training, samples, training.schema.dimension, seed)
        return ReferenceSamples(COLUMNS, None, real, others, seed)
    except DataError as error:
        return Skipped(str(error))


def _with_network(
    training: Dataset, held_out: Dataset, samples: int, most: int, folder: str, seed: int
) -> ReferenceSamples:
    known = labelled_rows(training)
    # at most half: the network must not learn from the rows of the floor
    learn, rest = known.split(0.5, seed)
    real, others = _even(held_out, rest, samples, WIDTH, seed)
    network = _network(_some(learn, most, seed), held_out, folder, seed)
    return ReferenceSamples(network.name, network, real, others, seed)


def _network(rows: Dataset, held_out: Dataset, folder: str, seed: int) -> FeatureNetwork:
    if folder and (Path(folder) / DESCRIPTION).exists():
        network = load_feature_network(Path(folder))
        if network.description.event_shape != tuple(rows.schema.event_shape):
            raise DataError(
                f"the feature network in {folder} is for rows of shape "
                f"{network.description.event_shape}, not {tuple(rows.schema.event_shape)}"
            )
        return network
    network = fit_feature_network(rows, held_out, seed=seed)
    if folder:
        save_feature_network(network, Path(folder))
    return network


def _even(
    real: Dataset, others: Dataset, samples: int, width: int, seed: int
) -> tuple[Dataset, Dataset]:
    """As many rows of each as there are samples.

    Raises:
        DataError: too few rows or samples; the message gives the required number.
    """
    need = max(rows_for_frechet(width), FEWEST)
    if min(len(real), len(others), samples) < need:
        raise DataError(
            f"at least {need} held-out rows, {need} other real rows and {need} samples are needed "
            f"for a distance on {width} features, and there are {len(real):,}, {len(others):,} "
            f"and {samples:,}"
        )
    count = min(len(real), len(others), samples, MOST_ROWS)
    return _some(real, count, seed), _some(others, count, seed)


def _some(dataset: Dataset, most: int, seed: int) -> Dataset:
    """Random rows, at most ``most``, because rows of a class are often adjacent."""
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))
    return dataset.subset(order[:most].sort().values)


def real_as(dataset: Dataset, form: str) -> Tensor:
    """Real rows in the form of samples: grey for means, bits if bits are drawn."""
    rows = real_rows(dataset) if form == MEAN else dataset.all().filled
    return rows.detach().cpu()


def shuffled(rows: Tensor, pictures: bool, seed: int = 0) -> Tensor:
    """Shuffled rows: the same values without their order, the worst case of a distance.

    Args:
        rows: (rows, *event).
        pictures: True shuffles the pixels of each picture, channels together; False shuffles each
            column over the rows, which keeps its distribution and removes its dependence.
        seed: seed of the shuffle.
    """
    generator = torch.Generator().manual_seed(seed)
    if pictures:
        pixels = rows.flatten(2)
        size = len(rows), 1, pixels.shape[2]
        order = torch.rand(size, generator=generator, dtype=torch.float32).argsort(2)
        return pixels.gather(2, order.expand_as(pixels)).view_as(rows)
    flat = rows.flatten(1)
    order = torch.rand(flat.shape, generator=generator, dtype=torch.float32).argsort(0)
    return flat.gather(0, order).view_as(rows)
