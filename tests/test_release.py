"""What is said of a version stands in several files, and they agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml
from packaging.specifiers import SpecifierSet

import lowerbound

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PYTHON = "Programming Language :: Python :: "


def parsed(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def pythons() -> list[str]:
    """The versions of Python that the classifiers name, such as "3.11"."""
    names = [one.removeprefix(PYTHON) for one in PROJECT["classifiers"] if one.startswith(PYTHON)]
    return [name for name in names if "." in name]


def test_the_citation_has_the_version_and_words_of_the_package() -> None:
    citation = parsed("CITATION.cff")
    assert citation["version"] == lowerbound.__version__
    assert citation["title"] == PROJECT["name"]
    assert citation["abstract"] == PROJECT["description"]
    assert citation["license"] == PROJECT["license"]
    assert citation["keywords"] == PROJECT["keywords"]
    assert citation["repository-code"] == PROJECT["urls"]["Source"]


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    versions = re.findall(r"^## \[(.+?)\] - (unreleased|\d{4}-\d\d-\d\d)$", CHANGELOG, re.MULTILINE)
    assert versions[0][0] == lowerbound.__version__
    assert len(versions) == CHANGELOG.count("\n## ")


def test_the_classifiers_begin_with_the_oldest_python_and_leave_none_out() -> None:
    required = SpecifierSet(PROJECT["requires-python"])
    minors = [int(name.removeprefix("3.")) for name in pythons()]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert f"3.{minors[0]}" in required
    assert f"3.{minors[0] - 1}" not in required


def test_the_workflow_tests_every_python_and_the_lowest_requirements_on_the_oldest() -> None:
    jobs = parsed(".github/workflows/test.yml")["jobs"]
    assert jobs["newest"]["strategy"]["matrix"]["python"] == pythons()
    steps = jobs["lowest"]["steps"]
    (python,) = [step["with"]["python-version"] for step in steps if "with" in step]
    assert python == pythons()[0]


def test_links_of_the_project_lead_to_one_repository() -> None:
    urls = PROJECT["urls"]
    assert all(url.startswith(urls["Source"]) for url in urls.values())
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert f"\nrepo_url: {urls['Source']}\n" in site
    for url in urls.values():
        path = url.partition("/blob/main/")[2]
        assert not path or (ROOT / path).exists()
