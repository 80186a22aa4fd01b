"""What the design promises of the source and a linter cannot say: run by ``make check``.

- A class name exists once in the package.
- No modules import each other in a circle, in functions included.
- A kind that a person types is compared as a string only by its owner.
- A concrete model class is named only in ``models/``, ``fitting/`` and by codecs.
- What one application alone uses lies in its folder.
- Private words, where the field has one of its own, are in neither source nor docs.
- Every concrete emission implements every abstract method of ``Emission``.
- A contraction has two operands: with three, torch takes another order, and so other last bits,
  where a library for it happens to be installed.
- A module of tests that is named, also in a program for another process, is there.
"""

from __future__ import annotations

import ast
import copy
import inspect
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

PACKAGE = Path(__file__).parents[1] / "src" / "lowerbound"
DOCS = Path(__file__).parents[1] / "docs"
TESTS = Path(__file__).parent

MODEL_ROOMS = ("models/", "fitting/", "applications/compression/", "inference/sound_codes")
COLUMN_ROOM, DATA_ROOM = "data/columns/", "data/kinds"

# Words that have been replaced by the field's own, and pages that are generated.
PRIVATE = re.compile(r"\b(reckon(s|ed|ing)?|dear|yardstick|untold|taught)\b", re.IGNORECASE)
GENERATED = {"benchmarks.md"}

FACES = {"", "__init__", "__main__", "cli", "estimators"}  # what users meet

# What variables and attributes that hold such a name are called.
HOLDERS = {"kind", "model", "network", "likelihood", "prior", "posterior", "objective"}


def main() -> int:
    """Print what breaks a promise; 1 where something does."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sources()}
    found = [
        *repeated_classes(trees),
        *borrowed_rooms(trees),
        *circles(trees),
        *foreign_comparisons(trees),
        *concrete_models(trees),
        *private_words(trees),
        *unfinished_emissions(),
        *wide_contractions(trees),
        *missing_tests(),
    ]
    for sentence in found:
        print(sentence)
    lines = [function_lines(node) for tree in trees.values() for node in functions(tree)]
    size = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in trees)
    print(
        f"{len(trees)} files, {size:,} lines; {len(lines):,} functions of "
        f"{statistics.median(lines):g} lines, {max(lines)} at most"
    )
    return int(bool(found))


def sources() -> list[Path]:
    """Every file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    """Where a file is, from the package on."""
    return path.relative_to(PACKAGE).as_posix()


def classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    """Every class of a file."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Every function of a file."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def function_lines(node: ast.FunctionDef) -> int:
    """Lines of a function without its decorators and docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is not None:
        first = node.body[0]
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def repeated_classes(trees: dict[Path, ast.Module]) -> Iterator[str]:
    """Class names that exist more than once."""
    places = defaultdict(list)
    for path, tree in trees.items():
        for node in classes(tree):
            places[node.name].append(place(path))
    for name, files in places.items():
        if len(files) > 1:
            yield f"class {name} exists {len(files)} times: {', '.join(files)}"


def borrowed_rooms(trees: dict[Path, ast.Module]) -> Iterator[str]:
    """Modules of the core, or shared by applications, that only one application reaches."""
    importers = imports_of(trees)
    for name in trees:
        module = place(name).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if application(module) not in ("", "common") or module in FACES | {"applications"}:
            continue
        users = applications_above(module, importers) - {"estimators", ""}
        if len(users) == 1 and users.isdisjoint(FACES):
            yield f"{place(name)} is used by {users.pop()} alone: it belongs into its folder"


def circles(trees: dict[Path, ast.Module]) -> Iterator[str]:
    """A circle of modules that import each other; blocks for type checkers do not count."""
    running = {path: _Running().visit(copy.deepcopy(tree)) for path, tree in trees.items()}
    try:
        TopologicalSorter(imports_of(running)).prepare()
    except CycleError as circle:
        yield f"a circle of imports: {' -> '.join(circle.args[1])}"


class _Running(ast.NodeTransformer):
    """Leaves out what only type checkers import, and parts that a registry imports later."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if "Registry" in ast.unparse(node.func):
            node.args = node.args[:1]
        return self.generic_visit(node)


def imports_of(trees: dict[Path, ast.Module]) -> dict[str, set[str]]:
    """The modules that import or list each module; names count from the package on."""
    modules = {
        place(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): tree
        for path, tree in trees.items()
    }
    importers: dict[str, set[str]] = defaultdict(set)
    for module, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lowerbound"):
                base = (node.module or "").removeprefix("lowerbound").removeprefix(".")
                for alias in node.names:
                    inner = f"{base}.{alias.name}".removeprefix(".")
                    importers[inner if inner in modules else base].add(module)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    importers[alias.name.removeprefix("lowerbound.")].add(module)
            elif isinstance(node, ast.Call) and "Registry" in ast.unparse(node.func):
                for part in listed_parts(node):
                    importers[part].add(module)
    return importers


def listed_parts(call: ast.Call) -> Iterator[str]:
    """The modules that a registry lists, to import them when a part is looked up."""
    if len(call.args) == 3:
        package, listed = ast.literal_eval(call.args[1]), ast.literal_eval(call.args[2])
        yield from (f"{package}.{name}".removeprefix("lowerbound.") for name in listed.values())


def applications_above(module: str, importers: dict[str, set[str]]) -> set[str]:
    """The applications, and other faces, that reach a module by imports; "" is the package."""
    seen, waiting, users = {module}, [module], set()
    while waiting:
        for importer in importers[waiting.pop()] - seen:
            seen.add(importer)
            owner = application(importer)
            if owner == "common" or (owner == "" and importer.partition(".")[0] not in FACES):
                waiting.append(importer)
            else:
                users.add(owner or importer.partition(".")[0])
    return users


def application(module: str) -> str:
    """The application that a module belongs to; "": none."""
    parts = module.split(".")
    return parts[1] if parts[0] == "applications" and len(parts) > 1 else ""


def foreign_comparisons(trees: dict[Path, ast.Module]) -> Iterator[str]:
    """Comparisons of a kind with a string outside the kind's owner."""
    owners = owners_of_names()
    for path, tree in trees.items():
        for node in ast.walk(tree):
            for line, words in compared(node):
                foreign = [w for w in words if not place(path).startswith(owners.get(w, ("",)))]
                if foreign:
                    yield f"{place(path)}:{line}: a kind is compared with {', '.join(foreign)}"


def owners_of_names() -> dict[str, tuple[str, ...]]:
    """Of every name that a person types for a kind of part, the places that may know it."""
    from lowerbound.data import DATA_KINDS
    from lowerbound.data.columns.kind import COLUMN_KINDS
    from lowerbound.likelihoods import LIKELIHOODS
    from lowerbound.models import MODELS
    from lowerbound.networks import NETWORKS
    from lowerbound.objectives import OBJECTIVES
    from lowerbound.posteriors import POSTERIORS
    from lowerbound.priors import PRIORS

    owners: dict[str, tuple[str, ...]] = {}
    for names, rooms in (
        (COLUMN_KINDS, (COLUMN_ROOM,)),
        (DATA_KINDS, (DATA_ROOM,)),
        *((names, ("models/",)) for names in (MODELS, NETWORKS, LIKELIHOODS, OBJECTIVES)),
        *((names, ("models/",)) for names in (POSTERIORS, PRIORS)),
    ):
        for name in names:
            owners[name] = (*owners.get(name, ()), *rooms)
    return owners


def compared(node: ast.AST) -> Iterator[tuple[int, list[str]]]:
    """(line, strings that a name of a kind is compared with), of a comparison or of a match."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        if any(named(side) in HOLDERS for side in sides):
            yield node.lineno, sorted(set().union(*(strings(side) for side in sides)))
    if isinstance(node, ast.Match) and named(node.subject) in HOLDERS:
        leaves = [leaf for case in node.cases for leaf in ast.walk(case.pattern)]
        yield node.lineno, sorted(set().union(*(strings(leaf) for leaf in leaves)))


def named(node: ast.AST) -> str:
    """The last name of ``schema.kind``, ``kind``; "" of anything else, numpy's types included."""
    if isinstance(node, ast.Attribute):
        return "" if named(node.value) == "dtype" else node.attr
    return node.id if isinstance(node, ast.Name) else ""


def strings(node: ast.AST) -> set[str]:
    """The strings that an expression spells out."""
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return set().union(*(strings(item) for item in node.elts))
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def concrete_models(trees: dict[Path, ast.Module]) -> Iterator[str]:
    """Imports of concrete model classes where only protocols may be known."""
    concrete = {
        node.name
        for path, tree in trees.items()
        if place(path).startswith("models/")
        for node in classes(tree)
        if registered(node)
    }
    for path, tree in trees.items():
        if place(path).startswith(MODEL_ROOMS):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "lowerbound.models"
            ):
                for alias in node.names:
                    if alias.name in concrete:
                        yield f"{place(path)}:{node.lineno}: names the model class {alias.name}"


def registered(node: ast.ClassDef) -> bool:
    """Whether a class is filed under a name that a person types."""
    return any("MODELS" in ast.unparse(decorator) for decorator in node.decorator_list)


def private_words(trees: dict[Path, ast.Module]) -> Iterator[str]:
    """Words that a newcomer would have to learn here."""
    pages = [page for page in DOCS.rglob("*.md") if page.name not in GENERATED]
    for path in [*trees, *pages]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for word in PRIVATE.finditer(line):
                yield f"{path.name}:{number}: says {word[0]!r}; the field has a word for it"


def unfinished_emissions() -> Iterator[str]:
    """Concrete emissions that lack what ``Emission`` asks for: torch's distributions check none."""
    import lowerbound
    from lowerbound.trace import Emission

    for module in walk_packages(lowerbound.__path__, "lowerbound."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for kind in descendants(Emission):
        lacking = [
            name
            for name in dir(kind)
            if getattr(inspect.getattr_static(kind, name), "__isabstractmethod__", False)
        ]
        if kind.terms is Emission.terms and kind._terms is Emission._terms:
            lacking.append("_terms or terms")
        if lacking and not descendants(kind):
            yield f"{kind.__module__}.{kind.__name__} does not implement {', '.join(lacking)}"


def wide_contractions(trees: dict[Path, ast.Module]) -> Iterator[str]:
    """torch.einsum with three operands or more."""
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) != "torch.einsum":
                continue
            form = node.args[0]
            if isinstance(form, ast.Constant) and str(form.value).count(",") > 1:
                yield f"{place(path)}:{node.lineno}: a contraction of more than two operands"


def missing_tests() -> Iterator[str]:
    """Names such as tests.data.tables that begin with no module of tests."""
    for path in sorted(TESTS.rglob("*.py")):
        for name in re.findall(r"\btests(?:\.[a-z_]\w*)+", path.read_text(encoding="utf-8")):
            place = TESTS
            for part in name.split(".")[1:]:
                if not (place / part).is_dir():
                    if not (place / f"{part}.py").is_file():
                        yield f"{path.relative_to(TESTS)}: there is no {name}"
                    break
                place /= part


def descendants(kind: type) -> list[type]:
    """All classes below one."""
    below = kind.__subclasses__()
    return [*below, *(further for one in below for further in descendants(one))]


if __name__ == "__main__":
    sys.exit(main())
