"""The package's face: light to import, and every public name is there."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import lowerbound

HEAVY = ["torch", "numpy", "pandas", "matplotlib", "sklearn", "scipy", "pyarrow", "zuko", "rich"]


def imported_by(statement: str) -> set[str]:
    """The top-level modules loaded in a fresh interpreter after ``statement``."""
    report = f"{statement}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True, timeout=60
    )
    return set(run.stdout.split())


LAZY = [
    "lowerbound",
    *(
        f"lowerbound.{path.parent.name}"
        for path in Path(lowerbound.__file__).parent.glob("*/__init__.py")
        if "public_names(" in path.read_text(encoding="utf-8")
    ),
]


def type_checkers_names(package: str) -> set[str]:
    """What the block under TYPE_CHECKING imports."""
    tree = ast.parse(Path(import_module(package).__file__ or "").read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in imports for alias in node.names}


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert imported_by("import lowerbound").isdisjoint(HEAVY)


def test_a_compressed_file_is_looked_at_without_anything_heavy() -> None:
    assert imported_by("import lowerbound.applications.compression.container").isdisjoint(HEAVY)


@pytest.mark.slow
def test_detect_imports_a_part_of_the_package() -> None:
    statement = "import lowerbound.applications.anomaly.detect"
    count = "import sys; assert sum(name[:10] == 'lowerbound' for name in sys.modules) <= 220"
    imported_by(f"{statement}\n{count}")


@pytest.mark.slow
def test_training_does_not_import_the_compiler_unless_it_compiles() -> None:
    """The compiler costs a second and 80 MB, in every run, also in those that never compile."""
    lines = [
        "import sys, numpy as np, lowerbound",
        "vae = lowerbound.VAE(latent_dim=2, epochs=1, random_state=0)",
        "vae.fit(np.random.default_rng(0).normal(size=(64, 5)))",
        "assert 'torch._dynamo' not in sys.modules",
    ]
    imported_by("\n".join(lines))


@pytest.mark.parametrize(
    ("package", "name"), [(one, name) for one in LAZY for name in import_module(one).__all__]
)
def test_every_public_name_resolves_and_is_no_module(package: str, name: str) -> None:
    """A module of the name would take its place in the package once it is imported."""
    assert not isinstance(getattr(import_module(package), name), ModuleType)
    assert find_spec(f"{package}.{name}") is None


@pytest.mark.parametrize("package", LAZY)
def test_visible_names_are_those_that_type_checkers_see(package: str) -> None:
    module = import_module(package)
    assert len(module.__all__) == len(set(module.__all__))
    assert set(dir(module)) | {"__version__"} == set(module.__all__) | {"__version__"}
    assert type_checkers_names(package) == set(module.__all__) - {"__version__"}


def test_a_package_imports_no_part_before_its_first_use() -> None:
    report = "import sys; print(*(name for name in sys.modules if name.startswith('lowerbound')))"
    packages = ", ".join(LAZY)
    run = subprocess.run(
        [sys.executable, "-c", f"import {packages}; {report}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    light = {"lowerbound._version", "lowerbound.registry", "lowerbound.errors"}
    assert set(run.stdout.split()) == {*LAZY, *light}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Vae'"):
        lowerbound.Vae  # noqa: B018


def test_the_command_line_starts_where_the_entry_point_says() -> None:
    (script,) = entry_points(group="console_scripts", name="lowerbound")
    module, _, function = script.value.partition(":")
    assert callable(getattr(import_module(module), function))
