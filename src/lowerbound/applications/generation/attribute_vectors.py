r"""Attribute vectors: directions in latent space that add an attribute, such as a smile; effects.

With the mean :math:`m_1` of the codes of rows that have the attribute, and the mean :math:`m_0` of
those that do not,

.. math::
    \text{mean: } v = m_1 - m_0 \qquad
    \text{logistic: } v = \bigl(\hat n^\top (m_1 - m_0)\bigr)\, \hat n

where :math:`\hat n` is the unit normal of the plane by which logistic regression separates the two
(Larsen et al. 2016; Shen et al. 2020). The strength is in units of the distance between the
classes: :math:`z + s\,v` with s = 1 moves along v by the distance between the means. The mean
difference also contains everything that is correlated with the attribute in the data. The normal
contains less of that, but depends on the units of the codes.

The effect on decoded rows is the target's change and the side effects. A classifier of the real
rows classifies the decoded rows at strength 0 and at strength s:

.. math::
    \text{target} = \operatorname{mean}\bigl[p_k(x_s) - p_k(x_0)\bigr] \qquad
    \text{off target} = \operatorname{mean}\, \frac{1}{|R|} \sum_{j \in R}
        \lvert p_j(x_s) - p_j(x_0) \rvert

with k the added class (for a subtracted class the sign is reversed) and R all other classes.
If classes exclude each other, the others lose what the target gains. Off target is then at least
target / |R|, and only the excess over this value is a side effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.generation import requests
from lowerbound.classical.linear_regression import small_fit
from lowerbound.errors import DataError, unknown
from lowerbound.evaluation.samples.acceptance import RealismClassifier
from lowerbound.inference.decoding import decode_codes
from lowerbound.inference.estimate import Estimate
from lowerbound.models.base import Model
from lowerbound.registry import Registry

FindVector = Callable[[Tensor, Tensor], Tensor]
METHODS: Registry[FindVector] = requests.METHODS


@dataclass(frozen=True, eq=False)
class Attribute:
    """A direction in latent space.

    Attributes:
        name: of the attribute.
        vector: v, (latent_dim,), float64, for strength 1.
        having: number of rows with the attribute that it was learned from.
        lacking: number of rows without it.
    """

    name: str
    vector: Tensor
    having: int
    lacking: int

    def added(self, z: Tensor, strength: float) -> Tensor:
        """z + strength * v, (rows, latent_dim); a negative strength removes the attribute."""
        return z.double() + strength * self.vector


def attribute(name: str, codes: Tensor, has: Tensor, method: str = "mean") -> Attribute:
    """Learn an attribute from rows with it and rows without it.

    Args:
        name: of the attribute.
        codes: posterior means, (rows, latent_dim).
        has: whether each row has it, (rows,) bool.
        method: a name in ``METHODS``.

    Raises:
        DataError: all rows have it, or none has.
        OptionError: an unknown method.
    """
    find = METHODS[method]
    codes, has = codes.detach().cpu().double(), has.cpu().bool()
    having, lacking = codes[has], codes[~has]
    if not len(having) or not len(lacking):
        which = "no row has" if not len(having) else "every row has"
        raise DataError(
            f"{which} the attribute {name!r}: a direction needs rows with it and rows without it"
        )
    return Attribute(name, find(having, lacking), len(having), len(lacking))


def class_attribute(
    name: str,
    codes: Tensor,
    label: Tensor | None,
    class_names: Sequence[str],
    method: str = "mean",
) -> Attribute:
    """The attribute of membership in one class; rows without a class are left out.

    Args:
        name: of the class.
        codes: posterior means, (rows, latent_dim).
        label: class indices, (rows,), -1 if unknown; None: no labels.
        class_names: names of the classes in the order of their indices.
        method: a name in ``METHODS``.

    Raises:
        DataError: there are no labels, or only one class.
        OptionError: an unknown class or method; the message names the nearest class.
    """
    known = known_classes(label, class_names)
    if name not in known:
        raise unknown("attribute", name, known)
    assert label is not None
    rows = label >= 0
    return attribute(name, codes[rows], label[rows] == known[name], method)


def known_classes(label: Tensor | None, class_names: Sequence[str]) -> dict[str, int]:
    """Names of the classes that have rows, with their indices.

    Raises:
        DataError: there are no labels, or only one class.
    """
    if label is None or not bool((label >= 0).any()):
        raise DataError(
            "the data has no labels to learn attributes from: name a label column, or give one "
            "set with the attribute and one without it"
        )
    found = {class_names[i]: i for i in label[label >= 0].unique().tolist()}
    if len(found) < 2:
        raise DataError(
            f"all labeled rows are of the one class {next(iter(found))!r}: an attribute needs two"
        )
    return found


@METHODS.register("mean")
def mean_difference(having: Tensor, lacking: Tensor) -> Tensor:
    """m_1 - m_0."""
    return having.mean(0) - lacking.mean(0)


@METHODS.register("logistic")
def logistic_normal(having: Tensor, lacking: Tensor) -> Tensor:
    """The normal of the separating plane, with the distance of the means along it as length.

    The regression weights both sides equally. Codes are standardized for it, so its penalty treats
    all units equally, and the normal is then converted to the codes' own units.
    """
    from sklearn.linear_model import LogisticRegression

    codes = torch.cat([having, lacking])
    scale = codes.std(0, correction=0)
    used = scale > 0
    white = (codes - codes.mean(0)) / torch.where(used, scale, 1.0)
    has = torch.arange(len(codes)) < len(having)
    with small_fit():
        fit = LogisticRegression(class_weight="balanced", max_iter=1000)
        fit.fit(white.numpy(), has.numpy())
    normal = torch.from_numpy(fit.coef_[0]).double() / torch.where(used, scale, 1.0)
    normal = torch.where(used, normal, 0.0)
    normal = normal / normal.norm().clamp_min(torch.finfo(normal.dtype).tiny)
    vector: Tensor = normal @ mean_difference(having, lacking) * normal
    return vector


def combined(weights: Mapping[str, float], attributes: Mapping[str, Attribute]) -> Attribute:
    """Several attributes at once, such as smile with +1 and glasses with -1.

    Args:
        weights: of each attribute by name.
        attributes: known attributes by name.
    """
    chosen = [(attributes[name], weight) for name, weight in weights.items()]
    vector = torch.stack([weight * one.vector for one, weight in chosen]).sum(0)
    name = ", ".join(f"{'more' if weight > 0 else 'less'} {one.name}" for one, weight in chosen)
    having, lacking = (min(getattr(o, side) for o, _ in chosen) for side in ("having", "lacking"))
    return Attribute(name, vector, having, lacking)


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
