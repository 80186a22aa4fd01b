"""Parts of a table computed by workers of Ray: the arrays of this process, each once, in order."""

from __future__ import annotations

import functools
import importlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lowerbound.applications.common.engines import RayWorkers, computed, engine_of
from lowerbound.applications.common.form import EngineRequest
from lowerbound.applications.common.parts import Arrays, FinishedParts
from lowerbound.applications.common.requested_rows import RequestedRows
from lowerbound.cli import main
from lowerbound.data.tables import chunks as table_chunks
from lowerbound.errors import OptionError
from tests.training.cases import real_rows

WORKERS = EngineRequest(engine="ray", workers=2)
SIZE, PARTS = 10, 9


def parts() -> Iterator[RequestedRows]:
    rows = real_rows(SIZE * PARTS)
    for first in range(0, len(rows), SIZE):
        chosen = rows.subset(range(first, first + SIZE))
        yield RequestedRows(chosen, SIZE, first, len(rows))


def sums(part: RequestedRows, progress: Any) -> Arrays:
    progress(SIZE, SIZE)
    return {"sum": part.rows.x.sum(1).numpy(), "first": np.full(SIZE, part.first)}


def results(request: EngineRequest, compute: Any, folder: Path | None = None) -> list[Arrays]:
    finished = FinishedParts(folder)
    with engine_of(request, compute, in_parts=True) as engine:
        made = computed(parts(), lambda part: part, engine, finished, lambda part: silent)
        return [arrays for _, arrays in made]


def silent(done: int, rows: int) -> None:
    """No progress."""


def equal(one: list[Arrays], other: list[Arrays]) -> bool:
    return len(one) == len(other) and all(
        a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.slow
def test_a_killed_worker_repeats_its_part_and_nothing_is_lost_or_twice(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    killed, log = tmp_path / "killed", tmp_path / "log"

    def dangerous(part: RequestedRows, progress: Any) -> Arrays:
        if part.first == 4 * SIZE and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        progress(SIZE, SIZE)
        return {"sum": part.rows.x.sum(1).numpy(), "first": np.full(SIZE, part.first)}

    found = results(WORKERS, dangerous)
    assert killed.exists()
    assert equal(found, results(EngineRequest(), sums))
    assert len(set(log.read_text().split())) >= 2


def test_kept_parts_are_not_computed_again(tmp_path: Path) -> None:
    first = results(EngineRequest(), sums, tmp_path)
    damaged = sorted(tmp_path.iterdir())[3]
    damaged.write_bytes(b"no arrays")
    calls = []

    def counted(part: RequestedRows, progress: Any) -> Arrays:
        calls.append(part.first)
        return sums(part, progress)

    assert equal(results(EngineRequest(), counted, tmp_path), first)
    assert calls == [3 * SIZE]


def test_parts_are_begun_ahead_of_the_first_that_is_needed() -> None:
    class Ahead:
        ahead = 3
        begun = 0

        def begin(self, part: RequestedRows, progress: Any) -> Any:
            self.begun += 1
            return lambda: sums(part, progress)

    engine = Ahead()
    made = computed(parts(), lambda part: part, engine, FinishedParts(None), lambda part: silent)
    next(made)
    assert engine.begun == 3
    assert equal([arrays for _, arrays in made], results(EngineRequest(), sums)[1:])


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=100), "b": rng.integers(0, 3, 100)})
    frame["c"] = frame.a * 2 + rng.normal(size=100)
    frame.loc[::7, "a"] = np.nan
    path = tmp_path_factory.mktemp("engines") / "people.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def model(people: Path) -> Path:
    place = people.with_name("m.lb")
    words = ("--updates", "20", "--samples", "3", "--no-report", "--threads", "1")
    assert main(["fit", str(people), "-o", str(place), *words]) == 0
    return place


@pytest.fixture(scope="module")
def classes(people: Path) -> Path:
    """A model of the classes b, of which some are known."""
    frame = pd.read_csv(people)
    frame["b"] = frame.b.map({0: "low", 1: "middle", 2: "high"}).where(frame.index % 3 > 0)
    labeled = people.with_name("labeled.csv")
    frame.to_csv(labeled, index=False)
    place = people.with_name("classes.lb")
    words = ("--model", "semi_supervised", "--label", "b", "--folds", "0", "--updates", "20")
    quick = ("--samples", "3", "--no-report", "--threads", "1")
    assert main(["fit", str(labeled), "-o", str(place), *words, *quick]) == 0
    return place


@pytest.mark.long
@pytest.mark.parametrize("command", ["detect", "impute", "encode", "reconstruct", "classify"])
def test_workers_write_the_bytes_of_this_process(
    command: str,
    people: Path,
    model: Path,
    classes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr(table_chunks, "MOST_ROWS", 30)
    labeled = command == "classify"
    folder, table = (classes, "labeled.csv") if labeled else (model, "people.csv")
    words = [command, str(folder), str(people.with_name(table)), "-o"]
    assert main([*words, str(tmp_path / "here.csv")]) == 0
    assert main([*words, str(tmp_path / "ray.csv"), "--engine", "ray", "--workers", "2"]) == 0
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "ray.csv").read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("command", ["sample", "synthesize"])
def test_workers_draw_the_rows_of_this_process(command: str, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    words = [command, str(model), "-n", "40000", "-o"]  # several parts
    assert main([*words, str(tmp_path / "here.csv")]) == 0
    assert main([*words, str(tmp_path / "ray.csv"), "--engine", "ray", "--workers", "2"]) == 0
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "ray.csv").read_bytes()


@pytest.mark.long
def test_workers_compress_pictures_to_the_bytes_of_this_process(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    pytest.importorskip("constriction")
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        waves = rng.normal(size=(5, 7, 3)).repeat(12, 0).repeat(12, 1).cumsum(1)
        pixels = (128 + 12 * waves).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    words = ["compress", str(folder), "-o"]
    assert main([*words, str(tmp_path / "here")]) == 0
    assert main([*words, str(tmp_path / "ray"), "--engine", "ray", "--workers", "2"]) == 0
    names = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert len(names) == 5
    for name in names:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "ray" / name).read_bytes()


def test_an_error_of_a_worker_has_its_own_message() -> None:
    class TaskError(Exception):
        cause = OptionError("50 bytes are too few")

    def get(held: Any) -> Arrays:
        raise TaskError("a traceback of the worker")

    workers = object.__new__(RayWorkers)
    workers._ray = SimpleNamespace(get=get, exceptions=SimpleNamespace(RayTaskError=TaskError))
    with pytest.raises(OptionError, match=r"^50 bytes are too few$"):
        workers._finished(None, silent)


@pytest.mark.filterwarnings("error")
def test_arrays_of_workers_can_be_kept_and_written(tmp_path: Path) -> None:
    stored = np.arange(3.0)
    stored.flags.writeable = False
    workers = object.__new__(RayWorkers)
    workers._ray = SimpleNamespace(
        get=lambda held: {"sum": stored}, exceptions=SimpleNamespace(RayTaskError=OSError)
    )
    part = next(parts())
    found = FinishedParts(tmp_path).kept(part, lambda: workers._finished(None, silent))
    assert found["sum"].flags.writeable
    assert found["sum"].tolist() == [0.0, 1.0, 2.0]


def test_workers_take_no_device() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Request(EngineRequest):
        device: str = "auto"

    Request(engine="ray")
    with pytest.raises(OptionError, match="leave device out"):
        Request(engine="ray", device="cuda")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 2}, "workers and address are for engine=ray"),
        ({"workers": -1}, "workers is 0 or more"),
        ({"address": "auto"}, "workers and address are for engine=ray"),
    ],
)
def test_impossible_workers_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        EngineRequest(**options)


def test_more_workers_than_cores_would_wait_for_ever() -> None:
    class Ray:
        @staticmethod
        def cluster_resources() -> dict[str, float]:
            return {"CPU": 4.0}

    with pytest.raises(OptionError, match="workers=5 need a core each, and the cluster has 4"):
        RayWorkers(Ray, sums, 5)


def test_data_that_is_read_as_a_whole_has_no_workers() -> None:
    with (
        pytest.raises(OptionError, match="read as a whole"),
        engine_of(WORKERS, sums, in_parts=False),
    ):
        pass


def test_a_missing_cluster_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    services = importlib.import_module("ray._private.services")
    # those of tests that run at the same time
    monkeypatch.setattr(services, "find_gcs_addresses", functools.cache(set))
    monkeypatch.setattr(services, "find_bootstrap_address", lambda folder: None)
    with (
        pytest.raises(OptionError, match="there is no Ray cluster at address=auto"),
        engine_of(replace(WORKERS, address="auto"), sums, in_parts=True),
    ):
        pass
