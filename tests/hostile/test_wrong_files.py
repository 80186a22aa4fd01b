"""Every command with a file of another kind in the place of each that it reads: one sentence."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lowerbound.applications import APPLICATIONS
from lowerbound.applications.interchange import config_file
from lowerbound.cli import main
from tests.fixtures.answers import call
from tests.fixtures.cases import FOLDER
from tests.hostile import fitted_targets, targets

DATA, MODEL_FOLDERS = FOLDER / "data", FOLDER / "models"
MODELS = (
    *("table", "rows", "convolutional", "styled_ladder", "missing_pixels"),
    *("semi_supervised", "semi_supervised_regression"),
)
NEED = {"compress": "constriction", "decompress": "constriction", "verify": "constriction"}
NEED |= {"compare": "constriction", "control": "gymnasium", "import": "diffusers"}
SOME = 5  # of so many wrong files one is tried by the quicker test, another for each word
READS_NOTHING = {"demo", "control collect", "control train"}
QUICK = "--updates 2 --no-report"
# a word that begins with @ names what is read, and each of them in turn is a wrong file
LINES = (
    "schema @people.csv",
    f"fit @people.csv -o new {QUICK}",
    f"fit people.csv -o new {QUICK} --columns @columns.json",
    "evaluate @table @people.csv -o new --samples 2",
    f"prior @table @people.csv -o new --kind flow {QUICK}",
    f"prior table people.csv -o new --kind diffusion {QUICK} --attributes @smoker.csv",
    f"prior table people.csv -o new --kind diffusion {QUICK} --captions @captions.txt",
    f"refiner @convolutional @digits.npz -o new {QUICK} --set width=8",
    "edit @prior @people.csv -o new.csv --set smoker=yes",
    "redraw @redrawn @digits.npz -o new.npz",
    "impute missing_pixels digits.npz --mask @mask.npy -o new.npz",
    "predict-frames @agent @clips.npz -o new.gif --episodes 0 --context 2 --frames 2",
    "sample @table -o new.csv -n 3",
    "encode @table @people.csv -o new.csv",
    "decode @table @codes.csv -o new.csv",
    "reconstruct @table @people.csv -o new.csv",
    "interpolate @table @people.csv -o new.csv --rows 1,2",
    "attributes rows digits.npz -o new.npz --with @digits.npz --without @digits.npz",
    "attributes @rows @digits.npz -o new.npz",
    "arithmetic @rows @digits.npz 1-2+3 -o new.npz",
    "mix @styled_ladder @digits.npz --coarse 0 --fine 1 -o new.npz",
    "design @table @people.csv --objective height -o new.csv --calls 4",
    "imputer @gaps.csv -o new --minutes 0.01",
    "impute @imputer @gaps.csv -o new.csv",
    "denoise @rows @digits.npz -o new.npz --noise 0.5",
    "detect @table @people.csv --calibrate @people.csv --alpha 0.2 -o new.csv",
    "classify @semi_supervised @few_labels.csv -o new.csv",
    "predict @semi_supervised_regression @few_measurements.csv -o new.csv",
    "audit @people.csv @synthetic.csv",
    "canaries @people.csv -o new.csv --key new_key.csv",
    "compress @rows @digits.npz -o new.lbz",
    "decompress @rows @packed.lbz -o new.npz",
    "verify @packed.lbz --model @rows",
    "compare @rows @digits.npz",
    "synthesizer @people.csv -o new --minutes 0.005",
    "synthesize @synthesizer -o new.csv -n 3 --like @people.csv",
    "private-schema @public.csv -o new.json --epsilon 100",
    "private-table @public.csv -o new.csv --epsilon 100 --public-schema @public.json",
    "control evaluate @agent --episodes 1",
    "control compare @agent",
    "control encode @agent @clips.npz -o new.npz",
    "control video @agent -o new.gif --context 2 --frames 2",
    "export @table --torch new",
    "import @foreign -o new",
    "info @table",
)
# what may be read, where it is of the right kind: exit code 0
READ = ("one_row.csv", "two_rows.parquet", "table", "people.csv", "digits.npz")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, models, and in the folder "wrong" what is neither."""
    root = tmp_path_factory.mktemp("walk")
    for each in (*DATA.glob("*.csv"), DATA / "digits.npz"):
        shutil.copy(each, root)
    for name in MODELS:
        shutil.copytree(MODEL_FOLDERS / name, root / name)
    agent, clips = fitted_targets._agents()
    made = {"imputer": fitted_targets._imputer(), "synthesizer": fitted_targets._synthesizer()}
    made |= {"agent": agent, "prior": MODEL_FOLDERS / "table"}
    made |= {"redrawn": MODEL_FOLDERS / "convolutional"}
    for name, folder in made.items():
        shutil.copytree(folder, root / name)
    shutil.copy(clips, root / "clips.npz")
    with contextlib.chdir(root):
        _write_beside(root)
        _write_wrong(root / "wrong")
    return root


def _write_beside(root: Path) -> None:
    """What some commands read beside data and models."""
    config, weights = targets._foreign_autoencoder()
    (root / "foreign").mkdir()
    (root / "foreign" / config_file.CONFIG).write_text(json.dumps(config))
    (root / "foreign" / config_file.WEIGHTS).write_bytes(weights)
    pd.read_csv("people.csv")[["smoker"]].to_csv("smoker.csv", index=False)
    np.save(root / "mask.npy", np.arange(64).reshape(8, 8) < 20)
    (root / "captions.txt").write_text("red hair\ngreen hair\n" * 40)
    (root / "public.json").write_text(json.dumps({"columns": targets._columns()}))
    pd.DataFrame(
        {
            "age": range(90),
            "town": ["a", "b", "c"] * 30,
            "member": ["no", "yes"] * 45,
            "since": ["2003-02-01", "2019-05-30"] * 45,
        }
    ).to_csv(root / "public.csv", index=False)
    call("schema", "people.csv", "-o", "columns.json")
    call("synthesize", "synthesizer", "-n", "80", "-o", "synthetic.csv")
    call("encode", "table", "people.csv", "-o", "codes.csv")
    call("compress", "rows", "digits.npz", "-o", "packed.lbz")
    diffusion = ("--kind", "diffusion", *QUICK.split())
    call("prior", "prior", "people.csv", "--attributes", "smoker.csv", *diffusion)
    call("prior", "redrawn", "digits.npz", *diffusion)


def _write_wrong(folder: Path) -> None:
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "picture.png")
    shutil.copy(folder / "picture.png", folder / "picture.csv")
    for name in ("empty.csv", "empty.npz", "empty.json", "empty"):
        (folder / name).touch()
    for name in ("folder", "folder.csv", "folder.npz"):
        (folder / name).mkdir()
    people = pd.read_csv("people.csv")
    people.astype(object).replace({"height": {people["height"][3]: "tall"}}).to_csv(
        folder / "text_among_numbers.csv", index=False
    )
    people.head(0).to_csv(folder / "no_rows.csv", index=False)
    people.head(0).to_parquet(folder / "no_rows.parquet")
    people.head(1).to_csv(folder / "one_row.csv", index=False)
    people.head(2).to_parquet(folder / "two_rows.parquet")
    np.savez(folder / "no_rows.npz", x=np.zeros((0, 8, 8), np.uint8))
    np.savez(folder / "one_number.npz", x=np.array(3.0))
    np.save(folder / "texts.npy", np.array(["a", "b"]))
    (folder / "words.txt").write_text("some words\nand more\n")
    (folder / "list.json").write_text("[1, 2]")
    (folder / "null.json").write_text("null")


def test_every_command_is_here() -> None:
    known = {" ".join(line.split()[: 1 + line.startswith("control")]) for line in LINES}
    assert known == set(APPLICATIONS) - READS_NOTHING


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("every", [SOME, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("line", LINES)
def test_a_wrong_file_is_refused_in_a_sentence(
    place: Path,
    line: str,
    every: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if line.startswith(tuple(NEED)):
        pytest.importorskip(NEED[line.split()[0]])
    monkeypatch.chdir(place)
    words = line.split()
    plain = [word.removeprefix("@") for word in words]
    assert _run(plain, place) == 0, capsys.readouterr().err
    wrong = [*sorted(Path("wrong").iterdir()), *map(Path, ("table", "people.csv", "digits.npz"))]
    for number, word in enumerate(words):
        first = (LINES.index(line) + number) % every
        for other in wrong[first::every] if word.startswith("@") else ():
            asked = [*plain[:number], str(other), *plain[number + 1 :]]
            capsys.readouterr()
            code = _run(asked, place)
            said = capsys.readouterr().err
            if code == 2:
                assert said.splitlines()[-1].startswith("lowerbound: "), asked
            else:  # a note names what may not be what was meant
                assert code == 0, asked
                assert other.name in READ or f"{other} " in said, asked


def _run(words: list[str], place: Path) -> int:
    code = main(words)
    for made in place.glob("new*"):
        shutil.rmtree(made) if made.is_dir() else made.unlink()
    return code
