"""What every test starts from: one thread, fixed seeds, no display."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import hypothesis
import numpy as np
import pytest
import torch

from lowerbound.training import device as devices

os.environ.setdefault("MPLBACKEND", "Agg")
PRESENT_DEVICES = devices.present_devices

# Small matrices gain nothing from more threads, and two workers with a pool each fight for cores.
torch.set_num_threads(1)

hypothesis.settings.register_profile("lowerbound", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("lowerbound")


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "run one half of the test files, chosen by their names: 0 or 1"
    parser.addoption("--half", type=int, choices=(0, 1), default=None, help=text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the other half; tests of one file stay together, because they share fixtures."""
    half = config.getoption("--half")
    if half is None:
        return
    chosen = [crc32(item.path.name.encode()) % 2 == half for item in items]
    config.hook.pytest_deselected(
        items=[i for i, own in zip(items, chosen, strict=True) if not own]
    )
    items[:] = [item for item, own in zip(items, chosen, strict=True) if own]


@pytest.fixture(autouse=True)
def fixed_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test sees the same global random state, whichever tests ran before it.

    Also the same secrets of private fits: a test of noisy results must not fail by chance.
    """
    monkeypatch.setattr(secrets, "randbits", random.Random(0).getrandbits)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global state is what this is about
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Records of fits stay apart from those of the person who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True, scope="session")
def processor() -> Iterator[None]:
    """Tests compute on the processor, also where a GPU is the default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "present_devices", lambda: ["cpu"])
        yield


@pytest.fixture
def every_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The devices that the machine has."""
    monkeypatch.setattr(devices, "present_devices", PRESENT_DEVICES)


@pytest.fixture
def untouched_random_state() -> Iterator[None]:
    """Fails a test during which global random state changed: no public call may do that."""
    before = _random_state()
    yield
    changed = [name for name, state in _random_state().items() if state != before[name]]
    assert not changed, f"global random state changed: {', '.join(changed)}"


def _random_state() -> dict[str, object]:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "random": random.getstate(),
        "numpy": (kind, keys.tobytes(), *rest),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    folder = _shared_data_folder(os.environ.get("LOWERBOUND_DATA"))
    if folder is None:
        pytest.skip("needs the real data sets: LOWERBOUND_DATA names no folder")
    os.environ["LOWERBOUND_DATA"] = str(folder)  # where the package looks for them
    return folder


def _shared_data_folder(named: str | None) -> Path | None:
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(named) if named else beside
    return folder if folder.is_dir() else None


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes stay out of names: a gzip header holds the time, and workers must agree on names."""
    return argname if isinstance(val, bytes) else None
