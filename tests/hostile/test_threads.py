"""Several threads of one process: results are those of one thread."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed

from lowerbound import VAE
from lowerbound.distributions.reparameterization import seeded

ROWS = np.random.default_rng(0).normal(size=(120, 5))


@pytest.fixture(autouse=True)
def often_switched() -> Any:
    """Threads take turns a hundred times as often, so that they meet."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


def made(seed: int) -> VAE:
    return VAE(latent_dim=2, epochs=2, random_state=seed).fit(ROWS)


def in_threads(draw: Callable[[int], np.ndarray], count: int) -> list[np.ndarray]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(draw, range(count)))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sample", "transform", "reconstruct", "score"])
def test_draws_are_those_of_one_thread(method: str) -> None:
    vae = made(0)

    def draw(number: int) -> np.ndarray:
        if method == "sample":
            return np.asarray(vae.sample(20, random_state=number % 7))
        found = getattr(vae, method if method != "score" else "score_samples")(ROWS)
        return np.asarray(found)

    expected = [draw(number) for number in range(7)]
    for number, found in enumerate(in_threads(draw, 1_000 if method == "sample" else 40)):
        np.testing.assert_array_equal(found, expected[number % 7])


@pytest.mark.slow
def test_fits_are_those_of_one_thread() -> None:
    expected = [made(seed).transform(ROWS) for seed in range(5)]
    found = Parallel(n_jobs=4, backend="threading")(delayed(made)(n % 5) for n in range(20))
    for number, vae in enumerate(found):
        np.testing.assert_array_equal(vae.transform(ROWS), expected[number % 5])


def test_the_callers_random_state_is_kept() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    made(0).sample(3, random_state=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked there")
def test_a_forked_process_can_draw() -> None:
    """Even if another thread was drawing when it was forked."""
    with ThreadPoolExecutor(1) as pool, seeded(0):

        def fork() -> int:
            child = os.fork()
            if not child:
                with seeded(1):
                    os._exit(7)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        assert pool.submit(fork).result(timeout=60) == 7
