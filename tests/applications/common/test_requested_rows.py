"""The memory of rows that are asked for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lowerbound import untrusted
from lowerbound.applications.common.requested_rows import BYTES_OF_NUMBER, check_rows
from lowerbound.data import load


def test_rows_of_another_schema_have_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(untrusted, "check_memory", lambda needed, *_: asked.append(needed))
    narrow, wide = (load(np.eye(columns)).schema for columns in (3, 50))
    fitted: Any = SimpleNamespace(
        schema=narrow, options=SimpleNamespace(model=SimpleNamespace(latent_dim=2))
    )
    check_rows(fitted, 10, "-n 10")
    check_rows(fitted, 10, "-n 10", wide)
    assert asked == [BYTES_OF_NUMBER * (size + 2) * 10 for size in (3, 50)]
