"""What a prompt leaves open is drawn from the joint distribution of the attributes."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lowerbound.config import from_mapping
from lowerbound.data.labels import UNKNOWN
from lowerbound.data.prompts import Prompts
from lowerbound.data.vocabulary import PhraseBook, PromptVocabulary
from lowerbound.errors import OptionError
from lowerbound.priors.attributes import (
    AttributeCompletion,
    AttributeReader,
    attribute_completion,
    read,
)
from lowerbound.priors.autoregressive_codes import AutoregressiveCodes
from lowerbound.priors.diffusion.prior import DiffusionPrior

SIZES = (2, 3, 2)
ROWS = torch.tensor(list(itertools.product(*map(range, SIZES))))


def random_completion(seed: int = 0) -> AttributeCompletion:
    """A completion with random weights, float64."""
    made = AttributeCompletion(SIZES).double().eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator).double()
    return made


def shares(made: AttributeCompletion, prompt: Tensor, field: int) -> Tensor:
    """p(field | the other known fields), by the network alone."""
    with torch.no_grad():
        given = prompt[None], prompt[None] != UNKNOWN, made._features(prompt[None])
        return made._logits(*given)[field].softmax(1)[0].double()


@pytest.mark.slow
def test_known_fields_stay_and_unknown_ones_have_their_probabilities() -> None:
    made, draws = random_completion(), 40_000
    torch.manual_seed(0)
    found = made.complete(torch.tensor([[UNKNOWN, 2, UNKNOWN]]).expand(draws, -1))
    assert (found[:, 1] == 2).all()
    first = shares(made, torch.tensor([UNKNOWN, 2, UNKNOWN]), 0)
    for a in range(2):
        last = shares(made, torch.tensor([a, 2, UNKNOWN]), 2)
        for b in range(2):
            share = ((found[:, 0] == a) & (found[:, 2] == b)).double().mean().item()
            assert share == pytest.approx(float(first[a] * last[b]), abs=4 * 0.5 / draws**0.5)


def test_loss_averages_to_minus_log_p_over_all_orders() -> None:
    made, row = random_completion(), ROWS[5]
    totals = []
    for order in itertools.permutations(range(3)):
        known, total = torch.full((3,), UNKNOWN), 0.0
        for field in order:
            total -= math.log(shares(made, known, field)[row[field]])
            known[field] = row[field]
        totals.append(total)
    torch.manual_seed(0)
    losses = made.loss(row.expand(40_000, -1)).detach().double()
    error = losses.std().item() / 200
    assert losses.mean().item() == pytest.approx(sum(totals) / 6, abs=4 * error)


def test_loss_of_rows_with_unknown_fields_is_of_the_others() -> None:
    made = random_completion()
    assert (made.loss(torch.full((5, 3), UNKNOWN)) == 0).all()
    one = torch.tensor([[UNKNOWN, 1, UNKNOWN]])
    expected = -math.log(shares(made, torch.full((3,), UNKNOWN), 1)[1])
    assert made.loss(one).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_training_learns_which_values_go_together() -> None:
    torch.manual_seed(0)
    made = AttributeCompletion(SIZES)
    first = torch.randint(2, (4_000, 1))
    rows = torch.cat([first, first + torch.randint(2, (4_000, 1)), 1 - first], 1)
    optimizer = torch.optim.Adam(made.parameters(), 1e-2)
    for _ in range(150):
        loss = made.loss(rows[torch.randint(len(rows), (256,))]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = made.complete(torch.full((2_000, 3), UNKNOWN))
    assert ((found[:, 2] == 1 - found[:, 0]).double().mean()) > 0.97
    assert (found[:, 1] - found[:, 0]).clamp(0, 1).eq(
        found[:, 1] - found[:, 0]
    ).double().mean() > 0.97
    assert found[:, 0].double().mean().item() == pytest.approx(0.5, abs=0.06)


def test_captions_have_none() -> None:
    assert attribute_completion(PromptVocabulary(words=("red", "hair")), completes=True) is None
    assert attribute_completion(PromptVocabulary({"a": ("x", "y")}), completes=False) is None


BOOK = {
    "templates": ["a {before} one {after}"],
    "phrases": {
        "a": {"0": ["left"], "1": ["right", "eastern"]},
        "b": {"0": ["low"], "1": ["with middle height"], "2": ["high", "tall"]},
    },
}
FIELDS = {"a": ("0", "1"), "b": ("0", "1", "2"), "c": ("0", "1")}


@pytest.mark.slow
@pytest.mark.parametrize("source", [pytest.param("book", marks=pytest.mark.long), "file"])
def test_captions_are_read_and_what_they_leave_open_is_drawn(source: str) -> None:
    """c equals a in 9 of 10 rows, and b is independent of both."""
    torch.manual_seed(0)
    rows = torch.stack([torch.randint(2, (3_000,)), torch.randint(3, (3_000,))], 1)
    other = (torch.rand(3_000) < 0.1).long()
    prompts = Prompts(PromptVocabulary(FIELDS), torch.cat([rows, rows[:, :1] ^ other[:, None]], 1))
    if source == "book":
        prompts = prompts.said_by(from_mapping(PhraseBook, BOOK))
    else:
        prompts = prompts.with_captions(["eastern" if row[0] else "left" for row in rows])
    made = attribute_completion(prompts.vocabulary, completes=True)
    assert made is not None
    assert (made.sampler is not None) == (source == "book")
    optimizer = torch.optim.Adam(made.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    for _ in range(400):
        loss = made.loss(prompts.codes[torch.randint(3_000, (256,))]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    found = made.complete(prompts.vocabulary.caption("eastern").expand(4_000, -1))
    assert (found[:, 0] == 1).double().mean() > 0.98
    shares = torch.bincount(found[:, 1], minlength=3) / 4_000
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.08)
    assert (found[:, 2] == 1).double().mean().item() == pytest.approx(0.9, abs=0.05)


def test_a_network_is_given_the_fields_of_a_prompt() -> None:
    prompt, made = torch.tensor([[UNKNOWN, 1, UNKNOWN, 4, 2]]), random_completion()
    assert torch.equal(read(prompt, PromptVocabulary(words=("red",)), None), prompt)
    assert torch.equal(read(prompt, PromptVocabulary(FIELDS), None), prompt[:, :3])
    assert (read(prompt, PromptVocabulary(FIELDS), made)[0] != UNKNOWN).all()


def test_captions_beside_attributes_need_the_completion() -> None:
    with pytest.raises(OptionError, match="attributes with captions need completes"):
        attribute_completion(PromptVocabulary({"a": ("0", "1")}, ("left",)), completes=False)


def test_a_prior_reads_the_caption_of_rows_that_are_drawn_or_redrawn() -> None:
    pytest.importorskip("diffusers")
    prompts = Prompts(PromptVocabulary(FIELDS), ROWS)
    vocabulary = prompts.said_by(from_mapping(PhraseBook, BOOK)).vocabulary
    prior = DiffusionPrior(2, width=8, depth=1, completes=True, **vocabulary.options).eval()
    prompt = vocabulary.caption("a tall one").expand(5, -1)
    assert prior.given(prompt).sample().shape == (1, 5, 2)
    assert prior.redrawn(torch.zeros(5, 2), prompt).isfinite().all()
    given = torch.cat([ROWS[:5], prompt[:, 3:]], 1)
    prior.train()
    assert prior.terms(torch.randn(5, 2), given).loss.isfinite().all()
    for wrong in (torch.tensor([4, 0, 0, 0]), torch.tensor([0, 0, 0, 99])):
        with pytest.raises(OptionError, match="out of range"):
            prior.given(given[:, :4] + wrong)


def test_only_the_prior_of_the_first_codebook_reads_captions() -> None:
    prompts = Prompts(PromptVocabulary(FIELDS), ROWS)
    vocabulary = prompts.said_by(from_mapping(PhraseBook, BOOK)).vocabulary
    prompt = torch.cat([ROWS[:5], vocabulary.caption("a tall one")[:, 3:].expand(5, -1)], 1)
    codes = [torch.randint(8, (5, 2)), torch.randint(8, (5, 4))]
    for level, shape in enumerate([(2,), (4,)]):
        above, known = [(2,)] * level, codes[:level]
        prior = AutoregressiveCodes(shape, 8, above, completes=True, **vocabulary.options)
        assert (prior.completion is None) == bool(level)
        assert prior.terms(codes[level], known, prompt).loss.isfinite().all()
        stacked = [each[None] for each in known]
        assert prior.given(stacked, prompt).log_prob(codes[level][None]).isfinite().all()


def test_rows_are_drawn_again_and_edited_with_the_guidance_of_the_prior(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Noise is found under what a row is, without guidance; what it becomes is exaggerated."""
    pytest.importorskip("diffusers")
    vocabulary = PromptVocabulary(FIELDS)
    prior = DiffusionPrior(2, width=8, depth=1, steps=4, guidance=3.0, **vocabulary.options).eval()
    asked: list[tuple[int, float]] = []
    predict = prior.predict

    def spied(x: Tensor, t: Tensor, prompt: Tensor, guidance: float = 1.0) -> Tensor:
        asked.append((int(prompt[0, 0]), guidance))
        return predict(x, t, prompt, guidance)

    monkeypatch.setattr(prior, "predict", spied)
    before, after = torch.zeros(3, 3).long(), torch.ones(3, 3).long()
    prior.redrawn(torch.zeros(3, 2), after, rounds=1)
    assert set(asked) == {(1, 3.0)}
    asked.clear()
    prior.edited(torch.zeros(3, 2), before, after)
    assert set(asked) == {(0, 1.0), (1, 3.0)}


MEANS = torch.tensor([[-2.0, 0.0], [2.0, 0.0], [0.0, 3.0]])


def rows_of(codes: Tensor) -> Tensor:
    return MEANS[codes] + 0.3 * torch.randn(len(codes), 2)


@pytest.mark.slow
def test_a_trained_reader_finds_the_attributes_of_rows_and_keeps_the_known_ones() -> None:
    torch.manual_seed(0)
    prior = DiffusionPrior(
        2, fields={"place": ["left", "right", "top"], "other": ["a", "b"]}, reads=True
    )
    codes = torch.randint(3, (600,))
    prompt = torch.stack([codes, (codes == 2).long()], 1)
    z = rows_of(codes)
    prior.start_from_latents(z)
    optimizer = torch.optim.Adam(prior.parameters(), 1e-2)
    for _ in range(60):
        loss = prior.train().terms(z, prompt).loss.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    new = torch.randint(3, (300,))
    truth = torch.stack([new, (new == 2).long()], 1)
    known = truth.clone()
    known[:, 0] = UNKNOWN
    known[:5, 1] = 1 - known[:5, 1]  # what is known stays, right or wrong
    found = prior.eval().described(rows_of(new), known)
    assert ((found[:, 0] == new).double().mean()) > 0.99
    assert torch.equal(found[:, 1], known[:, 1])


def test_unknown_fields_of_training_rows_add_nothing_to_the_loss() -> None:
    torch.manual_seed(0)
    reader = AttributeReader((3, 2), (4,)).eval()
    x = torch.randn(6, 4)
    prompt = torch.tensor([[1, 1]]).expand(6, -1).clone()
    prompt[:, 1] = UNKNOWN
    expected = cross_entropy(reader(x)[0], prompt[:, 0], reduction="none")
    assert torch.allclose(reader.loss(x, prompt), expected)
    assert bool((reader.loss(x, torch.full_like(prompt, UNKNOWN)) == 0).all())


@pytest.mark.parametrize("side", [4, 20])
def test_maps_are_averaged_to_at_most_eight_a_side(side: int) -> None:
    reader = AttributeReader((3,), (2, side, side)).eval()
    (logits,) = reader(torch.randn(5, 2 * side * side))
    assert logits.shape == (5, 3)
    assert reader.layers[0].in_features == 2 * min(side, 8) ** 2


def test_a_prior_that_does_not_read_leaves_prompts_as_they_are() -> None:
    prior = DiffusionPrior(2, fields={"place": ["left", "right"]})
    prompt = torch.tensor([[UNKNOWN]])
    assert torch.equal(prior.described(torch.zeros(1, 2), prompt), prompt)
