"""part.option=value reaches the part, and nothing else is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lowerbound.applications.fit.preparing import check_parts, public_schema, with_settings
from lowerbound.data import load
from lowerbound.data.reading_flags import ReadingOptions
from lowerbound.errors import OptionError
from lowerbound.fitting import FitOptions, fit
from lowerbound.models.options import ModelOptions
from lowerbound.training.private.options import PrivacyOptions


def test_settings_reach_their_part() -> None:
    settings = ["network.width=200", "network.hidden=[3, 4]", "prior.kind=wide", "objective.beta=2"]
    made = with_settings(FitOptions(), settings)
    assert made.model.network_options == {"width": 200, "hidden": (3, 4)}
    assert made.model.prior_options == {"kind": "wide"}
    assert made.objective_options == {"beta": 2}


@pytest.mark.parametrize("setting", ["width=200", "network.width", ".width=3", "network.=3", ""])
def test_what_is_no_setting_is_refused(setting: str) -> None:
    with pytest.raises(OptionError, match=r"part\.option=value"):
        with_settings(FitOptions(), [setting])


def test_an_unknown_part_suggests_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'network'"):
        with_settings(FitOptions(), ["netwrk.width=3"])


@pytest.mark.parametrize(
    ("model", "part", "chosen"),
    [
        ("pca", "likelihood", "student_t"),
        ("linear_state_space", "network", "mlp"),
        ("autoencoder", "prior", "flow"),
        ("vq_vae", "posterior", "full"),
    ],
)
def test_a_part_that_the_model_does_not_have_is_refused(model: str, part: str, chosen: str) -> None:
    check_parts(ModelOptions(model))
    with pytest.raises(OptionError, match=f"--model {model} has no choice of {part}"):
        check_parts(ModelOptions(model, **{part: chosen}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"delta": 1e-4, "clip": 2.0}, "--delta, --clip are for private training"),
        ({"public_schema": "data"}, "--public-schema is for private training"),
        ({"leave_out": ("name",)}, "--leave-out is for private training"),
        ({"secure_noise": True}, "--secure-noise is for private training"),
    ],
)
def test_options_of_private_training_need_an_epsilon(given: dict[str, Any], named: str) -> None:
    privacy = PrivacyOptions(**given)
    with pytest.raises(OptionError, match=f"{named}: give --epsilon too"):
        public_schema("x.csv", privacy, ReadingOptions())
    rows = load(np.random.default_rng(0).normal(size=(40, 2)))
    with pytest.raises(OptionError, match=f"{named}: give --epsilon too"):
        fit(rows, FitOptions(privacy=privacy))
