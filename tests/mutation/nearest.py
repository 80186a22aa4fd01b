"""The test files that are nearest to a module, by imports and by their folders."""

from __future__ import annotations

import ast
from collections import defaultdict, deque
from pathlib import Path

UNREACHED = 20  # steps to a module that a test imports on no way


class Imports:
    """Which modules of a checkout import which others, of the package and of its tests."""

    def __init__(self, root: Path) -> None:
        self.files: dict[str, Path] = {}  # by the module's name
        for folder, start in (("src/lowerbound", "src"), ("tests", "")):
            for path in sorted((root / folder).rglob("*.py")):
                place = path.relative_to(root / start).with_suffix("")
                self.files[".".join(place.parts).removesuffix(".__init__")] = path
        self.importers: dict[str, set[str]] = defaultdict(set)
        for name, path in self.files.items():
            for imported in self._imported(path):
                self.importers[imported].add(name)

    def nearest(self, file: str) -> list[Path]:
        """Test files from the nearest on; ``file`` counts from the package on.

        The module is the first if it has examples, which are tests too.

        Each step on the shortest way of imports to the module is one farther, and each folder that
        a test shares with the module two nearer, and a name that contains the module's one.
        """
        place = Path(file).with_suffix("")
        name = ".".join(("lowerbound", *place.parts)).removesuffix(".__init__")
        steps = self._steps(name)
        far = {
            path: steps.get(test, UNREACHED) - closeness(test, place)
            for test, path in self.files.items()
            if path.name.startswith("test_")
        }
        own = self.files[name]
        examples = [own] if ">>> " in own.read_text(encoding="utf-8") else []
        return examples + sorted(far, key=lambda path: (far[path], path))

    def _steps(self, name: str) -> dict[str, int]:
        """Length of the shortest way of imports from each module to this one."""
        steps, waiting = {name: 0}, deque([name])
        while waiting:
            module = waiting.popleft()
            for importer in sorted(self.importers[module] - steps.keys()):
                steps[importer] = steps[module] + 1
                waiting.append(importer)
        return steps

    def _imported(self, path: Path) -> set[str]:
        """The modules that a file imports, and the packages that contain them."""
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
            elif isinstance(node, ast.Import):
                names |= {one.name for one in node.names}
        parents = {".".join(name.split(".")[:depth]) for name in names for depth in range(2, 9)}
        return (names | parents) & self.files.keys()


def closeness(test: str, module: Path) -> int:
    """How near a test is to a module by its folders and its name."""
    *folders, stem = test.split(".")[1:]
    shared = 0
    for mine, theirs in zip(folders, module.parts, strict=False):
        if mine != theirs:
            break
        shared += 1
    return 2 * shared + (module.name in stem)
