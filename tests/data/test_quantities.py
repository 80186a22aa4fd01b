"""Reading the quantities that codes are to predict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound.data import Schema, load
from lowerbound.data.sciences.molecules import property_values, some_property_values
from lowerbound.errors import OptionError

WORDS = ["aa", "ab", "bb", "abb", "bab", "b"] * 10


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "words.csv"
    bs = [word.count("b") for word in WORDS]
    frame = pd.DataFrame({"word": WORDS, "bs": bs, "other": 1.0})
    frame["gaps"] = ["" if i % 2 else str(b / 2) for i, b in enumerate(bs)]
    frame.to_csv(path, index=False)
    return path


def test_columns_beside_texts(table: Path) -> None:
    with pytest.warns(UserWarning, match="have more than 2 tokens"):
        data = load(
            table,
            tokens="characters",
            text="word",
            longest=2,
            on_error="skip",
            predict=("gaps", "bs"),
        )
    kept = [i for i, word in enumerate(WORDS) if len(word) <= 2]
    bs = np.array([WORDS[i].count("b") for i in kept], dtype=float)
    assert [quantity.name for quantity in data.schema.quantities] == ["gaps", "bs"]
    scale = data.schema.quantities[1].scale
    assert (scale.mean, scale.deviation) == pytest.approx((bs.mean(), bs.std()))
    assert data.quantities is not None
    assert data.quantities[:, 1].tolist() == pytest.approx((bs - bs.mean()) / bs.std())
    assert data.quantities[:, 0].isnan().tolist() == [bool(i % 2) for i in kept]
    part = data.subset([3, 1]).quantities
    assert part is not None
    assert part.nan_to_num().equal(data.quantities[[3, 1]].nan_to_num())
    again = Schema.from_mapping(data.schema.to_mapping())
    assert again == data.schema
    with pytest.warns(UserWarning, match="have more than 2 tokens"):
        assert load(table, schema=again).quantities is None


def test_columns_beside_formulas() -> None:
    frame = pd.DataFrame({"name": ["GaAs", "InP", "ZnSe"] * 10, "gap": np.arange(30) / 10})
    data = load(frame, formula="name", predict=("gap",))
    assert data.quantities is not None
    scale = data.schema.quantities[0].scale
    values = scale.restored(data.quantities[:, 0]).tolist()
    assert values == pytest.approx(frame["gap"].tolist(), abs=1e-6)


def test_properties_of_molecules() -> None:
    pytest.importorskip("rdkit")
    pytest.importorskip("selfies")
    smiles = ["C" * n + end for n in range(1, 11) for end in ("", "O", "N")]
    frame = pd.DataFrame({"smiles": smiles, "assay": range(30)})
    data = load(frame, tokens="selfies", text="smiles", predict=("logp", "assay"))
    assert data.quantities is not None
    scales = [quantity.scale for quantity in data.schema.quantities]
    values = [s.restored(data.quantities[:, i]).tolist() for i, s in enumerate(scales)]
    assert values[0] == pytest.approx(property_values("logp", smiles)["logp"].tolist(), abs=1e-5)
    assert values[1] == pytest.approx(list(range(30)), abs=1e-5)
    some = some_property_values(["logp"], smiles, 4)["logp"]
    assert np.flatnonzero(~np.isnan(some)).tolist() == [0, 10, 19, 29]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": "characters", "text": "word", "predict": ("b",)}, "did you mean 'bs'"),
        ({"predict": ("bs",)}, "--predict is for molecules, texts and formulas"),
    ],
)
def test_bad_names(table: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load(table, **options)  # type: ignore[arg-type]
