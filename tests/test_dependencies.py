"""What the package stands on: pinned, and under licences that let anyone use it."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPTIONAL = PROJECT["optional-dependencies"]
OWN_WORK = {"dev", "bench", "docs"}  # extras that a user of the package does not need
COPYLEFT = {"sound"}  # extras whose wheels bundle such libraries: nobody gets them unasked
EXTRAS = {"core": PROJECT["dependencies"], **OPTIONAL}
RESTRICTIVE = re.compile(r"GPL|MPL|Mozilla|EUPL|SSPL|General Public|-NC\b|Proprietary")


# GPL or LGPL, without an exception for programs that use them
RESTRICTIVE_LIBRARIES = re.compile(r"lib(x26[45]|xvid|postproc|gsl|fftw3|gmp|heif|de265|mp3lame)")


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


def as_pinned() -> bool:
    """Whether the core's requirements are installed in the versions of the constraints."""
    names = [canonicalize_name(Requirement(line).name) for line in EXTRAS["core"]]
    return all(Version(distribution(n).version).public == pins()[n] for n in names)


@pytest.mark.parametrize("extra", sorted(EXTRAS.keys() - {"all"}))
def test_every_requirement_admits_its_pin(extra: str) -> None:
    for line in EXTRAS[extra]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)]), line


@pytest.mark.parametrize("extra", ["core", "dev"])
def test_whatever_is_installed_along_is_pinned_too(extra: str) -> None:
    if not as_pinned():
        pytest.skip("other versions than those of constraints.txt are installed")
    machine_dependent = re.compile("nvidia|cuda|triton")  # torch's GPU builds bring their own
    names = installed_with(EXTRAS[extra])
    assert {name for name in names - pins().keys() if not machine_dependent.match(name)} == set()


def test_the_extra_all_holds_every_extra_of_a_user() -> None:
    (line,) = OPTIONAL["all"]
    assert Requirement(line).name == PROJECT["name"]
    assert Requirement(line).extras == OPTIONAL.keys() - OWN_WORK - COPYLEFT - {"all"}


@pytest.mark.parametrize("name", sorted(installed_with(EXTRAS["core"])))
def test_the_core_is_under_permissive_licences(name: str) -> None:
    if re.match("nvidia|cuda", name):
        pytest.skip("part of torch's GPU build, which the machine's owner chose")
    assert licence(name)
    assert not RESTRICTIVE.search(licence(name)), licence(name)


@pytest.mark.parametrize("extra", sorted(EXTRAS.keys() - OWN_WORK - COPYLEFT - {"all"}))
def test_wheels_bundle_no_library_under_a_restrictive_licence(extra: str) -> None:
    try:
        names = installed_with(EXTRAS[extra])
    except PackageNotFoundError as error:
        pytest.skip(f"not installed: {error}")
    files = {name: distribution(name).files or [] for name in names}
    bundled = {name: [file.name for file in each] for name, each in files.items()}
    wrong = {
        (name, file)
        for name, each in bundled.items()
        for file in each
        if RESTRICTIVE_LIBRARIES.match(file)
    }
    assert not wrong


def test_what_a_wheel_bundles_is_said() -> None:
    page = (ROOT / "docs" / "compression.md").read_text(encoding="utf-8")
    assert "x264 and x265" in page
