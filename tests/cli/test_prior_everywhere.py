"""Every command on a model whose prior was trained on latents: with an exact density, and with a
lower bound on it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from lowerbound.cli import main
from lowerbound.data import load
from lowerbound.distributions.point import Density
from lowerbound.distributions.reparameterization import Pushed
from lowerbound.errors import UnsupportedError
from lowerbound.evaluation.aggregate import prior_agreement
from lowerbound.fitting.folder import read
from lowerbound.inference.likelihood import score
from lowerbound.priors import PRIORS, Prior
from lowerbound.priors.base import Encode
from tests.cli.conftest import Run

GAP = 1.5  # nats by which the bound of the prior is below its density


class Loose(Pushed):
    """N(loc, I) whose ``log_prob`` is a lower bound, and which has no closed form of its KL."""

    smooth = True

    def __init__(self, loc: torch.Tensor) -> None:
        self.loc = loc
        super().__init__(torch.Size((1, 1)), loc.shape, validate_args=False)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        return Normal(self.loc, 1.0).log_prob(value).sum(-1) - GAP

    def push(self, noise: torch.Tensor) -> torch.Tensor:
        return self.loc + noise

    @property
    def mean(self) -> torch.Tensor:
        return self.loc[None, None]

    @property
    def like(self) -> torch.Tensor:
        return self.loc[None, None]


class LooseNormal(Prior):
    """A normal prior that gives a lower bound on its density."""

    density: ClassVar[Density] = "bound"

    def __init__(self, latent_dim: int, event_shape: tuple[int, ...] = ()) -> None:
        super().__init__(latent_dim, event_shape)
        self.loc = nn.Parameter(torch.zeros(latent_dim))

    def forward(self, encode: Encode | None = None) -> Loose:
        return Loose(self.loc)


@pytest.fixture(scope="module", autouse=True)
def loose() -> Iterator[None]:
    """The prior "loose", for this module only."""
    PRIORS.register("loose")(LooseNormal)
    yield
    del PRIORS._parts["loose"]


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model by the name of its prior."""
    root = tmp_path_factory.mktemp("priors")
    words = ("--updates", "150", "--learning-rate", "0.01", "--no-report", "--latent-dim", "2")
    assert main(["fit", str(pictures), "-o", str(root / "m"), "--samples", "3", *words]) == 0
    for kind in ("flow", "loose"):
        shutil.copytree(root / "m", root / kind)
        assert main(["prior", str(root / kind), str(pictures), "--kind", kind, *SHORT]) == 0
    return root


SHORT = ("--updates", "3", "--no-report")
WORKS = [
    "sample {model} -n 4 -o {out}.png",
    "sample {model} -n 4 -o {out}.png --temperature 0.5",
    "interpolate {model} {data} -o {out}.png --path slerp",
    "evaluate {model} {data} --suite all --samples 3 --draws 50 --gap-rows 3",
    "detect {model} {data} -o {out}.csv",
    "detect {model} {data} --score bound",
    "encode {model} {data} -o {out}.csv",
    "reconstruct {model} {data} -o {out}.png --uncertainty",
    "attributes {model} {data} -o {out}.png --frames 2 --add above",
]


@pytest.mark.parametrize("kind", ["flow", "loose"])
@pytest.mark.parametrize("words", WORKS)
def test_a_command_works(
    run: Run, trained: Path, pictures: Path, tmp_path: Path, kind: str, words: str
) -> None:
    line = words.format(model=trained / kind, data=pictures, out=tmp_path / "out")
    done = run(*line.split())
    assert done.code == 0, done.err


@pytest.mark.parametrize("kind", ["flow", "loose"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("compress {model} {data} -o {out}.lbz", "the standard_normal prior"),
        (
            "mix {model} {data} -o {out}.png",
            "models that can: ladder, semi_supervised, conditional ones (fit --conditional)",
        ),
        ("impute {model} {data} -o {out}.npz", "fit it again with --missing model"),
    ],
)
def test_a_command_names_what_it_needs(
    run: Run, trained: Path, pictures: Path, tmp_path: Path, kind: str, words: str, message: str
) -> None:
    line = words.format(model=trained / kind, data=pictures, out=tmp_path / "out")
    done = run(*line.split())
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
    assert message in done.err


@pytest.mark.slow
def test_denoising_needs_an_exact_density(
    run: Run, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    words = ("--chains", "2", "--temperatures", "2", "--noise", "10")
    done = run("denoise", trained / "loose", pictures, "-o", tmp_path / "d.npz", *words)
    assert done.code == 2
    assert "gives only a lower bound on its density" in done.err.splitlines()[-1]
    assert run("denoise", trained / "flow", pictures, "-o", tmp_path / "d.npz", *words).code == 0


@pytest.mark.slow
def test_a_bound_is_reported_as_one(run: Run, trained: Path, pictures: Path) -> None:
    done = run("prior", trained / "loose", pictures, "--kind", "loose", *SHORT, "--json").object
    assert (done["before_density"], done["after_density"]) == ("bound", "bound")
    assert "nats per row (a lower bound), on" in run("info", trained / "loose").out
    found = run("evaluate", trained / "loose", pictures, "--samples", "3", "--json").object
    assert found["findings"]["likelihood"]["samples"] == 1
    assert (
        run("evaluate", trained / "flow", pictures, "--samples", "3", "--json").object["findings"][
            "likelihood"
        ]["samples"]
        == 3
    )


def test_no_importance_weights_of_a_bound(trained: Path, pictures: Path) -> None:
    fitted = read(trained / "loose")
    rows = load(pictures, schema=fitted.schema)
    with pytest.raises(UnsupportedError, match="only a lower bound on its density"):
        score(fitted.model, rows, samples=2)


def test_the_gap_of_a_bound_is_not_in_the_mutual_information(
    trained: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = read(trained / "loose")
    rows = load(pictures, schema=fitted.schema)
    bounded = prior_agreement(fitted.model, rows)
    assert bounded.kl_range == f"at most {max(bounded.kl_high.mean, 0.0):.2f}"
    monkeypatch.setattr(LooseNormal, "density", "exact")
    monkeypatch.setitem(globals(), "GAP", 0.0)
    exact = prior_agreement(read(trained / "loose").model, rows)
    assert bounded.kl_high.mean == pytest.approx(exact.kl_high.mean + 1.5, abs=1e-4)
    assert bounded.mutual_information_low == pytest.approx(exact.mutual_information_low, abs=1e-4)
    assert " to " in exact.kl_range
