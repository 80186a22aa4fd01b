"""``lowerbound private-schema``, and the commands that take what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.release.marginals import model as marginals_model, schema_measuring
from lowerbound.cli import main
from lowerbound.training.private.engine import SeededRandomness

ROWS = 4_000


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = np.random.default_rng(0)
    z = draw.normal(size=ROWS)
    frame = pd.DataFrame(
        {
            "age": np.clip(45 + 12 * z, 18, 90).astype(int),
            "town": np.where(draw.random(ROWS) < 0.5, "A", "B"),
            "name": [f"person {row}" for row in range(ROWS)],
            "rich": np.where(z + draw.normal(size=ROWS) > 0, "yes", "no"),
        }
    )
    frame.loc[7, "town"] = "Atlantis"
    folder = tmp_path_factory.mktemp("people")
    frame.to_csv(folder / "people.csv", index=False)
    known = {"columns": {"rich": {"kind": "binary", "levels": ["no", "yes"]}}}
    (folder / "known.json").write_text(json.dumps(known))
    return folder


def run(*words: object) -> int:
    return main([str(word) for word in words])


def test_a_measured_schema_is_a_part_of_the_epsilon(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, columns = people / "people.csv", tmp_path / "columns.json"
    known = ("--public-schema", people / "known.json", "--leave-out", "name")
    assert run("private-schema", source, "-o", columns, "--epsilon", 2, *known, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    before = columns.read_bytes()
    assert run("private-schema", source, "-o", columns, "--epsilon", 2, *known) == 2
    assert "was measured before" in capsys.readouterr().err
    assert columns.read_bytes() == before
    assert 1.9 < said["measured"]["epsilon"] <= 2
    assert said["measured"]["columns"] == ["age", "town"]
    assert said["columns"]["town"] == {"kind": "binary", "levels": ["A", "B"]}
    assert said["columns"]["age"]["low"] >= 16
    assert json.loads(columns.read_text())["columns"] == said["columns"]
    given = ("--public-schema", columns, "--target", "rich")
    made = tmp_path / "made.csv"
    assert run("private-table", source, "-o", made, "--epsilon", 5, *given, "--json") == 0
    release = json.loads(capsys.readouterr().out)["release"]
    assert 4.5 < release["epsilon"] <= 5
    assert "age, town" in release["charged"][0]
    assert "rich" in release["public"][1]
    assert list(pd.read_csv(made).columns) == ["age", "town", "rich"]
    assert run("private-table", source, "-o", made, "--epsilon", 1.5, *given) == 2
    assert "leaves nothing" in capsys.readouterr().err


@pytest.mark.slow
def test_a_private_fit_takes_it(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, columns, folder = people / "people.csv", tmp_path / "columns.json", tmp_path / "m.lb"
    schema = ("private-schema", source, "-o", columns, "--epsilon", 3, "--leave-out", "name")
    assert run(*schema) == 0
    said = capsys.readouterr().out
    assert "run this once" in said
    assert "measured" in said
    brief = ("--updates", 3, "--batch-size", 64, "--latent-dim", 2, "--network", "mlp")
    privacy = ("--epsilon", 5, "--public-schema", columns, "--label", "rich")
    assert run("fit", source, "-o", folder, *privacy, *brief, "--set", "network.hidden=[8]") == 0
    capsys.readouterr()
    assert run("info", folder) == 0
    said = capsys.readouterr().out
    assert "epsilon 4.99" in said or "epsilon 5" in said
    assert "ranges and categories of age, town, rich" in said
    assert "charged to the same budget" in (folder / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--epsilon"),
        (("--epsilon", -1, "--leave-out", "name"), "epsilon"),
        (("--epsilon", 0.01, "--leave-out", "name"), "larger epsilon"),
        (("--epsilon", 3), "leave it out with --leave-out name"),
        (("--epsilon", 1, "--leave-out", "nmae"), "did you mean 'name'"),
        (("--epsilon", 1, "--public-schema", "absent.json"), "absent.json"),
    ],
)
def test_bad_input_is_one_sentence(
    people: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[object, ...],
    message: str,
) -> None:
    output = tmp_path / "x.json"
    assert run("private-schema", people / "people.csv", "-o", output, *words) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("command", ["private-schema", "private-table"])
def test_secure_noise_is_the_systems(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, secure: bool
) -> None:
    used: list[str] = []
    for module in (schema_measuring, marginals_model):
        for name in ("SystemRandomness", "SeededRandomness"):

            def made(name: str = name) -> SeededRandomness:
                used.append(name)
                return SeededRandomness()

            monkeypatch.setattr(module, name, made)
    columns = tmp_path / "columns.json"
    levels = {"kind": "binary", "levels": ["no", "yes"]}
    columns.write_text(
        json.dumps({"columns": {"rich": levels, "town": levels | {"levels": ["A", "B"]}}})
    )
    frame = pd.read_csv(people / "people.csv")[["town", "rich"]].head(400)
    frame["town"] = frame["town"].where(frame["town"] == "A", "B")
    frame.to_csv(tmp_path / "few.csv", index=False)
    more = ("--secure-noise",) if secure else ()
    if command == "private-schema":
        columns.write_text(json.dumps({"columns": {"rich": levels}}))
    words = (
        tmp_path / "few.csv",
        "-o",
        tmp_path / "out",
        "--epsilon",
        9,
        "--public-schema",
        columns,
    )
    if command == "private-table":
        words = (*words[:2], tmp_path / "out.csv", *words[3:])
    assert run(command, *words, *more) == 0
    assert set(used) == {"SystemRandomness" if secure else "SeededRandomness"}
