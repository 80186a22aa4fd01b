"""lowerbound audit and lowerbound canaries, from files to the page, and what they refuse."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.release.audit import audit
from lowerbound.applications.release.requests import AuditRequest
from lowerbound.errors import DataError, OptionError
from tests.applications.release.people import fresh, noisy, parts
from tests.cli.conftest import Run

ROWS = 120


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """real.csv, holdout.parquet, fresh.csv and copies.csv."""
    folder = tmp_path_factory.mktemp("release")
    real, holdout, other = (
        part.assign(
            person_id=np.arange(ROWS) + 1000 * i,
            passport=[f"P{i}-{j}" for j in range(ROWS)],
            country="CH",
        )
        for i, part in enumerate(parts(ROWS))
    )
    real.to_csv(folder / "real.csv", index=False)
    holdout.to_parquet(folder / "holdout.parquet")
    other.to_csv(folder / "fresh.csv", index=False)
    real.to_csv(folder / "copies.csv", index=False)
    return folder


def words(folder: Path, synthetic: str, *more: object) -> list[object]:
    return [
        *("audit", folder / "real.csv", folder / f"{synthetic}.csv"),
        *("--holdout", folder / "holdout.parquet", *more),
    ]


@pytest.mark.slow
def test_copies_are_a_leak_and_the_check_fails(run: Run, files: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = run(*words(files, "copies", "--label", "kind", "-o", page, "--at-most", "0.6", "--json"))
    assert done.code == 1
    found = done.object
    assert found["conclusions"]["verdict"] == "leak"
    assert all(attack["area"]["value"] > 0.97 for attack in found["findings"]["membership"])
    assert found["findings"]["copies"]["synthetic"] == ROWS
    assert found["findings"]["left_out"] == ["person_id", "passport"]
    assert found["findings"]["constant"] == ["country"]
    text = page.read_text(encoding="utf-8")
    assert "Training rows are revealed" in text
    assert text.index("predicts") < text.index("The synthetic rows reveal") < text.index("Do not")
    assert len(re.findall('<img src="data:image/png;base64,', text)) == 4
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", text)  # nothing from elsewhere


@pytest.mark.slow
def test_a_fresh_sample_is_no_leak_and_the_text_says_what_is_open(run: Run, files: Path) -> None:
    done = run(*words(files, "fresh"))
    assert done.code == 0
    assert "None of the attacks recognized training rows better than chance" in done.out
    assert "This does not prove that the rows are anonymous" in done.out
    assert "not measured: it needs --label" in done.out
    assert "columns left out, because they identify rows: person_id, passport" in done.out
    assert "smoke test only" in done.out


@pytest.mark.slow
def test_without_a_holdout_no_privacy_is_claimed(run: Run, files: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = run("audit", files / "real.csv", files / "fresh.csv", "-o", page, "--label", "kind")
    assert done.code == 0
    assert "Nothing can be concluded about privacy" in done.out
    assert "attacks not run: it needs --holdout" in done.out
    assert "Not run: it needs --holdout" in page.read_text(encoding="utf-8")
    assert run("audit", files / "real.csv", files / "fresh.csv", "--at-most", ".6").code == 2


@pytest.mark.slow
def test_swapped_files_are_noticed() -> None:
    real, holdout, _ = parts(ROWS)
    request: Any = AuditRequest(real, holdout.copy(), holdout=parts(ROWS, seed=1)[0])
    assert audit(request).conclusions.verdict == "no leak found"
    swapped: Any = AuditRequest(real, noisy(holdout, ROWS, 0), holdout=holdout)
    assert audit(swapped).conclusions.verdict == "suspicious"


@pytest.mark.slow
def test_a_holdout_of_another_distribution_is_no_control_group() -> None:
    real, holdout, _ = parts(ROWS)
    holdout["size"] += 30.0
    drawn = noisy(real, ROWS, 0)
    given: dict[str, Any] = {"real": real, "holdout": holdout}
    found = audit(AuditRequest(synthetic=drawn, **given))
    assert found.conclusions.verdict == "unknown"
    assert found.findings.strongest is None
    differ = "the training rows and the holdout differ in distribution"
    assert f"Nothing can be concluded about privacy, because {differ}" in found.text()
    assert "reveal" not in found.text()
    with pytest.raises(DataError, match=f"--at-most is neither met nor exceeded, because {differ}"):
        audit(AuditRequest(synthetic=drawn, at_most=0.6, **given))
    copied = audit(AuditRequest(synthetic=real.copy(), **given))
    assert copied.conclusions.verdict == "leak"
    assert "exact copies" in "".join(copied.conclusions.evidence)
    assert differ in copied.conclusions.private


@pytest.mark.slow
def test_canaries_are_planted_found_and_bound_epsilon(
    run: Run, files: Path, tmp_path: Path
) -> None:
    train, key = tmp_path / "train.csv", tmp_path / "key.csv"
    done = run("canaries", files / "real.csv", "-o", train, "--key", key, "-n", "100", "--json")
    planted = done.object["planted"]
    assert len(pd.read_csv(train)) == ROWS + planted
    for name, make, least, most in (("leaky", noisy, 2.0, 50.0), ("safe", fresh, 0.0, 0.5)):
        rows = pd.read_csv(train)
        drawn = make(rows, len(rows), 0).reindex(columns=rows.columns)
        drawn.assign(country="CH").to_csv(files / f"{name}.csv", index=False)
        found = run(*words(files, name, "--canaries", key, "--json")).object["findings"]
        assert found["canaries"]["canaries"] == 100
        assert least <= found["canaries"]["epsilon"] <= most


def test_other_tables_are_refused(run: Run, files: Path, tmp_path: Path) -> None:
    real = pd.read_csv(files / "real.csv")
    cases = {
        "HOLDOUT also has extra": {"holdout": real.assign(extra=1)},
        "SYNTHETIC lacks weight": {"synthetic": real.drop(columns="weight")},
        "did you mean 'kind'": {"label": "kinds"},
        "the label 'person_id' identifies rows": {"label": "person_id"},
        "SYNTHETIC has 10 rows": {"synthetic": real.iloc[:10]},
        "120 of 120 rows of HOLDOUT are also in REAL": {"holdout": real},
        "20 of 120 rows of HOLDOUT are also in REAL": {
            "holdout": pd.concat([real.iloc[:20], parts(ROWS, 3)[0].iloc[:100]]).assign(
                country="CH"
            )
        },
    }
    for message, changed in cases.items():
        given: Any = {"real": real, "synthetic": real, **changed}
        with pytest.raises(DataError, match=message):
            audit(AuditRequest(**given))
    assert "there is no file" in run("audit", files / "real.csv", "nothing.csv").err
    assert "is a folder; give one csv" in run("audit", files / "real.csv", files).err
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    assert f"{empty} is empty" in run("audit", files / "real.csv", empty).err
    with pytest.raises(OptionError, match=r"NAME\.html"):
        audit(AuditRequest(str(files / "real.csv"), str(files / "fresh.csv"), output="page.pdf"))


@pytest.mark.slow
def test_missing_cells_new_levels_and_text_in_numbers(files: Path) -> None:
    real, holdout, other = parts(ROWS)
    other.loc[:30, "size"] = np.nan
    other.loc[:5, "city"] = "Zug"
    given: Any = AuditRequest(real, other, holdout=holdout, label="size")
    found = audit(given)
    assert found.findings.coverage.new == {"city": ("Zug",)}
    assert found.findings.fidelity.columns["size"] > 31 / ROWS - 0.01
    assert "column city has levels that the training rows do not have: Zug" in found.text()
    other["weight"] = "heavy"
    with pytest.raises(DataError, match="'weight' holds numbers, but not in rows 0, 1"):
        audit(given)


def test_canaries_keep_the_training_file_apart_from_the_key(run: Run, tmp_path: Path) -> None:
    table = tmp_path / "real.csv"
    table.write_text("a,b\n" + "".join(f"{i},{i % 3}\n" for i in range(20)))
    again = tmp_path / "other" / ".." / "out.csv"
    (tmp_path / "other").mkdir()
    found = run("canaries", table, "-o", tmp_path / "out.csv", "--key", again)
    assert found.code == 2
    assert "would replace the file of --output" in found.err
    assert not (tmp_path / "out.csv").exists()


def test_canaries_of_a_table_without_rows_are_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("a,b\n")
    found = run("canaries", tmp_path / "real.csv", "-o", tmp_path / "t.csv", "--key", "k.csv")
    assert found.code == 2
    assert "has no rows" in found.err
