"""Content as a stranger may send it: bytes and JSON values, changed at random places."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np

INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)
NUMBERS = (0, -1, 1, 2, 3, 255, 65_536, 2**31, 2**32 - 1, 2**63, -(2**63), 10**30, 0.5, -0.0)
ODD: tuple[Any, ...] = (
    *NUMBERS,
    *(1e308, -1e308, 1e-320, None, True, False, "", "\0", "x", "../../etc/passwd", "é\ud7ff"),
    *("a" * 5_000, [], {}, [[]], {"a": {}}, [None], [1, "a"], {"kind": "x"}, "nan", "-1"),
)

CELLS = (
    *("", " ", "nan", "NaN", "inf", "-inf", "1e308", "-1e308", "1e-320", "1e400", "0x10", "1_000"),
    *("9223372036854775807", "9223372036854775806", "-9223372036854775808", "1" * 400, "007"),
    *("9999-12-31", "1066-10-14", "0000-00-00", "2020-02-30", "2020-01-01T00:00:00+25:00"),
    *(
        "True",
        "None",
        "null",
        "=1+1",
        "$\\frac{1}$",
        '"',
        '"a,b"',
        "'",
        "\0",
        "\x1b[31m",
        "é",
        "\ud7ff",
    ),
    *("a" * 10_000, "1,5", "12%", "$1", "-", "--", "+", ".", "1.", ".5", "1e", "0", "-0", "1"),
)


def changed_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with one to four changes."""
    found = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        found = _change(found, rng)
    return bytes(found)


def _change(found: bytearray, rng: np.random.Generator) -> bytearray:
    """One byte, some bytes out or in, a part repeated, the end cut off, or a large number."""
    if not found:
        return bytearray(rng.bytes(int(rng.integers(1, 16))))
    # the beginning holds lengths and types
    place = int(rng.integers(len(found) if rng.random() < 0.5 else min(len(found), 256)))
    length = int(rng.integers(1, 1 + min(64, len(found))))
    how = int(rng.integers(7))
    if how == 0:
        found[place] = int(rng.integers(256))
    elif how == 1:
        found[place] = int(rng.choice(INTERESTING))
    elif how == 2:
        found[place] ^= 1 << int(rng.integers(8))
    elif how == 3:
        del found[place : place + length]
    elif how == 4:
        found[place:place] = found[place : place + length] * int(rng.integers(1, 4))
    elif how == 5:
        del found[place:]
    else:
        number = int(rng.choice((2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1)))
        width = int(rng.choice((2, 4, 8)))
        ends = "little" if rng.random() < 0.7 else "big"
        found[place : place + width] = (number % 2 ** (8 * width)).to_bytes(width, ends)
    return found


def changed_cells(content: bytes, rng: np.random.Generator) -> bytes:
    """A table as text with some cells changed, or a whole column of them."""
    lines = [line.split(",") for line in content.decode().splitlines()]
    for _ in range(int(rng.integers(1, 4))):
        column = int(rng.integers(len(lines[0])))
        rows = range(len(lines)) if rng.random() < 0.3 else [int(rng.integers(len(lines)))]
        text = CELLS[int(rng.integers(len(CELLS)))]
        for row in rows:
            if column < len(lines[row]):
                lines[row][column] = f"{text}{row}" if rng.random() < 0.2 else text
    return "\n".join(map(",".join, lines)).encode("utf-8", "surrogatepass")


def changed_json(value: Any, rng: np.random.Generator) -> Any:
    """JSON values with one or two changes, at any depth."""
    found = copy.deepcopy(value)
    for _ in range(int(rng.integers(1, 3))):
        found = _change_value(found, rng)
    return found


def changed_text(value: Any, rng: np.random.Generator) -> bytes:
    """JSON text: values changed, or bytes of it, or what no JSON library writes."""
    how = rng.random()
    if how < 0.8:
        return json.dumps(changed_json(value, rng)).encode()
    text = json.dumps(value)
    if how < 0.95:
        return changed_bytes(text.encode(), rng)
    deep = int(rng.choice((70, 2_000, 200_000)))
    strange = ["NaN", "Infinity", "1e999", "[" * deep, "[" * deep + "]" * deep, '{"a":1,"a":2}']
    strange += ["9" * 5_000, "", " ", "null", "\ufeff{}", '"', "[1,"]
    chosen = strange[int(rng.integers(len(strange)))]
    if rng.random() < 0.5 or not isinstance(value, dict) or not value:
        return chosen.encode()
    name = str(rng.choice(list(value)))
    return text.replace(json.dumps(value[name]), chosen, 1).encode()


def _change_value(value: Any, rng: np.random.Generator) -> Any:
    places = list(_places(value))
    if not places:
        return _odd(value, rng)
    holder, key = places[int(rng.integers(len(places)))]
    how = rng.random()
    if how < 0.6:
        holder[key] = _odd(holder[key], rng)
    elif how < 0.75:
        del holder[key]
    elif how < 0.85 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif how < 0.95 and isinstance(holder, dict):
        holder[str(_odd(None, rng))[:40]] = copy.deepcopy(holder[key])
    else:
        other, its = places[int(rng.integers(len(places)))]
        holder[key] = copy.deepcopy(other[its]) if _has(other, its) else None
    return value


def _odd(value: Any, rng: np.random.Generator) -> Any:
    """Another value, often of the same type."""
    if isinstance(value, bool) or value is None or rng.random() < 0.4:
        return copy.deepcopy(ODD[int(rng.integers(len(ODD)))])
    if isinstance(value, int):
        return [value + 1, value - 1, -value, value * 1_000, value * 10**9][int(rng.integers(5))]
    if isinstance(value, float):
        return [value * 1e300, -value, 0.0, value + 1, 1e-300][int(rng.integers(5))]
    if isinstance(value, str):
        return [value + "x", value[:-1], value * 1_000, value.upper(), f"{value}\n"][
            int(rng.integers(5))
        ]
    if isinstance(value, list):
        return [value[:-1], value * 3, value[::-1], [value], value * 2_000][int(rng.integers(5))]
    return copy.deepcopy(ODD[int(rng.integers(len(ODD)))])


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (holder, key) inside JSON values; of long lists the first 20."""
    if isinstance(value, dict):
        keys: list[Any] = list(value)
    elif isinstance(value, list):
        keys = list(range(min(len(value), 20)))
    else:
        return []
    return [(value, key) for key in keys] + [p for key in keys for p in _places(value[key])]


def _has(holder: Any, key: Any) -> bool:
    return key in holder if isinstance(holder, dict) else key < len(holder)
