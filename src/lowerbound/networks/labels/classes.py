"""What a model with a class among its latents is made of, besides encoder and decoder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lowerbound.config import option
from lowerbound.errors import OptionError, unknown
from lowerbound.networks.base import Encoder, Network
from lowerbound.networks.labels.around import Labels, refuse_tabular

UNIFORM = "uniform"
ROUNDING = 1e-3  # that probabilities said by hand may miss one by


@dataclass(frozen=True)
class Classes(Labels):
    """The classifier and p(y), besides what any label has."""

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
        """Rows of that shape to logits, where ``network`` is the model's."""
        return self.labeling(network, shape, classes, self.classifier, self.classifier_options)

    def prior(self, names: Sequence[str]) -> tuple[float, ...] | None:
        """p(y) of the classes of these names, where it is said by hand.

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
        raise OptionError(f"class_prior leaves out the class {left_out[0]}: say all of them")
    return tuple(float(said[name]) for name in names)
