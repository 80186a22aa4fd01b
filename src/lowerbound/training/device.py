"""The device on which a model computes, chosen by its name: the processor or an accelerator."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from lowerbound.errors import OptionError
from lowerbound.training.options import check_device_name

AUTO, PROCESSOR = "auto", "cpu"

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def chosen_device(name: str = AUTO) -> torch.device:
    """The device of this name; "auto": CUDA if this machine has it, else MPS, else the processor.

    Raises:
        OptionError: this machine has no such device; the message names those that it has.
    """
    check_device_name(name)
    present = present_devices()
    if name == AUTO:
        return torch.device(present[0])
    if name not in present:
        raise OptionError(
            f"device={name!r} cannot be used: this machine has {', '.join(reversed(present))}; "
            "choose one of these, or auto"
        )
    return torch.device(name)


def present_devices() -> list[str]:
    """The names of the devices of this machine, the fastest first."""
    cards = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    found = ["cuda", *cards] if cards and torch.cuda.is_available() else []
    return [*found, *(["mps"] if _mps_works() else []), PROCESSOR]


def _mps_works() -> bool:
    """Whether MPS is there and has float64, in which noise and several likelihoods are computed."""
    if not torch.backends.mps.is_available():
        return False
    try:
        torch.zeros(1, dtype=torch.float64, device="mps")
    except (TypeError, RuntimeError):
        return False
    return True


def on_device(module: ModuleT, name: str) -> ModuleT:
    """The module, moved in place to the device of this name.

    Raises:
        OptionError: this machine has no such device.
    """
    return module.to(chosen_device(name))
