"""A measurement as one more latent: against quadrature, and a Gaussian that is solved on paper."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal, Normal, kl_divergence

from lowerbound.data import Dataset, load
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.likelihood import score
from lowerbound.likelihoods import Gaussian
from lowerbound.models import SemiSupervisedRegression
from lowerbound.models.labels.labeled import LabeledParts
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import MeanTeacherRegression
from lowerbound.objectives.mean_teacher import MEMORY, RAMP, _deviation
from lowerbound.priors import StandardNormal
from lowerbound.trace import Batch, Draw, Mean

ROWS, FEATURES = 24, 5


def measured_rows() -> Dataset:
    """Vectors that lean on a number, every second one without it."""
    generator = torch.Generator().manual_seed(0)
    y = 3 + 2 * torch.randn(ROWS, generator=generator, dtype=torch.float64)
    x = torch.randn(ROWS, FEATURES, generator=generator, dtype=torch.float64) + y.unsqueeze(1)
    hidden = torch.where(torch.arange(ROWS) % 2 == 0, y, math.nan)
    return load(x.numpy()).with_targets(hidden.numpy())


def built(stacked: bool) -> tuple[Any, Dataset]:
    data = measured_rows()
    torch.manual_seed(0)
    options = ModelOptions(
        model="semi_supervised_regression",
        latent_dim=2,
        network="mlp",
        network_options={"hidden": [8]},
        model_options={"stacked": stacked, "hidden": [8], "feature_dim": 4},
    )
    model = assemble(data.schema, options)
    model.start(data)
    return model.double(), data


def normal(numbers: Tensor) -> Normal:
    loc, raw = numbers.chunk(2, 1)
    return Normal(loc, torch.exp(7 * torch.tanh(raw / 14)))


def joint(model: Any, x: Tensor, y: Tensor) -> Tensor:
    """L(x, y) with every further latent at its mean, written out from the networks alone."""
    if model.between is None:
        q = normal(model.encoder(x, y))
        numbers, ratio = model.decoder(q.loc, y), 0.0
    else:
        first = normal(model.encoder(x, None))
        q = normal(model.between.encoder(first.loc, y))
        expected = normal(model.between.decoder(q.loc, y))
        ratio = (first.log_prob(first.loc) - expected.log_prob(first.loc)).sum(1)
        numbers = model.decoder(first.loc, None)
    unit = Normal(torch.zeros_like(q.loc), torch.ones_like(q.loc))
    fit: Tensor = model.likelihood(numbers.unsqueeze(0)).log_prob(x).squeeze(0)
    return fit + Normal(0.0, 1.0).log_prob(y).sum(1) - kl_divergence(q, unit).sum(1) - ratio


class LabelDrawn:
    """Draws of the label; every other latent at its mean."""

    def __init__(self, samples: int) -> None:
        self.draw = Draw(samples)

    def __call__(
        self, level: int, posterior: Distribution | None, prior: Distribution | None
    ) -> Tensor:
        return (Mean() if level else self.draw)(level, posterior, prior)

    def log_weights(self, trace: Any) -> float:
        return self.draw.log_weights(trace)


def objective(choose: Any = None, **options: Any) -> MeanTeacherRegression:
    made = MeanTeacherRegression(**options).double()
    made.choose = choose or Mean()
    return made


@pytest.mark.slow
@pytest.mark.parametrize("stacked", [False, True])
def test_the_bound_is_the_integral_over_the_label(stacked: bool) -> None:
    model, data = built(stacked)
    batch = data.all()
    assert batch.x is not None
    assert batch.target is not None
    with torch.no_grad():
        q = normal(model.regressor(batch.x, None))
        units = torch.linspace(-9, 9, 2_001, dtype=torch.float64)
        each = []
        for u in units:
            y = q.loc + u * q.scale
            each.append(joint(model, batch.x, y) - q.log_prob(y).sum(1))
        weight = Normal(0.0, 1.0).log_prob(units).exp().unsqueeze(1)
        integral = torch.trapezoid(weight * torch.stack(each), units, dim=0)
        given = joint(model, batch.x, batch.target.nan_to_num().unsqueeze(1))
        torch.manual_seed(0)
        bound = objective(LabelDrawn(4_000))(model, batch)
    hidden = batch.target.isnan()
    torch.testing.assert_close(bound.value[~hidden], given[~hidden], rtol=1e-12, atol=1e-9)
    spread = torch.stack(each).std(0).max()
    assert float((bound.value - integral)[hidden].abs().max()) < 5 * float(spread) / 4_000**0.5
    torch.testing.assert_close(bound.value, -bound.distortion - bound.rates.sum(0))


def test_without_the_regressors_weight_the_loss_is_the_bound() -> None:
    model, data = built(False)
    own = objective(regressor=0.0)
    own.prepare(model, data)
    bound = own.train()(model, data.all())
    torch.testing.assert_close(bound.loss.detach(), -bound.value.mean())
    assert own.teacher is None


def test_with_every_label_it_is_the_supervised_objective() -> None:
    model, data = built(False)
    x = data.all().x
    assert x is not None
    data = data.with_targets(x.sum(1))
    own = objective(noise=0.0, regressor=7.0)
    own.prepare(model, data)
    y = data.all().target
    assert y is not None
    surprise = -normal(model.regressor(x, None)).log_prob(y.unsqueeze(1)).mean()
    loss = own.train()(model, data.all()).loss
    expected = 7 * surprise - joint(model, x, y.unsqueeze(1)).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-9)


def test_the_teacher_is_followed_on_rows_without_a_label() -> None:
    model, data = built(False)
    own = objective(noise=0.0, regressor=1.0)
    own.prepare(model, data)
    own.train()
    own.progress.fill_(1.0)
    assert own.teacher is not None
    alone = objective(noise=0.0, regressor=1.0, consistency=0.0)
    alone.prepare(model, data)
    same, without = (one.lesson(model, data.all()) for one in (own, alone))
    torch.testing.assert_close(same, without)  # teacher and student agree
    with torch.no_grad():
        for value in own.teacher.parameters():
            value.add_(0.1)
    batch = data.all()
    assert batch.x is not None
    assert batch.target is not None
    hidden = batch.x[batch.target.isnan()]
    taught, said = normal(own.teacher(hidden, None)), normal(model.regressor(hidden, None))
    apart = kl_divergence(taught, said).mean()
    torch.testing.assert_close(own.lesson(model, batch) - without, apart)
    for progress in (0.0, RAMP / 4, RAMP, 0.9):
        own.progress.fill_(progress)
        share = min(progress / RAMP, 1.0)
        torch.testing.assert_close(own.lesson(model, batch) - without, share * apart)
    own.progress.fill_(1.0)
    before = [value.clone() for value in own.teacher.parameters()]
    own.averaged.fill_(1 - MEMORY / 4)
    own.after_update(own(model, batch))
    pairs = zip(own.teacher.parameters(), before, model.regressor.parameters(), strict=True)
    for value, old, student in pairs:
        torch.testing.assert_close(value, 0.75 * old + 0.25 * student)


class Heads(nn.Module):
    """Two heads of a Gaussian whose mean is linear in what is fed and told."""

    def __init__(self, weight: Tensor, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.raw = 14 * math.atanh(math.log(scale) / 7)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        fed = x if condition is None else torch.cat([x, condition], 1)
        loc = fed @ self.weight
        return torch.cat([loc, torch.full_like(loc, self.raw)], 1)


class Linear(nn.Module):
    """b z + a y."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(a), nn.Parameter(b)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return z * self.b + condition * self.a


A = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
B = torch.tensor([0.3, 0.7, -1.1], dtype=torch.float64)
TAU = 0.6


def solved() -> SemiSupervisedRegression:
    """x = a y + b z + noise with the exact q(y | x) and q(z | x, y)."""
    noise = TAU**2 * torch.eye(3, dtype=torch.float64)
    marginal = torch.outer(A, A) + torch.outer(B, B) + noise
    of_y = torch.linalg.solve(marginal, A)
    given = torch.outer(B, B) + noise
    of_z = torch.linalg.solve(given, B)  # of x - a y
    return SemiSupervisedRegression(
        Heads(of_y.unsqueeze(1), float(1 - A @ of_y) ** 0.5),
        LabeledParts(
            Heads(
                torch.cat([of_z, -(of_z @ A).unsqueeze(0)]).unsqueeze(1), float(1 - B @ of_z) ** 0.5
            ),
            StandardNormal(1),
            Linear(A.clone(), B.clone()),
            Gaussian((3,), scale="fixed", tau=TAU),
        ),
    ).double()


def test_with_the_exact_posteriors_every_draw_gives_the_density() -> None:
    model = solved()
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.randn(40, 3, dtype=torch.float64, generator=generator)
    y = torch.randn(40, dtype=torch.float64, generator=generator)
    target = torch.where(torch.arange(40) % 2 == 0, y, math.nan)
    given = torch.outer(B, B) + TAU**2 * torch.eye(3, dtype=torch.float64)
    zero = torch.zeros(3, dtype=torch.float64)
    alone = MultivariateNormal(zero, given + torch.outer(A, A)).log_prob(x)
    together = MultivariateNormal(y.unsqueeze(1) * A, given).log_prob(x)
    exact = torch.where(target.isnan(), alone, together + Normal(0.0, 1.0).log_prob(y))
    own = MeanTeacherRegression(samples=3).double()
    own.analytic = False  # log-ratios at the draws, that each of them is exact
    torch.testing.assert_close(own(model, Batch(x, target=target)).value, exact)
    own = MeanTeacherRegression(samples=4_000).double()  # closed forms: exact on average
    torch.manual_seed(0)
    apart = own(model, Batch(x, target=target)).value - exact
    assert float(apart.abs().max()) < 0.2


def test_rows_of_a_label_lie_where_it_says() -> None:
    model = solved()
    told = torch.tensor([[-2.0], [0.0], [1.5]], dtype=torch.float64)
    torch.manual_seed(0)
    trace = model.imagine(Batch(condition=told), Draw(4_000))
    torch.testing.assert_close(trace.steps[0].z, told.expand(4_000, -1, -1))
    torch.testing.assert_close(trace.likelihood.mean.mean(0), told * A, atol=0.1, rtol=0.0)


@pytest.mark.parametrize("stacked", [False, True])
def test_scores_are_bounds_whatever_the_labels(stacked: bool) -> None:
    model, data = built(stacked)
    plain = Dataset(data.schema, data.x)
    one, same = (score(model, rows, samples=8, seed=0).bound for rows in (data, plain))
    torch.testing.assert_close(one, same)


def test_what_is_no_measurement() -> None:
    data = measured_rows()
    plain = load(data.x.numpy())
    with pytest.raises(OptionError, match="the data has none: name its column with --label, or g"):
        assemble(plain.schema, ModelOptions(model="semi_supervised_regression"))
    for wrong in ({"network": "tabular"}, {"posterior": "full"}, {"prior": "vamp"}):
        with pytest.raises(OptionError):
            assemble(data.schema, ModelOptions(model="semi_supervised_regression", **wrong))
    model, _ = built(False)
    with pytest.raises(DataError, match="no row has a label"):
        MeanTeacherRegression().prepare(model, Dataset(data.schema, data.x))
    for values, message in (
        ([math.nan] * ROWS, "no row has a label"),
        ([3.0] * ROWS, "all 24 labels are 3: a regression needs two different ones"),
        ([math.inf] * ROWS, "contains infinity, such as in row 0"),
        (["dear"] * ROWS, "are text, such as 'dear'.*use --model semi_supervised"),
        (["dear", ""] * (ROWS // 2), "are text, such as 'dear'.*use --model semi_supervised"),
        (["dear", "2"] * (ROWS // 2), "holds numbers, but not in rows 0, 2"),
    ):
        with pytest.raises(DataError, match=message):
            plain.with_targets(values)


def test_noise_is_in_standard_deviations_of_the_rows() -> None:
    data = load(torch.rand(50, 1, 6, 6, generator=torch.Generator().manual_seed(0)).numpy())
    assert _deviation(data) == pytest.approx(float(data.x.double().std(correction=0)))
