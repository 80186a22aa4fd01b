"""The request of a design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lowerbound.applications.common.form import (
    REQUIRED,
    DataRequest,
    OnError,
    ResumableRequest,
    unreadable,
)
from lowerbound.config import option
from lowerbound.registry import Registry

LEAST = 0.4


METHODS: Registry[Any] = Registry(
    "method of design",
    "lowerbound.applications.design",
    {
        "random": "methods",
        "prior": "methods",
        "qlogei": "methods",
        "turbo": "methods",
        "cem": "methods",
        "gradient": "methods",
        "known": "methods",
        "mutation": "methods",
    },
)


@dataclass(frozen=True)
class DesignRequest(DataRequest, ResumableRequest):
    """Search for rows with a high score."""

    objective: str = option(
        REQUIRED,
        "what the search is for: a property of molecules such as qed, docking:RECEPTOR, a table's "
        "column, or FILE.py:FUNCTION, which takes a list of texts or a frame and returns numbers",
        metavar="NAME",
    )
    output: str = option(
        REQUIRED,
        "all proposals: .csv, .parquet or .json; figures are written beside it as .png",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    direction: Literal["max", "min"] = option(
        "max", "whether high or low values are good", common=True
    )
    target: float | None = option(None, "the value to reach, instead of a direction", common=True)
    tolerance: float = option(0.0, "distance from the target that is as good as the target")
    also: tuple[str, ...] = option(
        (),
        "a further objective; its values are divided by their standard deviation; repeatable",
        metavar="NAME:max|min[:WEIGHT]",
        common=True,
    )
    range: tuple[str, ...] = option(
        (),
        "range in which a quantity must lie, such as logp:0:5; repeatable",
        metavar="NAME:LOW:HIGH",
        common=True,
    )
    similar_to: str = option(
        "", "start from this molecule, and stay similar to it", metavar="SMILES"
    )
    least: float = option(LEAST, "least Tanimoto similarity to it")
    method: str = option("gradient", "how to search", choices=tuple(METHODS), common=True)
    calls: int = option(
        300, "largest number of distinct rows whose objective is computed", common=True
    )
    novel: bool = option(False, "reject rows of DATA, which then cost no call")
    retrain: int = option(
        0,
        "times that the model learns again from its best rows during the search (weighted "
        "retraining); MODEL itself does not change",
        metavar="TIMES",
    )
    caution: float = option(1.0, "standard deviations by which the search lowers a prediction")
    number: int = option(20, "best rows that are printed and drawn", short="-n", common=True)
    on_error: OnError = unreadable()
    seed: int = option(0, "of the head and the search")
