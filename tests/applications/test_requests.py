"""Requests and forms of all commands are read without torch; so are the names of parts."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
import typing

import pytest

from lowerbound import parts
from lowerbound.applications import APPLICATIONS, load, request_of

HEAVY = ("torch", "numpy", "pandas", "scipy", "sklearn", "pyarrow", "PIL", "gymnasium")
LIGHT = f"""
import sys
from lowerbound.applications import APPLICATIONS, request_of
from lowerbound.applications.common.form import entries
from lowerbound.cli import main

for name in APPLICATIONS:
    entries(request_of(name))
    list(map(lambda entry: list(entry.choices), entries(request_of(name))))
    assert main([*name.split(), "--help-all"]) == 0
main(["models"]), main(["sample", "m.lb", "-o", "o.csv", "--temprature", "3"])
main(["encode", "nothing.lb", "t.csv", "-o", "o.csv"])
print(*sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)
"""
LAZY = (".fitting", ".evaluation", ".fitting.options", ".training.private.options")


@pytest.mark.slow
def test_help_and_answers_to_wrong_words_import_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    *said, heavy = done.stderr.splitlines()
    assert heavy == ""
    assert said[0].startswith("lowerbound: unknown command 'models'; lowerbound fit --help-all")
    assert said[1].endswith("unknown option --temprature; did you mean --temperature?")
    assert "there is no model folder nothing.lb" in said[2]
    assert done.stdout.count("usage: lowerbound ") == len(APPLICATIONS)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_list_names_the_request_of_the_function(name: str) -> None:
    function = load(name).function
    first = next(iter(inspect.signature(function).parameters))
    assert typing.get_type_hints(function)[first] is request_of(name)
    assert request_of(name).__module__ == APPLICATIONS[name].request.rpartition(".")[0]


@pytest.mark.parametrize("registry", [parts.PRIORS, parts.CODE_PRIORS], ids=["numbers", "codes"])
def test_what_is_said_of_listed_priors_is_what_they_say(registry: typing.Any) -> None:
    for name in registry:
        prior = registry[name]
        assert (name not in parts.OF_ROWS) == getattr(prior, "learns_from_latents", True)
        assert parts.LIBRARIES.get(name, "") == getattr(prior, "library", "")


@pytest.mark.parametrize("module", LAZY)
def test_names_imported_on_use_are_those_that_type_checkers_see(module: str) -> None:
    package = importlib.import_module(f"lowerbound{module}")
    tree = ast.parse(inspect.getsource(package))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        (each.module, name.name)
        for each in checked.body
        if isinstance(each, ast.ImportFrom)
        for name in each.names
    }
    assert seen
    for place, name in seen:
        assert getattr(package, name) is getattr(importlib.import_module(str(place)), name)
    given = {*getattr(package, "__all__", [name for _, name in seen])}
    assert given - {"__version__"} == {name for _, name in seen}
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing
