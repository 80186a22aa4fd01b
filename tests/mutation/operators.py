"""Small defects in an expression: what a typing error or a wrong formula may look like."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from typing import Any

ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
}
BOUNDARY: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
}
PAIRS = (
    *("mean sum", "max min", "amax amin", "argmax argmin", "log log1p", "exp expm1"),
    *("sqrt square", "std var", "floor ceil", "clamp_min clamp_max", "softmax log_softmax"),
    *("cumsum cumprod", "any all", "zeros_like ones_like", "zeros ones"),
)
FUNCTIONS = dict(pair.split()[::step] for pair in PAIRS for step in (1, -1))
AXIS = {
    *("mean", "sum", "std", "var", "amax", "amin", "argmax", "argmin", "logsumexp", "softmax"),
    *("log_softmax", "cumsum", "cat", "stack", "concatenate", "unsqueeze", "squeeze", "sort"),
    *("flatten", "unbind", "chunk", "split", "movedim", "transpose", "repeat_interleave"),
}
ORDERED = {"where", "lerp", "clamp", "searchsorted", "linspace", "atan2", "pow", "sub", "div"}


def arithmetic(node: ast.AST) -> Iterator[ast.expr]:
    """``+`` for ``-``, ``*`` for ``/`` and the reverse; ``*`` for ``**``."""
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        yield _with(node, op=ARITHMETIC[type(node.op)]())


def dropped(node: ast.AST) -> Iterator[ast.expr]:
    """A term of a sum or a factor of a product is left out."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult):
        yield node.left
        yield node.right
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        yield node.left


def sign(node: ast.AST) -> Iterator[ast.expr]:
    """A minus is left out."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand


def constant(node: ast.AST) -> Iterator[ast.expr]:
    """A whole number is one more, another number is twice as large."""
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool):
        return
    if isinstance(node.value, int):
        yield ast.Constant(node.value + 1)
    elif isinstance(node.value, float):
        yield ast.Constant(2 * node.value if node.value else node.value + 1)


def comparison(node: ast.AST) -> Iterator[ast.expr]:
    """The boundary belongs to the other side, or the sides are exchanged."""
    if isinstance(node, ast.Compare):
        for place, op in enumerate(node.ops):
            for others in (BOUNDARY, OPPOSITE):
                if type(op) in others:
                    ops = [*node.ops[:place], others[type(op)](), *node.ops[place + 1 :]]
                    yield _with(node, ops=ops)


def logic(node: ast.AST) -> Iterator[ast.expr]:
    """``and`` for ``or``, and a ``not`` is left out; of masks, too. Types are not asked here."""
    parts = list(ast.walk(node))
    if any(isinstance(part, ast.Is | ast.IsNot) or _name(part) == "isinstance" for part in parts):
        return
    if isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
        yield _with(node, op=ast.BitOr() if isinstance(node.op, ast.BitAnd) else ast.BitAnd())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
        yield node.operand


def function(node: ast.AST) -> Iterator[ast.expr]:
    """A similar function: sum for mean, expm1 for exp, minimum for maximum ..."""
    if isinstance(node, ast.Call) and _name(node) in FUNCTIONS:
        name = FUNCTIONS[_name(node)]
        if isinstance(node.func, ast.Attribute):
            yield _with(node, func=_with(node.func, attr=name))
        elif name in ("max", "min", "any", "all"):  # those of Python
            yield _with(node, func=ast.Name(name))


def axis(node: ast.AST) -> Iterator[ast.expr]:
    """Another axis."""
    if isinstance(node, ast.Call) and _name(node) in AXIS:
        for place, argument in enumerate(node.args):
            if _is_axis(argument):
                changed = [*node.args[:place], _other(argument), *node.args[place + 1 :]]
                yield _with(node, args=changed)
        for place, keyword in enumerate(node.keywords):
            if keyword.arg in ("dim", "axis") and _is_axis(keyword.value):
                changed_keyword = ast.keyword(keyword.arg, _other(keyword.value))
                others = [*node.keywords[:place], changed_keyword, *node.keywords[place + 1 :]]
                yield _with(node, keywords=others)


def swapped(node: ast.AST) -> Iterator[ast.expr]:
    """Two operands or arguments are exchanged; of ``where``, its two values."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div | ast.Pow):
        yield _with(node, left=node.right, right=node.left)
    if isinstance(node, ast.Call) and _name(node) in ORDERED:
        first = 1 if _name(node) == "where" else 0
        pair = node.args[first : first + 2]
        if len(pair) == 2:
            yield _with(node, args=[*node.args[:first], *pair[::-1], *node.args[first + 2 :]])


OPERATORS: dict[str, Callable[[ast.AST], Iterator[ast.expr]]] = {
    one.__name__: one
    for one in (*(arithmetic, dropped, sign, constant, comparison, logic, function, axis, swapped),)
}


def _with(node: Any, **fields: Any) -> Any:
    """The node with other fields."""
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _name(node: ast.AST) -> str:
    """The name of the function that is called, without what stands in front of it; "" if none."""
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _is_axis(node: ast.expr) -> bool:
    """Whether it is a whole number, or minus one."""
    number = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(number, ast.Constant) and type(number.value) is int


def _other(node: ast.expr) -> ast.expr:
    """The axis before one that counts from the end or is not the first; of the first, the next."""
    place = int(ast.literal_eval(node))
    return ast.Constant(place - 1 if place else 1)
