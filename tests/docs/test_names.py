"""Every name on a page exists, and every name that exists is on its page."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import lowerbound
from lowerbound import data, estimators
from lowerbound.applications import APPLICATIONS, load
from lowerbound.applications.common.form import entries
from lowerbound.cli.main import known_command
from lowerbound.data import CATALOG
from lowerbound.evaluation.report.measures import MEASURES
from lowerbound.likelihoods import LIKELIHOODS
from lowerbound.models import MODELS
from lowerbound.networks import ACTIVATIONS, NETWORKS
from lowerbound.objectives import OBJECTIVES
from lowerbound.posteriors import POSTERIORS
from lowerbound.priors import PRIORS
from lowerbound.registry import Registry
from lowerbound.training import TrainingOptions
from lowerbound.training.plan import LARGE_TABLE, OF_LARGE_TABLES, USUAL
from tests.docs.pages import DOCS, PAGES, blocks, code_words, name_of, prose, section, sections

PAGE_OF: dict[str, tuple[Registry[Any], str]] = {
    "likelihood": (LIKELIHOODS, "likelihoods.md"),
    "prior": (PRIORS, "priors_and_posteriors.md"),
    "posterior": (POSTERIORS, "priors_and_posteriors.md"),
    "objective": (OBJECTIVES, "objectives.md"),
    "network": (NETWORKS, "networks.md"),
}
SHARED_FLAGS = {
    *("--json", "--seed", "--memory", "--keep-formulas"),
    *("--verbose", "--help", "--help-all", "--version", "--device"),
}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def own_parts() -> list[tuple[str, str]]:
    """(family, name) of what the package itself registers; other tests may add parts of theirs."""
    return [
        (family, name)
        for family, (registry, _) in PAGE_OF.items()
        for name in registry
        if registry[name].__module__.startswith("lowerbound.")
    ]


def options_of(part: Any) -> set[str]:
    """What can be said about a part: its keyword-only arguments, or the fields of its dataclass."""
    if dataclasses.is_dataclass(part):
        return {field.name for field in dataclasses.fields(part)}
    parameters = inspect.signature(part).parameters.values()
    return {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def part_text(family: str, name: str) -> str:
    """What its page says of a part: its own section, in the chapter of its family."""
    page = DOCS / PAGE_OF[family][1]
    found = [part for part in sections(page) if part.title == name]
    # a name may be that of a prior and of a posterior: priors come first
    return found[-1].text if family == "posterior" else found[0].text


@pytest.mark.parametrize(("family", "name"), own_parts())
def test_every_part_has_a_section_that_names_its_options(family: str, name: str) -> None:
    registry, page = PAGE_OF[family]
    assert any(part.title == name for part in sections(DOCS / page)), f"{name} is not in {page}"
    text = part_text(family, name)
    said = code_words(text)
    for other in registry:  # "options as for `gaussian`"
        if other != name and f"as for `{other}`" in text:
            said |= code_words(part_text(family, other))
    missing = options_of(registry[name]) - said
    assert not missing, f"{page} says nothing of {sorted(missing)} of {name}"


@pytest.mark.parametrize("family", PAGE_OF)
def test_pages_name_only_options_that_exist(family: str) -> None:
    registry, page = PAGE_OF[family]
    known = set().union(*(options_of(registry[name]) for name in registry))
    if family in ("prior", "posterior"):
        known |= set().union(*(options_of(POSTERIORS[name]) for name in POSTERIORS))
        known |= set().union(*(options_of(PRIORS[name]) for name in PRIORS))
    for name in registry:
        if (family, name) in own_parts():
            rows = re.findall(r"^\| `(\w+)` \|", part_text(family, name), re.MULTILINE)
            assert set(rows) <= known, f"{page}: {sorted(set(rows) - known)}"


def said_defaults(text: str) -> Iterator[tuple[str, str]]:
    """(option, its default) as the rows of a table say it: "(default 3", or "`this` (default"."""
    for option, row in re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE):
        for found in re.finditer(r"\(default ([\w.]+\w)|`?([\w.]+)`? \(default[^ ]", row):
            yield option, found[1] or found[2]


def defaults_of(part: Any) -> dict[str, Any]:
    """Every option of a part with its default."""
    return {name: p.default for name, p in inspect.signature(part).parameters.items()}


def same(said: str, default: Any) -> bool:
    """Whether the words mean the value."""
    if isinstance(default, (bool, str)):
        return said == str(default).lower()
    return default is not None and float(said.replace(",", "")) == float(default)


@pytest.mark.parametrize(("family", "name"), own_parts())
def test_defaults_are_those_of_the_parts(family: str, name: str) -> None:
    defaults = defaults_of(PAGE_OF[family][0][name])
    for option, said in said_defaults(part_text(family, name)):
        assert same(said, defaults[option]), f"{name}: {option} is {defaults[option]}, not {said}"


def test_defaults_are_those_of_training() -> None:
    text = section(DOCS / "training.md", "Options").text
    defaults = defaults_of(TrainingOptions)
    found = list(said_defaults(text))
    assert len(found) >= 5
    for option, said in found:
        assert same(said, defaults[option]), f"{option} is {defaults[option]}, not {said}"
    for name in ("batch_size", "learning_rate"):  # these are taken from the data
        usual, large = (getattr(pace, name) for pace in (USUAL, OF_LARGE_TABLES))
        assert f"unless given {usual:g}, and {large:g} for" in text
    assert f"{USUAL.passes:,} / √rows ({OF_LARGE_TABLES.passes:,} / √rows for a table" in text
    assert text.count(f"{LARGE_TABLE:,} training rows") == 2


def test_defaults_are_read() -> None:
    row = "| `scale` | `fixed`, or `global` (default): one |\n| `floor` | least (default 0.001) |\n"
    assert list(said_defaults(row)) == [("scale", "global"), ("floor", "0.001")]


def test_activations_are_named() -> None:
    assert set(ACTIVATIONS) <= code_words(section(DOCS / "networks.md", "mlp").text)


def test_every_model_has_a_page_with_its_command() -> None:
    for name in MODELS:
        page = DOCS / "models" / f"{name}.md"
        assert page.exists(), f"no page of the model {name}"
        titles = [part.title for part in sections(page) if part.level == 2]
        assert titles == [
            "Process",
            "Inference",
            "Tasks",
            "Command",
            "The number to expect",
            "Limits",
        ]


def test_every_estimator_is_named_on_a_model_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "models").glob("*.md"))
    assert set(estimators.__all__) <= {word for word in code_words(text) if word.isidentifier()}


def test_every_other_public_name_is_on_the_page_of_own_loops() -> None:
    text = (DOCS / "own_training_loop.md").read_text(encoding="utf-8")
    others = set(lowerbound.__all__) - set(estimators.__all__) - {"__version__"}
    assert others <= {word for word in code_words(text) if word.isidentifier()}


def test_every_training_option_is_described() -> None:
    said = code_words(section(DOCS / "training.md", "Options").text)
    assert {field.name for field in dataclasses.fields(TrainingOptions)} <= said


def test_every_named_set_and_reading_option_is_described() -> None:
    page = DOCS / "data.md"
    assert set(CATALOG) <= code_words(section(page, "Named sets").text)
    keywords = set(inspect.signature(data.load).parameters) - {"source"}
    assert keywords <= code_words(section(page, "Policies").text)


def test_every_measure_is_described() -> None:
    text = section(DOCS / "evaluation.md", "The measures").text
    text += section(DOCS / "samples_and_latents.md", "Measures of the report").text
    described = set(re.findall(r"^\| ([^|]+?) \|", text, re.MULTILINE)) - {"measure"}
    assert {
        measure.label.format(samples="K") for group in MEASURES.values() for measure in group
    } <= described - {"---"}


def dotted_names(page: Path) -> Iterator[str]:
    """``lowerbound.x.y`` between backticks, arguments left off."""
    for word in code_words(prose(page)):
        match = re.fullmatch(r"(lowerbound(?:\.\w+)+)(?:\(.*\))?", word)
        if match:
            yield match[1]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_dotted_names_can_be_imported(page: Path) -> None:
    for name in dotted_names(page):
        assert found(name), f"{name_of(page)} names {name}, which does not exist"


def found(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parent, _, last = name.rpartition(".")
    try:
        return hasattr(import_module(parent), last) or bool(import_module(name))
    except ImportError:
        return False


def flags_of(command: str) -> set[str]:
    """The flags that a command takes."""
    form = entries(load(command).request)
    return SHARED_FLAGS | {entry.flag for entry in form} | {entry.short for entry in form}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_their_flags_exist(page: Path) -> None:
    for block in blocks(page, "console"):
        for line in re.findall(r"^\$ lowerbound (.+)$", block.replace("\\\n", " "), re.MULTILINE):
            if line.startswith("-"):
                assert line.split()[0] in SHARED_FLAGS
                continue
            command, words = known_command(line.split())
            typed = {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)}
            assert typed <= flags_of(command), f"{name_of(page)}: lowerbound {line}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_flags_in_the_text_exist(page: Path) -> None:
    known = set().union(*(flags_of(command) for command in APPLICATIONS)) | {"--quick"}
    named = {flag for word in code_words(prose(page)) for flag in FLAG.findall(word)}
    assert named <= known, f"{name_of(page)} names {sorted(named - known)}"


def test_every_command_and_flag_is_on_the_page_of_commands() -> None:
    page = DOCS / "cli.md"
    for command in APPLICATIONS:
        said = section(page, f"lowerbound {command}").text
        words = {flag for word in code_words(said) for flag in re.findall(r"--?[a-z][a-z-]*", word)}
        own = {entry.flag for entry in entries(load(command).request) if not entry.positional}
        if command == "fit":
            words |= {f"--{name.replace('_', '-')}" for name in training_fields()}
            words |= {"--no-standardize"}
        assert own - words - SHARED_FLAGS <= set(), f"{command}: {sorted(own - words)}"


def training_fields() -> set[str]:
    """Options of training have a page of their own."""
    return {field.name for field in dataclasses.fields(TrainingOptions)}
