"""Published figures stand beside a measured one only where the protocol agrees."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from lowerbound.evaluation.likelihood.leaderboard import Leaderboard, place, published
from lowerbound.inference.estimate import Estimate
from lowerbound.inference.scores import Protocol, Summary

BITS = Protocol(
    rows=10_000,
    dimensions=784,
    likelihood="Bernoulli",
    conditional=False,
    levels=256,
    binarize="dynamic",
    sha256="",
    seed=0,
    split="test",
    data="mnist:test",
)
COLOR = replace(BITS, dimensions=3_072, binarize="none", data="/somewhere/cifar10.npz:test")


def summary(protocol: Protocol = BITS, samples: int = 5_000, mass: bool = True) -> Summary:
    """A bound of -85 nats (or 3 bits per dimension), an ELBO a little lower."""
    nats = 85.0 if protocol.binarize != "none" or protocol.levels == 2 else 3 * 3_072 * math.log(2)
    bits = Estimate(nats / protocol.dimensions / math.log(2), 0.0)
    return Summary(
        estimator="",
        samples=samples,
        unit="nats per row",
        elbo=Estimate(-nats - 3, 0.3),
        bound=Estimate(-nats, 0.25),
        distortion=Estimate(60.0, 0.1),
        rates=(),
        log_marginal=None,
        bits_per_dimension=bits if mass else None,
        bits_refusal="",
        median_effective_sample_size=10.0,
        least_effective_sample_size=1.0,
        median_pareto_k=0.6,
        share_pareto_k_high=0.2,
        warning="",
        protocol=protocol,
    )


def refusal(board: Leaderboard, model: str, value: float) -> str:
    """Why that figure was refused."""
    (found,) = [
        s for s in board.standings if s.figure.model.startswith(model) and s.figure.value == value
    ]
    assert found.measured is None
    return found.refusal


def test_the_same_protocol_stands_beside() -> None:
    board = place(summary())
    found = {(s.figure.model, s.figure.value): s for s in board.comparable}
    burda = found["IWAE k=1, 784-200-200-50", 86.76]
    assert burda.measured == Estimate(85.0, 0.25)
    assert {s.figure.binarization for s in board.comparable} == {"dynamic"}
    assert {s.figure.samples for s in board.comparable} == {5_000}
    values = [s.figure.value for s in board.comparable]
    assert values == sorted(values)
    assert len(board.comparable) + len(board.refused) + board.elsewhere == len(published())


def test_static_and_dynamic_bits_do_not_compare() -> None:
    assert "static binarization" in refusal(place(summary()), "VampPrior", 85.57)
    fixed = replace(BITS, levels=2, binarize="none", data="binarized_mnist.npz:test")
    board = place(summary(fixed))
    assert {s.figure.binarization for s in board.comparable} == {"static"}
    assert "dynamic binarization" in refusal(board, "MIWAE", 84.97)
    cut = place(summary(replace(BITS, binarize="threshold")))
    assert not cut.comparable
    assert "cut at half of white" in refusal(cut, "MIWAE", 84.97)


def test_another_k_does_not_compare_unless_it_was_measured_too() -> None:
    board = place(summary(samples=100))
    assert not board.comparable
    sentence = refusal(board, "MIWAE", 84.97)
    assert sentence.startswith("it is L_5000, and this run has the ELBO and L_100")
    carried = place(summary(samples=100), {5_000: Estimate(-84.2, 0.26)})
    assert {s.measured for s in carried.comparable} == {Estimate(84.2, 0.26)}


def test_the_elbo_is_placed_beside_elbos() -> None:
    fixed = replace(BITS, levels=2, binarize="none", data="binarized_mnist:test")
    board = place(summary(fixed, samples=100))
    found = {s.figure.value: s.measured for s in board.comparable}
    assert found[82.14] == Estimate(88.0, 0.3)
    assert found[79.47] == Estimate(85.0, 0.25)
    assert 79.24 not in found  # L_1000


def test_bits_per_dimension_are_placed_in_their_unit() -> None:
    board = place(summary(COLOR, samples=100))
    found = {(s.figure.model, s.figure.value): s.measured for s in board.comparable}
    measured = found["convolutional ladder, 15 layers", 3.32]
    assert measured is not None
    assert measured.mean == pytest.approx(3.0)
    assert found["Efficient-VDVAE", 2.87] is not None  # an ELBO


def test_another_bit_depth_does_not_compare() -> None:
    faces = replace(COLOR, dimensions=3 * 256 * 256, data="ffhq256:test")
    board = place(summary(faces, samples=100))
    assert "32 levels" in refusal(board, "Efficient-VDVAE", 0.53)
    assert "state the bit depth" in refusal(board, "VDVAE", 0.61)
    assert [s.figure.value for s in board.comparable] == [2.17]


def test_doubts_and_gaps_of_a_source_refuse() -> None:
    pictures = replace(COLOR, data="imagenet32:test")
    assert "two downsamplings" in refusal(place(summary(pictures)), "VDVAE", 3.80)
    assert "how the grey values were binarized" in refusal(
        place(summary()), "Efficient-VDVAE", 79.09
    )
    assert "the number of importance samples" in refusal(place(summary(COLOR)), "NVAE", 2.91)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"data": "mnist:train"}, "train was scored"),
        ({"data": "mnist"}, "another choice of rows was scored"),
        ({"conditional": True}, r"log p\(x \| y\)"),
        ({"binarize": "none"}, "grey values were scored"),
        ({"binarize": "none", "levels": None}, "grey values were scored"),
    ],
)
def test_what_else_differs_is_said(change: dict[str, object], sentence: str) -> None:
    board = place(summary(replace(BITS, **change)))
    assert not board.comparable
    assert any(re.search(sentence, found.refusal) for found in board.refused)


def test_a_density_is_refused() -> None:
    board = place(summary(COLOR, mass=False))
    assert not board.comparable
    assert any("gives a density" in s.refusal for s in board.refused)


def test_other_data_has_no_leaderboard() -> None:
    board = place(summary(replace(BITS, data="digits")))
    assert board.dataset == ""
    assert board.standings == ()
    assert board.elsewhere == len(published())


def test_figures_are_complete() -> None:
    """Every figure says its source, and no two of one source are the same line."""
    keys = [
        (f.model, f.dataset, f.samples, f.levels, f.binarization, f.source) for f in published()
    ]
    assert len(set(keys)) == len(keys)
    assert all(f.source and f.value > 0 for f in published())
    assert all((f.unit == "nats") == (f.dataset == "mnist") for f in published())
