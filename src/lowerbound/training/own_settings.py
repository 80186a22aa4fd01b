"""Torch's settings of a fit, whatever those of the caller are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_lock = threading.Lock()
_former: list[torch.dtype] = []  # the default type before the fits of all threads, for each of them


@contextmanager
def own_settings() -> Iterator[None]:
    """Context with gradients, float32 weights and no autocast; afterwards all is as before.

    The default type belongs to the whole process: it is restored after the last fit of any thread.
    """
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    with ExitStack() as settings:
        settings.enter_context(torch.inference_mode(False))
        settings.enter_context(torch.enable_grad())
        for device in filter(torch.is_autocast_enabled, devices):
            settings.enter_context(torch.autocast(device, enabled=False))
        settings.enter_context(_of_float32())
        yield


@contextmanager
def _of_float32() -> Iterator[None]:
    with _lock:
        _former.append(_former[0] if _former else torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        with _lock:
            before = _former.pop()
            if not _former:
                torch.set_default_dtype(before)
