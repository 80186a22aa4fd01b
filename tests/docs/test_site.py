"""The site shows every page and every public package; `make docs` builds it, strictly."""

from __future__ import annotations

import re
from importlib import import_module
from pkgutil import iter_modules

import lowerbound
from tests.docs.pages import DOCS, ROOT

NAVIGATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
SHOWN = re.findall(r"(\S+)\.md$", NAVIGATION, re.MULTILINE)
COMMAND_LINE = "cli"  # its page is cli.md


def test_every_page_is_in_the_navigation_once() -> None:
    pages = {page.relative_to(DOCS).with_suffix("").as_posix() for page in DOCS.rglob("*.md")}
    written = [name for name in SHOWN if not name.startswith("api/")]
    assert sorted(written) == sorted(pages)


def test_every_package_with_public_names_has_a_page_of_its_docstrings() -> None:
    packages = [room.name for room in iter_modules(lowerbound.__path__) if room.ispkg]
    public = {name for name in packages if hasattr(import_module(f"lowerbound.{name}"), "__all__")}
    documented = {name.removeprefix("api/") for name in SHOWN if name.startswith("api/")}
    assert public - {COMMAND_LINE} <= documented
    assert all(import_module(f"lowerbound.{name}").__doc__ for name in documented)
