"""No way of drawing knows a value that few people have, nor does the model folder."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound import TableSynthesizer
from lowerbound.applications.release.synthesizer_fit import SynthesizerOptions, fit_synthesizer
from lowerbound.fitting import Fitted, folder as model_folder
from lowerbound.inference.tables import TableSource
from tests.data.protection.people import TEXT, drawn_rare, people, rare_values

ROWS = 600


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return people(ROWS)


@pytest.fixture(scope="module")
def fitted(frame: pd.DataFrame) -> Fitted:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit_synthesizer(
            frame,
            SynthesizerOptions(
                combinations=[("job", "group")], prior="standard_normal", minutes=0.02
            ),
        )


def whole(blocks: object) -> pd.DataFrame:
    return pd.concat(list(blocks), ignore_index=True)  # type: ignore[call-overload]


def far(rows: pd.DataFrame, frame: pd.DataFrame) -> dict[str, int]:
    """How many cells are one of the nine largest or smallest values of a column."""
    counts = {}
    for name in ("net", "tax", "total", "start", "end"):
        ends = pd.concat([frame[name].nlargest(9), frame[name].nsmallest(9)])
        counts[name] = int(rows[name].isin(ends).sum())
    return {name: count for name, count in counts.items() if count}


def ways(fitted: Fitted, frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of each way of drawing."""
    source = TableSource(fitted)
    return {
        "new": whole(source.blocks(1_500)),
        "given": whole(source.with_given({"town": "City A"}).frames(200)),
        "like": whole(source.completed(frame[["country", "job"]].assign(job=None))),
        "complete": whole(TableSource(fitted, complete=True).blocks(300)),
        "beyond the range": whole(TableSource(fitted, beyond_range=True).blocks(300)),
        "unmapped": whole(TableSource(fitted, mapped=False).blocks(300)),
    }


@pytest.mark.slow
def test_no_way_of_drawing_has_a_rare_value(fitted: Fitted, frame: pd.DataFrame) -> None:
    for way, rows in ways(fitted, frame).items():
        assert drawn_rare(rows, frame) == {}, way
        assert rows["remark"].isna().all(), way
        if way != "beyond the range":
            assert far(rows, frame) == {}, way
            assert (rows["start"] <= rows["end"]).all(), way
            np.testing.assert_allclose(
                rows["total"], rows["net"] + rows["tax"], atol=1e-6, err_msg=way
            )


def test_fresh_cells_have_the_form_of_the_given_ones(fitted: Fitted, frame: pd.DataFrame) -> None:
    rows = whole(TableSource(fitted).blocks(ROWS))
    assert rows["mail"].dropna().str.fullmatch(r"[a-z]+\d+@(web\.de|example\.org)").all()
    assert rows["name"].str.fullmatch("[A-Z][a-z]+ [A-Z][a-z]+").all()
    assert rows["phone"].str.fullmatch(r"\+49 \d\d \d{6}").all()
    assert rows["phone"].is_unique
    assert rows["patient_id"].nunique() == pytest.approx(frame["patient_id"].nunique(), rel=0.1)
    assert abs(rows["mail"].isna().mean() - frame["mail"].isna().mean()) < 0.06
    for name in ("name", "phone", "patient_id", "town", "age", "start"):
        assert rows[name].dtype == frame[name].dtype, name


def test_the_model_folder_has_no_rare_value(
    fitted: Fitted, frame: pd.DataFrame, tmp_path: Path
) -> None:
    model_folder.write(tmp_path / "m", fitted)
    files = [path for path in (tmp_path / "m").rglob("*") if path.is_file()]
    content = b"\n".join(path.read_bytes() for path in files)
    assert b"City A" in content
    for name in TEXT:
        for value in rare_values(frame, name) - {"x"}:
            assert value.encode() not in content, (name, value)
    schema = (tmp_path / "m" / "schema.json").read_text(encoding="utf-8")
    numbers = {float(word) for word in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", schema)}
    for name in ("net", "tax", "total"):
        assert not numbers & {*frame[name].nlargest(9), *frame[name].nsmallest(9)}, name


@pytest.mark.slow
def test_an_unprotected_fit_is_seen(frame: pd.DataFrame, tmp_path: Path) -> None:
    """The same figures find what a fit without protection publishes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = fit_synthesizer(
            frame, SynthesizerOptions(prior="standard_normal", minutes=0.005, least_people=1)
        )
    rows = whole(TableSource(plain).blocks(1_000))
    found = drawn_rare(rows, frame)
    assert found["town"] > 100
    assert found["patient_id"] if "patient_id" in found else found["name"]
    model_folder.write(tmp_path / "m", plain)
    assert b"Village 7" in (tmp_path / "m" / "schema.json").read_bytes()


@pytest.mark.slow
def test_given_cells_that_the_model_does_not_know_stay(fitted: Fitted) -> None:
    source = TableSource(fitted)
    given = pd.DataFrame({"name": ["Zoe Zimt", None], "town": ["Village 3", "City A"]})
    with pytest.warns(UserWarning, match=r"'town' has levels that the model does not know"):
        rows = whole(source.completed(given))
    assert rows["town"].tolist() == ["Village 3", "City A"]
    assert rows["name"][0] == "Zoe Zimt"
    phone = whole(source.blocks(1))["phone"][0]
    twice = whole(source.completed(pd.DataFrame({"phone": [phone, None, None]})))["phone"]
    assert twice[0] == phone
    assert twice.is_unique


def test_given_numbers_may_lie_beyond_the_bounds(fitted: Fitted, frame: pd.DataFrame) -> None:
    last = frame["start"].max()
    rows = whole(TableSource(fitted).completed(pd.DataFrame({"start": [last] * 20})))
    assert (rows["start"] == last).all()
    assert (rows["end"] >= last).all()


@pytest.mark.slow
@pytest.mark.parametrize("prior", ["diffusion", "mixture"])
def test_other_priors_and_the_estimator(frame: pd.DataFrame, prior: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = TableSynthesizer(prior=prior, minutes=0.03, random_state=0).fit(frame)
    assert drawn_rare(made.sample(1_000), frame) == {}
    assert made.protection_.least_people == 10


@pytest.mark.slow
def test_entities_of_several_rows(frame: pd.DataFrame) -> None:
    some = frame.copy()
    some.loc[some.index[:40], ["town", "patient_id", "net"]] = ["Lonely", 7, 77_777.77]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = TableSynthesizer(entity="patient_id", minutes=0.01, random_state=0).fit(some)
    rows = made.sample(1_000)
    assert not rows["town"].eq("Lonely").any()
    assert not rows["net"].eq(77_777.77).any()
    assert not rows["patient_id"].isin(some["patient_id"]).any()


@pytest.mark.filterwarnings("ignore")
def test_declared_columns_may_become_constant() -> None:
    draw = np.random.default_rng(0)
    rare = np.arange(200) < 4
    frame = pd.DataFrame(
        {
            "town": np.where(rare, "Vaduz", draw.choice(["Ulm", "Bonn"], 200)),
            "country": np.where(rare, "Liechtenstein", "Germany"),
            "children": np.where(rare, 9.0, 0.0),
            "age": draw.integers(18, 90, 200),
        }
    )
    fitted = fit_synthesizer(
        frame,
        SynthesizerOptions(
            combinations=[("town", "country")],
            constraints=["children <= age"],
            prior="standard_normal",
            minutes=0.002,
        ),
    )
    drawn = whole(TableSource(fitted).blocks(300))
    assert set(drawn["country"]) == {"Germany"}
    assert set(drawn["children"]) == {0.0}
