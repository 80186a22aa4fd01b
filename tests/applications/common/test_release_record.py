"""The release record: read back as it was written, and a page for people."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from lowerbound.applications.common.release_record import Attacks, MeasuredAttack, TableRelease
from lowerbound.data.protection.record import ColumnProtection, Protection
from lowerbound.errors import DataError
from lowerbound.fitting.source import DataSource
from lowerbound.training.private.record import ReleaseRecord

COLUMNS = ('=HYPERLINK("x")', "<script>alert(1)</script>", "plain & simple")
PROTECTION = Protection(
    10,
    entities=1_500,
    columns=(
        ColumnProtection(COLUMNS[0], "identifier", "fresh values in place of names", 1_500, 1_500),
        ColumnProtection(COLUMNS[1], "number", "between 19 and 89", 1, 6),
    ),
)
GUARANTEE = ReleaseRecord(
    mechanism="3 count tables",
    epsilon=1.0,
    delta=1e-5,
    rows=1_500,
    rho=0.03,
    public=("names of columns",),
    copied={COLUMNS[0]: {"kind": "binary", "levels": ["=1+1", "<b>"]}, "n": {"low": 1, "high": 9}},
    protection=PROTECTION,
)
PLAIN = TableRelease("out.csv", 500, COLUMNS, "ab" * 32, "2026-12-01", "lowerbound synthesize m.lb")
ATTACKS = Attacks(
    "2026-12-02",
    "leak",
    ("useful", "revealed", "limits"),
    (MeasuredAttack("singling out", "success", 0.1, 0.05, 0.2, 0.06),),
)
RELEASES = {
    "plain": PLAIN,
    "protected": replace(
        PLAIN,
        protection=PROTECTION,
        given=("sex",),
        data=DataSource("people.csv", 1_500, "cd" * 32),
    ),
    "private": replace(PLAIN, protection=PROTECTION, guarantee=GUARANTEE, attacks=ATTACKS),
}


@pytest.mark.parametrize("name", RELEASES)
def test_a_record_is_read_back_as_it_was_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / "out.csv.release.json"
    path.write_text(RELEASES[name].text())
    again = TableRelease.read(path)
    assert again == RELEASES[name]
    assert again.text() == RELEASES[name].text()
    assert again.page() == RELEASES[name].page()


@pytest.mark.parametrize("name", RELEASES)
def test_a_page_asks_for_nothing_and_runs_nothing(name: str) -> None:
    page = RELEASES[name].page()
    assert "<script" not in page
    assert not re.search(r"(src|href)\s*=|url\(|@import", page)
    assert "&lt;script&gt;" in page
    assert "&#39;=HYPERLINK" in page
    assert ">=HYPERLINK" not in page
    assert "&lt;b&gt;" in page or name != "private"


def test_the_limits_say_what_holds() -> None:
    said = {name: " ".join(release.not_promised) for name, release in RELEASES.items()}
    assert "values are not protected" in said["plain"]
    assert "no guarantee of differential privacy" in said["plain"]
    assert "values are not protected" not in said["protected"]
    assert "given cells of sex" in said["protected"]
    assert "drawn as numbers" in said["protected"]
    assert "except in given cells" in RELEASES["protected"].page()
    assert "no guarantee" not in said["private"]
    assert "one row stands for one person" in said["private"]
    for name, release in RELEASES.items():
        assert all(
            words[1:] in release.page().replace("&#39;", "'") for words in release.not_promised
        )
        assert "GDPR" in said[name]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "is not a release record"),
        ("{}", "is not a release record"),
        ('{"file": 3}', "is not a release record"),
        (PLAIN.text().replace('"rows": 500', '"rowz": 500'), "did you mean 'rows'"),
        (PLAIN.text().replace('"rows": 500', '"rows": "many"'), "rows"),
    ],
)
def test_what_is_no_record_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.release.json"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        TableRelease.read(path)
