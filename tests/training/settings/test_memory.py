"""Freed memory stays while training runs, and goes back after."""

from __future__ import annotations

import sys

import pytest
import torch

from lowerbound.training.settings.memory import kept_memory

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
MEBIBYTE = 2**20


def resident() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096 / MEBIBYTE


@linux
def test_freed_blocks_stay_inside_and_go_back_after() -> None:
    before = resident()
    with kept_memory():
        block = torch.ones(64 * MEBIBYTE // 4)
        del block
        inside = resident()
    after = resident()
    assert inside - before > 50
    assert after - before < 20
