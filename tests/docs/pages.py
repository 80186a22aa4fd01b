"""The pages of the docs, and what they are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
ABOUT_THE_PROJECT = [ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^(?P<level>#+) (?P<title>.+)$", re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, up to the next heading of any level."""

    title: str
    text: str
    level: int


def name_of(page: Path) -> str:
    """The page's path from the root of the checkout."""
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [match["body"] for match in found if match["language"] == language]


def anchors(page: Path) -> set[str]:
    """What a link may point to after a page's name."""
    return {anchor(match["title"]) for match in HEADING.finditer(prose(page))}


def anchor(title: str) -> str:
    """A heading's anchor as code hosts make it: lower case, no punctuation, dashes for spaces."""
    kept = re.sub(r"[^\w\- ]", "", title.replace("`", "").strip().lower())
    return kept.replace(" ", "-")


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures."""
    return [match["target"] for match in LINK.finditer(prose(page))]


def sections(page: Path) -> Iterator[Section]:
    """A page cut at its headings; fenced blocks are left in."""
    text = page.read_text(encoding="utf-8")
    found = list(HEADING.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    for match, end in zip(found, ends, strict=True):
        yield Section(match["title"].strip("` "), text[match.end() : end], len(match["level"]))


def section(page: Path, title: str) -> Section:
    """The only section of that title."""
    (found,) = (part for part in sections(page) if part.title == title)
    return found


def code_words(text: str) -> set[str]:
    """Everything that stands between backticks."""
    return set(CODE.findall(text))
