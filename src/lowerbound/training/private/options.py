"""The options of private training, and the warnings about them."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from lowerbound.config import option
from lowerbound.errors import OptionError
from lowerbound.registry import public_names

if TYPE_CHECKING:
    from lowerbound.training.private.declarations import Declarations, SchemaRecord
else:
    __getattr__, _, _ = public_names(
        __name__, {"lowerbound.training.private.declarations": "Declarations SchemaRecord"}
    )

FEWEST_ROWS_TIMES_EPSILON = 1_000
LARGE_NOISE = 50.0
NO_FLAGS = ("measured", "copied")
OF_THE_DATA = "data"
"""The value of ``public_schema`` that copies what the data says of its columns."""


@dataclass(frozen=True)
class PrivacyOptions:
    """The options of a fit under differential privacy.

    Raises:
        OptionError: a value is out of range.
    """

    epsilon: float | None = option(
        None, "train under (epsilon, delta)-differential privacy, and add noise for this epsilon"
    )
    delta: float | None = option(
        None, "delta of differential privacy (default: 1 / rows^1.5); keep it far below 1 / rows"
    )
    clip: float = option(1.0, "private training: largest norm of the gradient of one row")
    public_schema: str = option(
        "",
        "private training: a JSON file with the ranges and categories of the columns, public or "
        "measured by private-schema; 'data' copies them from the rows, which epsilon does not "
        "cover",
        metavar="FILE",
        reads="data",
    )
    leave_out: tuple[str, ...] = option(
        (),
        "private training: a column of a table to leave out, such as a name; repeatable",
        metavar="COLUMN",
    )
    secure_noise: bool = option(
        False, "private training: noise from the system's cryptographic generator; slower"
    )
    measured: SchemaRecord | None = None
    """What the schema has spent of epsilon and delta; None: as the file of ``public_schema`` says,
    else nothing."""
    copied: Declarations | None = None
    """What ``public_schema`` "data" has copied from the rows of a table; None: nothing."""

    def __post_init__(self) -> None:
        for name in ("epsilon", "clip"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise OptionError(f"{name} must be positive and finite, not {value!r}")
        if self.delta is not None and not 0 < self.delta < 1:
            raise OptionError(f"delta must be above 0 and below 1, not {self.delta!r}")

    def check_use(self) -> None:
        """Check that a fit without an epsilon is given no option of private training.

        A stored model is read without this check.

        Raises:
            OptionError: it is; the message names them all.
        """
        from lowerbound.data.arrays import listed

        others = [field for field in fields(self) if field.name not in ("epsilon", *NO_FLAGS)]
        given = [each.name for each in others if getattr(self, each.name) != each.default]
        if given and not self.private:
            flags = [f"--{name.replace('_', '-')}" for name in given]
            verb = "is" if len(flags) == 1 else "are"
            raise OptionError(f"{listed(flags)} {verb} for private training: give --epsilon too")

    @property
    def private(self) -> bool:
        """Whether an epsilon is given."""
        return self.epsilon is not None

    def delta_of(self, rows: int) -> float:
        """The given delta, or 1 / rows^1.5; a delta of 1 / rows or more raises a warning."""
        return self.delta if self.delta is not None else rows**-1.5


def warn_of_large_delta(delta: float, rows: int) -> None:
    """Warn of a delta of 1 / rows or more."""
    if delta >= 1 / rows:
        warnings.warn(
            f"delta {delta:g} is at least 1 / rows = {1 / rows:.2g}: publishing a few whole rows "
            "would satisfy it; give a smaller delta",
            UserWarning,
            stacklevel=4,
        )


def warn_of_weak_guarantee(epsilon: float, delta: float, rows: int) -> None:
    """Warn of a large delta, and of too few rows for a useful model."""
    warn_of_large_delta(delta, rows)
    if rows * epsilon < FEWEST_ROWS_TIMES_EPSILON:
        warnings.warn(
            f"{rows:,} rows are few for epsilon {epsilon:g}: the noise will hide most of what they "
            "say; give more rows or a larger epsilon",
            UserWarning,
            stacklevel=3,
        )


def warn_of_large_noise(noise_multiplier: float) -> None:
    """Warn of a noise multiplier above 50."""
    if noise_multiplier > LARGE_NOISE:
        warnings.warn(
            f"the noise multiplier is {noise_multiplier:.3g}, above {LARGE_NOISE:g}: the updates "
            "are almost noise alone; give fewer updates, more rows or a larger epsilon",
            UserWarning,
            stacklevel=3,
        )
