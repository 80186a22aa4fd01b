"""Products of bf16 factors, which are summed in float32, where the processor has them in hardware.

A bf16 number has 8 binary digits, so whole numbers up to 256 are exact. The products are several
times as fast as those of float32.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

import torch


@cache
def native_bf16() -> bool:
    """Whether the processor has bf16 matrix products in hardware."""
    return any(_able(name) for name in ("avx512_bf16", "amx_bf16", "sve_bf16"))


def short_layers() -> torch.autocast:
    """Context in which layers of the processor compute in bf16, if it has products of them in
    hardware: for outputs that need two digits."""
    return torch.autocast("cpu", torch.bfloat16, enabled=native_bf16())


def short_products() -> AbstractContextManager[object]:
    """Context in which the processor rounds the factors of matrix products to bf16, if it has
    products of them in hardware; without AMX, the products of layers are rounded as well."""
    return short_factors() if _able("amx_bf16") else short_layers()


@contextmanager
def short_factors() -> Iterator[None]:
    """Context in which the processor rounds the factors of float32 products to bf16.

    This holds for matrix products and convolutions of all threads of the process. It does nothing
    without oneDNN's products in hardware, which sum whole numbers exactly.
    """
    if not _able("amx_bf16"):
        yield
        return
    _INSIDE.enter()
    try:
        yield
    finally:
        _INSIDE.leave()


class _Inside:
    """Threads inside ``short_factors``: the first one sets, and the last one restores."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._before: list[tuple[Any, str]] = []

    def enter(self) -> None:
        with self._lock:
            self._count += 1
            if self._count > 1:
                return
            # older torch has no such settings
            found = [getattr(torch.backends.mkldnn, name, None) for name in ("conv", "matmul")]
            self._before = [(each, each.fp32_precision) for each in found if each is not None]
            for setting, _ in self._before:
                setting.fp32_precision = "bf16"

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            if not self._count:
                for setting, precision in self._before:
                    setting.fp32_precision = precision


_INSIDE = _Inside()


@cache
def _able(name: str) -> bool:
    """Whether the processor has a capability of torch's list."""
    try:
        return bool(torch.cpu.get_capabilities().get(name, False))
    except (AttributeError, RuntimeError):  # older torch
        known = {"avx512_bf16": "_is_avx512_bf16_supported", "amx_bf16": "_is_amx_tile_supported"}
        return bool(getattr(torch.cpu, known.get(name, ""), lambda: False)())
