"""The plan of private training: the mechanism, made from the options and the training plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from lowerbound.errors import OptionError
from lowerbound.training.engine import Update
from lowerbound.training.options import TrainingOptions
from lowerbound.training.plan import TrainingPlan
from lowerbound.training.private.accounting import Mechanism, noise_multiplier_for
from lowerbound.training.private.declarations import SchemaRecord
from lowerbound.training.private.engine import (
    PoissonOrder,
    PrivateEngine,
    SecretRandomness,
    SeededRandomness,
    SystemRandomness,
)
from lowerbound.training.private.options import (
    PrivacyOptions,
    warn_of_large_noise,
    warn_of_weak_guarantee,
)


@dataclass(frozen=True)
class PrivatePlan:
    """How a run is made private.

    Attributes:
        mechanism: q, sigma and the number of updates.
        delta: of the guarantee.
        clip: C.
        rows: number of training rows, which counts as public.
        secure_noise: whether the system's cryptographic generator makes the noise.
    """

    mechanism: Mechanism
    delta: float
    clip: float
    rows: int
    secure_noise: bool = False

    @classmethod
    def of(
        cls,
        options: PrivacyOptions,
        training: TrainingPlan,
        rows: int,
        measured: SchemaRecord | None = None,
    ) -> PrivatePlan:
        """The plan whose noise gives the epsilon of the options, less what the schema has spent.

        Raises:
            OptionError: the number of updates is not known in advance, no noise is enough, or the
                schema has spent all.
            MissingExtraError: ``opacus`` is not installed.
        """
        if options.epsilon is None:
            raise OptionError("private training needs an epsilon")
        if training.updates is None or training.minutes is not None:
            raise OptionError(
                "the noise of private training depends on the number of updates: give epochs or "
                "updates, and no limit of minutes"
            )
        epsilon, delta = options.epsilon, options.delta_of(rows)
        rate = min(1.0, training.batch_size / rows)
        warn_of_weak_guarantee(epsilon, delta, rows)
        if measured is not None:
            epsilon, delta = measured.rest(epsilon, delta)
        sigma = noise_multiplier_for(epsilon, delta, rate, training.updates)
        warn_of_large_noise(sigma)
        mechanism = Mechanism(rate, sigma, training.updates)
        return cls(mechanism, delta, options.clip, rows, options.secure_noise)

    def check(self, training: TrainingPlan, options: TrainingOptions, rows: int) -> None:
        """Check that a run is the one that was planned.

        Raises:
            OptionError: it is not, or an option does not go with private training.
        """
        same = (training.updates, min(1.0, training.batch_size / rows), rows)
        if same != (self.mechanism.updates, self.mechanism.rate, self.rows):
            raise OptionError("this run differs from the one that the noise was computed for")
        if options.precision == "bf16":
            raise OptionError("private training is in float32: leave precision out")

    def randomness(self) -> SecretRandomness:
        """A new secret."""
        return SystemRandomness() if self.secure_noise else SeededRandomness()

    def order(self, randomness: SecretRandomness) -> PoissonOrder:
        """The rows of each update."""
        return PoissonOrder(self.rows, self.mechanism.rate, randomness)

    def engine(
        self,
        update: Update,
        options: TrainingOptions,
        randomness: SecretRandomness,
        say: Callable[[str], None],
    ) -> PrivateEngine:
        """What makes the updates."""
        return PrivateEngine(
            update,
            options,
            self.clip,
            self.mechanism.noise_multiplier,
            self.mechanism.rate * self.rows,
            randomness,
            say,
        )

    @property
    def sentence(self) -> str:
        """The plan in one line for the log."""
        m = self.mechanism
        return (
            f"private training: a row takes part in an update with probability {m.rate:.4g}; "
            f"gradients of rows clipped at {self.clip:g}; noise multiplier "
            f"{m.noise_multiplier:.4g}; delta {self.delta:.3g}"
        )

    def to_mapping(self) -> dict[str, Any]:
        """JSON values, for the identity of a run."""
        return asdict(self)
