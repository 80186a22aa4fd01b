"""The sizes of measurements of a model: those that a user may leave open, and those of suites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lowerbound.config import option
from lowerbound.errors import OptionError

ROWS = "held-out rows scored, spread over the data; 0: all"

GAP_ROWS = "rows whose posterior is optimized one by one, for the amortization gap; 0: none"

DRAWS = "samples drawn from the model"

FEWER = "or fewer if measuring would take long beside training"


@dataclass(frozen=True)
class RequestedSizes:
    """Sizes of the measurements after a fit; those that are None depend on their cost.

    Raises:
        OptionError: a size is negative, or a number of draws is 0.
    """

    samples: int = option(100, "K, draws per row of the importance-weighted bound")
    rows: int | None = option(None, f"{ROWS} (default: 2000, {FEWER})")
    agreement_rows: int = option(4_000, "training rows whose codes are compared with the prior")
    gap_rows: int | None = option(None, f"{GAP_ROWS} (default: 100, {FEWER})")
    tight_samples: int = option(5_000, "K of a tighter bound on some of the rows")
    tight_rows: int = option(0, "rows for that tighter bound, spread over the scored ones; 0: none")
    ais_rows: int = option(0, "rows for annealed importance sampling and its reverse; 0: none")
    ais_temperatures: int = option(
        500, "steps of annealed importance sampling, from the encoder's posterior to the exact one"
    )
    ais_chains: int = option(8, "chains of annealed importance sampling per row")
    draws: int | None = option(None, f"{DRAWS} (default: 1000, {FEWER})")
    feature_rows: int = option(
        5_000, "labeled rows that train the feature network of distances; 0: no distances"
    )
    features: str = option(
        "",
        "folder of the feature network: read if it exists, else written",
        metavar="FOLDER",
        reads="model",
        writes=True,
    )
    seed: int = option(0, "seed of all draws")

    def __post_init__(self) -> None:
        for least, names in ((0, _COUNTS), (1, _DRAWS_OF_A_ROW)):
            for name in names:
                value = getattr(self, name)
                if value is not None and value < least:
                    raise OptionError(f"{name} must be at least {least}, not {value}")


_COUNTS = (
    *("rows", "agreement_rows", "gap_rows", "tight_rows"),
    *("ais_rows", "draws", "feature_rows"),
)

_DRAWS_OF_A_ROW = ("samples", "tight_samples", "ais_temperatures", "ais_chains")


@dataclass(frozen=True)
class SuiteOptions(RequestedSizes):
    """Sizes of the measurements; the defaults take seconds for a few thousand small rows."""

    rows: int = option(2_000, ROWS)
    gap_rows: int = option(100, GAP_ROWS)
    draws: int = option(1_000, DRAWS)
    precision: Literal["float32", "bf16"] = option(
        "float32", "of the factors of matrix products in a bound; bf16 is faster if K is large"
    )
