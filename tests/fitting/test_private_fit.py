from __future__ import annotations

import math
import os
import secrets
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.data import Dataset, load
from lowerbound.errors import OptionError
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.fitting.folder import read, write
from lowerbound.models.options import ModelOptions
from lowerbound.training import Interrupted, Progress, SilentReporter, TrainingOptions
from lowerbound.training.private.accounting import Mechanism, epsilons
from lowerbound.training.private.engine import (
    PoissonOrder,
    SecretRandomness,
    SeededRandomness,
    SystemRandomness,
)
from lowerbound.training.private.options import PrivacyOptions

ROWS = 1_500


def table() -> Dataset:
    draw = np.random.default_rng(0)
    z = draw.normal(size=ROWS)
    frame = {"a": z + 0.3 * draw.normal(size=ROWS), "b": 2 * z + 0.3 * draw.normal(size=ROWS)}
    kinds = np.where(z + draw.normal(size=ROWS) > 0, "yes", "no")
    return load(pd.DataFrame({**frame, "c": kinds}))


def options(epsilon: float = 5.0, *, updates: int = 6, **changes: Any) -> FitOptions:
    privacy = PrivacyOptions(epsilon=epsilon, **{"public_schema": "data", **changes})
    model = ModelOptions(latent_dim=2, network="mlp", network_options={"hidden": (8,)})
    training = TrainingOptions(updates=updates, batch_size=150, learning_rate=1e-2)
    return FitOptions(model, training=training, privacy=privacy)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit(table(), options())


@pytest.mark.slow
def test_the_record_states_the_mechanism_that_ran(fitted: Fitted) -> None:
    record = fitted.options.release
    assert record is not None
    assert (record.rows, record.updates, record.rate) == (ROWS, 6, 150 / ROWS)
    assert record.delta == pytest.approx(ROWS**-1.5)
    assert record.noise_multiplier is not None
    again = epsilons(Mechanism(150 / ROWS, record.noise_multiplier, 6), record.delta)
    assert record.epsilon == max(again.rdp, again.prv or 0.0)
    assert 4.97 < record.epsilon <= 5.0
    assert "opacus" in record.accountant
    assert any("floating" in text for text in record.not_claimed)
    assert any("cryptographic" in text for text in record.not_claimed)


def test_a_private_fit_reveals_no_figure_of_its_rows(fitted: Fitted) -> None:
    assert fitted.options.training.validation == 0
    for one in fitted.history:
        assert math.isnan(one.bound)
        assert math.isnan(one.distortion)
        assert one.validation is None
        assert not one.readings


def test_the_folder_and_its_card_hold_the_record(fitted: Fitted, tmp_path: Path) -> None:
    write(tmp_path / "m.lb", fitted)
    assert read(tmp_path / "m.lb").options.release == fitted.options.release
    card = (tmp_path / "m.lb" / "MODEL_CARD.md").read_text()
    assert fitted.options.release is not None
    assert "## Privacy" in card
    assert fitted.options.release.sentence in card
    assert "one row more than the other" in card


@pytest.mark.slow
def test_noise_does_not_depend_on_the_seed_of_the_fit() -> None:
    one, other = (fit(table(), options(updates=2)).model.state_dict() for _ in range(2))
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_weights_before_training_do_not_depend_on_the_rows() -> None:
    """With hardly any step, two tables of one schema give the same weights."""
    rows = table()
    other = Dataset(rows.schema, rows.x.flip(0) * 0 + rows.x[:1])
    tiny = TrainingOptions(updates=1, batch_size=150, learning_rate=1e-30)
    settings = FitOptions(options().model, training=tiny, privacy=options().privacy)
    one, two = (fit(data, settings).model.state_dict() for data in (rows, other))
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=0, atol=1e-20)


class Stopping(SilentReporter):
    """Sends a signal at the first report."""

    def update(self, progress: Progress) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_a_resumed_run_is_the_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint holds the secret, so that rows and noise of each update repeat."""
    monkeypatch.setattr(secrets, "randbits", lambda bits: 12345)
    straight = fit(table(), options()).model.state_dict()
    with pytest.raises(Interrupted):
        fit(table(), options(), folder=tmp_path, reporter=Stopping())
    monkeypatch.setattr(secrets, "randbits", lambda bits: 54321)
    resumed = fit(table(), options(), folder=tmp_path, resume=True).model.state_dict()
    assert all(torch.equal(value, resumed[name]) for name, value in straight.items())


@pytest.mark.parametrize("randomness", [SeededRandomness(3), SystemRandomness()])
def test_rows_take_part_independently(randomness: SecretRandomness) -> None:
    rows, rate, updates = 400, 0.01, 500
    order = PoissonOrder(rows, rate, randomness)
    batches = [order.batch(number) for number in range(updates)]
    sizes = torch.tensor([float(len(batch)) for batch in batches])
    assert float((sizes == 0).float().mean()) == pytest.approx((1 - rate) ** rows, abs=0.03)
    assert float(sizes.mean()) == pytest.approx(rows * rate, abs=0.4)
    assert float(sizes.var()) == pytest.approx(rows * rate * (1 - rate), rel=0.3)
    each = torch.bincount(torch.cat(batches), minlength=rows).float()
    assert float(each.var()) == pytest.approx(updates * rate * (1 - rate), rel=0.3)


@pytest.mark.parametrize("randomness", [SeededRandomness(3), SystemRandomness()])
def test_noise_is_standard_normal(randomness: SecretRandomness) -> None:
    from scipy.stats import kstest

    assert kstest(randomness.normal(0, 20_000).numpy(), "norm").pvalue > 1e-4


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (options(public_schema=""), "--public-schema"),
        (FitOptions(training=TrainingOptions(minutes=1.0), privacy=options().privacy), "minutes"),
        (FitOptions(ModelOptions("pca", latent_dim=1), privacy=options().privacy), "closed form"),
    ],
)
def test_what_cannot_be_private_is_refused(changed: FitOptions, words: str) -> None:
    rows = table() if "pca" not in changed.model.model else load(np.random.rand(200, 3))  # noqa: NPY002
    with pytest.raises(OptionError, match=words):
        fit(rows, changed)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.inf, math.nan])
def test_an_epsilon_is_positive_and_finite(epsilon: float) -> None:
    with pytest.raises(OptionError, match="epsilon"):
        PrivacyOptions(epsilon=epsilon)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (options(updates=1, delta=1 / ROWS), "at least 1 / rows"),
        (options(0.1, updates=1), "few for epsilon"),
        (options(0.05, updates=150), "almost noise alone"),
    ],
)
def test_weak_guarantees_raise_a_warning(changed: FitOptions, words: str) -> None:
    with pytest.warns(UserWarning, match=words):
        fit(table(), changed)


def test_a_learned_schema_with_rare_levels_is_refused() -> None:
    """A fit in Python gets its rows encoded, so what few rows have is in the schema already."""
    towns = np.where(np.arange(ROWS) < 9, "Atlantis", "Bern")
    rows = load(pd.DataFrame({"a": np.random.default_rng(0).normal(size=ROWS), "town": towns}))
    with pytest.raises(OptionError, match="'town' of 1 values that fewer than 10 rows have"):
        fit(rows, options(updates=1))
