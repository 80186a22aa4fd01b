"""Texts as rows of tokens: every text returns, and bad input is named."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.config import from_mapping, to_mapping
from lowerbound.data import Texts, load
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.texts import TOKENIZERS
from lowerbound.data.sequences.token_kind import texts_of
from lowerbound.data.tables.dialect import Dialect
from lowerbound.errors import DataError, OptionError

WORDS = ["a cat sat", "the dog", "a dog sat  down", ""]
MOLECULES = ["CCO", "c1ccccc1", "C[C@H](N)C(=O)O", "BrCCCl", "[Na+].[Cl-]", "C%10CC%10"]


@pytest.mark.parametrize("name", ["characters", "words", "smiles"])
def test_splitting_loses_nothing(name: str) -> None:
    tokenizer = TOKENIZERS[name]()
    for text in MOLECULES if name == "smiles" else WORDS:
        assert tokenizer.join(tokenizer.split(text)) == text


def test_tokens_of_smiles() -> None:
    assert TOKENIZERS["smiles"]().split("C[C@H](Br)c1Cl") == [
        "C", "[C@H]", "(", "Br", ")", "c", "1", "Cl",
    ]  # fmt: skip
    with pytest.raises(DataError, match="'C!' is not SMILES"):
        TOKENIZERS["smiles"]().split("C!")


def test_texts_return() -> None:
    dataset = load(WORDS[:3], tokens="words")
    assert texts_of(dataset) == WORDS[:3]
    assert dataset.schema.event_shape == (5,)
    assert (dataset.x != 0).sum(1).tolist() == [3, 2, 4]
    assert dataset.schema.data_kind.values_per_row(dataset) == 4  # with the end
    again = from_mapping(Schema, to_mapping(dataset.schema))
    assert texts_of(load(["the cat down"[:7]], schema=again)) == ["the cat"]


def test_an_empty_text_is_an_end() -> None:
    dataset = load(Texts(["ab", ""]))
    assert texts_of(dataset) == ["ab", ""]


def test_a_file_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("one\n\ntwo \n")
    with pytest.warns(UserWarning, match="has 1 empty line, left out here"):
        found = load(path, tokens="characters")
    assert texts_of(found) == ["one", "two "]
    assert found.ids == ("0", "2")


def test_rows_are_named_by_their_lines_where_lines_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "bad.smi"
    path.write_text("CCO\n\n\nCC!\n")
    with (
        pytest.warns(UserWarning, match="has 2 empty lines, left out here"),
        pytest.raises(DataError, match=r"row 3: 'CC!' is not SMILES"),
    ):
        load(path, tokens="smiles")
    schema = load(["CCO"], tokens="smiles").schema
    for text, message in (("CCN", r"'N' \(row 2\)"), ("CCOC", "row 2 has 4 tokens")):
        path.write_text(f"CCO\n\n{text}\n")
        with (
            pytest.warns(UserWarning, match="the number of a row is that of its line"),
            pytest.raises(DataError, match=message),
        ):
            load(path, schema=schema)


def test_a_file_of_molecules_with_names(tmp_path: Path) -> None:
    path = tmp_path / "few.smi.gz"
    with gzip.open(path, "wt") as file:
        file.write("SMILES\nCCO ethanol\nCC  ethane of gas\n")
    dataset = load(path, tokens="smiles")
    assert dataset.ids == ("ethanol", "ethane of gas")
    assert texts_of(dataset) == ["CCO", "CC"]


def test_a_table_with_a_label(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("code,kind\n007,x\n010,y\n")
    dataset = load(path, tokens="characters", text="code", label="kind")
    assert texts_of(dataset) == ["007", "010"]
    assert dataset.schema.class_names == ("x", "y")
    frame = pd.DataFrame({"code": ["7", "0"]})
    assert texts_of(load(frame, schema=dataset.schema)) == ["7", "0"]


def test_long_texts_are_left_out_with_their_labels() -> None:
    frame = pd.DataFrame({"t": ["aaaa", "b", "ab"], "y": ["u", "v", "v"]})
    with pytest.warns(UserWarning, match="1 of 3 texts have more than 3 tokens"):
        dataset = load(frame, tokens="characters", text="t", label="y", longest=3)
    assert texts_of(dataset) == ["b", "ab"]
    assert dataset.schema.class_names == ("v",)


def test_bad_input(tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": ["ab", None], "u": ["a", "b"]})
    with pytest.raises(OptionError, match="--text COLUMN"):
        load(frame, tokens="characters")
    with pytest.raises(DataError, match="no column 'v'"):
        load(frame, tokens="characters", text="v")
    with pytest.raises(DataError, match=r"1 of 2 texts .*row 1: its cell is empty"):
        load(frame, tokens="characters", text="t")
    with pytest.raises(OptionError, match="unknown tokenizer 'character'"):
        load(["ab"], tokens="character")
    with pytest.raises(DataError, match="every text is empty"):
        load(["", ""], tokens="characters")
    with pytest.raises(DataError, match="there is no file"):
        load(tmp_path / "absent.smi")
    empty = tmp_path / "empty.smi"
    empty.write_text("")
    with pytest.raises(DataError, match="has no molecule"):
        load(empty)
    dataset = load(["ab", "b"], tokens="characters")
    with pytest.raises(DataError, match=r"does not know 1 of the tokens: 'c' \(row 1\)"):
        load(["a", "cb"], schema=dataset.schema)
    with pytest.raises(DataError, match="row 0 has 3 tokens, and the model takes 2"):
        load(["aba"], schema=dataset.schema)
    with pytest.raises(OptionError, match="the model has characters"):
        load(["a"], schema=dataset.schema, tokens="words")


def test_rows_that_cannot_be_read_are_named_or_left_out() -> None:
    rows = ["CC"] * 200 + ["C!"]
    with pytest.raises(DataError, match=r"1 of 201 molecules .*row 200: 'C!' is not SMILES"):
        load(rows, tokens="smiles")
    with pytest.warns(UserWarning, match="1 of 201"):
        assert len(load(rows, tokens="smiles", on_error="skip")) == 200
    with pytest.raises(DataError, match="--on-error skip leaves them out"):
        load(rows, tokens="smiles")
    asked: tuple[dict[str, Any], ...] = ({}, {"on_error": "skip"})
    for options in asked:
        with pytest.raises(DataError, match=r"rows count from 0\); more than 1% are not left out"):
            load(rows[150:], tokens="smiles", **options)


def test_selfies_return_the_molecule() -> None:
    chem = pytest.importorskip("rdkit.Chem")
    pytest.importorskip("selfies")
    rows = ["CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)O", "CCO"]
    found = texts_of(load(rows, tokens="selfies"))
    canonical = [chem.CanonSmiles(text) for text in found]
    assert canonical == [chem.CanonSmiles(text) for text in rows]


def test_codes_beyond_an_end_are_left_out() -> None:
    dataset = load(["ab", "a"], tokens="characters")
    units = np.array([[0.0, 1.0, 0.5], [0.5, 0.0, 1.0]])
    assert dataset.schema.decode(units).tolist() == ["", "a"]


def test_empty_lines_at_the_end_of_a_file_are_none(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("one\ntwo\n\n\n", encoding="utf-8")
    assert load(path, tokens="characters").ids is None


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "t.smi"
    path.write_bytes(b"\xef\xbb\xbfCCO\nCCN\n")
    assert texts_of(load(path, tokens="smiles")) == ["CCO", "CCN"]


def test_rows_without_text_are_left_out_with_their_labels(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("note;kind\nab;x\n;y\n12;y\nb;x\n")
    options: dict[str, Any] = {"text": "note", "tokens": "characters"}
    options["dialect"] = Dialect.asked(delimiter=";")
    with pytest.raises(DataError, match=r"row 1: its cell is empty.*--on-error skip leaves them"):
        load(tmp_path / "t.csv", label="kind", **options)
    for label in ("kind", ["x", "y", "y", "x"]):
        with pytest.warns(UserWarning, match="1 of 4 texts .*left out"):
            found = load(tmp_path / "t.csv", on_error="skip", label=label, **options)
        assert found.ids == ("0", "2", "3")
        assert found.label is not None
        assert [found.schema.class_names[i] for i in found.label] == ["x", "y", "x"]


def test_numbers_of_a_column_of_texts_stay_as_written(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("note|kind\n007|x\n08|y\n")
    asked = Dialect.asked(delimiter="|")
    found = load(tmp_path / "t.csv", text="note", tokens="characters", dialect=asked)
    assert texts_of(found) == ["007", "08"]


def test_one_far_longer_text_is_noted() -> None:
    """Every row of the model would be as long."""
    texts = pd.DataFrame({"text": ["a short text"] * 50 + ["long " * 100]})
    with pytest.warns(
        UserWarning, match=r"the longest text has 500 tokens, and 95% .* 12: .*--lon"
    ):
        load(texts, tokens="characters", text="text")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(texts[:50], tokens="characters", text="text")


def test_a_file_of_texts_that_is_read_as_a_table_says_how_to_read_texts(tmp_path: Path) -> None:
    path, advice = tmp_path / "texts.txt", "if each line is a text, give --tokens words"
    path.write_text("a cat\na dog\nthe fox\n" * 9, encoding="utf-8")
    with pytest.warns(UserWarning, match=f"read as a table of 2 columns of text; {advice}"):
        load(path)
    path.write_text("well, a cat\na dog\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"is ragged: line 2 .*; {advice}"):
        load(path)
    path.write_text("1 2\n3 4\n5 7\n", encoding="utf-8")
    load(path)
