"""design: from the words typed to the rows found, judged again from their text alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.cli.conftest import Run, fitted
from tests.cli.test_bad_input import refused

GROUPS = ["C", "CC", "N", "O", "F", "Cl", "CCO", "C(=O)O", "OC", "C#N"]
SMALL = ["--calls", "20", "-n", "4"]
AGAIN = """
import json, sys
import pandas as pd
from lowerbound.data.sciences.molecules import property_values
frame = pd.read_csv(sys.argv[1])
print(json.dumps(property_values("logp", list(frame["text"]))["logp"].tolist()))
"""


@pytest.fixture(scope="session")
def molecules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 benzenes with two groups each."""
    pytest.importorskip("rdkit", reason="pip install 'lowerbound[chem]'")
    lines = [f"c1cc({a})ccc1{b}" for a in GROUPS for b in GROUPS]
    path = tmp_path_factory.mktemp("molecules") / "few.smi"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def molecule_model(molecules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "molecules"
    words = ("--latent-dim", "6", "--set", "objective.beta=0.05", "--updates", "80")
    return fitted(molecules, folder, *words)


@pytest.fixture(scope="session")
def table_model(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "people"
    words = ("--latent-dim", "3", "--label", "kind", "--updates", "100")
    return fitted(table, folder, *words)


@pytest.mark.slow
@pytest.mark.parametrize("method", [pytest.param("gradient", marks=pytest.mark.long), "mutation"])
def test_molecules_are_judged_by_their_text_alone(
    run: Run, molecules: Path, molecule_model: Path, tmp_path: Path, method: str
) -> None:
    out = tmp_path / "new.csv"
    words = ["design", molecule_model, molecules, "--objective", "logp", "--method", method]
    done = run(*words, "--range", "heavy_atoms:7:", "-o", out, "--json", *SMALL)
    assert done.code == 0, done.err
    found = pd.read_csv(out)
    accepted = found[found["rejected"].isna()]
    assert done.object["calls"] == accepted["call"].nunique() == accepted["text"].nunique() > 3
    again = subprocess.run(
        [sys.executable, "-c", AGAIN, str(out)], capture_output=True, text=True, check=True
    )
    values = np.array(json.loads(again.stdout), dtype=float)[accepted.index]
    assert np.abs(values - accepted["logp"]).max() < 1e-9
    assert (accepted["heavy_atoms"] >= 7).all()
    assert done.object["best"][0]["score"] == pytest.approx(accepted["logp"].max(), abs=1e-12)
    assert ((accepted["nearest"] == 1) >= accepted["known"]).all()
    for picture in (out.with_suffix(".png"), tmp_path / "new_molecules.png"):
        with Image.open(picture) as image:
            assert min(image.size) > 200
        assert str(picture) in done.object["files"]


@pytest.mark.long
def test_molecules_stay_similar(
    run: Run, molecules: Path, molecule_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new.csv"
    words = ["design", molecule_model, molecules, "--objective", "qed", "-o", out]
    done = run(*words, "--similar-to", "Cc1ccc(O)cc1", "--least", "0.3", *SMALL)
    assert done.code == 0, done.err
    found = pd.read_csv(out)
    accepted = found["rejected"].isna()
    assert accepted.any()
    assert (found[accepted]["similarity"] >= 0.3).all()
    low = found[found["similarity"] < 0.3]
    assert low["rejected"].astype(str).str.contains("is below 0.3").all()
    refused(run(*words, "--similar-to", "C("), "--similar-to C(")


@pytest.mark.slow
def test_rows_of_a_table(run: Run, table: Path, table_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.parquet"
    words = ["design", table_model, table, "--objective", "size", "-o", out]
    done = run(*words, "--also", "age:min:0.5", "--range", "weight::80", *SMALL)
    assert done.code == 0, done.err
    found = pd.read_parquet(out)
    accepted = found[found["rejected"] == ""]
    assert (accepted["weight"] <= 80).all()
    assert (found["size"] == found["size_goal"])[found["rejected"] == ""].all()
    assert "gradient: 20 calls" in done.out
    assert out.with_suffix(".png").is_file()


@pytest.mark.slow
def test_a_far_target_is_noted(run: Run, table: Path, table_model: Path, tmp_path: Path) -> None:
    words = ["design", table_model, table, "--objective", "size", "-o", tmp_path / "new.csv"]
    done = run(*words, "--target", "900", *SMALL)
    assert done.code == 0
    assert "the target 900 of size is outside the values of DATA" in done.err


@pytest.mark.slow
def test_bad_input(
    run: Run, table: Path, table_model: Path, molecules: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new.csv"
    words = ["design", table_model, table, "-o", out, "--objective"]
    refused(run(*words, "sise"), "did you mean 'size'")
    refused(run(*words, "size", "--method", "gradiant"), "did you mean 'gradient'")
    refused(run(*words, "size", "--method", "mutation"), "the rows are not")
    refused(run(*words, "size", "--calls", "0"), "at least one call")
    refused(run(*words, "size", "--target", "nan"), "--target takes a finite number")
    refused(run(*words, "size", "--range", "weight:900:"), "none of the known rows meets all")
    refused(run("design", table_model, molecules, "-o", out, "--objective", "size"), "few.smi")
    refused(run("design", table_model, table, "-o", "x.txt", "--objective", "size"), "x.txt")
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ("raise KeyboardInterrupt", 130, "interrupted; 12 calls are in"),
        ("return [float('nan')]", 2, "no value in 20 calls in a row"),
    ],
)
def test_what_was_found_before_a_stop_is_written(
    run: Run,
    table: Path,
    table_model: Path,
    tmp_path: Path,
    ending: str,
    code: int,
    said: str,
) -> None:
    """A function that counts its calls with one row, and ends after the twelfth."""
    file, out = tmp_path / "score.py", tmp_path / "new.csv"
    file.write_text(
        "calls = 0\n"
        "def score(rows):\n"
        "    global calls\n"
        "    calls += len(rows) == 1\n"
        f"    if calls > 12: {ending}\n"
        "    return rows['size'].to_numpy()\n"
    )
    done = run(
        "design", table_model, table, "--objective", f"{file}:score", "-o", out, "--calls", "40"
    )
    assert done.code == code, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert pd.read_csv(out)["score"].notna().sum() >= 12


SLOW = """
import time
def score(rows):
    time.sleep(.05 * (len(rows) == 1))
    return rows["size"].to_numpy()
"""


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_a_search_goes_on_after_a_signal(
    run: Run, table: Path, table_model: Path, tmp_path: Path, by: signal.Signals
) -> None:
    """The resumed search is that of a run which nobody stopped, and calls only what is left."""
    (tmp_path / "score.py").write_text(SLOW)
    out, kept = tmp_path / "new.csv", tmp_path / "new.csv.unfinished" / "values.jsonl"
    words = ["design", table_model, table, "--objective", f"{tmp_path / 'score.py'}:score"]
    words += ["--calls", "30", "--retrain", "1", "-o"]
    assert run(*words, tmp_path / "whole.csv").code == 0
    command = [sys.executable, "-m", "lowerbound", *map(str, words), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while not (kept.exists() and len(kept.read_bytes().splitlines()) > 20):
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(by)
        said = process.communicate()[1]
    assert process.returncode == (-by if by == signal.SIGKILL else 128 + by)
    if by == signal.SIGTERM:
        assert "function calls are done and kept in" in said
        assert "--resume" in said
    before = len(kept.read_bytes().splitlines())
    assert before > 20
    done = run(*words, out, "--resume")
    assert done.code == 0, done.err
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not kept.parent.exists()


@pytest.mark.slow
def test_only_the_same_search_goes_on(
    run: Run, table: Path, table_model: Path, tmp_path: Path
) -> None:
    file, out = tmp_path / "score.py", tmp_path / "new.csv"
    code = "calls = 0\ndef score(rows):\n    global calls\n    calls += len(rows) == 1\n"
    file.write_text(f"{code}    if calls > 9: raise KeyboardInterrupt\n    return rows['size']\n")
    words = ["design", table_model, table, "--objective", f"{file}:score", "-o", out]
    words += ["--calls", "15"]
    assert run(*words).code == 130
    refused(run(*words, "--resume", "--seed", "3"), "differs in seed")
    file.write_text(f"{code}    return 2 * rows['size']\n")
    refused(run(*words, "--resume"), "differs in files")
    done = run(*words)
    assert done.code == 0
    assert "function calls are done in" in done.err
    assert "computed again here" in done.err
