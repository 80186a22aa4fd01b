"""Embeddings of prompts: unknown codes, hidden codes, and codes out of range."""

from __future__ import annotations

import pytest
import torch

from lowerbound.data.vocabulary import PromptVocabulary
from lowerbound.errors import OptionError
from lowerbound.networks.prompts import AttributeEmbedding, CaptionEmbedding, prompt_embedding

FACES = PromptVocabulary({"mouth": ("sad", "smile"), "hair": ("none", "bob", "curly")})
WORDS = PromptVocabulary(words=("bob", "hair", "red", "smile", "with"))
PROMPTS = {"attributes": torch.tensor([[0, 2], [1, 1]]), "captions": torch.tensor([[3, 4], [2, 1]])}


@pytest.fixture(params=["attributes", "captions"])
def known(request):
    """An embedding and two of its prompts."""
    torch.manual_seed(0)
    vocabulary = FACES if request.param == "attributes" else WORDS
    return prompt_embedding(vocabulary, 8).double(), PROMPTS[request.param]


def test_the_vocabulary_decides_the_embedding():
    assert isinstance(prompt_embedding(FACES, 4), AttributeEmbedding)
    assert isinstance(prompt_embedding(WORDS, 4), CaptionEmbedding)
    assert prompt_embedding(PromptVocabulary(), 4) is None


def test_a_prompt_that_is_wholly_hidden_is_the_unknown_prompt(known):
    embedding, prompt = known
    hidden = embedding.hidden(prompt, whole=1.0, some=0.0)
    assert torch.equal(embedding(hidden), embedding(embedding.unknown(2)))
    assert not torch.allclose(embedding(prompt), embedding(hidden))


def test_nothing_is_hidden_at_rates_of_zero(known):
    embedding, prompt = known
    assert torch.equal(embedding.hidden(prompt, whole=0.0, some=0.0), prompt)


def test_hiding_rates_are_the_requested_ones(known):
    embedding, prompt = known
    rows = prompt[:1].expand(20_000, -1)
    hidden = embedding.hidden(rows, whole=0.2, some=0.5) == -1
    # whole: all codes; else half of the rows hide each of two codes with a rate uniform on (0, 1)
    assert hidden.all(1).double().mean() == pytest.approx(0.2 + 0.8 * 0.5 / 3, abs=0.015)
    assert hidden.double().mean() == pytest.approx(0.2 + 0.8 * 0.5 / 2, abs=0.015)


def test_the_sum_over_fields_is_that_of_their_vectors(known):
    embedding = AttributeEmbedding(FACES.sizes, 8)
    mouth, hair = embedding.table.weight[:3], embedding.table.weight[3:]
    prompt = torch.tensor([[1, -1], [-1, 2]])
    expected = torch.stack([mouth[2] + hair[0], mouth[0] + hair[3]])
    torch.testing.assert_close(embedding(prompt), expected)


def test_a_caption_means_its_known_words_whatever_its_length():
    torch.manual_seed(0)
    embedding = CaptionEmbedding(5, 8).double()
    short = embedding(torch.tensor([[2, 1]]))
    for same in ([[2, 1, -1, -1]], [[2, -1, 1]], [[-1, 2, 1]]):
        torch.testing.assert_close(embedding(torch.tensor(same)), short)
    torch.testing.assert_close(embedding(torch.tensor([[-1]])), embedding.head.bias[None])


def test_the_order_of_words_counts():
    torch.manual_seed(0)
    embedding = CaptionEmbedding(5, 8).double()
    one, other = embedding(torch.tensor([[2, 1, 4, 0], [0, 1, 4, 2]]))
    assert not torch.allclose(one, other)


def test_each_row_of_captions_is_embedded_as_if_it_were_alone():
    torch.manual_seed(0)
    embedding = CaptionEmbedding(5, 8).double()
    prompts = torch.tensor([[2, -1, -1], [-1, -1, -1], [0, 1, 4]])
    alone = torch.cat([embedding(row[None]) for row in prompts])
    torch.testing.assert_close(embedding(prompts), alone)


def test_codes_out_of_range_and_other_numbers_of_fields_are_refused(known):
    embedding, prompt = known
    embedding.check(prompt)
    embedding.check(embedding.unknown(3))
    with pytest.raises(OptionError, match="out of range"):
        embedding.check(prompt + 4)
    with pytest.raises(OptionError, match="out of range"):
        embedding.check(prompt - 5)


def test_another_number_of_fields_is_refused():
    embedding = AttributeEmbedding(FACES.sizes, 8)
    for use in (embedding, embedding.check):
        with pytest.raises(OptionError, match="has 3 fields, and the prior was trained on 2"):
            use(torch.zeros(1, 3, dtype=torch.long))
