"""How many processor threads passes use, and what memory stays while training runs."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from lowerbound.classical.linear_regression import small_fit
from lowerbound.inference.passes import evaluation_mode
from lowerbound.networks.processor import processor_threads, useful_threads
from lowerbound.networks.transformer import TransformerBlock


class Watched(nn.Linear):
    """A layer that notes the threads of its pass."""

    threads = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.threads = torch.get_num_threads()
        return super().forward(x)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Linear(20, 256), 1),
        (nn.Sequential(nn.Linear(784, 300), nn.Linear(300, 300)), 3),
        (nn.Conv2d(1, 8, 3), 3),
        (TransformerBlock(8, 2, 16, "gelu"), 3),
        (nn.GRU(2, 2), 3),
    ],
    ids=["small", "large", "convolution", "attention", "recurrence"],
)
def test_only_small_networks_of_rows_use_one(module: nn.Module, expected: int) -> None:
    with processor_threads(3):
        assert useful_threads(module) == expected


def test_passes_of_small_models_use_one_and_others_come_back() -> None:
    layer = Watched(2, 2)
    with processor_threads(3):
        with evaluation_mode(layer):
            layer(torch.zeros(1, 2))
        assert layer.threads == 1
        assert torch.get_num_threads() == 3


def test_contexts_that_overlap_in_two_threads_of_python_restore_the_number() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        first, second = processor_threads(1), processor_threads(1)
        first.__enter__()
        with ThreadPoolExecutor(1) as other:
            other.submit(second.__enter__).result()
            first.__exit__(None, None, None)
            other.submit(second.__exit__, None, None, None).result()
        with ThreadPoolExecutor(1) as new:
            assert new.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)


def test_small_fits_use_one_thread_of_every_library() -> None:
    """Boosted trees use OpenMP, matrices BLAS."""
    import sklearn.ensemble  # noqa: F401
    from threadpoolctl import threadpool_info, threadpool_limits

    with threadpool_limits(2), small_fit():
        found = {each["user_api"]: each["num_threads"] for each in threadpool_info()}
    assert set(found.values()) == {1}
    assert "openmp" in found


MEBIBYTE = 2**20

# In a process of its own: one that has freed much before serves the block from what it kept.
PROGRAM = """
import torch
from lowerbound.networks.processor import kept_memory

def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096

before = resident()
with kept_memory():
    block = torch.ones(64 * 2**20 // 4)
    del block
    inside = resident()
print(inside - before, resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_blocks_stay_inside_and_go_back_after() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120
    )
    inside, after = (int(number) / MEBIBYTE for number in done.stdout.split())
    assert inside > 50
    assert after < 20
