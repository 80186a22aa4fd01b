"""Callbacks receive what the reporter receives; trackers receive numbers by name."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from lowerbound import VAE, TableSynthesizer, VAEImputer
from lowerbound.data import load
from lowerbound.errors import MissingExtraError, OptionError
from lowerbound.fitting import FitOptions, fit
from lowerbound.training import (
    MLflow,
    Progress,
    SilentReporter,
    TensorBoard,
    TrainingOptions,
    WandB,
)
from lowerbound.training.callbacks import metrics
from tests.training.test_reporter import STATE

X = np.random.default_rng(0).normal(size=(60, 3))


class Noted(SilentReporter):
    """Keeps every call."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.newest: Progress | None = None

    def start(self) -> None:
        self.calls.append("start")

    def message(self, text: str) -> None:
        self.calls.append("message")

    def update(self, progress: Progress) -> None:
        self.calls.append("update")
        self.newest = progress

    def stop(self) -> None:
        self.calls.append("stop")


def check(noted: Noted, updates: int | None = None) -> None:
    assert noted.calls[0] == "start"
    assert noted.calls[-1] == "stop"
    assert {"message", "update"} <= set(noted.calls)
    assert noted.newest is not None
    assert updates in (None, noted.newest.updates)


def test_callbacks_of_an_estimator_see_the_run() -> None:
    one, two = Noted(), Noted()
    vae = VAE(latent_dim=1, epochs=3, random_state=0, callbacks=[one, two]).fit(X)
    check(one, vae.history_.last.updates)
    assert two.calls == one.calls
    assert two.newest is one.newest
    silent = VAE(latent_dim=1, epochs=3, random_state=0).fit(X)
    np.testing.assert_array_equal(silent.transform(X), vae.transform(X))
    assert isinstance(clone(vae).callbacks[0], Noted)


def test_callbacks_of_fit_and_of_the_other_estimators_see_the_run() -> None:
    noted = Noted()
    fit(load(X), FitOptions(training=TrainingOptions(epochs=1)), callbacks=[noted])
    check(noted)
    VAEImputer(epochs=1, callbacks=[imputing := Noted()]).fit(X)
    check(imputing)
    TableSynthesizer(minutes=0.005, callbacks=[synthesizing := Noted()]).fit(X)
    check(synthesizing)


def test_a_callback_is_stopped_after_an_error() -> None:
    class Broken(Noted):
        def update(self, progress: Progress) -> None:
            raise RuntimeError("mine")

    broken = Broken()
    with pytest.raises(RuntimeError, match="mine"):
        VAE(latent_dim=1, epochs=1, callbacks=[broken]).fit(X)
    assert broken.calls[-1] == "stop"


def test_an_object_without_the_methods_is_refused() -> None:
    with pytest.raises(OptionError, match="dict has no method start"):
        VAE(callbacks=[{}]).fit(X)
    with pytest.raises(OptionError, match="callbacks is a list of objects, not int"):
        VAE(callbacks=5).fit(X)


def test_metrics_are_the_finite_numbers_by_name() -> None:
    state = replace(STATE, rates=(20.0, 4.1), readings={"active units": (3.0, 8.0)})
    expected = {
        "bound": -98.214,
        "distortion": 74.114,
        "rate": pytest.approx(24.1),
        "rate/0": 20.0,
        "rate/1": 4.1,
        "epoch": 12.34,
        "skipped": 0.0,
        "active units": 3.0,
    }
    assert metrics(state) == expected
    assert "bound" not in metrics(replace(state, bound=float("nan")))
    assert metrics(replace(state, validation=-1.0))["validation"] == -1.0


class Library(types.ModuleType):
    """A stand-in for mlflow or wandb, which keeps every call."""

    def __init__(self, name: str, active: Any = None) -> None:
        super().__init__(name)
        self.calls: list[tuple[str, Any, Any]] = []
        self.run = active
        self.active_run = lambda: active

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **keywords: self.calls.append((name, args, keywords))


def test_mlflow_gets_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library("mlflow")
    monkeypatch.setitem(sys.modules, "mlflow", library)
    VAE(latent_dim=1, epochs=1, callbacks=[MLflow("wine", "first")]).fit(X)
    names = [name for name, *_ in library.calls]
    assert names[:2] == ["set_experiment", "start_run"]
    assert names[-1] == "end_run"
    logged = next(call for call in library.calls if call[0] == "log_metrics")
    assert "bound" in logged[1][0]
    assert logged[2]["step"] > 0


def test_wandb_gets_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library("wandb")
    monkeypatch.setitem(sys.modules, "wandb", library)
    VAE(latent_dim=1, epochs=1, callbacks=[WandB({"project": "wine"})]).fit(X)
    assert library.calls[0] == ("init", (), {"project": "wine"})
    assert library.calls[-1][0] == "finish"
    assert "bound" in next(call for call in library.calls if call[0] == "log")[1][0]


@pytest.mark.parametrize("callback", [MLflow, WandB])
def test_an_active_run_is_used_and_left_open(
    callback: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(callback.__name__.lower(), active=object())
    monkeypatch.setitem(sys.modules, library.__name__, library)
    VAE(latent_dim=1, epochs=1, callbacks=[callback()]).fit(X)
    assert {name for name, *_ in library.calls} <= {"log", "log_metrics"}


def test_tensorboard_gets_the_curves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = Library("torch.utils.tensorboard")
    library.SummaryWriter = lambda folder: library
    monkeypatch.setitem(sys.modules, library.__name__, library)
    VAE(latent_dim=1, epochs=1, callbacks=[TensorBoard(str(tmp_path))]).fit(X)
    scalars = {arguments[0] for name, arguments, _ in library.calls if name == "add_scalar"}
    assert {"bound", "rate", "distortion"} <= scalars
    assert library.calls[-1][0] == "close"


def test_tensorboard_writes_files(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'lowerbound[tensorboard]'")
    VAE(latent_dim=1, epochs=1, callbacks=[TensorBoard(str(tmp_path))]).fit(X)
    assert list(tmp_path.glob("events*"))


@pytest.mark.parametrize(
    ("module", "make", "extra"),
    [
        ("mlflow", MLflow, "mlflow"),
        ("wandb", WandB, "wandb"),
        ("torch.utils.tensorboard", lambda: TensorBoard("runs"), "tensorboard"),
    ],
)
def test_a_missing_library_is_named(
    module: str, make: Any, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'lowerbound\[{extra}\]'"):
        make()
