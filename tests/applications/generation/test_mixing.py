"""The rows that ``mix`` takes unless they are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lowerbound.applications.common.application import Silent
from lowerbound.applications.generation.mixing import MixReport, mix
from lowerbound.applications.generation.requests import FIRST, MixRequest
from lowerbound.data import load
from lowerbound.errors import OptionError
from lowerbound.fitting import FitOptions, Fitted
from lowerbound.fitting.assembly import assemble, resolve
from lowerbound.models.options import ModelOptions
from lowerbound.training.reporter import History


def test_fine_rows_follow_the_coarse_ones(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (2 * FIRST + 3, 8, 8), np.uint8)
    np.savez(tmp_path / "x.npz", x=bits)
    schema = load(tmp_path / "x.npz").schema
    ladder = {"levels": 3, "width": 4}
    options = ModelOptions("ladder", network="convolutional", model_options=ladder, latent_dim=2)
    options = resolve(schema, options)
    model = assemble(schema, options).eval()
    fitted = Fitted(model, schema, FitOptions(options), History())

    def mixed(coarse: str = "", fine: str = "") -> MixReport:
        request = MixRequest(
            "m.lb", str(tmp_path / "x.npz"), str(tmp_path / "y.npz"), coarse=coarse, fine=fine
        )
        report = mix(request, Silent(), fitted)
        assert isinstance(report, MixReport)
        return report

    def names(*rows: int) -> tuple[str, ...]:
        return tuple(f"row {row}" for row in rows)

    assert (mixed().coarse, mixed().fine) == (names(*range(6)), names(*range(6, 12)))
    two = mixed(coarse="9,1")
    assert (two.coarse, two.fine) == (names(9, 1), names(*range(2, 8)))
    assert (mixed(fine="14").coarse, mixed(fine="14").fine) == (names(*range(6)), names(14))
    with pytest.raises(OptionError, match="choose some with --fine"):
        mixed(coarse=",".join(map(str, range(15))))
