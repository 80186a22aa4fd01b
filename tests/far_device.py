"""A second device that every machine has, on which a tensor left behind is an error.

A ``FarTensor`` holds its numbers on the processor and calls itself a tensor of another device, as
CUDA tensors do. An operation on a far and a near tensor fails as it does on CUDA; so do ``numpy``
and a generator of the processor. Draws are other numbers than those of the processor. The device
has the name of torch's "meta", which has no numbers of its own, because torch lets no new name be
differentiated without compiled code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from lowerbound.distributions.keyed_noise import DRAWS

FAR, NEAR = torch.device("meta"), torch.device("cpu")
MOVES = {"_to_copy", "copy_", "_copy_from", "copy"}
INDEXED = {"index", "index_put_", "index_put", "_unsafe_index", "_index_put_impl_"}
FACTORIES = {torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor}


class DeviceError(RuntimeError):
    """Tensors of two devices met."""


class FarTensor(Tensor):
    """A tensor whose numbers are ``near``, of the device ``FAR``."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> FarTensor:
        made = Tensor._make_wrapper_subclass(
            cls,
            near.size(),
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=FAR,
        )
        made.near = near
        return made

    def __init__(self, near: Tensor) -> None: ...

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"FarTensor({self.near!r})"

    @classmethod
    def __torch_function__(
        cls,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.tolist:
            return args[0].detach().cpu().tolist()
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            args = (args[0], with_tensors(args[1]), *args[2:])
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(
        cls,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return run(func, args, dict(kwargs or {}))


class FarOperations(TorchDispatchMode):
    """Runs the operations that make tensors or move them, whose arguments may all be near."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return run(func, args, dict(kwargs or {}))


class FarFactories(TorchFunctionMode):
    """``torch.tensor(..., device=FAR)``, which torch would make without numbers."""

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func in FACTORIES and torch.device(options.get("device") or NEAR) == FAR:
            return func(*args, **{**options, "device": NEAR}).to(FAR)
        return func(*args, **options)


def with_tensors(index: Any) -> Any:
    """An index whose lists are tensors; torch would make them on "meta", without numbers."""
    if isinstance(index, tuple):
        return tuple(map(with_tensors, index))
    return torch.tensor(index) if isinstance(index, list) else index


def run(func: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """One operation on the numbers, after a look at the devices."""
    name = func.__name__.partition(".")[0]
    given = [value for value in tree_flatten((args, options))[0] if isinstance(value, Tensor)]
    far = any(isinstance(value, FarTensor) for value in given)
    if far and name not in MOVES:
        refuse_near(name, given, args)
    device = options.get("device")
    if device is not None:
        far, options["device"] = torch.device(device) == FAR, NEAR
    if name == "copy_":
        far = isinstance(args[0], FarTensor)
    if far and isinstance(options.get("generator"), torch.Generator):
        raise DeviceError(f"{name}: the generator is of the processor")
    if far and name in DRAWS:
        torch.rand(1)  # a far device has a stream of its own
    near_args, near_options = tree_map_only(FarTensor, lambda value: value.near, (args, options))
    found = func(*near_args, **near_options)
    written = [place for place, each in enumerate(func._schema.arguments) if is_written(each)]
    if written and len(func._schema.returns) == 1 and written[0] < len(args):
        return args[written[0]]
    return tree_map_only(Tensor, FarTensor, found) if far else found


def is_written(argument: Any) -> bool:
    """Whether an operation writes into an argument."""
    return argument.alias_info is not None and argument.alias_info.is_write


def refuse_near(name: str, given: Sequence[Tensor], args: tuple[Any, ...]) -> None:
    """Refuse a near tensor beside far ones, unless it is one number, or an index into a far one."""
    if name in INDEXED and isinstance(args[0], FarTensor):
        given = [args[0], *args[2:3]]
    near = [v for v in given if isinstance(v, Tensor) and not isinstance(v, FarTensor)]
    if any(value.dim() for value in near):
        shapes = [
            f"{'far' if isinstance(v, FarTensor) else 'near'} {tuple(v.shape)}" for v in given
        ]
        raise DeviceError(f"{name} of tensors of two devices: {', '.join(shapes)}")


class _Autocast(torch.autocast):
    """Autocast as on the processor."""

    def __init__(self, device_type: str, *args: Any, **options: Any) -> None:
        super().__init__("cpu" if device_type == FAR.type else device_type, *args, **options)


def _without_gradients(mode: bool = True) -> torch.set_grad_enabled:
    """Inference mode refuses tensors that are made of others, as far ones are."""
    return torch.set_grad_enabled(torch.is_grad_enabled() and not mode)


@contextmanager
def far_device() -> Iterator[None]:
    """Context in which this machine has the device ``FAR``, which "auto" chooses."""
    from lowerbound.training import device as devices

    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with pytest.MonkeyPatch.context() as patch, FarFactories(), FarOperations():
            patch.setattr(torch, "autocast", _Autocast)
            patch.setattr(torch, "inference_mode", _without_gradients)
            patch.setattr(devices, "present_devices", lambda: [FAR.type, NEAR.type])
            yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
