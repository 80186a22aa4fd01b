"""The class as one more latent: against brute force, and a mixture that is solved on paper."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Normal, OneHotCategorical, kl_divergence

from lowerbound.data import Dataset, load
from lowerbound.distributions.divergence import closed_form_kl
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.likelihood import score
from lowerbound.likelihoods import Gaussian
from lowerbound.models import SemiSupervisedVariationalAutoencoder, VariationalAutoencoder
from lowerbound.models.labels.labeled import LabeledParts
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import SemiSupervised, semi_supervised as module
from lowerbound.objectives.elbo import ELBO
from lowerbound.objectives.semi_supervised import spread_labels
from lowerbound.priors import StandardNormal
from lowerbound.trace import Batch, Draw, Every, Mean

CLASSES, ROWS, FEATURES = 3, 24, 5


def labeled_rows(seed: int = 0) -> Dataset:
    """Vectors of three classes, every second one without its label."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(ROWS) % CLASSES
    x = torch.randn(ROWS, FEATURES, generator=generator, dtype=torch.float64)
    data = load((x + label.unsqueeze(1)).numpy()).with_labels(label.numpy())
    hidden = torch.where(torch.arange(ROWS) % 2 == 0, data.label, -1)
    return Dataset(data.schema, data.x, label=hidden)


def built(stacked: bool, seed: int = 0) -> tuple[SemiSupervisedVariationalAutoencoder, Dataset]:
    data = labeled_rows()
    torch.manual_seed(seed)
    options = ModelOptions(
        model="semi_supervised",
        latent_dim=2,
        network="mlp",
        network_options={"hidden": [8]},
        model_options={"stacked": stacked, "hidden": [8], "feature_dim": 4},
    )
    model = assemble(data.schema, options)
    model.start(data)
    assert isinstance(model, SemiSupervisedVariationalAutoencoder)
    return model.double(), data


def by_hand(model: Any, x: Tensor, c: int, z: Tensor | None = None) -> Tensor:
    """L(x, y = c) with every latent at its mean, written out from the networks alone."""
    y = torch.eye(CLASSES, dtype=x.dtype)[c].expand(len(x), -1)

    def normal(numbers: Tensor) -> Normal:
        loc, raw = numbers.chunk(2, 1)
        return Normal(loc, torch.exp(7 * torch.tanh(raw / 14)))

    def kl(q: Normal) -> Tensor:
        unit = Normal(torch.zeros_like(q.loc), torch.ones_like(q.loc))
        return kl_divergence(q, unit).sum(1)

    log_prior = torch.log_softmax(model.log_prior, 0)[c]  # float32 sums to one but for rounding
    if model.between is None:
        q = normal(model.encoder(x, y))
        numbers = model.decoder(q.loc, y)
        rate = kl(q)
    else:
        first = normal(model.encoder(x, None))
        q = normal(model.between.encoder(first.loc, y))
        expected = normal(model.between.decoder(q.loc, y))
        ratio = first.log_prob(first.loc) - expected.log_prob(first.loc)
        numbers, rate = model.decoder(first.loc, None), kl(q) + ratio.sum(1)
    fit: Tensor = model.likelihood(numbers.unsqueeze(0)).log_prob(x).squeeze(0)
    return fit + log_prior - rate


def objective(**options: Any) -> SemiSupervised:
    made = SemiSupervised(**options).double()
    made.choose = Mean()
    return made


@pytest.mark.parametrize("stacked", [False, True])
def test_the_bound_is_brute_force_over_the_classes(stacked: bool) -> None:
    model, data = built(stacked)
    batch = data.all()
    assert batch.x is not None
    assert data.label is not None
    joint = torch.stack([by_hand(model, batch.x, c) for c in range(CLASSES)])
    q = torch.softmax(model.classifier(batch.x, None), 1).T
    unlabeled = (q * (joint - torch.log(q))).sum(0)
    labeled = joint.gather(0, data.label.clamp_min(0).unsqueeze(0)).squeeze(0)
    expected = torch.where(data.label >= 0, labeled, unlabeled)
    bound = objective()(model, batch)
    torch.testing.assert_close(bound.value, expected.detach(), rtol=1e-12, atol=1e-10)
    torch.testing.assert_close(bound.value, -bound.distortion - bound.rates.sum(0))


@pytest.mark.parametrize("stacked", [False, True])
def test_without_the_classifiers_weight_the_loss_is_the_bound(stacked: bool) -> None:
    model, data = built(stacked)
    own = objective(classifier=0.0)
    own.prepare(model, data)
    bound = own.train()(model, data.all())
    torch.testing.assert_close(bound.loss.detach(), -bound.value.mean())
    assert own.teacher is None
    assert own.targets is None


@pytest.mark.parametrize("stacked", [False, True])
def test_with_every_label_it_is_the_supervised_objective(stacked: bool) -> None:
    model, data = built(stacked)
    label = torch.arange(ROWS) % CLASSES
    data = Dataset(data.schema, data.x, label=label)
    own = objective(noise=0.0, classifier=7.0)
    own.prepare(model, data)
    batch = data.all()
    assert batch.x is not None
    joint = torch.stack([by_hand(model, batch.x, c) for c in range(CLASSES)])
    labeled = joint.gather(0, label.unsqueeze(0)).mean()
    entropy = nn.functional.cross_entropy(model.classifier(batch.x, None), label)
    decoded: list[int] = []
    model.decoder.register_forward_hook(lambda _, rows, __: decoded.append(len(rows[0])))
    loss = own.train()(model, batch).loss
    torch.testing.assert_close(loss, 7 * entropy - labeled, rtol=1e-12, atol=1e-10)
    assert decoded == [ROWS]  # no class but the one that is known


def test_a_graph_of_which_nothing_can_be_asked_is_left_out() -> None:
    model, data = built(False)
    assert data.label is not None
    first = int(torch.nonzero(data.label == 2)[0])
    label = torch.where((data.label == 2) & (torch.arange(ROWS) != first), -1, data.label)
    own = objective()
    own.prepare(model, Dataset(data.schema, data.x, label=label))
    assert own.targets is None
    assert own.spread is not None
    assert math.isnan(own.spread.gain)


def test_the_teacher_is_believed_where_it_is_sure() -> None:
    model, data = built(False)
    batch = data.all()
    assert batch.x is not None
    hidden = batch.rows(data.label < 0)
    with torch.no_grad():
        said = torch.softmax(model.classifier(hidden.filled, None), 1)
    surest = said.amax(1)
    threshold = surest.sort().values[len(surest) // 2].item()
    own = objective(confidence_threshold=threshold, graph=0.0)
    own.prepare(model, data)
    taught = own._teacher_probability(model, hidden)
    expected = said.square() / said.square().sum(1, keepdim=True)
    expected[surest <= threshold] = 0.0
    torch.testing.assert_close(taught, expected)
    for wrong in (-0.1, 1.0):
        with pytest.raises(OptionError, match="a probability below 1"):
            objective(confidence_threshold=wrong)


@pytest.mark.parametrize(("progress", "rise"), [(0.0, 0.0), (0.15, 0.5), (0.6, 1.0)])
def test_the_lesson_is_its_three_terms(progress: float, rise: float) -> None:
    """C - g (1 - progress) <graph, s> - c rise <teacher, s>, written out."""
    model, data = built(False)
    own = objective(noise=0.0, graph=0.7, consistency=3.0, confidence_threshold=0.0)
    own.prepare(model, data)
    own.targets = torch.rand(ROWS, CLASSES, dtype=torch.float64)
    own.progress.fill_(progress)
    batch, hidden = data.all(), data.label < 0
    assert batch.x is not None
    said = torch.log_softmax(model.classifier(batch.x, None), 1)
    cross_entropy = -said[~hidden].gather(1, data.label[~hidden].unsqueeze(1)).mean()
    graph = (own.targets * said)[hidden].sum(1).mean()
    taught = said[hidden].exp().square().detach()
    teacher = (taught / taught.sum(1, keepdim=True) * said[hidden]).sum(1).mean()
    expected = cross_entropy - 0.7 * (1 - progress) * graph - 3.0 * rise * teacher
    torch.testing.assert_close(own.lesson(model, batch), expected)


def test_the_teacher_follows_the_student_over_a_fifteenth_of_the_run() -> None:
    model, data = built(False)
    own = objective()
    own.prepare(model, data)
    assert own.teacher is not None
    before = [weight.clone() for weight in own.teacher.parameters()]
    with torch.no_grad():
        for weight in model.labeler.parameters():
            weight.add_(torch.randn_like(weight))
    bound = own.train()(model, data.all())
    for progress, share in ((0.02, 0.3), (0.5, 1.0)):
        own.progress.fill_(progress)
        own.after_update(bound)
        student = [weight.detach() for weight in model.labeler.parameters()]
        before = [old + share * (new - old) for old, new in zip(before, student, strict=True)]
        for found, expected in zip(own.teacher.parameters(), before, strict=True):
            torch.testing.assert_close(found, expected)


def test_permuted_class_codes_permute_columns_only() -> None:
    model, data = built(False)
    other, _ = built(False)
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        last = other.classifier.layers[-1]
        last.weight.copy_(last.weight[order])
        last.bias.copy_(last.bias[order])
        other.log_prior.copy_(other.log_prior[order])
        for network, start in ((other.encoder, FEATURES), (other.decoder, 2)):
            weight = network.layers[0].weight
            weight[:, start:] = weight[:, start:][:, order]
    renamed = torch.argsort(order)[data.label.clamp_min(0)]
    label = torch.where(data.label >= 0, renamed, -1)
    batch, same = data.all(), Dataset(data.schema, data.x, label=label).all()
    values = [objective()(m, b).value for m, b in ((model, batch), (other, same))]
    torch.testing.assert_close(values[0], values[1], rtol=1e-12, atol=1e-12)
    columns = [m.class_posterior(batch).probs for m in (model, other)]
    torch.testing.assert_close(columns[0][..., order], columns[1])


class OfClass(nn.Module):
    """Numbers that depend on the class alone."""

    def __init__(self, numbers: Tensor) -> None:
        super().__init__()
        self.numbers = nn.Parameter(numbers)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return condition @ self.numbers


class Discriminant(nn.Module):
    """Logits of the exact p(y | x) of Gaussians of one width around ``centers``."""

    def __init__(self, centers: Tensor, scale: float, log_prior: Tensor) -> None:
        super().__init__()
        self.centers, self.scale, self.log_prior = centers, scale, log_prior

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        apart = (x.unsqueeze(1) - self.centers).square().sum(2)
        return self.log_prior - apart / (2 * self.scale**2)


def test_with_the_exact_posterior_the_bound_is_the_density_of_the_mixture() -> None:
    centers = torch.tensor([[0.0, 0.0], [2.0, 1.0], [-1.0, 3.0]], dtype=torch.float64)
    log_prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
    scale = 0.8
    likelihood = Gaussian((2,), scale="fixed", tau=scale)
    model = SemiSupervisedVariationalAutoencoder(
        Discriminant(centers, scale, log_prior),
        LabeledParts(
            OfClass(torch.zeros(3, 4)), StandardNormal(2), OfClass(centers.clone()), likelihood
        ),
        classes=3,
    ).double()
    model.log_prior.copy_(log_prior)
    x = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    each = Normal(centers.unsqueeze(1), scale).log_prob(x).sum(2)
    exact = torch.logsumexp(each + log_prior.unsqueeze(1), 0)
    bound = SemiSupervised().double()(model, Batch(x))
    torch.testing.assert_close(bound.value, exact, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("uniform", [1 / 3, 1 / 3, 1 / 3]),
        ((0.5, 0.3, 0.2), [0.5, 0.3, 0.2]),
        ({"2": 0.2, "0": 0.5, "1": 0.3}, [0.5, 0.3, 0.2]),
        ((0.333, 0.333, 0.333), [1 / 3, 1 / 3, 1 / 3]),
        (None, [5 / 15, 5 / 15, 5 / 15]),  # four of each have a label, and one more is counted
    ],
)
def test_a_class_prior_is_what_was_said(said: Any, expected: list[float]) -> None:
    data = labeled_rows()
    options = ModelOptions(model="semi_supervised", model_options={"class_prior": said})
    model: Any = assemble(data.schema, options)
    model.start(data)
    torch.testing.assert_close(model.class_prior().probs.flatten(), torch.tensor(expected))


def of_prior(prior: Any, data: Dataset) -> Any:
    options = ModelOptions(model="semi_supervised", model_options={"class_prior": prior})
    torch.manual_seed(0)
    model = assemble(data.schema, options)
    model.start(data)
    return model.double()


def test_the_bound_and_the_graph_go_by_the_same_class_prior(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, said = labeled_rows(), torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    by_hand, by_labels = (of_prior(prior, data) for prior in (said.tolist(), None))
    values = [objective()(model, data.all()).value for model in (by_hand, by_labels)]
    assert data.label is not None
    known = data.label >= 0
    expected = (said * CLASSES).log()[data.label[known]]
    torch.testing.assert_close((values[0] - values[1])[known], expected, rtol=1e-6, atol=1e-6)
    asked: list[Tensor] = []

    def spread(features: Tensor, label: Tensor, shares: Tensor) -> Any:
        asked.append(shares)
        return spread_labels(features, label, shares)

    monkeypatch.setattr(module, "spread_labels", spread)
    objective().prepare(by_hand, data)
    torch.testing.assert_close(asked[0], said, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("even", "unknown class_prior 'even'"),
        ((0.5, 0.5), "has 2 probabilities, and there are 3 classes: 0, 1, 2"),
        ((0.5, 0.6, -0.1), "one positive probability for each class, and they sum to one"),
        ((0.5, 0.5, 0.5), "and they sum to one, not 0.5, 0.5, 0.5"),
        ({"0": 0.5, "1": 0.5}, "leaves out the class 2"),
        ({"0": 0.5, "1": 0.4, "9": 0.1}, "unknown class in class_prior '9'"),
        (3, "class_prior"),
    ],
)
def test_what_is_no_class_prior(said: Any, message: str) -> None:
    options = ModelOptions(model="semi_supervised", model_options={"class_prior": said})
    with pytest.raises(OptionError, match=message):
        assemble(labeled_rows().schema, options)


def test_every_class_is_taken_with_its_probability() -> None:
    model, data = built(False)
    every = Every()
    trace = model(data.all(), every)
    assert trace.steps[0].z.shape == (CLASSES, ROWS, CLASSES)
    assert trace.steps[1].z.shape == (CLASSES, ROWS, 2)
    torch.testing.assert_close(
        torch.logsumexp(every.log_weights(trace), 0), torch.zeros(ROWS, dtype=torch.float64)
    )


def test_rates_of_classes_are_those_of_their_indices() -> None:
    q, p = torch.randn(1, 7, 4), torch.randn(1, 1, 4)
    one_hot = closed_form_kl(OneHotCategorical(logits=q), OneHotCategorical(logits=p))
    expected = kl_divergence(Categorical(logits=q), Categorical(logits=p))
    assert one_hot is not None
    torch.testing.assert_close(one_hot, expected)


@pytest.mark.slow
@pytest.mark.parametrize("stacked", [False, True])
def test_drawn_bounds_agree_with_the_marginalized_one(stacked: bool) -> None:
    """Both are bounds of one number; with many draws of everything they meet on average."""
    model, data = built(stacked)
    unlabeled = Dataset(data.schema, data.x)
    torch.manual_seed(0)
    own = SemiSupervised(samples=1).double()
    values = torch.stack([own(model, unlabeled.all()).value for _ in range(400)]).mean(0)
    with torch.no_grad():
        trace = model(unlabeled.all(), Draw(20_000))
        likelihood = trace.likelihood.log_prob(unlabeled.all().x)
        drawn = likelihood - sum(step.log_ratio() for step in trace.steps)
    assert math.isclose(float(values.mean()), float(drawn.mean()), abs_tol=0.05)
    scores = score(model, unlabeled, samples=64, seed=0)
    assert (
        float(scores.bound.mean())
        > float(values.mean()) + float(unlabeled.log_jacobian(mass=False).mean()) - 0.05
    )


def test_a_class_that_is_asked_for_is_made() -> None:
    model, _ = built(False)
    told = torch.eye(CLASSES, dtype=torch.float64)
    trace = model.imagine(Batch(condition=told), Draw(4))
    torch.testing.assert_close(trace.steps[0].z, told.expand(4, -1, -1))


def test_hidden_labels_are_refused_where_there_are_none() -> None:
    model, data = built(False)
    for label in (None, torch.full((ROWS,), -1)):
        with pytest.raises(DataError, match="no row has a label"):
            SemiSupervised().prepare(model, Dataset(data.schema, data.x, label=label))
    with pytest.raises(DataError, match=r"of one class \(1\)"):
        SemiSupervised().prepare(
            model, Dataset(data.schema, data.x, label=torch.tensor([1, *[-1] * (ROWS - 1)]))
        )


def test_a_model_of_two_classes_at_least() -> None:
    data = labeled_rows()
    unnamed = load(data.x.numpy())
    with pytest.raises(OptionError, match="labels of none: name"):
        assemble(unnamed.schema, ModelOptions(model="semi_supervised"))
    for wrong in ({"network": "tabular"}, {"posterior": "full"}, {"prior": "vamp"}):
        with pytest.raises(OptionError):
            assemble(data.schema, ModelOptions(model="semi_supervised", **wrong))


def test_drawing_the_class_in_training_is_refused() -> None:
    model, data = built(False)
    with pytest.raises(UnsupportedError, match="enumerate"):
        ELBO().double()(model, data.all())


def test_a_model_without_classes_has_the_elbo() -> None:
    data = labeled_rows()
    model = assemble(data.schema, ModelOptions(latent_dim=2, network="mlp")).double()
    assert isinstance(model, VariationalAutoencoder)
    torch.manual_seed(3)
    found = SemiSupervised().double()(model, data.all()).value
    torch.manual_seed(3)
    torch.testing.assert_close(found, ELBO().double()(model, data.all()).value)


@pytest.mark.slow
@pytest.mark.parametrize("stacked", [False, True])
def test_more_draws_of_rows_of_unknown_class_vary_less(stacked: bool) -> None:
    """The mean of 16 draws has a quarter of the standard deviation of one."""
    model, data = built(stacked)
    batch, spread = data.all().to(torch.float64), []
    for samples in (1, 16):
        objective = SemiSupervised(samples=samples, classifier=0.0).double()
        torch.manual_seed(0)
        with torch.no_grad():
            values = torch.stack([objective(model, batch).value for _ in range(40)])
        assert batch.label is not None
        spread.append(float(values.std(0)[batch.label < 0].mean()))
    assert spread[1] == pytest.approx(spread[0] / 4, rel=0.2)
