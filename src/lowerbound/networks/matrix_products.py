"""Products of matrices by the library, or the instructions, that are fastest on this processor.

torch multiplies matrices of float32 by MKL, which uses AVX-512 on Intel's processors only. oneDNN,
which torch has for convolutions, uses it on AMD's too. ``benchmarks/many_samples.py`` compares the
two.

bf16 factors are summed in float32, where the processor has such products in hardware. A bf16 number
has 8 binary digits, so whole numbers up to 256 are exact. The products are several times as fast as
those of float32.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAST = 2**20  # products of numbers; below, the overhead of a call is more than the gain
AMD = "AuthenticAMD"
PRODUCT: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
"""oneDNN's map; None without it."""


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


class AffineMap(nn.Linear):
    """torch's ``nn.Linear`` by ``affine``."""

    def forward(self, x: Tensor) -> Tensor:
        return affine(x, self.weight, self.bias)


class Layers(nn.Sequential):
    """Layers in turn, of which a tanh after an affine map is computed together with it.

    oneDNN's tanh is faster than torch's own, and has no gradient.
    """

    def forward(self, x: Tensor) -> Tensor:
        layers = list(self)
        while layers:
            layer = layers.pop(0)
            if isinstance(layer, AffineMap) and layers and _are_together(layer, layers[0], x):
                layers.pop(0)
                x = _product(x, layer.weight, layer.bias, "tanh")
            else:
                x = layer(x)
        return x


def _are_together(layer: AffineMap, following: nn.Module, x: Tensor) -> bool:
    """Whether oneDNN computes two layers at once, which nothing watches by a hook."""
    return (
        type(following) is nn.Tanh
        and not (layer._forward_hooks or following._forward_hooks)
        and not torch.is_grad_enabled()
        and _is_faster(x, layer.weight)
    )


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b by oneDNN where it is faster, else by torch.

    Args:
        x: (..., inputs).
        weight: (outputs, inputs).
        bias: (outputs,).
    """
    if not _is_faster(x, weight):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        found: Tensor = _Product.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return found
    return _product(x, weight, bias)


class _Product(torch.autograd.Function):
    """The map and its gradients, which are such products too and so have gradients again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        rows, slopes = x.flatten(0, -2), slope.flatten(0, -2)
        if not of_weight:
            of_weights = None
        elif weight.shape[0] < weight.shape[1]:
            of_weights = affine(slopes.t(), rows.t())
        else:  # faster this way around
            of_weights = affine(rows.t(), slopes.t()).t()
        return (
            affine(slope, weight.t()) if of_x else None,
            of_weights,
            slopes.sum(0) if of_bias else None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, after: str = "none") -> Tensor:
    if not (weight.is_contiguous() or weight.t().is_contiguous()):
        weight = weight.contiguous()  # oneDNN has no fast kernel for other strides
    found: Tensor = PRODUCT(x, weight, bias, after, [], "")
    return found


def product_flops(x: Tensor, weight: Tensor, *rest: Any, out_val: Tensor) -> int:
    """Floating-point operations of ``PRODUCT``, as in ``torch.utils.flop_counter``."""
    return 2 * x.numel() * weight.shape[0]


def _is_faster(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN is faster, for plain float32 on a processor."""
    return (
        ONEDNN_IS_FASTER
        and not _is_transformed()
        and x.numel() * weight.shape[0] >= LEAST
        and x.dtype is weight.dtype is torch.float32
        and x.device.type == weight.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
    )


def _is_transformed() -> bool:
    """Whether the numbers are not computed now or here: in a compilation, which chooses for itself,
    in an export or a trace, or inside ``vmap`` or ``jvp``."""
    return (
        torch.compiler.is_compiling()
        or bool(torch.jit._trace.is_tracing())
        or torch._C._functorch.peek_interpreter_stack() is not None
    )


def _onednn_is_faster() -> bool:
    """Whether this processor is of AMD and has AVX-512, and torch has both libraries."""
    return (
        PRODUCT is not None
        and hasattr(torch._C._functorch, "peek_interpreter_stack")
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and _vendor() == AMD
    )


def _vendor() -> str:
    """The name by which the processor identifies its vendor; "" if it is unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # Windows has it at the end of this text
        return platform.processor().rpartition(", ")[2]
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id"))
    return next(found, "")


ONEDNN_IS_FASTER = _onednn_is_faster()
