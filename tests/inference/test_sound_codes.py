"""Codes of signals: by hand, in parts as whole, and as the model's own pass finds them."""

from __future__ import annotations

import pytest
import torch

from lowerbound.data.audio.kind import learned
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.fitting.assembly import assemble
from lowerbound.inference import sound_codes
from lowerbound.inference.sound_codes import SoundCoder
from lowerbound.models.options import ModelOptions
from lowerbound.trace import Batch, Mean
from tests.applications.compression.small_sound import HOP, RATE, clips, sound_model

SIGNAL = torch.from_numpy(clips(333).joined)


def test_codes_are_the_steps_done_by_hand() -> None:
    model = sound_model()
    rest = model.encoder(SIGNAL[None]).reshape(-1, model.dim)
    wanted = []
    for quantizer in model.quantizers:
        book = quantizer.book  # type: ignore[union-attr]
        nearest = torch.cdist(rest.double(), book.double()).argmin(1)
        wanted.append(nearest)
        rest = rest - book[nearest]
    found = SoundCoder.of(model).codes(SIGNAL)
    assert found.shape == (42, 3)
    assert torch.equal(found, torch.stack(wanted, 1))
    assert torch.equal(SoundCoder.of(model).codes(SIGNAL, 2), found[:, :2])


def test_a_row_has_the_codes_and_the_answer_of_the_model() -> None:
    model, row = sound_model(), SIGNAL[:80]
    coder = SoundCoder.of(model)
    codes = coder.codes(row)
    with torch.no_grad():
        assert torch.equal(torch.stack(model.quantize(Batch(row[None])), -1)[0], codes)
        mean = model(Batch(row[None]), Mean()).likelihood.mean[0, 0]
    torch.testing.assert_close(coder.signal(codes, 80), mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("part", [1, 5, 16, 41])
def test_parts_answer_as_the_whole(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    coder = SoundCoder.of(sound_model())
    codes = coder.codes(SIGNAL)
    made = coder.signal(codes, len(SIGNAL))
    assert len(made) == 333
    monkeypatch.setattr(sound_codes, "PART", part)
    assert torch.equal(coder.codes(SIGNAL), codes)
    torch.testing.assert_close(coder.signal(codes, len(SIGNAL)), made, rtol=1e-4, atol=1e-6)


def test_shorter_than_a_hop() -> None:
    coder = SoundCoder.of(sound_model())
    codes = coder.codes(SIGNAL[: HOP - 3])
    assert codes.shape == (1, 3)
    assert coder.signal(codes, HOP - 3).shape == (HOP - 3,)


def test_there_are_not_more_codebooks_than_there_are() -> None:
    coder = SoundCoder.of(sound_model())
    assert coder.levels(None) == 3
    for wrong in (0, 4):
        with pytest.raises(OptionError, match=f"from 1 to the model's 3, not {wrong}"):
            coder.codes(SIGNAL, wrong)


@pytest.mark.parametrize(
    "options", [{"model": "vae"}, {"model": "vq_vae", "network": "mlp"}], ids=str
)
def test_other_models_are_refused(options: dict[str, str]) -> None:
    schema = learned(RATE, Windows(80, 80))
    with pytest.raises(UnsupportedError, match="a vq_vae model with the network 'frames'"):
        SoundCoder.of(assemble(schema, ModelOptions(**options)))  # type: ignore[arg-type]
