"""The class of a row as a latent: known for some rows, inferred for the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import OneHotCategorical

from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import FOLDS
from lowerbound.errors import OptionError, unknown
from lowerbound.models.base import MODELS
from lowerbound.models.labels.classifier import (
    ClassifiedRows,
    ClassifierPool,
    HiddenLabels,
    fit_pool,
)
from lowerbound.models.labels.labeled import LabeledParts, LabelOptions, refuse_tabular
from lowerbound.models.labels.pools import Fold, PooledLabel, best_temperature, folds_of
from lowerbound.networks.base import Encoder, Network
from lowerbound.trace import Batch

if TYPE_CHECKING:  # names for annotations
    from lowerbound.data.schema import Schema
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts

UNIFORM = "uniform"
ROUNDING = 1e-3  # largest allowed error of the sum of given probabilities


@dataclass(frozen=True)
class SemiSupervisedOptions(LabelOptions):
    """Options of the classifier and of p(y), besides those of every label."""

    classifier: str | None = option(
        None, "network of q(y | x): strided convolutions of pictures, else the encoder's"
    )
    classifier_options: Mapping[str, Any] = field(default_factory=dict)
    class_prior: str | tuple[float, ...] | Mapping[str, float] | None = option(
        None,
        "p(y), where labels were not picked at random: uniform, or the probability of each class, "
        "in their order or by name; the shares among the labels unless given",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_tabular(self.classifier, "classifier")

    def classifying(self, network: Network, shape: tuple[int, ...], classes: int) -> Encoder:
        """A network from rows of that shape to logits; ``network`` is the model's."""
        return self.labeling(network, shape, classes, self.classifier, self.classifier_options)

    def prior(self, names: Sequence[str]) -> tuple[float, ...] | None:
        """The given p(y) of the classes of these names; None: not given.

        Raises:
            OptionError: it is no distribution over these classes.
        """
        said = self.class_prior
        if said is None:
            return None
        if isinstance(said, str):
            if said != UNIFORM:
                raise unknown("class_prior", said, (UNIFORM,))
            return (1 / len(names),) * len(names)
        if isinstance(said, Mapping):
            for name in said:
                if name not in names:
                    raise unknown("class in class_prior", name, names)
            left_out = [name for name in names if name not in said]
            if left_out:
                raise OptionError(
                    f"class_prior leaves out the class {left_out[0]}: give all of them"
                )
            said = tuple(float(said[name]) for name in names)
        if len(said) != len(names):
            raise OptionError(
                f"class_prior has {len(said)} probabilities, and there are {len(names)} classes: "
                f"{', '.join(names)}"
            )
        total = math.fsum(said)
        if not min(said) > 0 or not abs(total - 1) <= ROUNDING:
            raise OptionError(
                "class_prior is one positive probability for each class, and they sum to one, not "
                f"{', '.join(f'{value:g}' for value in said)}"
            )
        return tuple(value / total for value in said)


@MODELS.register("semi_supervised")
class SemiSupervisedVariationalAutoencoder(PooledLabel):
    """The label is a one-hot class, so ``Every`` can sum over all classes exactly.

    Args:
        classifier: (rows, *inputs.shape) -> (rows, classes), logits of q(y | x).
        around, feature_dim: the other parts; see ``LabeledVariationalAutoencoder``.
        classes: number of classes.
        class_prior: p(y) if it is known; None: taken from the labels.
        pool: classical classifiers beside the network, for rows with columns; None: there are none.

    Attributes:
        temperature: T; q(y | x) is the softmax of the logits divided by T.
    """

    title: ClassVar[str] = "semi-supervised VAE"
    Options: ClassVar[type[Any]] = SemiSupervisedOptions
    objective: ClassVar[str] = "semi_supervised"
    pool: ClassifierPool | None
    log_prior: Tensor
    temperature: Tensor

    def __init__(
        self,
        classifier: nn.Module,
        around: LabeledParts,
        *,
        classes: int,
        feature_dim: int = 0,
        class_prior: Sequence[float] | None = None,
        pool: ClassifierPool | None = None,
    ) -> None:
        super().__init__(around, label_dim=classes, feature_dim=feature_dim, pool=pool)
        self.classifier = classifier
        self.classes = classes
        self.prior_is_known = class_prior is not None
        shares = (1 / classes,) * classes if class_prior is None else tuple(class_prior)
        self.register_buffer("log_prior", torch.tensor(shares).log())
        self.register_buffer("temperature", torch.ones(()))

    @classmethod
    def check(cls, schema: Schema, options: ModelOptions) -> None:
        if len(schema.class_names) < 2:
            found = f"one class ({schema.class_names[0]})" if schema.class_names else "none"
            raise OptionError(
                "semi_supervised learns two classes or more, and the data has labels of "
                f"{found}: name a label column (--label), give y in Python, or sort pictures "
                "into a folder per class (sound too, and name --spectrograms)"
            )
        super().check(schema, options)

    @classmethod
    def build(cls, parts: ModelParts) -> SemiSupervisedVariationalAutoencoder:
        sizes, names = parts.own(SemiSupervisedOptions), parts.schema.class_names
        features = cls.pooled_features(parts)
        return cls(
            sizes.classifying(parts.network, parts.input_shape, len(names)),
            cls.around_label(parts, sizes, len(names)),
            classes=len(names),
            feature_dim=sizes.below(parts.latent_dim),
            class_prior=sizes.prior(names),
            pool=None if features is None else ClassifierPool(features[0], len(names), features[1]),
        )

    def start(self, dataset: Dataset) -> None:
        """Start from marginals; if p(y) was not given, take it from the known labels."""
        super().start(dataset)
        if dataset.label is not None and not self.prior_is_known:
            self._start_prior(dataset.label)

    def folds(self, dataset: Dataset, folds: int | None) -> list[Fold] | None:
        """Further fits with some labels hidden, which calibrate q(y | x)."""
        found = folds_of(dataset, FOLDS if folds is None and self.pool is not None else folds or 0)
        if folds and not found:
            raise OptionError(
                "folds hides labels in turn; a class has one label only, which cannot be hidden: "
                "label one more row of it, or leave folds out"
            )
        return found

    def label_answers(self, batch: Batch) -> Tensor:
        return self.class_logits(batch)

    def calibrate(self, dataset: Dataset, folds: Sequence[Fold], answers: Sequence[Tensor]) -> str:
        """Fit the pool, and set the temperature that makes the hidden labels likeliest."""
        hidden = torch.cat([*(fold.places for fold in folds), torch.zeros(0, dtype=torch.long)])
        assert dataset.label is not None
        label = dataset.label.cpu()
        found = HiddenLabels(
            torch.cat([torch.zeros(0, self.classes, dtype=torch.float64), *answers]), label[hidden]
        )
        if self.pool is not None:
            known = label[dataset.labeled].numpy()
            of_rows = self.labeled_rows(dataset, folds)
            rows = ClassifiedRows(**of_rows, label=known, classes=self.classes)
            found = fit_pool(self.pool, rows, found.logits)
        self.temperature.fill_(best_temperature(found.logits, found.label))
        return found.sentence(self.pool, float(self.temperature))

    @property
    def labeler(self) -> nn.Module:
        return self.classifier

    def label_posterior(self, batch: Batch) -> OneHotCategorical:
        return self.class_posterior(batch)

    def label_prior(self) -> OneHotCategorical:
        return self.class_prior()

    def certain(self, label: Tensor) -> OneHotCategorical:
        return OneHotCategorical(label.unsqueeze(0), validate_args=False)

    def class_prior(self) -> OneHotCategorical:
        """p(y), batch shape (1, 1)."""
        return OneHotCategorical(logits=self.log_prior.reshape(1, 1, -1), validate_args=False)

    def class_posterior(self, batch: Batch) -> OneHotCategorical:
        """q(y | x), batch shape (1, batch)."""
        logits = self.tempered(self.class_logits(batch))
        return OneHotCategorical(logits=logits.unsqueeze(0), validate_args=False)

    def class_logits(self, batch: Batch, labeler: nn.Module | None = None) -> Tensor:
        """Logits of q(y | x) before the temperature, (batch, classes); of ``labeler`` alone if it
        is given."""
        seen = self.seen(batch)
        logits: Tensor = (labeler or self.classifier)(seen, None)
        logits = logits.float() if logits.dtype == torch.bfloat16 else logits
        if labeler is None and self.pool is not None and self.pool.fitted:
            logits = self.pool(logits, self._values(seen))
        return logits

    def tempered(self, logits: Tensor) -> Tensor:
        """The logits divided by the temperature."""
        return logits / self.temperature.to(logits)

    def class_shares(self) -> Tensor:
        """p(y), (classes,)."""
        return self.log_prior.exp()

    @torch.no_grad()
    def _start_prior(self, label: Tensor) -> None:
        """Take p(y) from labels, with one added to each class count (Laplace smoothing)."""
        counts = torch.bincount(label[label >= 0], minlength=self.classes) + 1.0
        self.log_prior.copy_(torch.log(counts / counts.sum()))
