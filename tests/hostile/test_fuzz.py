"""Two thousand inputs of strangers: each is read or refused, in time and without much memory.

``python benchmarks/hostile_inputs.py`` reads over a million, and the long tests ten thousand.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.hostile import containers, data_targets, fitted_targets, fuzzing, targets
from tests.hostile.containers import arrays_of, packed
from tests.hostile.fuzzing import fuzz, outcome
from tests.hostile.targets import TARGETS

INPUTS = 10_000 // len(TARGETS)
some_inputs = pytest.mark.parametrize(
    "inputs", [INPUTS // 5, pytest.param(INPUTS, marks=pytest.mark.long)]
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products are faster by one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _as_text(value: Any, rng: np.random.Generator) -> bytes:
    return json.dumps(value).encode()


@pytest.fixture
def unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Content stays as it was."""
    monkeypatch.setattr(targets, "_changed_file", lambda content, rng: content)
    monkeypatch.setattr(targets, "_repacked", lambda content, rng: content)
    monkeypatch.setattr(targets, "changed_tensors", lambda content, rng: content)
    monkeypatch.setattr(targets, "changed_numbers", lambda content, rng: content)
    for module in (targets, data_targets, fitted_targets):
        for name in ("changed_bytes", "changed_cells"):
            monkeypatch.setattr(module, name, lambda content, rng: content, raising=False)
        monkeypatch.setattr(module, "changed_text", _as_text, raising=False)
    monkeypatch.setattr(containers, "changed_archive", lambda parts, *more: packed(parts))
    monkeypatch.setattr(containers, "changed_arrays", lambda named, rng: arrays_of(named))
    monkeypatch.setattr(containers, "changed_tar", lambda content, rng: content)
    monkeypatch.setattr(containers, "changed_chunks", lambda content, rng: content)
    regular = data_targets._shards()[:3]  # sparse files in shards are refused
    monkeypatch.setattr(data_targets, "_shards", lambda: regular)
    readable = data_targets._nested_files()[:1]
    monkeypatch.setattr(data_targets, "_nested_files", lambda: readable)
    monkeypatch.setattr(data_targets, "_rare_table", lambda rng: readable[0])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", TARGETS)
def test_intact_content_is_read(kind: str, unchanged: None, tmp_path: Path) -> None:
    """So that what is refused is refused for its changes."""
    _require(kind)
    found = [TARGETS[kind](_made(tmp_path / str(n)), np.random.default_rng(n)) for n in range(5)]
    assert [outcome(read)[0] for read in found] == ["read"] * 5


def _require(kind: str) -> None:
    """Skip kinds whose library is not installed."""
    if kind.startswith(("compressed", "codec")):
        pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")
    if kind == "foreign_autoencoder":
        pytest.importorskip("diffusers", reason="pip install 'lowerbound[diffusion]'")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_process_that_ends_is_a_failure_of_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next input is read by another process; so it is with one that no signal stops."""

    def harm(place: Path, rng: np.random.Generator) -> Callable[[], object]:
        number = int(rng.integers(4))
        return (os.abort, _deaf, dict, dict)[number]

    monkeypatch.setitem(TARGETS, "harm", harm)
    monkeypatch.setattr(fuzzing, "PATIENCE", 0.5)
    found = fuzz("harm", range(12))
    ended, deaf = f"failed: process ended, {-signal.SIGABRT}", "failed: no end"
    assert set(found.counts) == {"read", ended, deaf}
    assert found.counts.total() == 12
    assert len(found.failures) == found.counts[ended] + found.counts[deaf]


def _deaf() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGALRM, signal.SIGPROF))
    time.sleep(60)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of fits whose models are then changed
@some_inputs
@pytest.mark.parametrize("kind", TARGETS)
def test_no_input_does_harm(kind: str, inputs: int) -> None:
    _require(kind)
    found = fuzz(kind, range(inputs))
    assert not found.failures
    assert found.counts["refused"] > inputs // 20
