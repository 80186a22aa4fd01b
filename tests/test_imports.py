"""The package's face: light to import, and every public name is there."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

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


def type_checkers_names() -> set[str]:
    """What the block under TYPE_CHECKING imports."""
    tree = ast.parse(Path(lowerbound.__file__).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in imports for alias in node.names}


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert imported_by("import lowerbound").isdisjoint(HEAVY)


def test_a_compressed_file_is_looked_at_without_anything_heavy() -> None:
    assert imported_by("import lowerbound.applications.compression.container").isdisjoint(HEAVY)


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


@pytest.mark.parametrize("name", lowerbound.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(lowerbound, name) is not None


def test_all_equals_the_visible_names() -> None:
    assert set(dir(lowerbound)) == set(lowerbound.__all__)
    assert len(lowerbound.__all__) == len(set(lowerbound.__all__))


def test_type_checkers_see_the_same_names() -> None:
    assert type_checkers_names() | {"__version__"} == set(lowerbound.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Vae'"):
        lowerbound.Vae  # noqa: B018


def test_the_command_line_starts_where_the_entry_point_says() -> None:
    (script,) = entry_points(group="console_scripts", name="lowerbound")
    module, _, function = script.value.partition(":")
    assert callable(getattr(import_module(module), function))
