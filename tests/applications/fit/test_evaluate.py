"""What is printed of protocol and published figures."""

from __future__ import annotations

from dataclasses import replace

from lowerbound.applications.fit.evaluate import about_leaderboard, about_protocol
from lowerbound.evaluation.likelihood.leaderboard import place
from tests.evaluation.likelihood.test_leaderboard import BITS, COLOR, summary


def test_this_model_stands_in_its_place() -> None:
    lines = about_leaderboard(place(summary()))
    assert lines[0] == "published figures of mnist, lower is better:"
    assert lines[1] == "  L_5000 in nats:"
    place_of_own = lines.index("    85.00 ± 0.25  THIS MODEL")
    assert lines[place_of_own - 1].startswith("    84.97  MIWAE")
    assert lines[place_of_own + 1].startswith("    85.09  MIWAE")


def test_each_reason_is_said_once() -> None:
    lines = [line for line in about_leaderboard(place(summary())) if "not compared" in line]
    assert len(lines) == len({line.split(": ", 2)[2] for line in lines}) == 2
    assert "and 19 more: its bits are those of the static binarization" in lines[0]


def test_nothing_comparable_is_said() -> None:
    lines = about_leaderboard(place(summary(samples=100)))
    assert lines[1] == "  none has the protocol of this run"


def test_nothing_published_is_passed_over() -> None:
    assert about_leaderboard(place(summary(replace(BITS, data="digits")))) == []


def test_the_protocol_names_bits_and_bit_depth() -> None:
    line = about_protocol(replace(BITS, sha256="0123456789abcdef"))
    assert "10,000 rows, mnist:test, part test, bits by dynamic binarization" in line
    assert line.endswith("SHA-256 of the bits 0123456789ab")
    assert "256 levels (8 bits)" in about_protocol(COLOR)
    assert "32 levels (5 bits)" in about_protocol(replace(COLOR, levels=32))
    assert "continuous values" in about_protocol(replace(COLOR, levels=None))
    assert "static" in about_protocol(replace(COLOR, levels=2))
