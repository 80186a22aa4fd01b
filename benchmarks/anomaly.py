"""Anomalies in the ADBench tables: one label-free default beside classical detectors, same splits.

The tables are parted by the hash of their names: everything was chosen on the first half, and these
figures are of the second. "Clean" fits on half of the normal rows and scores the rest with all
anomalies; "contaminated" fits on 70 % of all rows, anomalies among them, as ADBench does.

    python benchmarks/anomaly.py --cell clean_0           one protocol and seed, resumable by table
    python benchmarks/anomaly.py                          all that is missing, then the result
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from _adbench import ARCHIVE, Protocol, half, split
from _detectors import CLASSICAL, Detector, clean_vae, pyod_vae, robust_vae
from _record import Metric, arguments, write
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from lowerbound.data.download import data_folders, file_sha256
from lowerbound.data.published import first_place

NAME = "anomaly"
RUNS = Path("runs") / NAME
OURS = "VAE"
PYOD = "PyOD VAE"
PROTOCOLS: tuple[Protocol, ...] = ("clean", "contaminated")
SEEDS = (0, 1, 2)
PYOD_ROWS = 2_500  # rows to fit on above which PyOD's VAE is left out: it takes minutes a table
Scores = dict[str, dict[str, float]]


def detectors(protocol: Protocol) -> dict[str, Detector]:
    ours = clean_vae if protocol == "clean" else robust_vae
    return {**CLASSICAL, PYOD: pyod_vae, OURS: ours}


def run_table(name: str, protocol: Protocol, seed: int) -> Scores:
    """AUROC and average precision of every detector on one split."""
    rows = split(name, protocol, seed)
    found: Scores = {}
    for kind, detect in detectors(protocol).items():
        began = time.perf_counter()
        if kind == PYOD and len(rows.training) > PYOD_ROWS:
            continue
        try:
            odd = detect(rows.training, rows.test, seed)
        except ImportError:
            continue
        found[kind] = {
            "auroc": float(roc_auc_score(rows.y, odd)),
            "ap": float(average_precision_score(rows.y, odd)),
            "seconds": time.perf_counter() - began,
        }
    return found


def run_cell(protocol: Protocol, seed: int, tables: tuple[str, ...]) -> dict[str, Scores]:
    """All tables of one protocol and seed; those that are done are read."""
    place = RUNS / f"{protocol}_{seed}.json"
    done: dict[str, Scores] = json.loads(place.read_text()) if place.exists() else {}
    for name in tables:
        if name not in done:
            done[name] = run_table(name, protocol, seed)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(done, indent=1))
            said = ", ".join(f"{k} {v['auroc']:.3f}" for k, v in done[name].items())
            print(f"{protocol} {seed} {name}: {said}", flush=True)
    return {name: done[name] for name in tables}


def means(cells: list[dict[str, Scores]], measure: str) -> dict[str, dict[str, float]]:
    """Of each detector, the mean over seeds by table, for the tables that all seeds have it on."""
    kinds = {kind for cell in cells for scores in cell.values() for kind in scores}
    return {
        kind: {
            name: float(np.mean([cell[name][kind][measure] for cell in cells]))
            for name in cells[0]
            if all(kind in cell[name] for cell in cells)
        }
        for kind in sorted(kinds)
    }


def metrics_of(protocol: Protocol, cells: list[dict[str, Scores]]) -> list[Metric]:
    """Means over tables, and against each rival who wins how often (Wilcoxon's signed ranks)."""
    found = []
    for measure, label in (("auroc", "AUROC"), ("ap", "average precision")):
        by_kind = means(cells, measure)
        mine = by_kind[OURS]
        whole = {k: float(np.mean(list(v.values()))) for k, v in by_kind.items()}
        rivals = {k: whole[k] for k in CLASSICAL}
        bar = max(rivals.values()) if protocol == "clean" else rivals["IForest"]
        target = bar if measure == "auroc" else None
        per_seed = [np.mean([s[OURS][measure] for s in cell.values()]) for cell in cells]
        spread = float(np.std(per_seed, ddof=1)) if len(cells) > 1 else None
        name = f"{protocol} training, mean {label} of {len(mine)} tables"
        found.append(Metric(name, whole[OURS], label, "higher", spread, target, rivals))
        if measure == "auroc":
            found += [
                against(protocol, mine, theirs, k) for k, theirs in by_kind.items() if k != OURS
            ]
    return found


def against(
    protocol: Protocol, mine: Mapping[str, float], theirs: Mapping[str, float], rival: str
) -> Metric:
    """Mean difference in AUROC on the tables that both have; wins, ties, losses in the name."""
    apart = np.array([mine[name] - theirs[name] for name in theirs])
    near = np.abs(apart) < 5e-4
    wins, ties = int((apart[~near] > 0).sum()), int(near.sum())
    tested = stats.wilcoxon(apart[~near]).pvalue if (~near).sum() > 5 else float("nan")
    record = f"{wins} wins, {ties} ties, {len(apart) - wins - ties} losses, Wilcoxon p {tested:.2g}"
    return Metric(f"{protocol}, above {rival}: {record}", float(apart.mean()), "AUROC", "higher")


def summarize(quick: bool, seeds: tuple[int, ...], tables: tuple[str, ...]) -> list[Metric]:
    protocols = PROTOCOLS[:1] if quick else PROTOCOLS
    cells = {p: [run_cell(p, seed, tables) for seed in seeds] for p in protocols}
    return [metric for p in protocols for metric in metrics_of(p, cells[p])]


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--cell", help="such as clean_0 or contaminated_2")
    chosen = parser.parse_args()
    tables = half("report")
    if chosen.cell:
        protocol, _, seed = chosen.cell.rpartition("_")
        run_cell(protocol, int(seed), tables)
        return
    start = time.perf_counter()
    if chosen.quick:
        tables = ("45_wine",)  # of the first half: nobody looks at the second in passing
    metrics = summarize(chosen.quick, (chosen.seed,) if chosen.quick else SEEDS, tables)
    for metric in metrics:
        print(f"{metric.name}: {metric.value:.4f}", flush=True)
    extra: dict[str, Any] = {"tables": list(tables)}
    write(
        NAME,
        metrics,
        data=[
            {
                "file": ARCHIVE,
                "split": "the second half of the tables by the hash of their names",
                "sha256": file_sha256(first_place(data_folders(), (ARCHIVE,))),
            }
        ],
        seeds=list(SEEDS),
        minutes=(time.perf_counter() - start) / 60,
        notes=f"Tables above 10,000 rows are cut to that. PyOD's VAE runs where at most "
        f"{PYOD_ROWS:,} rows are fitted on. Spread: standard deviation over seeds.",
        quick=chosen.quick,
        extra=extra,
    )


if __name__ == "__main__":
    main()
