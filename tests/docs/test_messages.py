"""The messages that docs/data.md shows are the ones that people get."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lowerbound.data import load
from lowerbound.data.audio.clips import write_wav
from lowerbound.errors import LowerboundError
from lowerbound.likelihoods import LIKELIHOODS
from tests.docs.pages import DOCS, section

ROWS = np.random.default_rng(0).normal(size=(100, 3))


def with_nan() -> Any:
    import pandas as pd

    frame = pd.DataFrame(ROWS, columns=["weight", "height", "age"])
    frame.loc[[3, 17], "height"] = np.nan
    return frame


def bad_csv() -> str:
    Path("bad.csv").write_text("a,b\n1,2\n3,4,5\n", encoding="utf-8")
    return "bad.csv"


def cut_sound() -> Path:
    path = Path("cut.wav")
    write_wav(path, np.zeros(1_000, np.float32), 8_000)
    path.write_bytes(path.read_bytes()[:-500])
    return path


def damaged_picture() -> str:
    Path("pictures").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    Image.fromarray(noise).save("pictures/whole.png")
    whole = Path("pictures/whole.png").read_bytes()
    Path("pictures/broken.png").write_bytes(whole[:100])
    return "pictures"


def greys_under_bernoulli() -> None:
    digits = load("digits")
    LIKELIHOODS["bernoulli"].from_schema(digits.schema, {}).check(digits.all().x)


def purchases(customers: list[str], days: list[str | None]) -> object:
    import pandas as pd

    frame = pd.DataFrame({"customer": customers, "date": days, "item": list("abcd")})
    return load(frame, entity="customer", time="date")


DAYS = ["2024-05-01", "2024-05-03", "2024-05-04"]
MISTAKES: dict[str, Callable[[], object]] = {
    "no rows": lambda: load(np.zeros((0, 3))),
    "rows of different length": lambda: load([[1, 2], [3]]),
    "NaN or infinities": lambda: load(with_nan(), missing="error"),
    "a csv line with too many fields": lambda: load(bad_csv()),
    "another width than the model's": lambda: load(ROWS[:, :2], schema=load(ROWS).schema),
    "a damaged picture": lambda: load(damaged_picture()),
    "sound that was cut off": lambda: load(cut_sound()),
    "floats that are no greys": lambda: load(np.linspace(0, 300, 640).reshape(10, 8, 8)),
    "grey values, Bernoulli likelihood": greys_under_bernoulli,
    "a name that is nothing": lambda: load("mnits"),
    "a database that is not there": lambda: load("duckdb:people.db"),
    "an event without a time": lambda: purchases(["C-1", "C-2"] * 2, [*DAYS, None]),
    "events of one entity": lambda: purchases(["C-17"] * 4, [*DAYS, "2024-06-01"]),
    "an unknown option value": lambda: load(ROWS, binarize="dynmic"),
}


def documented() -> dict[str, str]:
    """What was given -> the message, from the page's table."""
    text = section(DOCS / "data.md", "When data cannot be used").text
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    return {given: message for given, message in rows if given not in ("what was given", "---")}


def test_every_message_of_the_page_is_tried() -> None:
    assert set(documented()) == set(MISTAKES)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_message(mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LowerboundError) as caught:
        MISTAKES[mistake]()
    expected = documented()[mistake].removeprefix("(the file) ")
    assert expected in str(caught.value)
