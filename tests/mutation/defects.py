"""The defects that can be planted in the package, and a random choice of them."""

from __future__ import annotations

import ast
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from tests.mutation.operators import OPERATORS

PACKAGE = "src/lowerbound"
ROOMS = (
    *("trace.py", "distributions", "likelihoods", "objectives"),
    *("data/columns", "inference", "applications/compression"),
)
# types, messages, checks that hold in any case, and defaults, of which none is the right one
LEFT_OUT = (ast.Raise, ast.Assert, ast.JoinedStr)
LEFT_OUT_FIELDS = {"annotation", "returns", "decorator_list", "bases", "defaults", "kw_defaults"}
FIELDS = (ast.Assign, ast.AnnAssign)  # of a class


@dataclass(frozen=True)
class Defect:
    """An expression of a file, and a wrong one in its place.

    Attributes:
        room: part of the package.
        file: from the package on.
        line: counted from 1.
        function: that contains it, with its class, or else the name that is assigned.
        operator: kind of the defect.
        before, after: the two expressions.
        number: of the same changes in the same function, from 1.
        start, end: bytes of the file that hold the first.
    """

    room: str
    file: str
    line: int
    function: str
    operator: str
    before: str
    after: str
    number: int
    start: int
    end: int

    @property
    def change(self) -> str:
        """What changes, independent of the line: ``FILE FUNCTION: BEFORE -> AFTER [NUMBER]``."""
        number = f" [{self.number}]" if self.number > 1 else ""
        return f"{self.file} {self.function}: {self.before} -> {self.after}{number}"

    def planted(self, content: bytes) -> bytes:
        """The content of the file with the defect."""
        return content[: self.start] + f"({self.after})".encode() + content[self.end :]


def defects(root: Path) -> Iterator[Defect]:
    """Every defect that can be planted in a checkout."""
    package = root / PACKAGE
    for room in ROOMS:
        place = package / room
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            yield from defects_of(path.read_bytes(), path.relative_to(package).as_posix(), room)


def defects_of(content: bytes, file: str, room: str = "") -> Iterator[Defect]:
    """Every defect of one file."""
    numbers: Counter[tuple[str, str, str]] = Counter()
    starts = [0, *accumulate(len(line) for line in content.splitlines(keepends=True))]
    for node, function in _expressions(ast.parse(content), ""):
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        before = ast.unparse(node)
        for name, operator in OPERATORS.items():
            for after in map(ast.unparse, operator(node)):
                if after != before:
                    what = function, before, after
                    numbers[what] += 1
                    place = numbers[what], start, end
                    yield Defect(room, file, node.lineno, function, name, before, after, *place)


def chosen(found: Iterable[Defect], count: int, seed: int) -> list[Defect]:
    """One defect of each of some lines, drawn at random: a line, an operator, a defect.

    The draw depends on the expressions alone, so that a change elsewhere changes few of them.
    """
    lines: dict[tuple[str, int], list[Defect]] = defaultdict(list)
    for defect in found:
        lines[defect.file, defect.line].append(defect)
    drawn = [(random.Random(f"{seed} {line[0].change}"), line) for line in lines.values()]
    drawn = sorted(drawn, key=lambda pair: pair[0].random())[:count]
    return [_of_line(rng, line) for rng, line in drawn]


def _of_line(rng: random.Random, line: list[Defect]) -> Defect:
    operators: dict[str, list[Defect]] = defaultdict(list)
    for defect in line:
        operators[defect.operator].append(defect)
    return rng.choice(rng.choice(list(operators.values())))


def _expressions(node: ast.AST, function: str) -> Iterator[tuple[ast.expr, str]]:
    """Every numeric expression below a node, with the name of its function or constant."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".removeprefix(".")
    if isinstance(node, ast.Assign) and not function:
        function = ast.unparse(node.targets[0])
    if isinstance(node, ast.expr) and not _has_text(node):
        yield node, function
    left_out = LEFT_OUT + FIELDS if isinstance(node, ast.ClassDef) else LEFT_OUT
    for field, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        for child in children if field not in LEFT_OUT_FIELDS else []:
            if isinstance(child, ast.AST) and not isinstance(child, left_out):
                yield from _expressions(child, function)


def _has_text(node: ast.expr) -> bool:
    """Whether it contains a string."""
    return any(
        isinstance(part, ast.JoinedStr)
        or (isinstance(part, ast.Constant) and isinstance(part.value, str))
        for part in ast.walk(node)
    )
