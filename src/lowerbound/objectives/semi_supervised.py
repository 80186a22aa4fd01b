r"""The bound on labeled and unlabeled rows together, and the terms that train the classifier.

Label spreading: predict a row's class from the labels of its neighbors in a graph.

.. math:: F \leftarrow \alpha S F + (1 - \alpha) Y, \quad S = D^{-1/2} W D^{-1/2}

(Zhou et al. 2004). The probabilities are then scaled until the classes have their expected shares
(Sinkhorn 1967), and sharpened. Cross-validation on the known labels chooses the number of neighbors
and the sharpness. It also decides whether the graph is used: the graph must predict hidden labels
significantly better than a linear classifier.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.config import renamed_keywords
from lowerbound.data.arrays import Array
from lowerbound.data.labels import FOLDS, fewest_labels, label_folds
from lowerbound.errors import DataError, OptionError
from lowerbound.models.base import Model
from lowerbound.models.powers import Classifies, HasLabel
from lowerbound.objectives.base import Bound
from lowerbound.objectives.mean_teacher import ROWS, KnownLabels, MeanTeacher, nothing, surprise
from lowerbound.parts import OBJECTIVES
from lowerbound.trace import Batch, Draw, Every, Trace

if TYPE_CHECKING:
    from lowerbound.data.dataset import Dataset

ALPHA = 0.99  # weight of the neighbors; the row's own label has the rest
ROUNDS = 100
BALANCING = 50
NEIGHBORS = (5, 10, 15)
SHARPNESS = (1.0, 2.0, 4.0, 8.0)
ROWS_AT_ONCE = 1_000  # rows whose distances are in memory at once
LEAST = 1e-3  # smallest probability of a hidden label, so that no single label decides


@dataclass(frozen=True)
class Spread:
    """The result of label spreading.

    Attributes:
        probability: of each class, (rows, classes), float32.
        gain: nats per hidden label by which the graph is better than the class shares and than a
            linear classifier, less one standard error; NaN if a class has too few labels for one
            in each fold, because cross-validation is then unreliable.
        neighbors, sharpness: the chosen values.
    """

    probability: Tensor
    gain: float
    neighbors: int
    sharpness: float


def spread_labels(features: Tensor, label: Tensor, prior: Tensor, seed: int = 0) -> Spread:
    """Spread labels over the rows.

    Args:
        features: (rows, F), in which distances are meaningful.
        label: class indices, (rows,), -1 where unknown.
        prior: expected shares of the classes, (classes,).
        seed: seed of the folds.
    """
    count = max(n for n in NEIGHBORS)
    distance, index = nearest(features, min(count, len(features) - 1))
    codes, shares = label.cpu().numpy(), prior.double().cpu().numpy()
    known = np.flatnonzero(codes >= 0)
    folds = [fold.cpu().numpy() for fold in label_folds(label, seed=seed)]
    best = np.full(len(known), np.log(LEAST))
    chosen = (min(NEIGHBORS[0], index.shape[1]), 2.0)
    for neighbors in NEIGHBORS:
        if neighbors > index.shape[1] or not folds:
            continue
        graph = _graph(distance, index, neighbors)
        held_out = [_held_out(graph, codes, fold, shares) for fold in folds]
        for sharpness in SHARPNESS:
            found = np.concatenate([_log_probability(p, y, sharpness) for p, y in held_out])
            if found.mean() > best.mean():
                best, chosen = found, (neighbors, sharpness)
    gain = float("nan")
    if fewest_labels(label) >= FOLDS:
        share = np.log(shares[codes[np.concatenate(folds)]])
        line = _linearly(features, codes, folds)
        above = best - max(share, line, key=lambda said: float(said.mean()))
        gain = float(above.mean() - above.std(ddof=1) / len(above) ** 0.5)
    neighbors, sharpness = chosen
    probability = sharpened(_spread(_graph(distance, index, neighbors), codes, shares), sharpness)
    return Spread(torch.from_numpy(probability.astype(np.float32)), gain, neighbors, sharpness)


@torch.no_grad()
def nearest(features: Tensor, count: int) -> tuple[Array, Array]:
    """Distances to the nearest other rows and their indices, (rows, count) each, nearest first."""
    features = features.float()
    squares = features.square().sum(1)
    distances, indices = [], []
    for start in range(0, len(features), ROWS_AT_ONCE):
        part = features[start : start + ROWS_AT_ONCE]
        apart = squares - 2 * part @ features.T + squares[start : start + ROWS_AT_ONCE].unsqueeze(1)
        own = torch.arange(len(part))
        apart[own, own + start] = torch.inf
        found = apart.topk(count, 1, largest=False)
        distances.append(found.values.clamp_min(0).sqrt())
        indices.append(found.indices)
    return torch.cat(distances).cpu().numpy(), torch.cat(indices).cpu().numpy()


def balanced(votes: Array, shares: Array) -> Array:
    """Scale votes to probabilities of each row whose means over the rows are the class shares.

    Classes without a vote have probability 0.
    """
    floor = np.finfo(votes.dtype).tiny
    rows = votes / np.maximum(votes.sum(1, keepdims=True), floor)
    unheard = votes.sum(1) <= floor
    rows[unheard] = shares
    weight = np.ones_like(shares)
    for _ in range(BALANCING):
        scaled = rows * weight
        scaled /= np.maximum(scaled.sum(1, keepdims=True), floor)
        weight *= shares / np.maximum(scaled.mean(0), 1e-9)
    answer: Array = scaled
    return answer


def sharpened(probability: Array, power: float) -> Array:
    """p^power, normalized again."""
    raised = probability**power
    answer: Array = raised / raised.sum(1, keepdims=True)
    return answer


def _graph(distance: Array, index: Array, neighbors: int) -> Any:
    """S, sparse: weights fall with the distance relative to that of the last neighbor."""
    from scipy import sparse

    near, rows = distance[:, :neighbors], len(distance)
    scale = np.maximum(near[:, -1:], 1e-12)
    weight = np.exp(-4 * np.square(near / scale)).astype(np.float32)
    source = np.repeat(np.arange(rows), neighbors)
    one_way = sparse.csr_matrix(
        (weight.ravel(), (source, index[:, :neighbors].ravel())), shape=(rows, rows)
    )
    both = one_way.maximum(one_way.T)
    root = sparse.diags(np.asarray(both.sum(1)).ravel() ** -0.5)
    return (root @ both @ root).astype(np.float32)


def _spread(graph: Any, codes: Array, shares: Array) -> Array:
    """Balanced probabilities of every row, (rows, classes)."""
    given = np.zeros((len(codes), len(shares)), np.float32)
    known = np.flatnonzero(codes >= 0)
    given[known, codes[known]] = 1.0
    votes = given
    for _ in range(ROUNDS):
        votes = ALPHA * (graph @ votes) + (1 - ALPHA) * given
    answer: Array = balanced(votes.astype(np.float64), shares)
    return answer


def _held_out(graph: Any, codes: Array, fold: Array, shares: Array) -> tuple[Array, Array]:
    """Probabilities of the fold's rows with their labels hidden, and these labels."""
    hidden = codes.copy()
    hidden[fold] = -1
    return _spread(graph, hidden, shares)[fold], codes[fold]


def _linearly(features: Tensor, codes: Array, folds: list[Array]) -> Array:
    """Log-probability of each hidden label by logistic regression on the other labels."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = np.flatnonzero(codes >= 0)
    x = features[torch.from_numpy(known)].double().cpu().numpy()
    found = []
    for fold in folds:
        hidden = np.searchsorted(known, fold)
        seen = np.setdiff1d(np.arange(len(known)), hidden)
        learner = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
        learner.fit(x[seen], codes[known[seen]])
        probability = np.zeros((len(fold), int(codes.max()) + 1))
        probability[:, learner.classes_] = learner.predict_proba(x[hidden])
        found.append(_log_probability(probability, codes[fold], 1.0))
    answer: Array = np.concatenate(found)
    return answer


def _log_probability(probability: Array, codes: Array, power: float) -> Array:
    found: Array = np.log(sharpened(probability, power)[np.arange(len(codes)), codes] + LEAST)
    return found


@OBJECTIVES.register("semi_supervised")
@renamed_keywords(moves="augmentation", sure="confidence_threshold")
class SemiSupervised(MeanTeacher):
    r"""The bound of M2, which sums over the classes of unlabeled rows (Kingma et al. 2014):

    .. math::
        L(x, y) &= \mathbb{E}_{q(z \mid x, y)}[\log p(x \mid y, z)] + \log p(y)
            - KL(q(z \mid x, y) \,\|\, p(z)) \le \log p(x, y) \\
        U(x) &= \sum_y q(y \mid x)\,(L(x, y) - \log q(y \mid x)) \le \log p(x)

    The value of a row is L(x, y) if its class is known, else U(x). The loss is

    .. math:: -\text{mean value} + w\,(C + g\,G + c\,T)

    with three cross-entropies that are not in the bound. C is that of the labels on perturbed
    labeled rows. G is that of the classes from a graph of neighbors (``label_graph``); its weight
    falls to 0 over the run, because the classifier becomes better than the graph. T is that of the
    classes from a teacher, the classifier with averaged weights (Tarvainen & Valpola 2017), for
    rows on which it is confident. G and T use perturbed rows without a label. With w = 0 the loss
    is the bound alone. For a model without classes, the objective is the ELBO.

    Args:
        samples: draws of the continuous latents per row and class.
        classifier: w, in nats of the bound per nat of cross-entropy.
        graph: g; 0 builds no graph. The graph is also left out if a class has fewer than five
            labels, or if the graph predicts hidden labels no better, by more than a standard
            error, than the class shares and a linear classifier.
        consistency: c.
        confidence_threshold: T uses a row if the teacher's probability of its likeliest class is
            above this.
        noise: of perturbed rows, in standard deviations; see ``Perturbation``.
        augmentation: strength for perturbed pictures, 0 to 1. Above 0, small rotations, shifts,
            zooms and shears must not change the class.
        bound: False: the loss has no bound and trains q(y | x) alone; the value of a row is 0.
    """

    targets: Tensor | None

    def __init__(
        self,
        *,
        samples: int = 1,
        classifier: float = 50.0,
        graph: float = 1.0,
        consistency: float = 1.0,
        confidence_threshold: float = 0.9,
        noise: float = 0.3,
        augmentation: float = 0.0,
        bound: bool = True,
    ) -> None:
        super().__init__(samples, classifier, consistency, noise, augmentation, bound)
        if not bound and not classifier:
            raise OptionError("classifier=0 with bound=False leaves nothing to train: set one")
        if not 0 <= confidence_threshold < 1:
            raise OptionError(
                f"confidence_threshold is a probability below 1, not {confidence_threshold}"
            )
        for name, weight in (("classifier", classifier), ("graph", graph)):
            if weight < 0:
                raise OptionError(f"{name} must not be negative, and is {weight}")
        self.graph = graph
        self.confidence_threshold = confidence_threshold
        self.spread: Spread | None = None
        self.register_buffer("targets", None, persistent=False)  # ``prepare`` makes it again

    def prepare(self, model: Model, dataset: Dataset) -> None:
        """Gather the labeled rows, spread their labels, and set up the teacher.

        Raises:
            DataError: no row has a label, or all labels are of one class.
        """
        super().prepare(model, dataset)
        if not isinstance(model, Classifies) or model.label_is_fitted:
            return
        label = require_labels(dataset)
        known = torch.nonzero(label >= 0).flatten()
        self.gather(model, dataset, known, label[known])
        if self.share and self.graph and len(known) < len(dataset):
            features = neighborhood(model, dataset)
            self.spread = spread_labels(features, label, model.class_shares())
            if self.spread.gain > 0:  # False for NaN, if no label could be hidden
                self.targets = self.spread.probability

    def forward(self, model: Model, batch: Batch) -> Bound:
        if not isinstance(model, Classifies):
            return super().forward(model, batch)
        bound = self.bound_of(model, batch) if self.bounded else nothing(batch)
        if not (self.share and self.training and self.labeled_label is not None):
            return bound
        return replace(bound, loss=bound.loss + self.share * self.lesson(model, batch))

    def bound_of(self, model: Classifies, batch: Batch) -> Bound:
        """The bound of every row: of its class if it is known, else of all classes."""
        assert isinstance(model, Model)
        if batch.label is not None and bool((batch.label >= 0).all()):
            assert batch.x is not None
            one_hot = F.one_hot(batch.label, model.classes).to(batch.x.dtype)
            return self.supervised(model(batch, KnownLabels(one_hot, self.choose)), batch)
        bounds = [self._of_every_class(model, batch) for _ in range(self.samples)]
        fields = [(bound.value, bound.distortion, bound.rates, bound.loss) for bound in bounds]
        return Bound(*(torch.stack(each).mean(0) for each in zip(*fields, strict=True)))

    def _of_every_class(self, model: Model, batch: Batch) -> Bound:
        """The bound of one pass through every class, with one draw of the other latents."""
        rest = replace(self.choose, samples=1) if isinstance(self.choose, Draw) else self.choose
        every = Every(0, rest)
        trace = model(batch, every)
        return self.marginalized(trace, every.log_weights(trace), batch)

    def supervised(self, trace: Trace, batch: Batch) -> Bound:
        """The bound of a pass through rows whose classes are all known."""
        fit, rates = self.split(trace, batch)
        rates = torch.cat([surprise(trace, len(batch)).unsqueeze(0), rates[1:]])
        value = fit - rates.sum(0)
        return Bound(value.detach(), -fit.detach(), rates.detach(), -value.mean())

    def marginalized(self, trace: Trace, log_q: Tensor, batch: Batch) -> Bound:
        """The bound of a pass through every class; ``log_q`` is log q(y | x), (classes, batch)."""
        assert batch.x is not None
        first, *below = trace.steps
        log_prior = first.prior.log_prob(first.z[:, :1])
        weight, log_weight = known_or(log_q, batch.label)
        fit = (weight * _by_class(trace.likelihood.log_prob(batch.x, batch.observed), log_q)).sum(0)
        of_label = (weight * (log_weight - log_prior)).sum(0)
        rates = [(weight * _by_class(step.rate(self.analytic), log_q)).sum(0) for step in below]
        stacked = torch.stack([of_label, *rates])
        value = fit - stacked.sum(0)
        return Bound(value.detach(), -fit.detach(), stacked.detach(), -value.mean())

    def lesson(self, model: Classifies, batch: Batch) -> Tensor:
        """C + g G + c T, nats."""
        rows, label = self.labeled(batch)
        loss = F.cross_entropy(self._seen_perturbed(model, rows), label)
        hidden = (
            torch.ones(len(batch), dtype=torch.bool) if batch.label is None else batch.label < 0
        )
        if not (self.graph or self.consistency) or not bool(hidden.any()):
            return loss
        rows = batch.rows(hidden)
        said = torch.log_softmax(self._seen_perturbed(model, rows), -1)
        if self.targets is not None and rows.ids is not None:
            loss = loss - self.graph * self.fading * _agreement(self.targets[rows.ids], said)
        if self.teacher is not None:
            loss = loss - self.consistency * self.rising * _agreement(
                self._teacher_probability(model, rows), said
            )
        return loss

    @torch.no_grad()
    def _teacher_probability(self, model: Classifies, rows: Batch) -> Tensor:
        """The teacher's probabilities, sharpened, (rows, classes); 0 where it is not confident."""
        assert self.teacher is not None
        probability = torch.softmax(model.class_logits(rows, self.teacher), -1)
        confident = probability.amax(1, keepdim=True) > self.confidence_threshold
        sharper = probability.square()
        return confident * sharper / sharper.sum(1, keepdim=True)

    def _seen_perturbed(self, model: Classifies, rows: Batch) -> Tensor:
        """Logits of the rows after a perturbation, (rows, classes)."""
        return model.class_logits(self.perturbed(rows))


def known_or(log_q: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weights of the classes and their logarithms, (classes, batch). If the label is known, its
    weight is 1 and all logarithms are 0, so that p log p is 0; else they are those of q(y | x)."""
    if label is None:
        return log_q.exp(), log_q
    known = label >= 0
    certain = F.one_hot(label.clamp_min(0), len(log_q)).T.to(log_q.dtype)
    return torch.where(known, certain, log_q.exp()), torch.where(known, 0.0, log_q)


def require_labels(dataset: Dataset) -> Tensor:
    """Return the labels, (rows,), after checking that they are of at least two classes.

    Raises:
        DataError: they are not.
    """
    label = dataset.label
    if label is None or not bool((label >= 0).any()):
        raise DataError("no row has a label: label some rows of each class, or fit a vae")
    found = label[label >= 0].unique().tolist()
    if len(found) < 2:
        name = dataset.schema.class_names[found[0]]
        raise DataError(
            f"all labels are of one class ({name}): a classifier needs labels of two at least"
        )
    return label


@torch.no_grad()
def neighborhood(model: HasLabel, dataset: Dataset) -> Tensor:
    """Features for distances between rows, (rows, features)."""
    parts, like = [], next(model.labeler.parameters())
    for start in range(0, len(dataset), ROWS):
        index = torch.arange(start, min(start + ROWS, len(dataset)), device=dataset.x.device)
        parts.append(model.label_features(dataset.batch(index).on(like.device).to(like.dtype)))
    return torch.cat(parts).to(torch.float32)


def _by_class(values: Tensor, log_q: Tensor) -> Tensor:
    return values.expand(len(log_q), -1)


def _agreement(target: Tensor, said: Tensor) -> Tensor:
    """Mean over the rows of sum_y t(y) log s(y), nats."""
    return (target.to(said) * said).sum(1).mean()
