"""Freed memory stays while training runs, and goes back after."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
