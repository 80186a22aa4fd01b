"""Which densities each computation accepts: exact ones, lower bounds, or none at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.distributions import Independent, Normal

from lowerbound.applications.restoration.filling import impute
from lowerbound.data import load
from lowerbound.distributions.point import Point, density_of
from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.errors import UnsupportedError
from lowerbound.inference.annealing import AnnealingOptions, anneal
from lowerbound.inference.likelihood import score
from lowerbound.inference.shares import shares
from lowerbound.models import Model
from lowerbound.objectives import ELBO, ImportanceWeighted
from lowerbound.priors import PRIORS, StandardNormal
from lowerbound.trace import Batch
from tests.oracles import linear_gaussian as oracle

ROWS = load(oracle.data(6).numpy(), standardize=False)
BATCH = Batch(ROWS.x)


class BoundedPrior(StandardNormal):
    """N(0, I) of which only a lower bound is known."""

    density = "bound"


class ImplicitPrior(StandardNormal):
    """N(0, I) that can only be sampled."""

    density = "none"


class BoundedDistribution(Normal):
    density = "bound"


def with_prior(prior: type[StandardNormal]) -> Model:
    model = oracle.model("mean_field")
    model.prior = prior(oracle.LATENT).double()
    return model


NEED_EXACT: dict[str, Callable[[Model], object]] = {
    "importance weights": lambda model: ImportanceWeighted(samples=3)(model, BATCH),
    "one importance weight": lambda model: ImportanceWeighted(samples=1)(model, BATCH),
    "score": lambda model: score(model, ROWS, samples=3),
    "annealing": lambda model: anneal(model, ROWS, AnnealingOptions(temperatures=2, chains=2)),
    "imputation": lambda model: impute(model, ROWS, samples=3),
}
NEED_BOUNDS: dict[str, Callable[[Model], object]] = {
    "elbo": lambda model: ELBO()(model, BATCH),
    "score": lambda model: score(model, ROWS, samples=1),
    "explanation": lambda model: shares(model, ROWS, samples=3),
}


@pytest.mark.parametrize("use", NEED_BOUNDS.values(), ids=NEED_BOUNDS)
def test_the_elbo_accepts_a_lower_bound(use: Callable[[Model], object]) -> None:
    use(with_prior(BoundedPrior))


@pytest.mark.parametrize("use", NEED_EXACT.values(), ids=NEED_EXACT)
def test_weights_refuse_a_lower_bound(use: Callable[[Model], object]) -> None:
    use(with_prior(StandardNormal))
    with pytest.raises(
        UnsupportedError, match=r"prior at level 0.*lower bound.*standard_normal"
    ) as e:
        use(with_prior(BoundedPrior))
    assert "objective 'elbo'" in str(e.value)


@pytest.mark.parametrize("use", [*NEED_BOUNDS.values(), *NEED_EXACT.values()])
def test_nothing_accepts_a_missing_density(use: Callable[[Model], object]) -> None:
    with pytest.raises(
        UnsupportedError, match=r"no density.*standard_normal.*models? .*\bpca\b.*vae"
    ):
        use(with_prior(ImplicitPrior))


def test_a_bound_on_the_posterior_is_refused_by_the_elbo() -> None:
    """log q is subtracted: a lower bound there makes an upper bound of the whole."""
    model = oracle.model("mean_field")
    model.encode = lambda batch: Independent(  # type: ignore[method-assign]
        BoundedDistribution(*(2 * [torch.ones(1, len(batch), oracle.LATENT).double()])), 1
    )
    with pytest.raises(UnsupportedError, match=r"posterior at level 0.*gaussian"):
        ELBO()(model, BATCH)


def test_distributions_declare_their_density() -> None:
    loc = torch.zeros(1, 1, 2)
    assert density_of(diagonal_normal(loc, loc + 1)) == "exact"
    assert density_of(Independent(BoundedDistribution(loc, loc + 1), 1)) == "bound"
    assert density_of(Point(loc)) == "none"
    assert density_of(BoundedPrior(2)()) == "bound"


def test_the_message_names_only_priors_that_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRIORS._parts, "bounded", BoundedPrior)
    with pytest.raises(UnsupportedError) as error:
        score(with_prior(BoundedPrior), ROWS, samples=2)
    assert "flow" in str(error.value)
    assert "(bounded" not in str(error.value)
    assert ", bounded" not in str(error.value)
