r"""Effect of an added attribute on the decoded rows: target change and side effects.

A classifier of the real rows classifies the decoded rows at strength 0 and at strength s:

.. math::
    \text{target} = \operatorname{mean}\bigl[p_k(x_s) - p_k(x_0)\bigr] \qquad
    \text{off target} = \operatorname{mean}\, \frac{1}{|R|} \sum_{j \in R}
        \lvert p_j(x_s) - p_j(x_0) \rvert

with k the added class (for a subtracted class the sign is reversed) and R all other classes.
If classes exclude each other, the others lose what the target gains. Off target is then at least
target / |R|, and only the excess over this value is a side effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.evaluation.samples.acceptance import RealismClassifier
from lowerbound.inference.draws.decoding import decode_codes
from lowerbound.inference.estimate import Estimate
from lowerbound.inference.latent_space.attributes import Attribute
from lowerbound.models import Model


@dataclass(frozen=True)
class Effect:
    """The effect of one strength, a mean over rows.

    Attributes:
        strength: in units of the distance between the classes.
        target: change of the target probability; positive in the intended direction.
        off_target: mean absolute change of the other classes; None without other classes.
        rows: number of rows.
    """

    strength: float
    target: Estimate | None
    off_target: Estimate | None
    rows: int


def measure_effects(
    model: Model,
    z: Tensor,
    attribute: Attribute,
    strengths: Sequence[float],
    judge: RealismClassifier,
    wanted: Mapping[int, float],
    condition: Tensor | None = None,
) -> tuple[Effect, ...]:
    """The effect of each strength on rows with these codes.

    Args:
        model: one with a decoder over one latent.
        z: codes, (rows, latent_dim), of rows that were not used to learn the attribute.
        attribute: the attribute to add.
        strengths: its multiples.
        judge: a classifier of the real rows.
        wanted: +1 for the index of an added class, -1 for a subtracted one; all other classes
            are off target.
        condition: the condition of each row, (rows, size).

    Raises:
        UnsupportedError: the model has no decoder over one latent.
    """
    before = _probabilities(model, z, judge, condition)
    found = []
    for strength in strengths:
        after = _probabilities(model, attribute.added(z, strength), judge, condition)
        change = after - before
        found.append(
            Effect(strength, _target(change, judge, wanted), _off(change, judge, wanted), len(z))
        )
    return tuple(found)


def _probabilities(
    model: Model, z: Tensor, judge: RealismClassifier, condition: Tensor | None
) -> Tensor:
    """The classifier's probabilities for decoded rows, (rows, its classes)."""
    x = decode_codes(model, z, condition=condition).mean
    answer = judge.classifier.predict_proba(x.flatten(1).float().numpy())
    return torch.from_numpy(np.asarray(answer, dtype=np.float64))


def _target(
    change: Tensor, judge: RealismClassifier, wanted: Mapping[int, float]
) -> Estimate | None:
    columns = [(i, wanted[k]) for i, k in enumerate(_classes(judge)) if k in wanted]
    if not columns:
        return None
    signed = torch.stack([sign * change[:, i] for i, sign in columns])
    return Estimate.of(signed.mean(0))


def _off(change: Tensor, judge: RealismClassifier, wanted: Mapping[int, float]) -> Estimate | None:
    classes = _classes(judge)
    if wanted and len(classes) == 2:  # the other class is the absence of the attribute
        return None
    others = [i for i, k in enumerate(classes) if k not in wanted]
    return Estimate.of(change[:, others].abs().mean(1)) if others else None


def _classes(judge: RealismClassifier) -> list[int]:
    """Class indices in the order of the classifier's columns."""
    known: Any = judge.classifier.classes_
    return [int(index) for index in known]
