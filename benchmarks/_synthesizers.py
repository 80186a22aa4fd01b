"""Synthesizers of tables: ours, SDV's in a process of their own, a copula, and two references.

Each takes the training rows, and gives as many rows, with the seconds of the fit and of the draws.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from sklearn.mixture import GaussianMixture

from lowerbound.data.arrays import Array
from lowerbound.errors import OptionError

PYTHON = "LOWERBOUND_SDV_PYTHON"
SCRIPT = Path(__file__).with_name("_outside_synthesizers.py")
COMPONENTS = (1, 5, 20)
CHECKED = 0.1  # share of the rows on which the number of components is chosen
RIDGE = 1e-3

Seconds = dict[str, float]


@dataclass(frozen=True)
class Made:
    """Synthetic rows, and what they cost.

    Attributes:
        rows: like the training rows.
        fit, sample: seconds, "wall" and "processor".
        facts: anything else that is worth keeping.
    """

    rows: Any
    fit: Seconds
    sample: Seconds
    facts: Mapping[str, Any] = field(default_factory=dict)


Synthesizer = Callable[[Any, int, Path], Made]


def timed(work: Callable[[], Any]) -> tuple[Any, Seconds]:
    """What some work answers, and its seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    answer = work()
    return answer, {
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
    }


def own(rows: Any, seed: int, folder: Path) -> Made:
    """Our synthesizer with its default settings."""
    from lowerbound.estimators import TableSynthesizer

    fitted, fitting = timed(lambda: TableSynthesizer(random_state=seed).fit(rows))
    made, sampling = timed(lambda: fitted.sample(len(rows), random_state=seed))
    return Made(made, fitting, sampling)


def plain(rows: Any, seed: int, folder: Path) -> Made:
    """Rows by the defaults of ``lowerbound fit`` and ``lowerbound synthesize``."""
    from lowerbound.data import load
    from lowerbound.fitting import FitOptions, fit
    from lowerbound.inference.tables import TableSource
    from lowerbound.training import TrainingOptions

    options = FitOptions(training=TrainingOptions(seed=seed, threads=1))
    fitted, fitting = timed(lambda: fit(load(rows), options))
    made, sampling = timed(lambda: pd.concat(list(TableSource(fitted).blocks(len(rows), seed))))
    return Made(made.reset_index(drop=True), fitting, sampling)


def real(rows: Any, seed: int, folder: Path) -> Made:
    """The training rows themselves: what a perfect synthesizer would reach."""
    return Made(rows, {}, {})


def independent(rows: Any, seed: int, folder: Path) -> Made:
    """Every column shuffled by itself."""
    random = np.random.default_rng(seed)

    def shuffled() -> Any:
        order = {name: random.permutation(len(rows)) for name in rows.columns}
        return pd.DataFrame({name: rows[name].array[order[name]] for name in rows.columns})

    made, sampling = timed(shuffled)
    return Made(made, {}, sampling)


# a Gaussian mixture of normal scores --------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Scores:
    r"""Normal scores of a column, levels and missing cells included.

    The distinct values v_1 ... v_k, a missing one last, have cumulative shares c_0 = 0 ... c_k = 1.
    A cell with v_i becomes \Phi^{-1}(u) with u uniform on (c_{i-1}, c_i); a score z becomes the
    value v_i with c_{i-1} <= \Phi(z) < c_i. Numbers are in their order, levels by frequency.
    """

    values: Any
    upto: Array

    @classmethod
    def of(cls, column: Any) -> Scores:
        """Learn them."""
        counts = column.value_counts(dropna=False)
        if pd.api.types.is_numeric_dtype(column):
            counts = counts.sort_index(na_position="last")
        return cls(counts.index.array, np.cumsum(counts.to_numpy()) / len(column))

    def of_cells(self, column: Any, random: np.random.Generator) -> Array:
        """Scores of the cells, drawn; (rows,)."""
        place = pd.Index(self.values).get_indexer(pd.Index(column))
        low = np.concatenate([[0.0], self.upto[:-1]])[place]
        u = low + (self.upto[place] - low) * random.random(len(column))
        return np.asarray(ndtri(np.clip(u, 1e-6, 1 - 1e-6)))

    def to_cells(self, scores: Array) -> Any:
        """Cells of scores."""
        place = np.searchsorted(self.upto, ndtr(scores), side="right")
        return self.values[np.minimum(place, len(self.values) - 1)]


def copula(rows: Any, seed: int, folder: Path) -> Made:
    """Draws of a Gaussian copula: normal scores of one Gaussian with full covariance."""
    return mixture_copula(rows, seed, folder, components=(1,))


def mixture_copula(
    rows: Any, seed: int, folder: Path, components: Sequence[int] = COMPONENTS
) -> Made:
    """Draws of a Gaussian mixture of normal scores.

    1, 5 or 20 components with full covariance, by the likelihood of a tenth of the rows.
    """
    random = np.random.default_rng(seed)

    def fitted() -> tuple[dict[str, Scores], GaussianMixture]:
        scores = {name: Scores.of(rows[name]) for name in rows.columns}
        z = np.stack([scores[name].of_cells(rows[name], random) for name in scores], axis=1)
        return scores, _mixture(z, seed, components)

    (scores, mixture), fitting = timed(fitted)

    def drawn() -> Any:
        z = random.permutation(mixture.sample(len(rows))[0])
        return pd.DataFrame(
            {name: own.to_cells(z[:, i]) for i, (name, own) in enumerate(scores.items())}
        )

    made, sampling = timed(drawn)
    return Made(made, fitting, sampling, {"components": mixture.n_components})


def _mixture(z: Array, seed: int, components: Sequence[int]) -> GaussianMixture:
    """The mixture with the best likelihood on rows that were left out."""
    checked = round(CHECKED * len(z))

    def fit(count: int) -> GaussianMixture:
        model = GaussianMixture(count, reg_covar=RIDGE, random_state=seed, init_params="k-means++")
        return model.fit(z[checked:])

    return max((fit(count) for count in components), key=lambda model: model.score(z[:checked]))


# SDV, in another Python ---------------------------------------------------------------------------


def outside(method: str, **options: Any) -> Synthesizer:
    """A synthesizer of SDV; what is not in ``options`` is the library's default.

    Rows that an earlier run drew with the same options are used again.
    """

    def synthesizer(rows: Any, seed: int, folder: Path) -> Made:
        drawn, kept = folder / "drawn.parquet", folder / "drawn.json"
        spec = {"method": method, "options": options, "count": len(rows), "seed": seed}
        answer = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
        if answer.get("spec") != spec:
            answer = _ask("synthesize", rows, folder, {**spec, "made": str(drawn)})
            kept.write_text(json.dumps({**answer, "spec": spec}), encoding="utf-8")
        facts = {"library": answer["library"], **options}
        return Made(pd.read_parquet(drawn), answer["fit"], answer["sample"], facts)

    return synthesizer


def reports(rows: Any, made: Path, folder: Path) -> dict[str, Any]:
    """Overall scores of sdmetrics' reports; none without the other Python."""
    if not os.environ.get(PYTHON):
        return {}
    return _ask("score", rows, folder, {"made": str(made)})


def _ask(command: str, rows: Any, folder: Path, spec: Mapping[str, Any]) -> dict[str, Any]:
    """One command of the other Python: its last line."""
    training, request = folder / "training.parquet", folder / f"{command}.json"
    rows.to_parquet(training)
    kinds = {
        name: "numerical" if pd.api.types.is_numeric_dtype(rows[name]) else "categorical"
        for name in rows.columns
    }
    request.write_text(json.dumps({**spec, "rows": str(training), "columns": kinds}))
    quiet = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [other_python(), str(SCRIPT), command, str(request)],
        env={**quiet, "OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command} of {folder.name} failed:\n{done.stderr[-2_000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def other_python() -> str:
    """The Python that has sdv and sdmetrics.

    Raises:
        OptionError: the environment variable is not set.
    """
    found = os.environ.get(PYTHON)
    if not found:
        raise OptionError(
            f"{PYTHON} is not set: set it to the Python of an environment with sdv and sdmetrics"
        )
    return found
