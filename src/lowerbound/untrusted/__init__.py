"""Content that anyone may have written: files, JSON and tensors are checked, or refused in words.

A model folder, a checkpoint or a compressed file may come from a stranger, and hashes inside it
prove nothing. Each function here names the error that it raises, so that whatever is wrong with
such content is one error of the package. Sizes are checked before memory is taken.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lowerbound.errors import LowerboundError, OptionError
from lowerbound.untrusted import folders

if TYPE_CHECKING:  # a command that only describes a file need not import torch
    from torch import Tensor

LARGEST_WEIGHT = 2.0**64  # a product of two such numbers is beyond float32
LARGEST_TEXT = 64 * 2**20  # bytes of a JSON file
DEEPEST = 64  # levels of JSON values inside each other
LONGEST_REASON = 200  # characters
HEADER = 8  # bytes of the length that a safetensors file begins with
WIDTHS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}
"""Bytes of a number by its name in safetensors."""

GIGABYTE = 10**9
LARGEST = 2.0**100  # bytes that a message names
MEMORY = 4.0  # gigabytes that content may declare

# C0 and C1 without tab and line feed, and marks that change the direction of text
CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colors and the like
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)

LARGE = re.compile(r"[eE]\+?\d{3}|\d{300}")  # what a number beyond float64 contains

Fault = type[LowerboundError]
_memory: ContextVar[float] = ContextVar("gigabytes", default=MEMORY)


@contextmanager
def memory(gigabytes: float) -> Iterator[None]:
    """Context with another limit of the memory that content may declare, in place of ``MEMORY``.

    Raises:
        OptionError: the limit is not above zero.
    """
    if not gigabytes > 0:
        raise OptionError(f"--memory is in gigabytes, above 0, not {gigabytes:g}")
    token = _memory.set(gigabytes)
    try:
        yield
    finally:
        _memory.reset(token)


def memory_limit() -> float:
    """The bytes that content may declare; see ``memory``."""
    return _memory.get() * GIGABYTE


def check_memory(needed: float, what: str, error: Fault, instead: str = "") -> None:
    """Check a size that content declares, or that is asked for, before memory is taken.

    Args:
        needed: bytes.
        what: needs them, as the message names it.
        error: that is raised.
        instead: what else a person can do.

    Raises:
        error: it is above the limit of ``memory``.
    """
    limit = _memory.get()
    if needed > limit * GIGABYTE:
        tenths = math.ceil(min(needed, LARGEST) / GIGABYTE * 10)  # what is given is then enough
        raise error(
            f"{what} needs {tenths / 10:,.1f} GB of memory, and the limit is {limit:g} GB: "
            f"raise it with --memory (in Python: lowerbound.untrusted.memory){instead}"
        )


@contextmanager
def guarded(what: str, error: Fault) -> Iterator[None]:
    """Context in which content is read; each failure is raised as ``error``.

    Errors of the package and of the system pass unchanged, and so do warnings and names that do not
    exist, which are no fault of the content.

    Args:
        what: the content, as the message names it.
        error: that is raised.
    """
    try:
        yield
    except (LowerboundError, OSError, Warning, NameError, ImportError):
        raise
    except MemoryError as failure:
        raise error(f"{what} needs more memory than there is") from failure
    except Exception as failure:
        raise error(f"{what} is damaged: {_said(failure)}") from failure


def check_regular(path: Path, error: Fault) -> None:
    """Check that a path is a regular file or a folder, before a library opens it.

    Raises:
        error: it is a pipe, a device or a socket, which might never end.
        OSError: there is no such file.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise error(f"{path} is a pipe, a device or a socket: give a file")


def opened(path: Path, error: Fault) -> BinaryIO:
    """Open a regular file; a pipe, a device or a folder is refused, and never waited for.

    Raises:
        error: it is not a regular file.
        OSError: there is no such file, or it cannot be read.
    """
    try:
        handle = folders.opened(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        check_regular(path, error)  # a socket cannot be opened at all
        raise
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise error(f"{path} is not a regular file, and is not read")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def content(path: Path, error: Fault, largest: int | None = None) -> bytes:
    """The bytes of a regular file.

    Raises:
        error: it is not a regular file, or has more than ``largest`` bytes.
        OSError: there is no such file, or it cannot be read.
    """
    with opened(path, error) as file:
        size = os.fstat(file.fileno()).st_size
        if largest is not None and size > largest:
            raise error(f"{path} has {size:,} bytes; at most {largest:,} are read")
        return file.read()


def text(path: Path, error: Fault, largest: int = LARGEST_TEXT) -> str:
    """The text of a regular file, UTF-8.

    Raises:
        error: it is not a regular file, too large, or not UTF-8.
        OSError: there is no such file, or it cannot be read.
    """
    with guarded(str(path), error):
        return content(path, error, largest).decode("utf-8")


def parsed(found: str | bytes, what: str, error: Fault) -> Any:
    """JSON values, without repeated keys, NaN, infinities, or values too deep in each other.

    Args:
        found: the JSON.
        what: it is, as the message names it.
        error: that is raised.
    """
    with guarded(what, error):
        decoded = found.decode("utf-8") if isinstance(found, bytes) else found
        if len(decoded) > LARGEST_TEXT:
            raise error(
                f"{what} has {len(decoded):,} characters; at most {LARGEST_TEXT:,} are read"
            )
        number = _finite if LARGE.search(decoded) else None
        values = json.loads(
            decoded, object_pairs_hook=_unique, parse_constant=_refused, parse_float=number
        )
        if isinstance(values, dict | list) and _depth(values) > DEEPEST:
            raise ValueError(f"its values are more than {DEEPEST} levels deep")
        return values


def parsed_mapping(found: str | bytes, what: str, error: Fault) -> dict[str, Any]:
    """A JSON object; see ``parsed``."""
    values = parsed(found, what, error)
    if not isinstance(values, dict):
        raise error(f"{what} is damaged: it is not a JSON object")
    return values


def read_mapping(path: Path, error: Fault, largest: int = LARGEST_TEXT) -> dict[str, Any]:
    """The JSON object in a file; see ``text`` and ``parsed``."""
    return parsed_mapping(text(path, error, largest), str(path), error)


@dataclass(frozen=True)
class Stored:
    """A tensor that a safetensors file declares.

    Attributes:
        dtype: safetensors' name of the type of its numbers.
        shape: of the tensor.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """That it takes."""
        return WIDTHS[self.dtype] * math.prod(self.shape)


def declared(found: bytes, what: str, error: Fault) -> dict[str, Stored]:
    """The tensors that the header of a safetensors file declares, which must fill the file."""
    values = _header(found, what, error)
    length = int.from_bytes(found[:HEADER], "little")
    with guarded(what, error):
        tensors = {
            name: Stored(str(each["dtype"]), tuple(int(size) for size in each["shape"]))
            for name, each in values.items()
            if name != "__metadata__"
        }
        if sum(each.bytes for each in tensors.values()) != len(found) - HEADER - length:
            raise ValueError("the sizes of its tensors are not that of the file")
        if any(size < 0 for each in tensors.values() for size in each.shape):
            raise ValueError("a tensor has a negative size")
    return tensors


def metadata(found: bytes, what: str, error: Fault) -> dict[str, str]:
    """The facts in the header of a safetensors file."""
    values = _header(found, what, error).get("__metadata__", {})
    if not isinstance(values, dict):
        raise error(f"{what} is damaged: the facts in its header are no JSON object")
    return {str(name): str(value) for name, value in values.items()}


def tensors(found: bytes, what: str, error: Fault) -> dict[str, Tensor]:
    """The tensors of a safetensors file, whose library compares the header with the file's size."""
    from safetensors.torch import load

    with guarded(what, error):
        return load(found)


def weights(
    found: bytes, what: str, error: Fault, learned: Collection[str] | None = None
) -> dict[str, Tensor]:
    """The weights of a network in a safetensors file.

    Args:
        found: the content of the file.
        what: it is, as the message names it.
        error: that is raised.
        learned: names of the learned ones; others may be in the data's units, and infinite where
            they fill rows of a table. None: all are learned.

    Raises:
        error: one is NaN, or a learned one is infinite or as large as ``LARGEST_WEIGHT``.
    """
    import torch

    held = tensors(found, what, error)
    with guarded(what, error):
        numbers = {name: v for name, v in held.items() if v.is_floating_point() and v.numel()}
        ends = [torch.stack(torch.aminmax(value.float())) for value in numbers.values()]
        largest = torch.stack(ends).abs().amax(1).tolist() if ends else []  # NaN if one is
    for name, size in zip(numbers, largest, strict=True):
        if math.isnan(size) or (size >= LARGEST_WEIGHT and (learned is None or name in learned)):
            kind = "NaN" if math.isnan(size) else f"numbers as large as {size:g}"
            raise error(
                f"the weights in {what} hold {kind} ({name}): the training diverged, or they were "
                "altered; refit with a lower --learning-rate"
            )
    return held


def printable(words: str) -> str:
    """The words without control characters and colors, which a terminal would obey; lines and tabs
    stay."""
    return CONTROL.sub("", words)


def _header(found: bytes, what: str, error: Fault) -> dict[str, Any]:
    length = int.from_bytes(found[:HEADER], "little")
    if len(found) < HEADER or length > len(found) - HEADER:
        raise error(f"{what} is damaged: it is shorter than its header")
    return parsed_mapping(found[HEADER : HEADER + length], what, error)


def _depth(value: Any) -> int:
    """Levels of lists and objects inside each other."""
    inside = value.values() if isinstance(value, dict) else value
    nested = (_depth(each) for each in inside if isinstance(each, dict | list))
    return 1 + max(nested, default=0)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError(f"{number} is too large")
    return value


def _said(failure: Exception) -> str:
    """The first line of a failure, in words that a reader understands."""
    line = str(failure).partition("\n")[0].strip()
    if isinstance(failure, KeyError):
        return f"{line} is missing"
    if isinstance(failure, RecursionError):
        return f"its values are more than {DEEPEST} levels deep"
    if isinstance(failure, TypeError | AttributeError | IndexError | AssertionError) or not line:
        return "a value of it has a wrong type or size"
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}..."
