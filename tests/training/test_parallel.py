"""Several processes train the model of one; sums, state, signals and checkpoints are common."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from lowerbound import processes
from lowerbound.data import load
from lowerbound.data.dataset import Dataset
from lowerbound.errors import OptionError
from lowerbound.fitting import FitOptions, fit
from lowerbound.models import Model
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO, Bound
from lowerbound.objectives.elbo import TargetRate
from lowerbound.trace import Batch
from lowerbound.training import Interrupted, train
from lowerbound.training.engine import ParallelEngine, Update
from lowerbound.training.held_out import HeldOut, LatentWatch
from tests.training.cases import grey_rows, options, real_rows, vae, weights
from tests.training.together import together

SIZES = 8, 20, 64  # of a validation batch: below, between and above the shares of two processes
SHORT = options(updates=12, batch_size=17, weight_average=0.0, threads=1)


class NoiselessELBO(ELBO):
    """The bound at the mean of q(z | x): a loss without noise, which is a mean over rows."""

    def forward(self, model: Any, batch: Batch) -> Bound:
        posterior = model.encode(batch)
        distortion = -model.decode(posterior.mean).log_prob(batch.x)[0]
        rate = torch.distributions.kl_divergence(posterior, model.prior_distribution())[0]
        rate = rate.sum(-1) if rate.dim() > 1 else rate
        value = -distortion - rate
        return Bound(value, distortion, rate.unsqueeze(0), -value.mean())


def sums() -> dict[str, Any]:
    """What the functions of ``processes`` return here."""
    number = processes.rank()
    uneven = torch.arange(3.0 * (number + 1)).reshape(-1, 3) + 10 * number
    one, two = torch.full((2, 2), number + 1.0), torch.tensor(float(number))
    processes.add_up([one, two])
    module = torch.nn.BatchNorm1d(2)
    module.weight.data.fill_(number)
    module.running_mean.fill_(number)  # type: ignore[operator, union-attr]
    processes.align(module)
    return {
        "count": processes.count(),
        "leads": processes.leads(),
        "part": processes.part(torch.arange(7)).tolist(),
        "gathered": processes.gathered(uneven).tolist(),
        "sum": (one.tolist(), float(two)),
        "highest": processes.highest([-number, number]),
        "first": processes.of_first({"number": number}),
        "aligned": [float(value.sum()) for value in module.state_dict().values()],
    }


class SpoiledELBO(ELBO):
    """The bound, not a number in one process at the third update."""

    calls = 0

    def forward(self, model: Model, batch: Batch) -> Bound:
        found = super().forward(model, batch)
        if self.training:
            self.calls += 1
        spoiled = self.training and self.calls == 3 and processes.rank() == 1
        if not spoiled:
            return found
        return Bound(found.value, found.distortion, found.rates, found.loss * math.nan)


def trainings(folder: Path) -> dict[str, Any]:
    """Small trainings: weights, state and history of each."""
    found: dict[str, Any] = {"sums": sums()}
    model = vae("gaussian")
    history = train(model.double(), NoiselessELBO(), real_rows(), SHORT)
    found["noiseless"] = weights(model), history.last.bound if history.last else None
    model, objective = vae(), TargetRate(target=0.5)
    train(model, objective, grey_rows(), SHORT, validation=grey_rows(21, seed=1))
    found["state"] = weights(model) | {"dual": objective.log_weight}
    model = vae()
    history = train(model, SpoiledELBO(), grey_rows(), SHORT)
    found["spoiled"] = weights(model), history.last.skipped if history.last else None
    fitted = fit(
        load("digits"),
        FitOptions(
            ModelOptions(model="vq_vae", model_options={"free": 2}),
            training=options(updates=6, batch_size=64, weight_average=0.0, threads=1),
        ),
    )
    found["codes"] = weights(fitted.model)
    found["held out"] = held_out(real_rows(31))
    found["readings"] = [readings(real_rows(31), rows) for rows in SIZES]
    found["interrupted"] = interrupted(folder)
    return found


def held_out(rows: Dataset) -> tuple[float, float]:
    found = HeldOut(rows, torch.device("cpu"), torch.float64, 8)
    bound = found.bound(vae("gaussian").double(), ELBO())
    return bound.value, bound.joint


def readings(rows: Dataset, size: int) -> list[float]:
    watch, found = LatentWatch(), HeldOut(rows, torch.device("cpu"), torch.float64, size)
    found.bound(vae("gaussian").double(), ELBO(), watch)
    units, information = watch.readings().values()
    return [*units, *information]


def interrupted(folder: Path) -> str:
    """A run that is stopped by a signal to the second process alone."""
    objective = ELBO()
    if processes.rank() == 1:
        calls: list[int] = []

        def stop(bound: Bound) -> None:
            calls.append(1)
            if len(calls) == 5:
                os.kill(os.getpid(), signal.SIGINT)

        objective.after_update = stop  # type: ignore[method-assign]
    try:
        train(vae(), objective, grey_rows(), SHORT, folder=folder, resume=True)
    except Interrupted as error:
        return str(error)
    return "not interrupted"


def starts(groups: int) -> int:
    """How many groups start if each process leaves them as soon as it is in."""
    store = processes._store()  # one for all: making one already waits for the others
    for number in range(groups):
        processes._store = lambda number=number: distributed.PrefixStore(f"{number}", store)
        with processes.joined():
            pass
    store.set(f"{processes.speaks()}", "done")
    store.wait(["True", "False"])
    return groups


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def two(folder: Path) -> list[dict[str, Any]]:
    """The trainings in two processes."""
    return together(2, trainings, folder)


@pytest.mark.slow
def test_a_process_may_leave_a_group_before_the_others_are_in_it() -> None:
    """Where cores are few, one process waits for its turn while the other has left."""
    words = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(words) for _ in range(1 + (os.cpu_count() or 1))]
    try:
        assert together(2, starts, 200, joined=False) == [200, 200]
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_rows_sums_and_values_are_those_of_all_processes(two: list[dict[str, Any]]) -> None:
    first, second = (found["sums"] for found in two)
    assert (first["count"], first["leads"], second["leads"]) == (2, True, False)
    assert first["part"] + second["part"] == list(range(7))
    rows = [[0.0, 1.0, 2.0], [10.0, 11.0, 12.0], [13.0, 14.0, 15.0]]
    assert first["gathered"] == second["gathered"] == rows
    assert first["sum"] == second["sum"] == ([[3.0, 3.0], [3.0, 3.0]], 1.0)
    assert first["highest"] == second["highest"] == [0.0, 1.0]
    assert second["first"] == {"number": 0}
    assert second["aligned"] == first["aligned"]


def test_two_processes_make_the_updates_of_one(two: list[dict[str, Any]]) -> None:
    """17 rows in parts of 9 and 8: without noise, the weights are equal up to rounding."""
    model = vae("gaussian").double()
    history = train(model, NoiselessELBO(), real_rows(), SHORT)
    alone = weights(model)
    for found, bound in (each["noiseless"] for each in two):
        assert history.last is not None
        assert bound == pytest.approx(history.last.bound, abs=1e-9)
        for name, value in alone.items():
            assert torch.allclose(found[name], value, rtol=0, atol=1e-9), name


@pytest.mark.slow
@pytest.mark.parametrize("part", ["state", "codes"])
def test_state_that_training_keeps_is_equal_in_all(two: list[dict[str, Any]], part: str) -> None:
    """A dual variable, moving averages of codebooks, codes that are moved at random."""
    first, second = (found[part] for found in two)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_update_that_fails_in_one_process_is_skipped_in_all(two: list[dict[str, Any]]) -> None:
    (first, skipped), (second, _) = (found["spoiled"] for found in two)
    assert skipped == 1
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_held_out_rows_are_divided_and_the_bound_is_that_of_one(two: list[dict[str, Any]]) -> None:
    alone = held_out(real_rows(31))
    for found in two:
        assert found["held out"] == pytest.approx(alone, abs=1e-9)


def test_the_readings_of_the_latents_are_those_of_one(two: list[dict[str, Any]]) -> None:
    alone = [readings(real_rows(31), size) for size in SIZES]
    for found in two:
        for read, expected in zip(found["readings"], alone, strict=True):
            assert read == pytest.approx(expected, abs=1e-9)


def test_a_signal_to_one_stops_all_and_one_process_goes_on(
    two: list[dict[str, Any]], folder: Path
) -> None:
    for found in two:
        assert found["interrupted"].startswith("training was interrupted at update 5")
    history = train(vae(seed=9), ELBO(), grey_rows(), SHORT, folder=folder, resume=True)
    assert history.ended == "finished"
    assert history.last is not None
    assert history.last.updates == 12


@pytest.mark.parametrize(("rows", "larger"), [(5, "raise batch_size, or "), (3, "")])
def test_each_process_needs_a_row_of_a_batch(
    rows: int, larger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of all rows cannot be larger."""
    monkeypatch.setattr(processes, "count", lambda: 4)
    said = f"4 processes cannot share a batch of 3 rows: {larger}start fewer processes"
    with pytest.raises(OptionError, match=f"^{said}$"):
        ParallelEngine(3, rows, Update(vae(), ELBO()), SHORT)


def test_alone_everything_is_as_it_is() -> None:
    values = torch.arange(3.0)
    assert processes.part(values) is values
    assert processes.gathered(values) is values
    assert processes.of_first(values) is values
    assert processes.highest([1.0, 2.0]) == [1.0, 2.0]
    assert (processes.count(), processes.rank(), processes.restarts()) == (1, 0, 0)
    with processes.joined(), processes.first_alone(needed=True):
        processes.add_up([values])
    assert values.tolist() == [0.0, 1.0, 2.0]
