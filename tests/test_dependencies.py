"""What the package stands on: pinned, and under licences that let anyone use it."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {"core": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
RESTRICTIVE = re.compile(r"GPL|MPL|Mozilla|EUPL|SSPL|General Public|-NC\b|Proprietary")


def pins() -> dict[str, str]:
    """Name to version, from the constraints file."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def installed_with(requirements: list[str]) -> set[str]:
    """The packages that ``requirements`` bring onto this machine, transitively."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in found:
            found.add(name)
            further = map(Requirement, distribution(name).requires or [])
            waiting += [
                one for one in further if not one.marker or one.marker.evaluate({"extra": ""})
            ]
    return found


def licence(name: str) -> str:
    """What the package's metadata says; a short name, not the whole text."""
    metadata = distribution(name).metadata
    classifiers = [text for text in metadata.get_all("Classifier", []) if "License ::" in text]
    text = metadata.get("License", "").strip().partition("\n")[0]
    return metadata.get("License-Expression") or "; ".join(classifiers) or text


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_requirement_admits_its_pin(extra: str) -> None:
    for line in EXTRAS[extra]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)]), line


@pytest.mark.parametrize("extra", ["core", "dev"])
def test_whatever_is_installed_along_is_pinned_too(extra: str) -> None:
    machine_dependent = re.compile("nvidia|cuda|triton")  # torch's GPU builds bring their own
    names = installed_with(EXTRAS[extra])
    assert {name for name in names - pins().keys() if not machine_dependent.match(name)} == set()


@pytest.mark.parametrize("name", sorted(installed_with(EXTRAS["core"])))
def test_the_core_is_under_permissive_licences(name: str) -> None:
    if re.match("nvidia|cuda", name):
        pytest.skip("part of torch's GPU build, which the machine's owner chose")
    assert licence(name)
    assert not RESTRICTIVE.search(licence(name)), licence(name)
