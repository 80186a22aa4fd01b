"""Options of reading: stated once, and alike from flags and from Python."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import MISSING, fields

import numpy as np
import pytest

from lowerbound.applications.common.form import entries
from lowerbound.config import construct
from lowerbound.data import load
from lowerbound.data.options import LEAST_PEOPLE, PlainDialect, PlainReading
from lowerbound.data.reading import Reading
from lowerbound.data.reading_flags import ReadingOptions
from lowerbound.data.sequences.windows import Windows
from lowerbound.data.tables.dialect import Dialect
from lowerbound.errors import OptionError


def test_flags_without_values_read_as_python_does() -> None:
    usual = ReadingOptions()
    assert usual.reading(usual.kinds) == Reading(
        binarize="none", least_people=LEAST_PEOPLE, kinds={}, dialect=Dialect()
    )


def test_every_flag_reaches_the_reader() -> None:
    values = {
        entry.name: entry.choices[-1] if entry.choices else _other(entry.kind, entry.default)
        for entry in entries(ReadingOptions)
        if entry.name not in ("columns", "kind", "encoding", "delimiter", "comment")
    }
    given = {name: (value,) if name in MANY else value for name, value in values.items()}
    given |= {"kind": ("a=real",), "encoding": "latin-1", "delimiter": "tab", "comment": "#"}
    asked = ReadingOptions(**given)
    reading = asked.reading(asked.kinds, normal_scores=False)
    for field in fields(PlainReading):
        assert getattr(reading, field.name) == given[field.name] != field.default, field.name
    assert reading.windows == Windows(3, 2, varied=True)
    assert reading.kinds == {"a": "real"}
    assert not reading.normal_scores
    assert reading.dialect is not None
    missing = {"missing": ("7",), "delimiter": "\t"}
    kept = {field.name: given[field.name] for field in fields(PlainDialect)} | missing
    assert reading.dialect == Dialect.asked(**kept)


MANY = ("predict", "missing_value")


def _other(kind: type, default: object) -> object:
    """A value that is not the default; 3 for a window, 2 for its stride."""
    if kind is bool:
        return not default
    return "7" if kind is str else 3 if default is None else int(str(default)) + 1


def test_load_has_the_keywords_of_reading() -> None:
    parameters = inspect.signature(load).parameters
    assert [*parameters] == ["source", *(field.name for field in fields(Reading))]
    for field in fields(Reading):
        assert field.default is not MISSING
        assert parameters[field.name].default == field.default
        assert parameters[field.name].kind is inspect.Parameter.KEYWORD_ONLY


def test_an_unknown_keyword_is_an_error_of_load() -> None:
    with pytest.raises(TypeError, match=r"load\(\) got an unexpected keyword argument 'lable'"):
        load(np.zeros((3, 2)), lable="a")  # type: ignore[call-arg]
    with pytest.raises(OptionError, match=r"unknown option of load 'lable'; did you mean 'label'"):
        construct(load, np.zeros((3, 2)), options={"lable": "a"})
    with pytest.raises(OptionError, match="'levels' takes a whole number"):
        construct(load, np.zeros((3, 2)), options={"levels": "many"})


def test_the_options_import_no_library() -> None:
    """A command that knows its flags has not waited for torch, numpy or pandas."""
    code = (
        "import sys, lowerbound.data.options; "
        "print([*{'torch', 'numpy', 'pandas'} & {*sys.modules}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
