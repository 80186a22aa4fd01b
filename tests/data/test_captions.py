"""Captions made from attributes say exactly these attributes, in words of the book."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lowerbound.data.prompts import Prompts
from lowerbound.data.vocabulary import PhraseBook, PromptVocabulary, words_of
from lowerbound.errors import DataError, LowerboundError
from lowerbound.priors.attributes import CaptionSampler

FACES = PromptVocabulary(
    {"mouth": ("sad", "smile"), "glasses": ("none", "round"), "hair_color": ("red", "black")}
)
BOOK = {
    "templates": ["a {before} face {after}", "{before} person {after}"],
    "phrases": {
        "mouth": {"sad": ["sad", "frowning"], "smile": ["smiling", "happy"]},
        "glasses": {"none": ["without glasses"], "round": ["with round glasses"]},
        "hair_color": {"red": ["with red hair", "red-haired"], "black": ["with black hair"]},
    },
}


@pytest.fixture
def book(tmp_path):
    (tmp_path / "book.json").write_text(json.dumps(BOOK), encoding="utf-8")
    return PhraseBook.read(tmp_path / "book.json")


def said(book: PhraseBook, caption: str) -> dict[str, str]:
    """The attributes of a caption: of each field the value that has a phrase in it."""
    text = " ".join(words_of(caption))
    return {
        name: value
        for name, values in book.phrases.items()
        for value, phrases in values.items()
        if any(" ".join(words_of(p)).removeprefix("with ") in text for p in phrases)
    }


def test_captions_say_the_attributes_they_were_made_from(book):
    random = np.random.default_rng(0)
    for code in range(8):
        values = FACES.values(torch.tensor([code & 1, code >> 1 & 1, code >> 2]))
        for _ in range(20):
            assert said(book, book.caption(values, random)) == values


def sampled(book: PhraseBook, codes: list[int], rows: int) -> list[str]:
    """Words of captions of one row, from the sampler of a prior."""
    prompts = Prompts(FACES, torch.tensor([codes])).said_by(book)
    torch.manual_seed(0)
    found = CaptionSampler(prompts.vocabulary)(prompts.codes.expand(rows, -1))
    fields = torch.full((rows, len(codes)), -1)
    return [prompts.vocabulary.text(row) for row in torch.cat([fields, found], 1)]


def test_sampled_captions_say_a_subset_and_at_least_one(book):
    found = [said(book, text) for text in sampled(book, [1, 0, 0], 3_000)]
    values = FACES.values(torch.tensor([1, 0, 0]))
    assert all(one.items() <= values.items() and one for one in found)
    counts = torch.bincount(torch.tensor([len(one) for one in found]), minlength=4) / 3_000
    # the share is uniform: 0 to 3 of 3 are equally likely, and none becomes one
    assert counts.tolist() == pytest.approx([0, 0.5, 0.25, 0.25], abs=0.05)


@pytest.mark.parametrize("templates", [BOOK["templates"], ["with {after}: a {before} face"]])
def test_sampled_captions_are_those_that_the_book_writes(book, templates):
    book = replace(book, templates=tuple(templates))
    values, random = FACES.values(torch.tensor([1, 1, 0])), np.random.default_rng(0)
    written = {" ".join(words_of(book.caption(values, random))) for _ in range(2_000)}
    whole = {text for text in sampled(book, [1, 1, 0], 4_000) if len(said(book, text)) == 3}
    assert whole == written


def test_unknown_attributes_are_not_said(book):
    assert set(sampled(book, [-1, 1, -1], 50)) == {"face round glasses", "person round glasses"}
    assert set(sampled(book, [-1, -1, -1], 50)) == {"face", "person"}


def test_fields_without_phrases_are_not_said():
    book = PhraseBook(phrases={"mouth": {"sad": ["sad"], "smile": ["smiling"]}})
    assert set(sampled(book, [1, 1, 0], 50)) == {"smiling one"}


def test_phrases_are_listed_as_a_person_would(book):
    values = {"mouth": "smile", "glasses": "round", "hair_color": "black"}
    captions = {book.caption(values, np.random.default_rng(seed)) for seed in range(50)}
    assert "a smiling face with round glasses and black hair" in captions
    values |= {"glasses": "none"}
    captions = {book.caption(values, np.random.default_rng(seed)) for seed in range(50)}
    assert "a smiling face with black hair, without glasses" in captions


def test_a_book_of_names_has_a_phrase_for_each_value():
    book = PhraseBook.of_names(FACES).fits(FACES)
    text = book.caption({"hair_color": "red", "mouth": "sad"}, np.random.default_rng(0))
    assert said(book, text) == {"hair_color": "red", "mouth": "sad"}


def test_the_words_of_the_book_are_the_vocabulary(book):
    vocabulary = Prompts(FACES, torch.tensor([[1, 0, 0]])).said_by(book).vocabulary
    text = "a happy person with round glasses and red hair"
    assert vocabulary.text(vocabulary.caption(text)[0]) == " ".join(words_of(text))
    assert vocabulary.names == (*FACES.fields, "captions")
    assert PromptVocabulary.of(vocabulary.options).options == vocabulary.options


def test_captions_of_a_file_stand_beside_attributes():
    prompts = Prompts(FACES, torch.tensor([[1, 0, 0], [0, -1, 1]]))
    both = prompts.with_captions(["a happy face", "sad"])
    assert [both.vocabulary.text(row) for row in both.codes] == ["happy face", "sad"]
    assert both.vocabulary.values(both.codes[1]) == {"mouth": "sad", "hair_color": "black"}
    assert torch.equal(both.vocabulary.fields_of(both.codes), prompts.codes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"templates": ["a face {after}"]}, r"each template needs \{before\} and \{after\} once"),
        ({"phrases": {}}, "there are no phrases"),
        ({"phrases": {"mouth": {"sad": []}}}, "the value 'sad' of mouth needs a list of phrases"),
        ({"phrases": ["smiling"]}, "takes Mapping"),
        ({"phrase": {}}, "did you mean 'phrases'"),
    ],
)
def test_files_of_another_form_are_refused_with_an_example(tmp_path, change, message):
    path = tmp_path / "book.json"
    path.write_text(json.dumps({**BOOK, **change}), encoding="utf-8")
    with pytest.raises(DataError, match=rf"{message}.*it is JSON such as"):
        PhraseBook.read(path)


@pytest.mark.parametrize(
    ("phrases", "message"),
    [
        ({"moth": {"sad": ["sad"]}}, "unknown attribute of the phrases: 'moth'; did you mean"),
        ({"mouth": {"sat": ["sad"]}}, "unknown value of mouth in the phrases: 'sat'"),
        (
            {"mouth": {"sad": ["sad"]}, "glasses": {"none": ["without glasses"]}},
            "the phrases have none for mouth=smile, glasses=round$",
        ),
    ],
)
def test_books_of_other_attributes_are_refused(phrases, message):
    with pytest.raises(LowerboundError, match=message):
        Prompts(FACES, torch.tensor([[0, 0, 0]])).said_by(PhraseBook(phrases=phrases))
