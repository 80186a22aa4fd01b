"""The class of a row as a latent: known for some rows, inferred for the others."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import OneHotCategorical

from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.errors import OptionError, unknown
from lowerbound.models.base import MODELS
from lowerbound.models.labels.calibration import Fold, best_temperature, folds_of
from lowerbound.models.labels.labeled import LabeledParts, LabeledVariationalAutoencoder
from lowerbound.models.labels.options import LabelOptions, refuse_tabular
from lowerbound.networks.base import Encoder, Network
from lowerbound.trace import Batch

if TYPE_CHECKING:  # names for annotations
    from lowerbound.data.schema import Schema
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts

ROWS_AT_ONCE = 1_024  # rows in one pass of the classifier
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
            said = _by_name(said, names)
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


def _by_name(said: Mapping[str, float], names: Sequence[str]) -> tuple[float, ...]:
    for name in said:
        if name not in names:
            raise unknown("class in class_prior", name, names)
    left_out = [name for name in names if name not in said]
    if left_out:
        raise OptionError(f"class_prior leaves out the class {left_out[0]}: give all of them")
    return tuple(float(said[name]) for name in names)


@MODELS.register("semi_supervised")
class SemiSupervisedVariationalAutoencoder(LabeledVariationalAutoencoder):
    """The label is a one-hot class, so ``Every`` can sum over all classes exactly.

    Args:
        classifier: (rows, *inputs.shape) -> (rows, classes), logits of q(y | x).
        around, feature_dim: the other parts; see ``LabeledVariationalAutoencoder``.
        classes: number of classes.
        class_prior: p(y) if it is known; None: taken from the labels.

    Attributes:
        temperature: T; q(y | x) is the softmax of the logits divided by T.
    """

    title: ClassVar[str] = "semi-supervised VAE"
    Options: ClassVar[type[Any]] = SemiSupervisedOptions
    objective: ClassVar[str] = "semi_supervised"
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
    ) -> None:
        super().__init__(*around, label_dim=classes, feature_dim=feature_dim)
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
        return cls(
            sizes.classifying(parts.network, parts.input_shape, len(names)),
            cls.around_label(parts, sizes, len(names)),
            classes=len(names),
            feature_dim=sizes.below(parts.latent_dim),
            class_prior=sizes.prior(names),
        )

    def start(self, dataset: Dataset) -> None:
        """Start from marginals; if p(y) was not given, take it from the known labels."""
        super().start(dataset)
        if dataset.label is not None and not self.prior_is_known:
            self._start_prior(dataset.label)

    @classmethod
    def folds(cls, dataset: Dataset, folds: int | None, *, quick: bool) -> list[Fold]:
        """Further fits with some labels hidden, which calibrate q(y | x)."""
        return folds_of(dataset, folds, quick=quick)

    @torch.no_grad()
    def fold_answers(self, rows: Dataset) -> Tensor:
        """Logits before the temperature, (rows, classes), float64."""
        model = copy.deepcopy(self).double() if rows.x.dtype == torch.float64 else self
        own, parts = model.log_prior, []
        for index in torch.arange(len(rows), device=rows.x.device).split(ROWS_AT_ONCE):
            batch = rows.batch(index).on(own.device).to(own.dtype)
            parts.append(model.class_logits(batch).double().cpu())
        return torch.cat(parts)

    def calibrate(self, folds: Sequence[Fold], answers: Sequence[Tensor]) -> None:
        """Set the temperature that makes the labels hidden from the further fits likeliest."""
        label = torch.cat([fold.hidden.label for fold in folds if fold.hidden.label is not None])
        self.temperature.fill_(best_temperature(torch.cat(list(answers)), label.cpu()))

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
        """Logits of q(y | x) before the temperature, (batch, classes)."""
        logits: Tensor = (labeler or self.classifier)(self.seen(batch), None)
        return logits.float() if logits.dtype == torch.bfloat16 else logits

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
