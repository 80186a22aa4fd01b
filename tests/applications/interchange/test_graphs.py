"""Encoder and decoder as graphs: the same numbers in the other program, for other rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.applications import load
from lowerbound.applications.interchange import graphs
from lowerbound.applications.interchange.graphs import cholesky, solve_triangular
from lowerbound.data import Schema, load as load_data
from lowerbound.errors import DataError, MissingExtraError, OptionError, UnsupportedError
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.inference.codes import moments
from lowerbound.models.options import ModelOptions
from lowerbound.trace import Batch
from lowerbound.training import TrainingOptions

TOLERANCE = 1e-5
ROWS, MANY = 7, 70  # other numbers than the graphs were traced with


def pictures() -> Any:
    return np.random.default_rng(0).integers(0, 256, (40, 16, 16), dtype=np.uint8)


def colors() -> Any:
    return np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)


def table() -> Any:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "real": rng.normal(size=120),
            "count": rng.poisson(30, 120),
            "kind": rng.choice(["a", "b", "c"], 120),
            "flag": rng.choice([True, False], 120),
        }
    )
    frame.loc[::7, "real"] = np.nan
    return frame


CASES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "mlp": (pictures, {"network": "mlp"}),
    "convolutional": (pictures, {"network": "convolutional"}),
    "table": (table, {}),
}
MODELS = {
    "ladder": (pictures, {"model": "ladder", "network": "mlp"}),
    "pca": (pictures, {"model": "pca"}),
    "autoencoder_kl": (
        colors,
        {
            "network": "autoencoder_kl",
            "network_options": {"block_out_channels": (8, 8), "norm_num_groups": 2},
            "model_options": {"stride": 2},
        },
    ),
}


def fitted_on(case: str) -> Fitted:
    make, options = (CASES | MODELS)[case]
    if "autoencoder_kl" in options.values():
        pytest.importorskip("diffusers")
    model = ModelOptions(**{"latent_dim": 3, **options})
    return fit(load_data(make()), FitOptions(model, training=TrainingOptions(epochs=1)))


@pytest.fixture(scope="module")
def fits() -> Callable[[str], Fitted]:
    known: dict[str, Fitted] = {}
    return lambda case: known.setdefault(case, known.get(case) or fitted_on(case))


def run(fitted: Fitted, **options: Any) -> Any:
    application = load("export")
    return application(application.request(model="m.lb", **options), fitted=fitted)


def inputs_of(fitted: Fitted) -> dict[str, Mapping[str, torch.Tensor]]:
    channels = fitted.schema.event_shape[0]
    make = (colors if channels == 3 else pictures) if fitted.schema.image else table
    batch = load_data(make(), schema=fitted.schema).batch(torch.arange(ROWS))
    assert batch.x is not None
    x = torch.where(batch.observed, batch.x, 0) if batch.observed is not None else batch.x
    seen = torch.ones_like(x, dtype=torch.bool) if batch.observed is None else batch.observed
    mask = {} if fitted.model.inputs is None else {"observed": seen}
    return {
        "encoder": {"x": x.float(), **mask},
        "decoder": {"z": torch.randn(MANY, fitted.model.latent_dim)},
    }


@torch.no_grad()
def ours(fitted: Fitted, name: str, inputs: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    model: Any = fitted.model
    if name == "decoder":
        return [model.decode(inputs["z"].unsqueeze(0)).mean[0]]
    batch = Batch(inputs["x"], observed=inputs.get("observed"))
    return list(moments(model.encode(batch), batch))


def compare(fitted: Fitted, folder: Path, form: graphs.GraphFormat) -> None:
    for name, inputs in inputs_of(fitted).items():
        theirs = form.run(folder / (name + form.suffix), inputs)
        for a, b in zip(ours(fitted, name, inputs), theirs, strict=True):
            assert a.shape == b.shape
            torch.testing.assert_close(b, a, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["convolutional", "table", *MODELS])
def test_torch_export_gives_the_same_numbers(case: str, fits: Any, tmp_path: Path) -> None:
    fitted = fits(case)
    report = run(fitted, torch=str(tmp_path / "out"))
    assert report.difference <= TOLERANCE
    compare(fitted, tmp_path / "out", graphs.TorchExport())
    mapping = json.loads((tmp_path / "out/schema.json").read_text())
    assert Schema.from_mapping(mapping) == fitted.schema


def test_the_largest_difference_of_both_graphs_is_said(
    fits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mean and deviation of the encoder, then the mean of the decoder."""
    fitted, outputs = fits("table"), {"encoder": [0, 0], "decoder": [0]}
    monkeypatch.setattr(graphs, "_write", lambda graph, inputs, path, form: path.touch())
    monkeypatch.setattr(graphs.TorchExport, "run", lambda form, path, inputs: outputs[path.stem])
    for place in range(3):
        found = iter([0.25 * (number == place) for number in range(3)])
        monkeypatch.setattr(graphs, "_difference", lambda *_, found=found: next(found))
        assert run(fitted, torch=str(tmp_path / f"out{place}")).difference == 0.25


@pytest.mark.parametrize("case", CASES)
def test_onnx_gives_the_same_numbers(case: str, fits: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    fitted = fits(case)
    report = run(fitted, onnx=str(tmp_path / "out"))
    assert report.difference <= TOLERANCE
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(report.files)
    compare(fitted, tmp_path / "out", graphs.ONNX())


@pytest.mark.slow
def test_a_conditional_model_takes_its_condition(tmp_path: Path) -> None:
    X, y = pictures(), np.arange(40) % 3
    model = ModelOptions(latent_dim=3, network="mlp", conditional=True)
    data = load_data(X, label=y)
    fitted = fit(data, FitOptions(model, training=TrainingOptions(epochs=1)))
    report = run(fitted, torch=str(tmp_path / "out"))
    assert report.inputs == {"encoder": ("x", "condition"), "decoder": ("z", "condition")}
    z, condition = torch.randn(4, 3), torch.eye(3)[[0, 1, 2, 1]]
    inputs = {"z": z, "condition": condition}
    (mean,) = graphs.TorchExport().run(tmp_path / "out/decoder.pt2", inputs)
    with torch.no_grad():
        expected = fitted.model.decode(z.unsqueeze(0), condition).mean[0]  # type: ignore[operator]
    torch.testing.assert_close(mean, expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_the_triangular_algebra_is_that_of_torch() -> None:
    root = torch.randn(6, 5, 5, dtype=torch.float64)
    matrix = root @ root.mT + torch.eye(5)
    factor, errors = cholesky(matrix)
    torch.testing.assert_close(factor, torch.linalg.cholesky(matrix))
    assert not errors.any()
    values = torch.randn(6, 5, 2, dtype=torch.float64)
    expected = torch.linalg.solve_triangular(factor, values, upper=False)
    torch.testing.assert_close(solve_triangular(factor, values, upper=False), expected)


@pytest.mark.parametrize(
    "options", [{}, {"onnx": "a", "torch": "b"}, {"torch": "a", "prompt": "b"}]
)
def test_one_folder_is_written(options: dict[str, str], fits: Any) -> None:
    with pytest.raises(OptionError):
        run(fits("mlp"), **options)


def test_files_of_others_stay(fits: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="other files"):
        run(fits("mlp"), torch=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_model_that_torch_cannot_export_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: Any
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such operation\nmore")

    monkeypatch.setattr("torch.export.export", fail)
    words = r"\(no such operation\); .* lowerbound fit with --network"
    with pytest.raises(UnsupportedError, match=words):
        run(fits("mlp"), torch=str(tmp_path / "out"))
    assert not list(tmp_path.iterdir())


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, fits: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"lowerbound\[onnx\]"):
        run(fits("mlp"), onnx="never")
