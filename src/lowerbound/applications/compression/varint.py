"""Variable-length whole numbers: LEB128, the form of every length in a file.

A number is written in groups of seven bits, least significant first, one group per byte; the top
bit of a byte is 1 if another byte follows. 300 = 0b10_0101100 is ``ac 02``.

Only numbers below 2^32 are written, so they take at most five bytes. Only the shortest form of a
number is accepted, so that different files have different meanings.
"""

from __future__ import annotations

MOST = 2**32 - 1
LONGEST = 5


def encode(value: int) -> bytes:
    """The bytes of ``value``.

    Raises:
        ValueError: it is negative or above ``MOST``.
    """
    if not 0 <= value <= MOST:
        raise ValueError(f"{value} is not between 0 and {MOST}")
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def decode(spelled: bytes) -> int:
    """Decode all bytes to one number.

    Raises:
        ValueError: they are no number below 2^32 in its shortest form.
    """
    value = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(spelled[:LONGEST]))
    if len(spelled) > LONGEST or value > MOST:
        raise ValueError(f"above {MOST}")
    if encode(value) != spelled:
        raise ValueError("not in its shortest form")
    return value


def decode_all(spelled: bytes) -> tuple[int, ...]:
    """Decode all bytes to consecutive numbers.

    Raises:
        ValueError: the last number is cut short, or one is invalid as in ``decode``.
    """
    numbers, start = [], 0
    for end, byte in enumerate(spelled, 1):
        if byte < 0x80:
            numbers.append(decode(spelled[start:end]))
            start = end
    if start != len(spelled):
        raise ValueError("cut short")
    return tuple(numbers)
