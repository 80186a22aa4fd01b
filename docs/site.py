"""What the site needs beside the pages: hooks of MkDocs, used by ``make docs``.

- Links that leave ``docs/`` lead to the repository's files.
- A heading has the anchor that code hosts give it, so that one link works on both.
- Each page ``api/ROOM.md`` of the navigation shows the public names of ``lowerbound.ROOM``.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

OUTSIDE = re.compile(r"(?<=\]\()(?P<path>(?:\.\./)+[^)#\s]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path in api_pages(config.nav):
        room = path.removeprefix("api/").removesuffix(".md")
        files.append(File.generated(config, path, content=f"::: lowerbound.{room}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def of_repository(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match["path"]))
        inside = path.startswith("docs/")
        return match["path"] if inside else f"{config.repo_url}/blob/main/{path}"

    return OUTSIDE.sub(of_repository, markdown)


def api_pages(nav: Any) -> Iterator[str]:
    """The pages of the navigation, at any depth, that are made from docstrings.

    >>> list(api_pages([{"Start": ["index.md"]}, {"Python": [{"Data": "api/data.md"}]}]))
    ['api/data.md']
    """
    if isinstance(nav, str):
        yield from [nav] if nav.startswith("api/") else []
    else:
        for item in nav.values() if isinstance(nav, dict) else nav:
            yield from api_pages(item)
