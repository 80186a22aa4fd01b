"""A model that lacks a power: every suite and the report skip what needs it, with the reason."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch.distributions import Distribution
from torch.nn import Parameter

from lowerbound.applications.common.sentences import about
from lowerbound.data import Dataset, load
from lowerbound.evaluation.report.page import write_report
from lowerbound.evaluation.report.sizes import SuiteOptions
from lowerbound.evaluation.report.subjects import Subject
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.scores import Scores
from lowerbound.models import Model, VariationalAutoencoder
from lowerbound.models.base import DRAW
from lowerbound.models.options import ModelOptions
from lowerbound.trace import Batch, Choose, Trace

QUICK = SuiteOptions(samples=3, rows=30, agreement_rows=30, gap_rows=2, draws=30, feature_rows=0)


class Passes(Model):
    """Nothing but a pass through it."""

    def __init__(self, within: VariationalAutoencoder) -> None:
        super().__init__()
        self.within = within

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        trace: Trace = self.within(batch, choose)
        return trace

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        return self.within.parts()


class Imagined(Passes):
    """Can be sampled, and has no code for a row."""

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        return self.within.imagine(batch, choose)


class Coded(Passes):
    """Has a code for a row, and nothing that decodes one."""

    latent_dim = 2

    def encode(self, batch: Batch) -> Distribution:
        return self.within.encode(batch)


@pytest.fixture(scope="module", params=["pictures", "columns"])
def parts(request: pytest.FixtureRequest) -> tuple[Dataset, Dataset]:
    data = load("digits").thinned(120)
    if request.param == "columns":
        wide = data.all().filled.flatten(1)[:, 18:23].double().numpy()
        data = load(wide).with_labels(["ab"[i % 2] for i in range(len(wide))])
    return data.split(0.3, 0)


def built(kind: type[Passes], data: Dataset) -> Passes:
    torch.manual_seed(0)
    within = assemble(data.schema, ModelOptions(latent_dim=2, network="mlp"))
    within.start(data)
    assert isinstance(within, VariationalAutoencoder)
    return kind(within).eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "codes", "samples"),
    [(Passes, False, False), (Imagined, False, True), (Coded, True, False)],
)
def test_what_is_lacking_is_skipped_and_the_rest_measured(
    parts: tuple[Dataset, Dataset], tmp_path: Path, kind: type[Passes], codes: bool, samples: bool
) -> None:
    training, held_out = parts
    model = built(kind, training)
    subjects = [Subject("it", model)]
    if training.schema.image:
        subjects.append(Subject("whole", model.within))
    report = write_report(tmp_path, subjects, training, held_out, title="T", options=QUICK)
    found = report.findings[0]
    assert isinstance(found.likelihood.scores, Scores)
    lacking = (found.latents.codes, found.latents.features, found.latents.disentanglement)
    if not codes:
        assert all(isinstance(one, Skipped) for one in (*lacking, found.samples.consistency))
        assert f"{kind.__name__} cannot encode: it has no encoder" in found.latents.codes.reason
    if samples:
        assert len(found.samples.samples["prior"]) == QUICK.draws
    else:
        assert isinstance(found.samples.consistency, Skipped)
        assert f"{kind.__name__} cannot" in found.samples.consistency.reason
        assert not found.samples.samples
    json.dumps(found.to_mapping(), allow_nan=False)
    lines = "\n".join(about(found))
    assert ("no codes: " in lines) == (not codes)
    assert ("no samples: " in lines) == (not samples)
