"""Docstrings as the site shows them: an extension of griffe, used by ``make docs``.

Docstrings are written for people who read the source, with the marks of reStructuredText. Markdown
has other marks for formulas, examples, literal blocks and references.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object
from latex2mathml.converter import convert

FORMULA = re.compile(r"^(?P<indent> *)\.\. math::(?P<tex>.*(?:\n(?P=indent) +\S.*)*)", re.MULTILINE)
ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(?P<name>\w+)`")
EXAMPLE = re.compile(r"^(?P<indent> *)>>> .*(?:\n(?P=indent)\S.*)*", re.MULTILINE)
LITERAL = re.compile(r"::$", re.MULTILINE)


class Docstrings(Extension):
    """Rewrites every docstring."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(docstring: str) -> str:
    """The docstring with the marks of Markdown.

    >>> markdown("As in :class:`~lowerbound.models.Model`::")
    'As in `Model`:'
    """
    text = EXAMPLE.sub(example, FORMULA.sub(formula, docstring))
    return LITERAL.sub(":", ROLE.sub(r"`\g<name>`", text))


def formula(match: re.Match[str]) -> str:
    """MathML, which browsers draw without a script."""
    tex = " ".join(match["tex"].split())
    return f"\n{match['indent']}{convert(tex, display='block')}\n"


def example(match: re.Match[str]) -> str:
    """A fenced block."""
    return f"{match['indent']}```pycon\n{match[0]}\n{match['indent']}```"
