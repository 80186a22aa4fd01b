"""The report: complete, self-contained, and honest where a figure does not exist."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound.data import Dataset, load
from lowerbound.errors import DataError
from lowerbound.evaluation.report import chapters
from lowerbound.evaluation.report.cells import Cell, minus, share
from lowerbound.evaluation.report.chapters import Material
from lowerbound.evaluation.report.page import ReportPage, write_report
from lowerbound.evaluation.report.sizes import SuiteOptions
from lowerbound.evaluation.report.subjects import Subject, describe, examine
from lowerbound.evaluation.report.summary_table import _ranked, notes, summary_lines
from lowerbound.evaluation.report.verdict import ACCEPTED, BOUND
from lowerbound.fitting import FitOptions, Fitted
from lowerbound.fitting.assembly import assemble, resolve
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.models.options import ModelOptions
from lowerbound.training import reporter
from tests.evaluation.small_models import vectors

QUICK = SuiteOptions(samples=5, rows=60, agreement_rows=80, gap_rows=3, draws=40)


@dataclass(frozen=True)
class Record:
    epoch: float
    seconds: float = 1.0
    bound: float = -90.0
    validation: float | None = -95.0
    distortion: float = 80.0
    rates: tuple[float, ...] = (10.0,)
    readings: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


class History(list[Record]):
    ended = "finished"


class Page(HTMLParser):
    """Collects what a page refers to, and whether its elements are closed in order."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        assert tag not in ("script", "link", "iframe")
        if tag not in self.VOID:
            self.open.append(tag)
        if "src" in values:
            self.sources.append(values["src"])
        if "id" in values:
            self.anchors.add(values["id"])
        if "href" in values:
            self.links.append(values["href"])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def subjects(training: Dataset, names: tuple[str, ...]) -> list[Subject]:
    made = []
    for name in names:
        torch.manual_seed(0)
        model = assemble(training.schema, ModelOptions(model=name, latent_dim=2, network="mlp"))
        model.start(training)
        trained = name != "pca"
        records = History([Record(1.0), Record(2.0, bound=-85.0)]) if trained else History()
        made.append(Subject(name.upper(), model.eval(), records))
    return made


def written(
    folder: Path, data: Dataset, names: tuple[str, ...] = ("pca", "autoencoder", "vae")
) -> tuple[ReportPage, Page]:
    training, held_out = data.split(0.3, 0)
    report = write_report(
        folder, subjects(training, names), training, held_out, title="Digits & co", options=QUICK
    )
    return report, Page(report.page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReportPage, Page]:
    return written(tmp_path_factory.mktemp("digits"), load("digits").thinned(400))


@pytest.mark.slow
def test_the_page_loads_nothing_and_carries_every_picture(digits: tuple[ReportPage, Page]) -> None:
    report, page = digits
    assert page.open == []
    assert len(page.sources) == len(report.figures) == 10
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "http" not in re.sub(r"base64,[^\"]*", "", report.page.read_text(encoding="utf-8"))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in report.figures)


def test_every_link_of_the_contents_leads_somewhere(digits: tuple[ReportPage, Page]) -> None:
    _, page = digits
    assert len(page.links) >= 6
    assert {link.removeprefix("#") for link in page.links} <= page.anchors


def test_the_table_names_its_figures_and_refusals(digits: tuple[ReportPage, Page]) -> None:
    _, page = digits
    for words in (
        "Digits & co",
        "L_5",
        "bits per dimension",
        "effective sample size",
        "hole rate",
        "linear probe",
        "AUTOENCODER VAE",
        "Autoencoder has no prior",
        "on whole numbers a narrower density",
        "their nats are of different kinds",
        "closed form",
        "sha256",
    ):
        assert words in page.text, words


def test_the_verdict_comes_first_and_figures_before_numbers(
    digits: tuple[ReportPage, Page],
) -> None:
    report, page = digits
    shown = _plain(page.text)
    places = [shown.index(_plain(sentence)) for sentence in report.verdict.sentences]
    assert places == sorted(places)
    assert places[-1] < shown.index("Contents")
    text = report.page.read_text(encoding="utf-8")
    assert text.index("<img") < text.index('class="tile"') < text.index("<details>")


def test_every_flagged_tile_says_why(digits: tuple[ReportPage, Page]) -> None:
    report, page = digits
    flagged = [flag.figure for flag in report.verdict.flags]  # 60 rows
    assert flagged[0] == BOUND
    assert ACCEPTED in flagged
    assert page.text.count("Not fully trustworthy: there are only 60 rows.") >= 3  # bits too


def _plain(text: str) -> str:
    """Text without marks and spaces."""
    return re.sub(r"[\s⚠]", "", text)


def test_what_was_measured_is_json(digits: tuple[ReportPage, Page]) -> None:
    report, _ = digits
    found = json.loads(json.dumps(report.to_mapping(), allow_nan=False))
    pca, autoencoder, vae = found["models"]
    assert pca["likelihood"]["log_marginal"]["mean"] == pytest.approx(
        pca["likelihood"]["bound"]["mean"], rel=1e-6
    )
    assert "no prior" in autoencoder["likelihood"]["reason"]
    assert vae["likelihood"]["bits_per_dimension"]["mean"] > 0
    assert vae["units"]["of"] == 2
    assert set(autoencoder["accepted"]) == {
        "N(0, I) in white code space",
        "Gaussian mixture fitted to the codes",
    }


@pytest.mark.slow
def test_without_labels_sections_adapt(tmp_path: Path) -> None:
    x = torch.randn(120, 5) @ torch.randn(5, 5)
    report, page = written(tmp_path, vectors(x))
    assert "the data has no labels" in page.text
    keys = [path.stem.split("_", 1)[1] for path in report.figures]
    assert "class_shares" not in keys
    assert {"marginals", "correlations", "latent_maps", "reconstructions"} <= set(keys)


@pytest.mark.slow
def test_known_factors_have_a_figure_and_their_lines() -> None:
    training, held_out = load("sprites", split="test").split(0.3, 0)
    options = replace(QUICK, rows=150, feature_rows=0)
    findings, _ = examine(subjects(training, ("vae",)), training, held_out, options)
    keys = [plate.key for plate in chapters.factors(Material(findings, training, held_out))]
    assert keys == ["factors"]
    labels = {line.label for line in summary_lines(findings)}
    assert {"MIG", "DCI disentanglement", "DCI completeness", "SAP"} <= labels
    found = findings[0].to_mapping()["disentanglement"]
    assert set(found["mig_by_factor"]) == {"shape", "scale", "rotation", "x", "y"}


@pytest.mark.slow
def test_distances_are_named_by_their_features_and_stand_between_bounds() -> None:
    training, held_out = load("digits").split(0.1, 0)
    options = replace(QUICK, draws=80, feature_rows=200, gap_rows=0)
    findings, _ = examine(subjects(training, ("vae", "pca")), training, held_out, options)
    first, second = (found.samples.quality for found in findings)
    assert not isinstance(first, Skipped)
    assert not isinstance(second, Skipped)
    assert first.space == second.space
    assert first.floor == second.floor
    lines = summary_lines(findings)
    said = [
        note for note in notes(lines) if note.startswith(f"FD[{first.space}], mean of p(x | z)")
    ]
    assert len(said) == 1  # one for both models: they are measured by the same network and rows
    assert re.search(
        r"80 rows on each side: .* for real against real, .* for shuffled rows", said[0]
    )
    (line,) = [line for line in lines if line.label == "Fréchet distance, draws"]
    assert all(cell.value is not None and cell.error is not None for cell in line.cells)


@pytest.mark.slow
def test_long_vectors_are_drawn_as_profiles(tmp_path: Path) -> None:
    report, _ = written(tmp_path, vectors(torch.randn(60, 30)), ("vae",))
    assert any("sampled_profiles" in path.name for path in report.figures)


@pytest.mark.slow
def test_an_autoencoder_alone_can_be_reported_on(tmp_path: Path) -> None:
    report, page = written(tmp_path, vectors(torch.randn(60, 4)), ("autoencoder",))
    assert "use its reconstruction error instead" in page.text
    assert len(report.figures) >= 4


@pytest.mark.slow
def test_a_conditional_model_is_told_its_classes(tmp_path: Path) -> None:
    data = load("digits").thinned(200).conditioned_on_label()
    training, held_out = data.split(0.3, 0)
    options = ModelOptions(latent_dim=2, network="mlp", conditional=True)
    model = assemble(training.schema, options).eval()
    report = write_report(tmp_path, [Subject("CVAE", model)], training, held_out, options=QUICK)
    page = Page(report.page.read_text(encoding="utf-8"))
    assert "the models are conditioned on them" in page.text
    assert report.findings[0].likelihood.to_mapping()["likelihood"]["protocol"]["conditional"]


@pytest.mark.slow
@pytest.mark.usefixtures("untouched_random_state")
def test_the_random_state_is_left_alone(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        data = vectors(torch.randn(60, 4), label=torch.arange(60) % 2)
        training, held_out = data.split(0.5, 0)
        made = subjects(training, ("pca",))
    write_report(tmp_path, made, training, held_out, options=QUICK)


def test_nothing_to_report_on_is_an_error(tmp_path: Path) -> None:
    data = vectors(torch.randn(10, 4))
    with pytest.raises(DataError, match="at least one fitted model"):
        write_report(tmp_path, [], data, data)


def test_a_rank_respects_errors() -> None:
    close = [Cell("1.00", 1.0, 0.5), Cell("0.90", 0.9, 0.5), Cell("−9", -9.0, 0.5), Cell()]
    assert [cell.best for cell in _ranked(close, "higher")] == [True, True, False, False]
    assert [cell.best for cell in _ranked(close, "lower")] == [False, False, True, False]


def test_a_rank_is_paired_over_rows_where_it_can_be() -> None:
    rows = 10 * torch.randn(50)
    cells = [Cell("a", 1.0, 1.4, rows + 1), Cell("b", 0.0, 1.4, rows + 0.01 * torch.randn(50))]
    assert [cell.best for cell in _ranked(cells, "higher")] == [True, False]


def test_a_difference_that_rows_do_not_bear_out_is_no_rank() -> None:
    rows = torch.randn(50)
    cells = [Cell("a", 0.1, 0.0, rows + 0.1), Cell("b", 0.0, 0.0, rows + torch.randn(50))]
    assert [cell.best for cell in _ranked(cells, "higher")] == [True, True]


def test_a_lone_figure_has_no_rank() -> None:
    assert not any(cell.best for cell in _ranked([Cell("1", 1.0), Cell()], "higher"))


@pytest.mark.parametrize(("value", "text"), [(-0.001, "0.00"), (-1.5, "−1.50"), (2.0, "2.00")])
def test_numbers_in_the_table(value: float, text: str) -> None:
    assert minus(value, 2) == text


def test_a_share_has_a_true_minus_sign() -> None:
    assert share(-0.119).text == "−11.9 %"


@pytest.mark.parametrize(
    ("name", "prior", "latents"),
    [
        ("hierarchical", "levels, each given those above it", "latents of 2, 2 numbers"),
        ("ladder", "levels, each given those above it", "3 latents, 6 latent numbers in all"),
        ("vae", "StandardNormal", "2 latent numbers"),
        ("autoencoder", "none", "2 latent numbers"),
    ],
)
def test_the_prior_and_the_latents_of_every_kind_of_model_are_named(
    name: str, prior: str, latents: str
) -> None:
    schema = load(np.random.default_rng(0).normal(size=(20, 3))).schema
    options = ModelOptions(model=name, latent_dim=2, prior="standard_normal")
    model = assemble(schema, options)
    chosen = FitOptions(resolve(schema, options))
    fitted = Fitted(model, schema, chosen, reporter.History())
    parts = describe(Subject(name, model, latents=fitted.latents))
    assert parts["p(z)"] == prior
    assert parts["latents"].startswith(latents)


def test_estimates_are_written_with_their_errors() -> None:
    assert str(Estimate(-1.234, 0.056)) == "-1.23 ± 0.06"
    assert str(Estimate(1.0, None)) == "1.00"
