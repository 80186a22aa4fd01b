"""Prompts of rows: classes, factors, attributes in files beside the data, and captions."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.data import load
from lowerbound.data.prompts import (
    Prompts,
    captions_in_file,
    prompts_in_file,
    prompts_of_classes,
    prompts_of_factors,
)
from lowerbound.data.vocabulary import PhraseBook, PromptVocabulary, words_of
from lowerbound.errors import DataError, LowerboundError, OptionError
from lowerbound.priors.attributes import CaptionSampler

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 4, 4), dtype=np.uint8)
FACTORS = np.array([[0, 2], [1, 0], [1, 1], [0, 1], [0, 0], [1, 2]], dtype=np.uint8)
MOUTHS, HAIRS = np.array(["sad", "smile"]), np.array(["none", "bob", "curly"])


def faces(path, **arrays):
    """Pictures with factors in an .npz file, read."""
    known = {"x_train": PICTURES, "x_test": PICTURES[:2], "factors_train": FACTORS}
    known |= {"factors_test": FACTORS[:2], "factor_names": np.array(["mouth", "hair"])}
    known |= {"names_mouth": MOUTHS, "names_hair": HAIRS}
    np.savez(path / "faces.npz", **{**known, **arrays})
    return path / "faces.npz"


def test_factors_and_the_names_of_their_values_are_read_with_the_rows(tmp_path):
    rows = load(faces(tmp_path))
    assert rows.factors.tolist() == FACTORS.tolist()
    assert (rows.factor_names, rows.factor_values) == (
        ("mouth", "hair"),
        (("sad", "smile"), ("none", "bob", "curly")),
    )
    assert load(tmp_path / "faces.npz", split="test").factors.tolist() == FACTORS[:2].tolist()
    prompts = prompts_of_factors(rows)
    assert prompts.vocabulary.values(prompts.codes[2]) == {"mouth": "smile", "hair": "bob"}


def test_the_drawn_faces_have_ten_factors(data_folder_of_faces):
    rows = load(data_folder_of_faces)
    prompts = prompts_of_factors(rows).only(["mouth", "accessory"])
    assert rows.factors.shape == (8000, 10)
    assert prompts.vocabulary.sizes == (13, 10)
    assert "smile" in prompts.vocabulary.fields["mouth"]


@pytest.fixture
def data_folder_of_faces():
    """The file of drawn faces, where it is at hand."""
    import os
    from pathlib import Path

    path = Path(os.environ.get("LOWERBOUND_DATA", "")) / "avatars64.npz"
    if not path.is_file():
        pytest.skip("the drawn faces are not here")
    return path


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"factors_train": FACTORS + 1}, "has the value 2 of mouth, and names_mouth has 2 names"),
        ({"factors_train": FACTORS / 2}, r"factors_train is float64 of shape \(6, 2\); it needs"),
        ({"factors_train": FACTORS[:, :1]}, "a column for each of the 2 factor_names"),
        ({"factors_train": FACTORS[:3]}, "6 rows of data but 3 of factors"),
    ],
)
def test_factors_that_do_not_fit_are_refused(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        load(faces(tmp_path, **arrays))


def test_unknown_factors_stay_unknown(tmp_path):
    some = FACTORS.astype(np.int8)
    some[0] = -1
    prompts = prompts_of_factors(load(faces(tmp_path, factors_train=some)))
    assert prompts.codes[0].tolist() == [-1, -1]


def test_prompts_stay_with_their_rows(tmp_path):
    rows = load(faces(tmp_path))
    prompted = prompts_of_factors(rows).on(rows)
    few = prompted.subset([4, 1])
    assert few.prompt.tolist() == FACTORS[[4, 1]].tolist()
    assert few.batch(torch.tensor([1])).prompt.tolist() == [FACTORS[1].tolist()]
    assert few.vocabulary == prompted.vocabulary


def test_classes_become_a_field(tmp_path):
    np.savez(tmp_path / "a.npz", x=PICTURES, y=np.array(["b", "a", "a", "", "b", "a"]))
    prompts = prompts_of_classes(load(tmp_path / "a.npz"))
    assert prompts.vocabulary == PromptVocabulary({"class": ("a", "b")})
    assert prompts.codes[:, 0].tolist() == [1, 0, 0, -1, 1, 0]
    with pytest.raises(DataError, match=r"has no classes that the model knows: .*--attributes"):
        prompts_of_classes(load(PICTURES))


# files of attributes ------------------------------------------------------------------------------

TABLE = pd.DataFrame(
    {"file": list("abcdef"), "smiling": [1, 0, 1, None, 0, 1], "hair": [*list("xyxyx"), None]}
)


@pytest.fixture(params=["csv", "parquet"])
def write(request, tmp_path):
    """Writes a frame, and returns its path."""

    def written(frame):
        path = tmp_path / f"attributes.{request.param}"
        if request.param == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, index=False)
        return path

    return written


def test_a_table_is_read_in_the_order_of_the_rows(write):
    prompts = prompts_in_file(write(TABLE.drop(columns="file")), None, 6)
    assert prompts.vocabulary == PromptVocabulary({"smiling": ("0", "1"), "hair": ("x", "y")})
    assert prompts.codes.T.tolist() == [[1, 0, 1, -1, 0, 1], [0, 1, 0, 1, 0, -1]]


def test_a_table_with_the_names_of_the_rows_is_read_by_name(write):
    names = ("c", "b", "f", "e")
    shuffled = prompts_in_file(write(TABLE.sample(frac=1, random_state=1)), names, 4)
    assert shuffled.codes.tolist() == [[1, 0], [0, 1], [1, -1], [0, 0]]


def test_columns_that_are_not_chosen_need_not_be_attributes(write):
    assert prompts_in_file(write(TABLE), None, 6, ["hair"]).vocabulary.names == ("hair",)
    with pytest.raises(OptionError, match=r"unknown attribute 'hare'; did you mean 'hair'"):
        prompts_in_file(write(TABLE), None, 6, ["hare"])


def test_minus_one_and_one_are_two_values_and_minus_one_alone_is_unknown(write):
    signs = pd.DataFrame({"young": [1, -1, 1, -1], "age": [0, 1, -1, 2]})
    with pytest.warns(UserWarning, match="-1, which means unknown"):
        prompts = prompts_in_file(write(signs), None, 4)
    assert prompts.vocabulary == PromptVocabulary({"young": ("-1", "1"), "age": ("0", "1", "2")})
    assert prompts.codes.T.tolist() == [[1, 0, 1, 0], [0, 1, -1, 2]]


@pytest.mark.parametrize(
    ("frame", "names", "message"),
    [
        (TABLE[["hair"]][:5], None, "has 5 rows, and the data has 6"),
        (TABLE[["hair"]][:5], tuple("abcdef"), "5 rows, and no column of names such as 'a', and"),
        (TABLE[:5], tuple("abcdef"), "has no row for 1 of the data's 6 rows: f; leave"),
        (pd.concat([TABLE, TABLE[:1]]), tuple("abcdef"), "several rows of 'a' in the column 'file"),
        (TABLE, None, "'file' .* has another value in each row, so it holds names"),
        (TABLE[["hair"]].assign(age=[0.5, 1, 2, 3, 4, 5]), None, "'age' .* numbers that are not"),
    ],
)
def test_tables_of_other_rows_and_columns_that_are_no_attributes_are_refused(
    tmp_path, frame, names, message
):
    path = tmp_path / "attributes.csv"
    frame.to_csv(path, index=False)
    with pytest.raises(DataError, match=message):
        prompts_in_file(path, names, 6)


@pytest.mark.parametrize(
    ("column", "message"),
    [(["x"] * 6, r"'hair' has one value only \('x'\)"), ([None] * 6, "'hair' has no known value")],
)
def test_attributes_of_one_value_are_refused(tmp_path, column, message):
    TABLE.assign(hair=column).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=message):
        prompts_in_file(tmp_path / "a.csv", None, 6, ["hair"]).varied()


def test_the_fields_of_two_sources_stand_side_by_side():
    one = Prompts.of_values({"a": (("x", "y"), torch.tensor([0, 1]))})
    two = Prompts.of_values({"b": (("u", "v"), torch.tensor([1, 0]))})
    assert one.beside(two).codes.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(OptionError, match="'a' is given twice"):
        one.beside(one)
    with pytest.raises(OptionError, match=r"unknown attribute 'bb'; did you mean 'b'"):
        one.beside(two).only(["bb"])


def test_codes_in_terms_of_another_vocabulary():
    prompts = Prompts(
        PromptVocabulary({"hair": ("curly", "none", "wig"), "shoe": ("l", "r")}),
        torch.tensor([[0, 0], [-1, 1], [1, 0]]),
    )
    faces = PromptVocabulary({"mouth": ("sad", "smile"), "hair": ("none", "bob", "curly")})
    assert prompts.in_terms_of(faces).tolist() == [[-1, 2], [-1, -1], [-1, 0]]
    other = replace(prompts, codes=torch.tensor([[2, 0]]))
    with pytest.raises(OptionError, match="unknown value of hair 'wig'"):
        other.in_terms_of(faces)
    with pytest.raises(OptionError, match="unknown attribute 'shoe'"):
        prompts.only(["shoe"]).in_terms_of(faces)


def test_captions_are_lines_or_a_column(tmp_path):
    (tmp_path / "a.txt").write_text("one face\nanother\n", encoding="utf-8")
    assert captions_in_file(tmp_path / "a.txt", None, 2) == ["one face", "another"]
    with pytest.raises(DataError, match="has 2 captions, and the data 3 rows"):
        captions_in_file(tmp_path / "a.txt", None, 3)
    frame = pd.DataFrame({"file": ["b", "a"], "caption": ["one face", None], "seen": [1, 2]})
    frame.to_csv(tmp_path / "b.csv", index=False)
    assert captions_in_file(tmp_path / "b.csv", ("a", "b"), 2) == ["", "one face"]
    frame[["seen", "file"]].to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(DataError, match="has no column 'caption'; it has seen, file"):
        captions_in_file(tmp_path / "c.csv", None, 2)


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
