"""Why variational inference: three ways to fit the same latent-variable model, at the same cost.

The likelihood of a decoder, p(x) = E_p(z)[p(x | z)], has no closed form, and neither has p(z | x).
The E-step of the classical EM algorithm is therefore impossible. There are three alternatives:

- Monte Carlo EM draws z from p(z | x) by Hamiltonian Monte Carlo, with one chain for each row, and
  maximizes log p(x, z) at the draws. It is exact in the limit and needs no encoder. Each draw takes
  many passes through the decoder, and every row needs its own chain, which must have mixed.
- Wake-sleep (Hinton et al. 1995) trains the encoder on the model's own samples, x ~ p(x), and the
  decoder at the encoder's draws for real rows. It is cheap, but its two phases share no objective.
- Auto-encoding variational Bayes (Kingma & Welling 2014) maximizes one bound by the gradient of
  both networks. It is as cheap, and its objective is a bound on log p(x).

The cost is the number of rows that pass through a network with a gradient, not the seconds. With
many rows, the chains of Monte Carlo EM are rarely updated, but the encoder learns from all rows.

    python examples/12_why_variational.py [--quick]
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import matplotlib.pyplot as plt
import torch
from _figures import quick, save
from torch import Tensor

from lowerbound.data import Dataset, load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.annealing import Target, Transition
from lowerbound.inference.likelihood import score
from lowerbound.models import Imagines, Model
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO
from lowerbound.trace import Batch, Draw, Given

BATCH, STEP_SIZE = 50, 3e-3
TRANSITIONS, LEAPFROG, TARGET_ACCEPTANCE = 2, 5, 0.8
OPTIONS = ModelOptions(
    latent_dim=3, network="mlp", network_options={"hidden": [100], "activation": "tanh"}
)
Learner = Callable[[Model, Dataset], Callable[[Tensor], int]]


def auto_encoding(model: Model, rows: Dataset) -> Callable[[Tensor], int]:
    """Maximize the bound over encoder and decoder together: one pass per row."""
    adam, bound = torch.optim.Adam(model.parameters(), STEP_SIZE), ELBO()

    def update(index: Tensor) -> int:
        adam.zero_grad()
        bound(model, rows.batch(index).to(torch.float32)).loss.backward()
        adam.step()
        return len(index)

    return update


def wake_sleep(model: Model, rows: Dataset) -> Callable[[Tensor], int]:
    """Train the decoder at the encoder's draws and the encoder on samples: two passes per row."""
    assert isinstance(model, Imagines)
    parts = model.parts()
    wake = torch.optim.Adam(parts["generative"], STEP_SIZE)
    sleep = torch.optim.Adam(parts["inference"], STEP_SIZE)

    def update(index: Tensor) -> int:
        batch = rows.batch(index).to(torch.float32)
        with torch.no_grad():
            z = model(batch, Draw(1)).steps[0].z
            dream = model.imagine(Batch(), Draw(len(index)))
            x = dream.likelihood.sample().flatten(0, 1)
        wake.zero_grad()
        (-model(batch, Given([z])).likelihood.log_prob(batch.x).mean()).backward()
        wake.step()
        sleep.zero_grad()
        z = dream.steps[0].z.transpose(0, 1)
        (-model(Batch(x), Given([z])).steps[0].posterior.log_prob(z).mean()).backward()
        sleep.step()
        return 2 * len(index)

    return update


def monte_carlo_em(model: Model, rows: Dataset) -> Callable[[Tensor], int]:
    """Train the decoder at draws from each row's own chain: one pass for each leapfrog step."""
    adam = torch.optim.Adam(model.parts()["generative"], STEP_SIZE)
    chains = torch.randn(1, len(rows), 3)
    steps = torch.full((len(rows),), 0.1)

    def update(index: Tensor) -> int:
        batch = rows.batch(index).to(torch.float32)
        with torch.no_grad():
            target = Target(model, batch, model(batch, Draw(1)))
        move = Transition(target, torch.ones(1, len(index), 3), LEAPFROG)
        state = target(chains[:, index])
        for _ in range(TRANSITIONS):
            noise = torch.randn(1, len(index), move.noise_numbers)
            state, accepted = move(state, 1.0, steps[index], noise)
            steps[index] *= torch.exp(0.1 * (accepted.mean(0) - TARGET_ACCEPTANCE))
        chains[:, index] = state.z
        adam.zero_grad()
        (-model(batch, Given([state.z])).likelihood.log_prob(batch.x).mean()).backward()
        adam.step()
        return len(index) * (TRANSITIONS * LEAPFROG + 2)

    return update


LEARNERS: dict[str, Learner] = {
    "auto-encoding variational Bayes": auto_encoding,
    "wake-sleep": wake_sleep,
    "Monte Carlo EM": monte_carlo_em,
}


def curve(
    learner: Learner, train: Dataset, parts: dict[str, Dataset], budget: int
) -> list[tuple[int, dict[str, float]]]:
    """(rows passed, L_500 of each part) along one run."""
    with seeded(0):
        model = assemble(train.schema, OPTIONS)
        model.start(train)
        update, batches = learner(model, train), shuffled(len(train))
        passed, found = 0, []
        marks = iter(torch.logspace(3.3, torch.tensor(float(budget)).log10(), 12).long().tolist())
        mark = next(marks, None)
        while mark is not None:
            passed += update(next(batches))
            while mark is not None and passed >= mark:
                if learner is monte_carlo_em:
                    fit_encoder(model, train)
                found.append(
                    (passed, {name: evaluate(model, rows) for name, rows in parts.items()})
                )
                mark = next(marks, None)
    return found


def evaluate(model: Model, rows: Dataset) -> float:
    """L_500 of the rows, nats."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return float(score(model, rows, samples=500).bound.mean())


def fit_encoder(model: Model, rows: Dataset, updates: int = 300) -> None:
    """Maximize the bound over the encoder alone; it is only the proposal of the score."""
    adam, bound = torch.optim.Adam(model.parts()["inference"], STEP_SIZE), ELBO()
    batches = shuffled(len(rows))
    for _ in range(updates):
        model.zero_grad()
        bound(model, rows.batch(next(batches)).to(torch.float32)).loss.backward()
        adam.step()


def shuffled(count: int) -> Iterator[Tensor]:
    """Minibatches of row numbers, without an end."""
    while True:
        yield from torch.randperm(count).split(min(BATCH, count))


def main() -> None:
    short = quick(__doc__)
    train, test = load("digits", binarize="threshold").split(0.2, seed=0)
    parts = {"rows it learns from": train.subset(range(len(test))), "unseen rows": test}
    budget = 6_000 if short else 800_000
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    print(f"L_500 in nats after {budget:,} passes of {len(train):,} rows")
    for name, learner in LEARNERS.items():
        found = curve(learner, train, parts, budget)
        for axes, part in zip(panels, parts, strict=True):
            points = [(passed, values[part]) for passed, values in found]
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
        ends = ", ".join(f"{part} {value:.2f}" for part, value in found[-1][1].items())
        print(f"  {name:32} {ends}")
    for axes, part in zip(panels, parts, strict=True):
        axes.set(xscale="log", xlabel="rows passed with a gradient", title=part)
    panels[0].set_ylabel("L_500, nats")
    panels[0].legend(loc="upper left")
    save(figure, "why_variational.png")


if __name__ == "__main__":
    main()
