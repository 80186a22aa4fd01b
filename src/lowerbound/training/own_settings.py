"""Torch's settings of a fit, whatever those of the caller are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from lowerbound.errors import OptionError


@contextmanager
def own_settings() -> Iterator[None]:
    """Context with gradients, float32 weights and no autocast; afterwards all is as before.

    Raises:
        OptionError: ``torch.inference_mode()``, in which no tensor can have gradients.
    """
    if torch.is_inference_mode_enabled():
        raise OptionError("a fit needs gradients: call it outside of torch.inference_mode()")
    before = torch.get_default_dtype()
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    with ExitStack() as settings:
        settings.enter_context(torch.enable_grad())
        for device in filter(torch.is_autocast_enabled, devices):
            settings.enter_context(torch.autocast(device, enabled=False))
        settings.callback(torch.set_default_dtype, before)
        torch.set_default_dtype(torch.float32)
        yield
