"""The settings of the classical detectors, chosen on the tables on which ours were.

Every setting of a detector is tried on the first half of the ADBench tables, one split each; the
one of the highest mean AUROC is used everywhere else, as our one default is.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
from _adbench import Protocol, half, split
from _cells import Answer
from _detectors import CLASSICAL, Settings
from _record import part_of
from sklearn.metrics import roc_auc_score

SEED = 0


def tried(table: str, protocol: Protocol) -> Answer:
    """AUROC on one table, by detector and settings."""
    rows = split(table, protocol, SEED)
    return {
        name: {
            label(settings): float(
                roc_auc_score(rows.y, rival.detect(rows.training, rows.test, SEED, **settings))
            )
            for settings in rival.settings
        }
        for name, rival in CLASSICAL.items()
    }


def label(settings: Settings) -> str:
    """Settings as the key of a JSON object."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


@cache
def choice(benchmark: str, protocol: Protocol) -> dict[str, dict[str, Any]]:
    """By detector the chosen settings, their mean AUROC on these tables, and how many were tried.

    Tables that an earlier run of ``benchmark`` has tried are read.
    """
    tables = [
        part_of(benchmark, f"choose_{protocol}", table, partial(tried, table, protocol))
        for table in half("choose")
    ]
    return {name: best(name, rival.settings, tables) for name, rival in CLASSICAL.items()}


def best(name: str, settings: tuple[Settings, ...], tables: list[Answer]) -> dict[str, Any]:
    """The settings of a detector with the highest mean AUROC, the first of equals."""
    values = [float(np.mean([table[name][label(each)] for table in tables])) for each in settings]
    place = int(np.argmax(values))
    return {
        "settings": dict(settings[place]),
        "mean AUROC for choosing": values[place],
        "tried": len(settings),
    }
