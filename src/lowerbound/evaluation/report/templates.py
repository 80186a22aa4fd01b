"""Pages from templates that lie beside this file and share one style sheet, ``page.css``."""

from __future__ import annotations

from importlib.resources import files
from typing import Any


def render(template: str, **values: Any) -> str:
    """The text of a template, its values escaped for HTML.

    Args:
        template: name of the file.
        **values: all names that it uses; a name that is missing raises an error.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["anchor"] = lambda text: str(text).lower().replace(" ", "-")
    environment.filters["signed"] = lambda value: f"{value:.1f}".replace("-", "−")
    return environment.get_template(template).render(**values)


def _source(name: str) -> str:
    return files("lowerbound.evaluation.report").joinpath(name).read_text(encoding="utf-8")
