"""Prompts as codes: names to codes and back, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lowerbound.data.vocabulary import PromptVocabulary, learn_words, words_of
from lowerbound.errors import OptionError

FACES = PromptVocabulary({"mouth": ("sad", "smile"), "hair": ("none", "bob", "curly")})
CAPTIONS = ["A smiling face with round glasses and red hair.", "a sad face, without glasses"]


def test_attributes_become_codes_and_the_others_stay_unknown():
    assert FACES.given({"hair": "curly"}).tolist() == [[-1, 2]]
    assert FACES.given({"mouth": "sad", "hair": None}).tolist() == [[0, -1]]
    assert FACES.values(torch.tensor([1, -1])) == {"mouth": "smile"}
    assert FACES.sizes == (2, 3)


def test_numbers_name_the_values_that_are_written_alike():
    digits = PromptVocabulary({"class": ("0", "7")})
    assert digits.given({"class": 7}).tolist() == [[1]]


@pytest.mark.parametrize("vocabulary", [FACES, learn_words(CAPTIONS), PromptVocabulary()])
def test_the_vocabulary_is_the_same_after_the_options_of_a_prior(vocabulary):
    again = PromptVocabulary.of({"depth": 2, **vocabulary.options})
    assert again == vocabulary
    assert bool(again) == bool(vocabulary)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"moth": "sad"}, "unknown attribute 'moth'; did you mean 'mouth'"),
        ({"mouth": "smiles"}, "unknown value of mouth 'smiles'; did you mean 'smile'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(given, message):
    with pytest.raises(OptionError, match=message):
        FACES.given(given)


def test_captions_become_codes_and_words_again():
    words = learn_words(CAPTIONS)
    prompts = words.captions(CAPTIONS)
    assert [words.text(row) for row in prompts] == [" ".join(words_of(text)) for text in CAPTIONS]
    assert words_of(CAPTIONS[1]) == ["sad", "face", "no-glasses"]
    assert prompts[1, 3:].tolist() == [-1] * (prompts.shape[1] - 3)


def test_a_word_that_the_vocabulary_lacks_is_refused_with_the_nearest():
    with pytest.raises(OptionError, match=r"unknown word of a prompt 'smilling'; .* 'smiling'"):
        learn_words(CAPTIONS).caption("a smilling face")


def test_few_of_many_known_words_are_shown():
    words = learn_words([f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"] * 2)
    with pytest.raises(OptionError) as refused:
        words.caption("wordy xylophone")
    assert str(refused.value).endswith(
        "wordi, wordj and 16 more, which are in config.json of the model folder)"
    )


def test_each_kind_of_prompt_names_the_flag_of_the_other():
    with pytest.raises(OptionError, match=r"takes no captions; it takes attributes \(--given\)"):
        FACES.caption("a smile")
    with pytest.raises(OptionError, match="takes no attributes; it takes captions"):
        learn_words(CAPTIONS).given({"mouth": "smile"})
    with pytest.raises(OptionError, match="takes no attributes: train it again with lowerbound"):
        PromptVocabulary().given({"mouth": "smile"})


def test_a_prompt_holds_fields_and_then_words():
    both = replace(FACES, words=learn_words(CAPTIONS).words)
    prompt = both.prompt({"mouth": "smile"}, "round glasses")
    assert both.values(prompt[0]) == {"mouth": "smile"}
    assert both.text(prompt[0]) == "round glasses"
    assert torch.equal(both.fields_of(prompt), both.given({"mouth": "smile"}))
    assert torch.equal(both.prompt({"mouth": "smile"}), both.given({"mouth": "smile"}))
