"""The sizes of an audit."""

from __future__ import annotations

import numpy as np
import pytest

from lowerbound.applications.release.evidence import AuditedTables
from lowerbound.applications.release.release_audit import _attacked
from lowerbound.applications.release.requests import AuditOptions
from lowerbound.errors import OptionError
from tests.applications.release.people import parts


def test_all_rows_are_attacked_with_the_size_zero() -> None:
    tables = AuditedTables.of(*parts(40))
    found = [
        _attacked(tables, tables.synthetic, AuditOptions(attacked=size), np.random.default_rng(0))
        for size in (0, 1_000)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["rows", "attacked"])
def test_negative_sizes_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match=rf"--{name} must be at least 0 \(0: all rows\), not -1"):
        AuditOptions(**{name: -1})
