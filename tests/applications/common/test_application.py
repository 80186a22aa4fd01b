"""The list of applications, and what each of them is."""

from __future__ import annotations

import dataclasses
import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lowerbound.applications import APPLICATIONS, Report, Reporter, load, request_of
from lowerbound.applications.common.application import (
    Application,
    Silent,
    check_data_stays,
    jsonable,
    owned_by,
    read_by,
    written_by,
)
from lowerbound.applications.common.files import fill_folder, write_text
from lowerbound.applications.common.form import Entry, PromptOptions, answer, entries, typed
from lowerbound.applications.fit.requests import FitRequest
from lowerbound.applications.generation.requests import PriorRequest
from lowerbound.applications.release.audit import audit
from lowerbound.applications.release.requests import AuditRequest
from lowerbound.cli import main
from lowerbound.config import from_mapping, option, to_mapping
from lowerbound.data.reading_flags import ReadingOptions
from lowerbound.errors import OptionError
from lowerbound.evaluation.report.sizes import RequestedSizes
from lowerbound.fitting import FitOptions
from lowerbound.models.options import ModelOptions
from lowerbound.processes import ownership
from lowerbound.training.private.options import PrivacyOptions


@pytest.mark.parametrize("name", APPLICATIONS)
class TestEveryApplication:
    def test_it_is_a_request_a_function_and_a_report(self, name: str) -> None:
        application = load(name)
        assert application.name == name
        assert dataclasses.is_dataclass(application.request)
        assert application.request.__dataclass_params__.frozen
        assert application.function.__doc__

    def test_every_question_has_an_answer_in_words(self, name: str) -> None:
        form = entries(load(name).request)
        for entry in form:
            assert entry.help, entry.path
            assert not entry.help.endswith("."), entry.path
        flags = [entry.flag for entry in form if entry.name != "seed"]
        assert len(flags) == len(set(flags))

    def test_every_request_can_be_asked_for_with_a_seed_or_needs_none(self, name: str) -> None:
        draws = {"demo", "fit", "evaluate", "sample", "decode", "reconstruct"}
        draws |= {"imputer", "impute", "denoise", "detect"}
        draws |= {"redraw"}
        draws |= {"design"}
        draws |= {"audit", "canaries"}  # rows that are attacked, rows that are planted
        draws |= {"compress", "compare"}  # bits of grey values
        draws |= {"prior", "refiner"}  # latents, and the training of a second stage
        draws |= {"predict-frames", "synthesizer", "synthesize", "private-table"}
        draws |= {"interpolate", "attributes"}  # pairs of rows, and rows that vectors come from
        draws |= {name for name in APPLICATIONS if name.startswith("control ")}
        seeds = [entry for entry in entries(load(name).request) if entry.name == "seed"]
        assert bool(seeds) == (name in draws)

    def test_it_does_not_run_while_another_run_writes_its_output(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of all its results, and of the model that a prior or a refiner is trained in."""
        application = load(name)
        monkeypatch.setattr(ownership, "SECONDS", 0.0)
        ran: list[str] = []

        def function(request: Any, reporter: Reporter) -> Any:
            ran.append(name)

        stub = replace(application, function=function, needs_model=False)
        fields = dataclasses.fields(application.request)
        needed = {f.name: f.name for f in fields if f.default is f.default_factory}
        form = entries(application.request)
        places = [entry.name for entry in form if entry.writes and not entry.reads]
        places += ["model"] * name.startswith(("prior", "refiner"))
        for place in places:
            path = str(tmp_path / place)
            request = application.request(**{**needed, place: path})
            with (
                ownership.owned([Path(path)]),
                ThreadPoolExecutor(1) as thread,
                pytest.raises(OptionError, match=f"is writing {path}: wait"),
            ):
                thread.submit(stub, request).result()
        assert not ran

    def test_requests_survive_json(self, name: str) -> None:
        kind = load(name).request
        required = {e.path: ("x",) if e.many else "x" for e in entries(kind) if e.required}
        request = answer(kind, required)
        assert from_mapping(kind, json.loads(json.dumps(to_mapping(request)))) == request

    def test_its_line_is_a_sentence(self, name: str) -> None:
        text = APPLICATIONS[name].help
        assert 10 < len(text) < 70
        assert text[0].islower()
        assert not text.endswith(".")


def test_an_unknown_application_suggests_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'sample'"):
        load("smaple")


def test_a_silent_reporter_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    reporter: Reporter = Silent()
    reporter.say("hello")
    reporter.advance("work", 1, 2)
    reporter.training().message("hello")
    assert capsys.readouterr().out == capsys.readouterr().err == ""


@dataclass(frozen=True)
class Inner:
    values: tuple[float, ...]


@dataclass(frozen=True)
class Outer(Report):
    inner: Inner
    rest: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        return ""


def test_reports_are_json_whatever_they_hold() -> None:
    report = Outer(Inner((1.0, math.nan, -math.inf)), {"path": Path("a"), "flag": True, 3: None})
    assert report.passed
    assert json.loads(json.dumps(report.to_mapping(), allow_nan=False)) == {
        "inner": {"values": [1.0, None, None]},
        "rest": {"path": "a", "flag": True, "3": None},
    }
    assert jsonable(torch.tensor(1.0)) == "tensor(1.)"


def test_a_request_says_what_to_type_for_it() -> None:
    options = FitOptions(ModelOptions(latent_dim=3, conditional=True))
    request = FitRequest("my data.csv", "m", fitting=options, set=("a.b=1", "c.d=2"), report=False)
    assert typed("fit", request) == (
        "lowerbound fit 'my data.csv' -o m --latent-dim 3 --conditional --set a.b=1 --set c.d=2 "
        "--no-report"
    )


NO_PATHS = (  # what the value of a text is, where it is no path
    *("", "ADDRESS", "ATTRIBUTE=VALUE", "CHARACTER", "CLASS", "COLUMN", "COLUMN=KIND"),
    *("COLUMN=VALUE", "COLUMNS", "ENV", "HOST:PORT", "I,J", "I,J,...", "K,L,...", "LEVEL", "NAME"),
    *("NAME:LOW:HIGH", "NAME:max|min[:WEIGHT]", "NAME=VALUE", "OPTION=VALUE", "PART.OPTION=VALUE"),
    *("SENTENCE", "SMILES", "SUM", "TEXT", "VALUE"),
)
FORMS = {name: entries(request_of(name)) for name in APPLICATIONS}
TEXTS = [
    pytest.param(entry, id=f"{name} {'.'.join(entry.path)}")
    for name, form in FORMS.items()
    for entry in form
    if entry.kind is str and not entry.choices
]


@pytest.mark.parametrize("entry", TEXTS)
def test_a_text_that_is_a_path_says_whether_it_is_read_or_written(entry: Entry) -> None:
    """A new text is a path unless what its value is called says otherwise."""
    no_path = entry.metavar in NO_PATHS and not entry.positional
    assert bool(entry.reads or entry.writes) != (no_path or entry.metavar in ("ENV", "SUM"))
    assert entry.reads in ("", "data", "model")


def test_nested_paths_count() -> None:
    """Every option that fits and second stages have for a path, however deep it lies."""
    asked = FitRequest(
        "a.csv",
        "m.lb",
        reading=ReadingOptions(columns="c.json"),
        fitting=FitOptions(privacy=PrivacyOptions(public_schema="p.json")),
        measuring=RequestedSizes(features="f"),
        start="s.lb",
        cache="rows",
    )
    assert read_by(asked) == ["a.csv", "c.json", "p.json"]
    assert written_by(asked) == [Path("m.lb"), Path("f"), Path("rows")]
    assert owned_by(asked) == [Path("m.lb")]  # later fits share the others
    prompts = PromptOptions(attributes="a.csv", captions="c.txt")
    assert read_by(PriorRequest("m.lb", "x.npz", prompts=prompts)) == ["x.npz", "a.csv", "c.txt"]


READ = [
    pytest.param(name, entry, id=f"{name} {'.'.join(entry.path)}")
    for name, form in FORMS.items()
    for entry in form
    if entry.reads == "data" and any(each.writes for each in form)
]


@pytest.mark.parametrize(("name", "entry"), READ)
def test_no_result_replaces_the_file_that_it_is_made_of(
    name: str, entry: Entry, tmp_path: Path
) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("a\n1\n", encoding="utf-8")

    def asked(data: str, output: str) -> Any:
        form = FORMS[name]
        needed: dict[Any, Any] = {e.path: ("x",) if e.many else "x" for e in form if e.required}
        output_of = next(each for each in form if each.writes)
        many = (output,) if output_of.many else output
        return answer(request_of(name), needed | {entry.path: data, output_of.path: many})

    check_data_stays(asked(str(source), str(tmp_path / "other.csv")))
    check_data_stays(asked("digits", "digits"))  # a name, not a file
    with pytest.raises(OptionError, match="is the data itself: name another file"):
        check_data_stays(asked(str(source), str(tmp_path / "." / "rows.csv")))


@dataclass(frozen=True)
class Rows:
    data: str = option("", "rows", reads="data")
    output: str = option("", "result", writes=True)


@pytest.mark.parametrize(
    ("first", "output", "message"),
    [
        ("p0.parquet", "p0.parquet", "is a file of the data: name another file"),
        ("p0.parquet", "new.parquet", "lies in the folder of the data"),
        ("p0.parquet", "codes.csv", "lies in the folder of the data"),
        ("p0.parquet", "model.lb/new", "lies in the folder of the data"),
        ("p0.parquet", "", "lies in the folder of the data"),
        ("cats/0.PNG", "cats/0.PNG", "is a file of the data: name another file"),
        ("a.wav", "a.wav", "is a file of the data: name another file"),
        ("cats/0.png", "cats/1.png", None),
        ("cats/0.png", "scores.csv", None),
        ("p0.parquet", "../p0.parquet", None),
    ],
)
def test_no_result_replaces_or_joins_the_files_of_a_folder(
    first: str, output: str, message: str | None, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    (folder / first).parent.mkdir(parents=True)
    (folder / first).write_bytes(b"")
    (tmp_path / "p0.parquet").write_bytes(b"")
    request = Rows(str(folder), str(folder / output))
    if message is None:
        check_data_stays(request)
    else:
        with pytest.raises(OptionError, match=message):
            check_data_stays(request)


def _writes(name: str, folder: bool = False) -> Application:
    """An application that also writes a file whose name its request does not hold."""

    def work(request: Any, reporter: Reporter) -> Report:
        if folder:
            fill_folder(Path(request.output), lambda made: [_new(made / name)], note=False)
        else:
            write_text(Path(request.output).with_name(name), "new")
        return Outer(Inner(()))

    return Application("x", Rows, work, needs_model=False)


def _new(path: Path) -> str:
    path.write_text("new", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("data", "output", "work"),
    [
        ("rows.png", "rows.npz", _writes("rows.png")),
        ("rows/scores.csv", "rows", _writes("scores.csv", folder=True)),
        ("rows", "rows", _writes("cat.png", folder=True)),
        ("rows", "rows/x.npz", _writes("cat.png")),
    ],
)
def test_no_file_that_a_request_does_not_name_replaces_its_data(
    data: str, output: str, work: Application, tmp_path: Path
) -> None:
    (tmp_path / "rows").mkdir()
    files = [tmp_path / "rows.png", tmp_path / "rows/scores.csv", tmp_path / "rows/cat.png"]
    for file in files:
        file.write_text("data", encoding="utf-8")
    asked = Rows(str(tmp_path / data), str(tmp_path / output))
    with pytest.raises(OptionError, match=r"is (the data itself|a file of the data): name another"):
        work(asked)
    assert {file.read_text(encoding="utf-8") for file in files} == {"data"}
    work(Rows("digits", asked.output))  # no file of this name
    assert "new" in {file.read_text(encoding="utf-8") for file in files}


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("private-table", ("-o", "rows.csv", "--epsilon", "1", "--public-schema", "data")),
        ("private-table", ("-o", "x.csv", "--save", "rows.csv")),
        ("canaries", ("-o", "rows.csv", "--key", "key.csv")),
        ("canaries", ("-o", "train.csv", "--key", "rows.csv")),
    ],
)
def test_commands_without_a_model_keep_their_data_too(
    command: str,
    options: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = Path("rows.csv")
    rows.write_text("a,b\n1,2\n2,3\n", encoding="utf-8")
    assert main([command, "rows.csv", *options]) == 2
    assert "is the data itself" in capsys.readouterr().err
    assert rows.read_text(encoding="utf-8") == "a,b\n1,2\n2,3\n"


def test_an_audit_owns_the_table_whose_record_it_extends() -> None:
    asked = AuditRequest("real.csv", "made.csv", holdout="others.csv")
    assert owned_by(asked) == []
    assert owned_by(replace(asked, record=True)) == [Path("made.csv")]
    with pytest.raises(OptionError, match="needs the file of the synthetic rows"):
        audit(AuditRequest([[1]], [[1]], record=True))  # type: ignore[arg-type]
