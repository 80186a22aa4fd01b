"""The settings of the classical detectors, chosen on the tables on which ours were.

Every setting of a detector is tried on the first half of the ADBench tables, one split each; the
one of the highest mean AUROC is used everywhere else, as our one default is.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from _adbench import Protocol, half, split
from _cells import Answer, part_of
from _detectors import CLASSICAL, Settings
from sklearn.metrics import roc_auc_score

SEED = 0


def tried(table: str, protocol: Protocol) -> Answer:
    """AUROC of each setting of each detector on one table."""
    rows = split(table, protocol, SEED)
    return {
        name: [
            float(roc_auc_score(rows.y, rival.detect(rows.training, rows.test, SEED, **settings)))
            for settings in rival.settings
        ]
        for name, rival in CLASSICAL.items()
    }


@cache
def choice(benchmark: str, protocol: Protocol) -> dict[str, dict[str, Any]]:
    """By detector the chosen settings, their mean AUROC on these tables, and how many were tried.

    Tables that an earlier run of ``benchmark`` has tried are read.
    """
    tables = [
        part_of(benchmark, f"choose_{protocol}", table, lambda table=table: tried(table, protocol))
        for table in half("choose")
    ]
    return {
        name: best(rival.settings, np.array([table[name] for table in tables]).mean(0))
        for name, rival in CLASSICAL.items()
    }


def best(settings: tuple[Settings, ...], values: np.ndarray) -> dict[str, Any]:
    """The settings of the highest value, the first of equals."""
    place = int(values.argmax())
    return {
        "settings": dict(settings[place]),
        "mean AUROC for choosing": float(values[place]),
        "tried": len(settings),
    }
