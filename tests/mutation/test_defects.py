"""What is planted: each operator on an expression, and where a file has nothing to plant."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutation.defects import chosen, defects, defects_of

ROOT = Path(__file__).parents[2]
EXPECTED = {
    "arithmetic": {"a + b": {"a - b"}, "a / b": {"a * b"}, "a ** 2": {"a * 2"}},
    "dropped": {"a + b": {"a", "b"}, "a / b": {"a"}},
    "sign": {"-a": {"a"}},
    "constant": {"3": {"4"}, "0.5": {"1.0"}, "0.0": {"1.0"}},
    "comparison": {"a < b": {"a <= b", "a >= b"}, "a == b": {"a != b"}},
    "logic": {"a and b": {"a or b"}, "a & ~b": {"a | ~b"}, "~a": {"a"}, "not a": {"a"}},
    "function": {"x.mean(1)": {"x.sum(1)"}, "torch.exp(x)": {"torch.expm1(x)"}},
    "axis": {"x.sum(0)": {"x.sum(1)"}, "f.softmax(x, dim=-1)": {"f.softmax(x, dim=-2)"}},
    "swapped": {"a - b": {"b - a"}, "torch.where(a, b, c)": {"torch.where(a, c, b)"}},
}


@pytest.mark.parametrize(
    ("operator", "before", "after"),
    [(name, *change) for name, changes in EXPECTED.items() for change in changes.items()],
)
def test_each_operator_changes_its_expressions(operator: str, before: str, after: set[str]) -> None:
    content = f"def f(x):\n    'é'; return {before}\n".encode()
    found = [one for one in defects_of(content, "f.py") if one.operator == operator]
    whole = [one for one in found if one.before == before]
    assert {one.after for one in whole} == after
    for one in whole:
        planted = one.planted(content).decode()
        assert planted == f"def f(x):\n    'é'; return ({one.after})\n"


@pytest.mark.parametrize(
    "text",
    [
        "raise ValueError(a - 1)",
        "f'{a - 1}'",
        "def f(a: 1, b=2): ...",
        "class A:\n    b: int = 3",
        "assert a < b",
        "isinstance(a, B) and isinstance(b, B)",
        "a is None or b is None",
    ],
)
def test_no_defect_in_messages_types_checks_and_defaults(text: str) -> None:
    assert not list(defects_of(text.encode(), "f.py"))


@pytest.mark.slow
def test_a_seed_chooses_defects_of_different_lines() -> None:
    found = [one for one in defects(ROOT) if one.room in ("trace.py", "distributions")]
    few = chosen(found, 40, 0)
    assert chosen(found, 80, 0)[:40] == few
    assert chosen(found, 40, 1) != few
    assert len({(one.file, one.line) for one in few}) == 40
    for one in few:
        content = (ROOT / "src" / "lowerbound" / one.file).read_bytes()
        assert ast.unparse(ast.parse(content[one.start : one.end].strip())) == one.before
        assert ast.dump(ast.parse(one.planted(content))) != ast.dump(ast.parse(content))
