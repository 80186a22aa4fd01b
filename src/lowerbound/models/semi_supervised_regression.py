r"""A regression target as a latent: known for some rows, inferred for the others.

Classical regressors beside the network of q(y | x), fitted to labels, and the weights of all.

.. math::
    q(y \mid x) = N(\mu, c^2 \sigma^2), \quad \mu = \sum_k w_k \mu_k, \quad
    \sigma^2 = \sum_k w_k (f_k^2 \sigma_k^2 + \mu_k^2) - \mu^2

mean and variance of the mixture of the members' Gaussians, with a factor f for the deviation of
each and a factor c for that of all. The members are the network, which holds ridge regression, a
Gaussian process and boosted trees. ``member_fits`` fits them; before, q(y | x) is the network's
alone. The labels that a fit did not see choose the trees, the weight of each member, and the
deviations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from lowerbound.classical.boosted_trees import BoostedTrees
from lowerbound.classical.gaussian_process import GaussianProcess
from lowerbound.classical.linear_regression import averaged_weights, small_fit
from lowerbound.config import option
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import FOLDS
from lowerbound.distributions.point import Point
from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.errors import OptionError
from lowerbound.models.base import MODELS
from lowerbound.models.labels.labeled import LabeledParts, LabelOptions, refuse_tabular
from lowerbound.models.labels.pools import Fold, MemberPool, PooledLabel, folds_of, of_columns
from lowerbound.models.labels.ridge_start import LEAST, LabeledRows, start_from_ridge
from lowerbound.networks.base import Encoder, Network
from lowerbound.networks.mlp import GatedResidual
from lowerbound.trace import Batch

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts

MEMBERS = ("network", "Gaussian process", "boosted trees")
PRIOR = (1.0, 2.0, 1.0)  # of the weights. Chosen with STRENGTH on draws that no benchmark reports.
STRENGTH = 8.0  # labels that this prior counts as
ALONE = 0.05  # prior probability that one member alone is the best
MOST = 1_000  # labeled rows of the Gaussian process
LEAVES = (10, 3)  # fewest labels in a leaf
STEPS = (10, 30, 100)  # trees
RATE = 0.1  # learning rate of the trees
LEVEL = 0.975  # of the upper end of a 95 % band
NORMAL_END = 1.959964  # that end in standard deviations of a Gaussian
LEAST_DENSITY = 1e-3  # smallest density of a hidden label, and factor of a deviation without noise


class RegressorPool(MemberPool):
    """A Gaussian process and boosted trees beside a network.

    Args:
        features, further: F, numbers of a row that the members see; see the base class.

    Attributes:
        weights: of the network, the Gaussian process and the trees, (3,); (0,) before the fit.
        factors: f, of the members' deviations, (3,).
        widening: c.
        shift, scale: what the members see is (x - shift) / scale, (F,) each.
    """

    EMPTY: ClassVar[Mapping[str, Tensor]] = {
        "weights": torch.zeros(0, dtype=torch.float64),
        "factors": torch.zeros(0, dtype=torch.float64),
        "widening": torch.ones((), dtype=torch.float64),
        "shift": torch.zeros(0, dtype=torch.float64),
        "scale": torch.zeros(0, dtype=torch.float64),
    }
    factors: Tensor
    widening: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, features: int, further: int = 0) -> None:
        super().__init__(features, further)
        self.process = GaussianProcess()
        self.trees = BoostedTrees()

    def empty(self) -> Self:
        return type(self)(self.features, self.further)

    def forward(self, network: Tensor, x: Tensor) -> Tensor:
        """Mean and deviation of q(y | x), (rows, 2), of the type and on the device of ``network``.

        Args:
            network: its mean and deviation, (rows, 2).
            x: what the members see, (rows, F).
        """
        each = torch.stack([network.double().cpu(), *self.member_answers(x.double().cpu())])
        mean, deviation = moments(scaled(each, self.factors), self.weights)
        return torch.stack((mean, self.widening * deviation), 1).to(network)

    def member_answers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation by the Gaussian process and the trees, (rows, 2) each. The trees have
        one deviation for all rows, which is 1 before its factor.

        Args:
            x: (rows, F), float64.
        """
        x = (x[:, : len(self.shift)] - self.shift) / self.scale
        trees = self.trees.of_batch(x).squeeze(1)
        return torch.stack(self.process(x), 1), with_unit_deviation(trees)

    def fits(self, state_dict: Mapping[str, Tensor], prefix: str) -> bool:
        process = state_dict.get(f"{prefix}process.rows")
        roots = state_dict.get(f"{prefix}trees.roots")
        if process is None or roots is None:
            return False
        return (
            self.weights.shape == self.factors.shape == (3,)
            and self.widening.shape == ()
            and self.shift.shape == self.scale.shape == process.shape[1:]
            and self.sees(self.shift.numel())
            and roots.shape[:1] == (1,)
            and of_columns(state_dict, f"{prefix}trees.", self.shift.numel())
        )


def with_unit_deviation(mean: Tensor) -> Tensor:
    """Answers (rows, 2) of these means, and 1 as every deviation."""
    return torch.stack((mean, torch.ones_like(mean)), 1)


def scaled(each: Tensor, factors: Tensor) -> Tensor:
    """Answers (members, rows, 2) with the deviations multiplied by the members' factors."""
    return torch.stack((each[..., 0], each[..., 1] * factors.unsqueeze(1)), -1)


def moments(each: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the mixture of Gaussians, (rows,) each.

    Args:
        each: the members' means and deviations, (members, rows, 2).
        weights: (members,).
    """
    mean = weights @ each[..., 0]
    variance = weights @ (each[..., 1].square() + (each[..., 0] - mean).square())
    return mean, variance.sqrt()


@dataclass(frozen=True)
class HiddenTargets:
    """Answers for labels that were hidden from the fits.

    Attributes:
        mean, deviation: of the pool, (labels,).
        target: the labels, (labels,).
    """

    mean: Tensor
    deviation: Tensor
    target: Tensor

    def sentence(self, pool: RegressorPool) -> str:
        """How good the answers are, and of what q(y | x) consists."""
        squared = float((self.target - self.mean).square().mean())
        explained = 1 - squared / max(float(self.target.var(correction=0)), 1e-12)
        shares = zip(MEMBERS, pool.weights.tolist(), strict=True)
        return (
            f"cross-validation explains {explained:.1%} of the variance of {len(self.target):,} "
            "labels, each hidden from the fits that answer; q(y | x): "
            + ", ".join(f"{share:.0%} {name}" for name, share in shares)
        )


def fit_pool(pool: RegressorPool, rows: LabeledRows, network: Tensor) -> HiddenTargets:
    """Fit all members, and weigh them beside the network.

    Args:
        pool: changed in place.
        rows: the labeled rows.
        network: its mean and deviation for the hidden labels, fold after fold, (labels, 2).
    """
    target = torch.from_numpy(rows.label[rows.hidden])
    with small_fit():
        pool.process, of_process = _process(rows)
        trees, of_trees = _boosting(rows)
    each = torch.stack([network.double(), of_process, of_trees])
    pool.factors = error_size(target, each[..., 0], each[..., 1])
    each = scaled(each, pool.factors)
    prior = torch.tensor(PRIOR, dtype=torch.float64)
    density = _density(each, target)
    pool.weights = averaged_weights(density, prior / prior.sum(), STRENGTH, ALONE, LEAST_DENSITY)
    mean, deviation = moments(each, pool.weights)
    pool.widening = error_size(target, mean, deviation) * widened(len(target))
    pool.shift, pool.scale = torch.from_numpy(rows.shift), torch.from_numpy(rows.scale)
    pool.trees = BoostedTrees.of(trees)
    return HiddenTargets(mean, deviation, target)


def error_size(target: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Root mean square of the errors in deviations, over the last axis."""
    size: Tensor = ((target - mean) / deviation).square().mean(-1).sqrt().clamp_min(LEAST_DENSITY)
    return size


def widened(labels: int) -> float:
    """How much wider a 95 % band is than 1.96 root mean square errors on either side.

    The errors are of so many labels, to which a factor of each member was fitted. The band ends at
    the quantile of Student's distribution with the degrees of freedom that are left.
    """
    from scipy.stats import t as student

    free = max(labels - len(MEMBERS), 1)
    return float(student.ppf(LEVEL, free)) / NORMAL_END * math.sqrt(labels / free)


def _density(each: Tensor, target: Tensor) -> Tensor:
    """p_k(y) of every member for every label, (members, labels)."""
    said = Normal(each[..., 0], each[..., 1], validate_args=False)
    density: Tensor = said.log_prob(target).exp()
    return density


def _process(rows: LabeledRows) -> tuple[GaussianProcess, Tensor]:
    """The fitted process, and its answers for the hidden labels."""
    x, y = torch.from_numpy(rows.standardized), torch.from_numpy(rows.label)
    known = _some(np.arange(len(y)))
    process = GaussianProcess.of(x[known], y[known])
    parts = []
    for seen, fold in rows.splits():
        kept = _some(seen)
        of_others = GaussianProcess.of(x[kept], y[kept], process.logs)
        parts.append(torch.stack(of_others(x[fold]), 1))
    return process, torch.cat(parts)


def _some(rows: Array) -> Array:
    """At most ``MOST`` of the row numbers, drawn at random."""
    if len(rows) <= MOST:
        return rows
    drawn: Array = np.random.default_rng(0).choice(rows, MOST, replace=False)
    return drawn


def _boosting(rows: LabeledRows) -> tuple[Any, Tensor]:
    """The fitted trees, and their answers for the hidden labels."""
    found: dict[tuple[int, int], list[Array]] = {key: [] for key in product(LEAVES, STEPS)}
    for (seen, fold), leaf in product(rows.splits(), LEAVES):
        learner = _trees(leaf, max(STEPS)).fit(rows.standardized[seen], rows.label[seen])
        stages = list(learner.staged_predict(rows.standardized[fold]))
        for steps in STEPS:
            found[leaf, steps].append(stages[steps - 1])
    truth = rows.label[rows.hidden]
    errors = {key: np.square(np.concatenate(parts) - truth).sum() for key, parts in found.items()}
    leaf, steps = min(errors, key=lambda key: errors[key])
    fitted = _trees(leaf, steps).fit(rows.standardized, rows.label)
    hidden = torch.from_numpy(np.concatenate(found[leaf, steps]))
    return fitted, with_unit_deviation(hidden)


def _trees(leaf: int, steps: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        learning_rate=RATE,
        max_iter=steps,
        min_samples_leaf=leaf,
        early_stopping=False,
        random_state=0,
    )


@dataclass(frozen=True)
class SemiSupervisedRegressionOptions(LabelOptions):
    """Options of the regressor, besides those of every label."""

    regressor: str | None = option(
        None, "network of q(y | x): strided convolutions of pictures, else the encoder's"
    )
    regressor_options: Mapping[str, Any] = field(default_factory=dict)
    line: bool = option(True, "of rows of numbers: ridge regression beside the regressor")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_tabular(self.regressor, "regressor")

    def regressing(self, network: Network, shape: tuple[int, ...], linear: int) -> Encoder:
        """A network from rows of that shape to two heads of q(y | x). ``network`` is the model's.
        For flat rows, a line may use the first ``linear`` numbers."""
        bent = self.labeling(network, shape, 2, self.regressor, self.regressor_options)
        return GatedResidual(bent, linear) if self.line and len(shape) == 1 else bent


@MODELS.register("semi_supervised_regression")
class SemiSupervisedRegression(PooledLabel):
    """The label is a standardized number, y ~ N(0, 1), with a Gaussian q(y | x).

    Args:
        regressor: (rows, *inputs.shape) -> (rows, 2), two heads of q(y | x).
        around, feature_dim: the other parts; see ``LabeledVariationalAutoencoder``.
        pool: classical regressors beside the network, for rows with columns; None: there are none.
    """

    title: ClassVar[str] = "semi-supervised regression"
    Options: ClassVar[type[Any]] = SemiSupervisedRegressionOptions
    objective: ClassVar[str] = "semi_supervised_regression"
    is_regression: ClassVar[bool] = True
    pool: RegressorPool | None
    origin: Tensor

    def __init__(
        self,
        regressor: nn.Module,
        around: LabeledParts,
        *,
        feature_dim: int = 0,
        pool: RegressorPool | None = None,
    ) -> None:
        super().__init__(around, label_dim=1, feature_dim=feature_dim, pool=pool)
        self.regressor = regressor
        self.register_buffer("origin", torch.zeros(1, 1, 1), persistent=False)

    @classmethod
    def check(cls, schema: Schema, options: ModelOptions) -> None:
        if schema.target is None:
            raise OptionError(
                f"{options.model} predicts a number, and the data has none: name its column with "
                "--label, or give y"
            )
        super().check(schema, options)

    @classmethod
    def build(cls, parts: ModelParts) -> SemiSupervisedRegression:
        sizes, features = parts.own(SemiSupervisedRegressionOptions), cls.pooled_features(parts)
        linear = getattr(parts.inputs, "linear", math.prod(parts.input_shape))
        return cls(
            sizes.regressing(parts.network, parts.input_shape, linear),
            cls.around_label(parts, sizes, 1),
            feature_dim=sizes.below(parts.latent_dim),
            pool=None if features is None else RegressorPool(*features),
        )

    def start(self, dataset: Dataset) -> None:
        """Start from marginals, and the regressor from ridge regression if it has a line."""
        super().start(dataset)
        start_from_ridge(self, dataset)

    def folds(self, dataset: Dataset, folds: int | None) -> list[Fold] | None:
        """Further fits with some labels hidden, which weigh and calibrate q(y | x)."""
        if self.pool is None:
            if folds:
                raise OptionError(
                    "folds weighs the regressors of rows with columns, and these rows have none: "
                    "leave folds out"
                )
            return None
        labels = int(dataset.labeled.sum())
        if labels >= LEAST:
            return folds_of(dataset, FOLDS if folds is None else folds)
        if folds:
            raise OptionError(
                f"folds hides labels in turn, and {labels} are too few: label {LEAST} rows at "
                "least, or leave folds out"
            )
        return None

    def calibrate(self, dataset: Dataset, folds: Sequence[Fold], answers: Sequence[Tensor]) -> str:
        """Fit the pool, with the deviation that the errors at hidden labels have."""
        assert self.pool is not None
        assert dataset.target is not None
        known = dataset.target.double().cpu()[dataset.labeled].numpy()
        rows = LabeledRows(**self.labeled_rows(dataset, folds), label=known)
        return fit_pool(self.pool, rows, torch.cat(list(answers))).sentence(self.pool)

    @property
    def labeler(self) -> nn.Module:
        return self.regressor

    def label_posterior(self, batch: Batch) -> Distribution:
        return self.target_posterior(batch)

    def target_posterior(self, batch: Batch, labeler: nn.Module | None = None) -> Distribution:
        """q(y | x), batch shape (1, batch); of ``labeler`` alone if it is given."""
        seen = self.seen(batch)
        alone: Distribution = self.heads((labeler or self.regressor)(seen, None).unsqueeze(0))
        if labeler is not None or self.pool is None or not self.pool.fitted:
            return alone
        said = self.pool(torch.cat((alone.mean, alone.stddev), -1)[0], self._values(seen))
        return diagonal_normal(*said.unsqueeze(0).split(1, -1))

    def label_answers(self, batch: Batch) -> Tensor:
        said = self.target_posterior(batch)
        return torch.cat((said.mean, said.stddev), -1)[0]

    def label_prior(self) -> Distribution:
        return diagonal_normal(self.origin, torch.ones_like(self.origin))

    def certain(self, label: Tensor) -> Distribution:
        return Point(label.unsqueeze(0))
