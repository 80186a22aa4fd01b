"""Pages from templates, which share the style sheet ``page.css`` beside this file."""

from __future__ import annotations

import re
from functools import partial
from importlib.resources import files
from typing import Any

from lowerbound.data.tables.dialect import BEGINNINGS, MARK as MARK_OF_TEXT
from lowerbound.evaluation.report.cells import minus
from lowerbound.evaluation.report.verdict import MARK

REPORT = "lowerbound.evaluation.report"

TYPED = re.compile(r"(--[a-z][a-z-]*(?: (?:[\w.]+=)?[0-9][0-9.]*| test\b)?|lowerbound [a-z]+)")
"""What a user types: an option, with its value, or a command."""


def render(template: str, package: str = REPORT, **values: Any) -> str:
    """The text of a template, its values escaped for HTML.

    Args:
        template: name of the file.
        package: the package whose folder has it.
        **values: all names that it uses; a name that is missing raises an error.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(partial(_source, package)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["anchor"] = lambda text: str(text).lower().replace(" ", "-")
    environment.filters["signed"] = partial(minus, digits=1)
    environment.filters["marked"] = marked
    environment.filters["cell"] = cell
    return environment.get_template(template).render(**values)


def cell(text: str) -> str:
    """A text from data that a reader may copy into a spreadsheet, where = would begin a formula."""
    return f"{MARK_OF_TEXT}{text}" if text[:1] in tuple(BEGINNINGS) else text


def marked(sentence: str) -> Any:
    """A sentence of a verdict as HTML: options and commands as code, and its marks in color."""
    from markupsafe import Markup, escape

    text = re.sub(TYPED, r"<code>\1</code>", str(escape(sentence)))
    return Markup(text.replace(f" {MARK}", f'&nbsp;<span class="mark">{MARK}</span>'))


def _source(package: str, name: str) -> str:
    place = files(REPORT if name.endswith(".css") else package)
    return place.joinpath(name).read_text(encoding="utf-8")
