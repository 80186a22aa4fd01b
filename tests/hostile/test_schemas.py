"""A schema or a form whose values do not fit together is refused when its folder is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lowerbound.cli import main
from lowerbound.data.dependencies.determined import DETAIL, Dependencies
from lowerbound.data.synthetic.form import DETAIL as DETAIL_OF_FORM, TableForm
from lowerbound.errors import ModelFolderError, OptionError
from lowerbound.fitting import folder as model_folder
from tests.hostile import fitted_targets
from tests.hostile.targets import MODELS, changed_folder

HEIGHT, SHARE, SMOKER, TOWN = 0, 2, 6, 8  # columns of the table
SCHEMAS: dict[str, tuple[str, Any]] = {
    "no type of numpy": ("table", lambda s: s["columns"][HEIGHT].update(dtype="float6")),
    "no type of the rows": ("table", lambda s: s.update(dtype="float64x")),
    "no type of pandas": ("table", lambda s: s["columns"][HEIGHT].update(frame_dtype="Int65")),
    "levels of another type": ("table", lambda s: s["columns"][TOWN].update(dtype="float64")),
    "no type of levels": ("table", lambda s: s["columns"][SMOKER].update(level_type="x")),
    "bounds without an end": ("table", lambda s: s["columns"][SHARE].update(high=None)),
    "one level": ("rows", lambda s: s.update(levels=1)),
    "levels beyond whole numbers": ("rows", lambda s: s.update(levels=10**30)),
    "no highest level": ("rows", lambda s: s.update(white=0.0)),
    "levels of numbers": ("table", lambda s: s["columns"][HEIGHT].update(levels=[10])),
    "no type of pixels": ("rows", lambda s: s.update(dtype="uint8x")),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_tried_on_a_row(name: str, tmp_path: Path) -> None:
    model, change = SCHEMAS[name]
    folder = changed_folder(MODELS / model, tmp_path / "m.lb", "schema.json", change)
    with pytest.raises(ModelFolderError):
        model_folder.read(folder, "cpu")


def _form(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["details"]["form"]
    return found


FORMS: dict[str, Any] = {
    "another name": lambda s: _form(s)["columns"][HEIGHT].update(name="size"),
    "no type": lambda s: _form(s)["columns"][HEIGHT].update(dtype="float64x"),
    "a code beyond the levels": lambda s: _form(s)["columns"][TOWN].update(unused=[99]),
    "a combination beyond the levels": lambda s: _form(s)["constraints"]["combinations"][0].update(
        rows=[[0, 77]]
    ),
    "a combination of other columns": lambda s: _form(s)["constraints"]["combinations"][0].update(
        columns=["smoker", "colour"]
    ),
}


LOOKUP = {"columns": ["smoker", "height"], "cells": [[0.0, 1.7]], "rows": [9]}
DEPENDENCIES: dict[str, dict[str, Any]] = {
    "another name": {"lookups": [LOOKUP | {"columns": ["smoker", "size"]}]},
    "a name twice": {"lookups": [LOOKUP | {"columns": ["smoker", "smoker"]}]},
    "a code beyond the levels": {"lookups": [LOOKUP | {"cells": [[7.0, 1.7]]}]},
    "no code": {"lookups": [LOOKUP | {"cells": [[0.5, 1.7]]}]},
    "a formula of other columns": {
        "formulas": [
            {
                "columns": ["height", "size"],
                "coefficients": [1.0, 2.0],
                "constant": 0.0,
                **{key: [False, False] for key in ("logs", "solved", "exact")},
            }
        ]
    },
}


@pytest.mark.parametrize("name", DEPENDENCIES)
def test_dependencies_are_of_the_columns(name: str) -> None:
    schema = model_folder.read(MODELS / "table", "cpu").schema
    assert Dependencies.of(replace(schema, details={DETAIL: {"lookups": [LOOKUP]}})).lookups
    with pytest.raises(OptionError, match=r"dependency|lookup"):
        Dependencies.of(replace(schema, details={DETAIL: DEPENDENCIES[name]}))


@pytest.mark.parametrize(
    "form", [{"columns": [{"name": "height", "identifiers": {"dtype": "st"}}]}, {"rows": 1}, [1]]
)
def test_a_stored_form_is_a_form(form: Any) -> None:
    schema = model_folder.read(MODELS / "table", "cpu").schema
    with pytest.raises(OptionError):
        TableForm.of(replace(schema, details={DETAIL_OF_FORM: form}))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:no variation")
@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_tried_on_a_row(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "m.lb"
    changed_folder(fitted_targets._synthesizer(), theirs, "schema.json", FORMS[name])
    assert main(["synthesize", str(theirs), "-n", "3", "-o", str(tmp_path / "x.csv")]) == 2
    said = capsys.readouterr().err
    assert "the form of the table in the model folder is damaged" in said
    assert not (tmp_path / "x.csv").exists()
