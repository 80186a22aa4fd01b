"""Adult, released privately: synthetic rows by four methods, judged by boosting on real test rows.

At epsilon 1 and 8 with delta = 1 / rows^1.5. Ranges and categories are declared public, or in the
cells "measured" are measured with a part of epsilon: no column is declared then. The judge
learns income from as many synthetic rows as there are training rows; its AUROC on real test rows
stands beside that of one which learned from the real rows.

- naive_bayes: noisy tables of income with each column.
- marginals: these, and the tables of pairs of columns that a private selection chose.
- vae: DP-SGD on the real rows.
- hybrid: half of the privacy for marginals; the other half for a model of income given all other
  columns, which starts at the marginals' and is fitted by noisy gradients.

Settings were chosen with --held-out, which judges a third of the training rows that no part has
seen.

    python benchmarks/private_release.py --cell marginals_8     one cell, resumable
    python benchmarks/private_release.py                        all missing cells, then the result
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _cells import done, drive, spent
from _record import Metric, commit, keep_answer, write
from table_priors import FILES, LABEL, SEED, frames, learned_income, place

from lowerbound.applications.release.marginals.correction import CorrectionOptions
from lowerbound.applications.release.marginals.model import MarginalModel, fit_marginals
from lowerbound.applications.release.marginals.schema_measuring import measure_schema
from lowerbound.applications.release.marginals.tree_fit import TreeOptions
from lowerbound.data import Dataset, Schema, file_sha256, load
from lowerbound.data.tables.declared import declared_schema
from lowerbound.data.tables.frames import to_frame
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions
from lowerbound.training.private.declarations import Declarations
from lowerbound.training.private.options import PrivacyOptions

NAME = "private_release"
RUNS = Path("runs") / NAME
BARS = {1: 0.899, 8: 0.903}
HYBRID_BAR = 0.905
SCHEMA_SHARE = 0.4  # of epsilon, where the schema is measured too; chosen with --held-out
DRAWS = 5  # private fits of a cell without a network; their mean is judged
MODEL = ModelOptions(latent_dim=8, network="mlp", network_options={"hidden": [128]})
PRIVATE: dict[str, Any] = {"updates": 400, "batch_size": 1_024, "learning_rate": 2e-3}

RANGES: dict[str, dict[str, Any]] = {
    "age": {"kind": "count", "low": 17, "high": 90, "whole": True},
    "fnlwgt": {"kind": "real", "low": 12_000, "high": 1_500_000, "whole": True, "log": True},
    "education-num": {"kind": "count", "low": 1, "high": 16, "whole": True},
    "capital-gain": {
        "kind": "mixed",
        "low": 0,
        "high": 99_999,
        "atom": 0,
        "whole": True,
        "log": True,
    },
    "capital-loss": {
        "kind": "mixed",
        "low": 0,
        "high": 5_000,
        "atom": 0,
        "whole": True,
        "log": True,
    },
    "hours-per-week": {"kind": "count", "low": 1, "high": 99, "whole": True},
}


@dataclass(frozen=True)
class Arm:
    """A method at one epsilon."""

    method: str
    title: str
    epsilon: int
    schema_share: float = 0.0  # of epsilon, for ranges and categories; 0: they are public


TITLES = {
    "naive_bayes": "naive Bayes",
    "marginals": "marginals",
    "vae": "VAE by DP-SGD",
    "hybrid": "hybrid",
}
ARMS = {
    f"{method}_{epsilon}": Arm(method, title, epsilon)
    for method, title in TITLES.items()
    for epsilon in BARS
}
ARMS |= {
    f"{method}_measured_{epsilon}": Arm(
        method, f"{TITLES[method]}, measured schema", epsilon, SCHEMA_SHARE
    )
    for method in ("marginals", "hybrid")
    for epsilon in BARS
}


def declared(held_out: bool) -> dict[str, dict[str, Any]]:
    """Ranges and categories; the latter are those of all published rows."""
    rows, _ = frames(held_out)
    every, _ = frames(False)
    found: dict[str, dict[str, Any]] = {}
    for name in rows.columns:
        known = RANGES.get(name.replace("_", "-"))
        if known is not None:
            found[name] = known
            continue
        levels = sorted(every[name].dropna().unique())
        gaps = {"missing": True} if every[name].isna().any() else {}
        kind = "binary" if len(levels) == 2 else "categorical"
        found[name] = {"kind": kind, "levels": levels, **gaps}
    return found


# methods ------------------------------------------------------------------------------------------


def marginal_model(arm: Arm, rows: Any, held_out: bool) -> MarginalModel:
    """The model without a network."""
    return fit_marginals(
        rows,
        columns(arm, rows, held_out),
        arm.epsilon,
        target=LABEL,
        options=TreeOptions(tree=arm.method != "naive_bayes"),
        hybrid=CorrectionOptions() if arm.method == "hybrid" else None,
    )


def columns(arm: Arm, rows: Any, held_out: bool) -> Declarations:
    """Ranges and categories: public, or measured anew for each private fit."""
    if not arm.schema_share:
        return Declarations(declared(held_out))
    return measure_schema(rows, arm.schema_share * arm.epsilon)


def schema_of(held_out: bool) -> Schema:
    """The public schema, income included as a column like the others."""
    return declared_schema(declared(held_out))


def private_vae(arm: Arm, training: Dataset, folder: Path) -> Fitted:
    """DP-SGD on the real rows."""
    privacy = PrivacyOptions(epsilon=arm.epsilon, public_schema="benchmark")
    options = FitOptions(MODEL, training=settings(PRIVATE), privacy=privacy)
    return fit(training, options, folder=folder, resume=(folder / "checkpoint").exists())


def settings(chosen: Mapping[str, Any]) -> TrainingOptions:
    return TrainingOptions(**{"threads": 1, "seed": SEED, **chosen})


def synthetic_rows(
    name: str, arm: Arm, rows: Any, folder: Path, held_out: bool
) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Synthetic rows, as many as real ones, and facts about the guarantee."""
    if arm.method != "vae":
        for draw in range(DRAWS):
            model = marginal_model(arm, rows, held_out)
            yield model.sample(len(rows), draw), {"epsilon": model.release.epsilon}
        return
    fitted = private_vae(arm, load(rows, schema=schema_of(held_out)), folder)
    release = fitted.options.release
    assert release is not None
    drawn = sample_prior(fitted.model, len(rows), seed=SEED).x
    yield (
        to_frame(fitted.schema, drawn)[list(rows.columns)],
        {"epsilon": release.epsilon, "noise_multiplier": release.noise_multiplier},
    )


def run_cell(name: str, arm: Arm, held_out: bool) -> dict[str, Any]:
    """Fit, draw as many rows as there are for training, and judge them."""
    rows, real = frames(held_out)
    folder = RUNS / (name + ("_held_out" if held_out else ""))
    with spent(folder) as clock:
        found = list(synthetic_rows(name, arm, rows, folder, held_out))
    areas = [learned_income(made, real, rows) for made, _ in found]
    answer = {
        "cell": name,
        "title": arm.title,
        "method": arm.method,
        "epsilon": arm.epsilon,
        "facts": [dict(facts) for _, facts in found],
        "aurocs": areas,
        "auroc": sum(areas) / len(areas),
        "real_auroc": learned_income(rows, real, rows),
        "minutes": round(clock["processor"] / 120, 2),
        "wall_minutes": round(clock["wall"] / 60, 2),
        "rows": len(rows),
        "judged": len(real),
        "commit": commit(),
    }
    print(json.dumps(answer), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


# the result ---------------------------------------------------------------------------------------


def summarize() -> None:
    """The result of the cells that are done."""
    cells = done(NAME)
    assert cells, "no cell is done"
    write(
        NAME,
        [metric(cell) for cell in cells.values()],
        data=[{"file": name, "sha256": file_sha256(place(name))} for name in FILES.values()],
        seeds=[SEED],
        minutes=sum(cell["minutes"] for cell in cells.values()),
        notes="delta = 1 / rows^1.5; ranges and categories are declared public, except those of "
        f"methods with a measured schema: each fit measures them with {SCHEMA_SHARE:g} of epsilon "
        "(the rho of both parts add up to that of epsilon). Methods without a "
        f"network: mean over {DRAWS} private fits, of which a release would publish one; the "
        "spread is that of the fits. VAE: one fit.",
        extra={"cells": list(cells.values())},
    )


def metric(cell: Mapping[str, Any]) -> Metric:
    """The AUROC of a cell, with its bar: naive Bayes is a baseline and has none."""
    areas = cell["aurocs"]
    target = None if cell["method"] in ("naive_bayes", "vae") else BARS[cell["epsilon"]]
    target = HYBRID_BAR if cell["method"] == "hybrid" else target
    target = None if "measured" in cell["cell"] else target  # the bars are for a public schema
    return Metric(
        f"{cell['title']}, epsilon {cell['epsilon']}: AUROC of boosting trained on synthetic rows",
        cell["auroc"],
        "",
        "higher",
        max(areas) - min(areas) if len(areas) > 1 else None,
        target,
        {"trained on real rows": cell["real_auroc"]},
    )


def quick() -> None:
    """Marginals of few rows, judged, and five private updates; printed only."""
    rows, real = (frame.iloc[:3_000] for frame in frames(held_out=True))
    made = marginal_model(ARMS["marginals_8"], rows, True).sample(len(rows), SEED)
    training = load(rows, schema=schema_of(True))
    brief = TrainingOptions(updates=5, batch_size=64)
    privacy = PrivacyOptions(epsilon=8.0, public_schema="benchmark")
    fitted = fit(training, FitOptions(MODEL, training=brief, privacy=privacy))
    assert fitted.options.release is not None
    print(
        f"quick, not quoted: AUROC {learned_income(made, real, rows):.3f}; epsilon of 5 updates "
        f"{fitted.options.release.epsilon:.2f}"
    )


def main() -> None:
    drive(
        NAME,
        __doc__ or "",
        ARMS,
        summarize,
        lambda seed: quick(),
        lambda benchmark, name, arm, held_out: run_cell(name, arm, held_out),
    )


if __name__ == "__main__":
    main()
