"""Anomalies in the ADBench tables: one label-free default beside classical detectors, same splits.

The tables are parted by the hash of their names: everything, the settings of the classical
detectors too, was chosen on the first half, and these figures are of the second. "Clean" fits on
half of the normal rows and scores the rest with all anomalies; "contaminated" fits on 70 % of all
rows, anomalies among them, as ADBench does.

False alarms are counted on the normal rows of the clean splits, at thresholds for 1 % and 5 %,
wherever the detector set enough rows aside for the rate, and are to lie inside the band that
calibration and test rows leave.

    python benchmarks/anomaly.py --cell choose_clean      the settings of the classical detectors
    python benchmarks/anomaly.py --cell clean_0           one protocol and seed, resumable by table
    python benchmarks/anomaly.py                          all that is missing, then the result
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping
from functools import partial
from itertools import product

import numpy as np
from _adbench import ARCHIVE, Array, Protocol, Split, archive_path, half, split
from _detector_choice import choice
from _detectors import CLASSICAL, fitted_vae, pyod_vae
from _record import Metric, arguments, part_of, write
from _rivals import in_words, paired
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from lowerbound import VAEDetector
from lowerbound.applications.anomaly.conformal import rows_needed
from lowerbound.data.catalog import file_sha256

NAME = "anomaly"
OURS = "VAE"
PYOD = "PyOD VAE"
PROTOCOLS: tuple[Protocol, ...] = ("clean", "contaminated")
SEEDS = (0, 1, 2)
HAS_PYOD = importlib.util.find_spec("pyod") is not None
PYOD_ROWS = 2_500  # rows to fit on above which PyOD's VAE is left out: it takes minutes a table
RATES = (0.01, 0.05)
Scores = dict[str, dict[str, float]]


def run_table(name: str, protocol: Protocol, seed: int) -> Scores:
    """AUROC and average precision of every detector on one split; of ours also false alarms."""
    rows = split(name, protocol, seed)
    settings = choice(NAME, protocol)
    found: Scores = {}
    for kind, rival in CLASSICAL.items():
        began = time.process_time()
        odd = rival.detect(rows.training, rows.test, seed, **settings[kind]["settings"])
        found[kind] = {**areas(rows, odd), "seconds": time.process_time() - began}
    if len(rows.training) <= PYOD_ROWS and HAS_PYOD:
        began = time.process_time()
        odd = pyod_vae(rows.training, rows.test, seed)
        found[PYOD] = {**areas(rows, odd), "seconds": time.process_time() - began}
    began = time.process_time()
    ours = fitted_vae(rows.training, seed, "clean" if protocol == "clean" else "auto")
    odd = ours.anomaly_score(rows.test)
    found[OURS] = {**areas(rows, odd), "seconds": time.process_time() - began}
    if protocol == "clean":
        found["alarms"] = alarms(ours, odd[rows.y == 0], len(rows.training))
    return found


def areas(rows: Split, odd: Array) -> dict[str, float]:
    return {
        "auroc": float(roc_auc_score(rows.y, odd)),
        "ap": float(average_precision_score(rows.y, odd)),
    }


def alarms(detector: VAEDetector, normal: Array, fitted_on: int) -> dict[str, float]:
    """By rate, the share of new normal rows above the threshold, and whether the band holds it.

    Args:
        detector: fitted clean.
        normal: scores of normal rows that it has not seen.
        fitted_on: rows that it was given; as many calibration rows are its own.
    """
    calibration = detector.calibration_
    found: dict[str, float] = {}
    for rate in RATES:
        if rows_needed(rate) <= len(calibration) < fitted_on:
            share = float((normal > calibration.threshold(rate)).mean())
            low, high = calibration.band(rate, rows=len(normal))
            found |= {f"{rate}": share, f"{rate} inside": float(low <= share <= high)}
    return found


def run_cell(protocol: Protocol, seed: int) -> dict[str, Scores]:
    """All tables of one protocol and seed; those that are done are read."""
    return {
        name: part_of(NAME, f"{protocol}_{seed}", name, partial(run_table, name, protocol, seed))
        for name in half("report")
    }


def means(cells: list[dict[str, Scores]], measure: str) -> dict[str, dict[str, float]]:
    """Of each detector, the mean over seeds by table, for the tables that all seeds have it on."""
    kinds = {kind for cell in cells for scores in cell.values() for kind in scores} - {"alarms"}
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
        rivals = [
            paired(
                kind,
                settings_of(kind, protocol),
                [mine[table] for table in theirs],
                list(theirs.values()),
                "higher",
                "table",
            )
            for kind, theirs in by_kind.items()
            if kind != OURS
        ]
        beats = list(CLASSICAL) if measure == "auroc" else []
        per_seed = [np.mean([s[OURS][measure] for s in cell.values()]) for cell in cells]
        spread = float(np.std(per_seed, ddof=1)) if len(cells) > 1 else None
        name = f"{protocol} training, mean {label} of {len(mine)} tables"
        found.append(Metric(name, whole[OURS], label, "higher", spread, rivals=rivals, beats=beats))
        if measure == "auroc":
            found += [
                against(protocol, mine, theirs, k) for k, theirs in by_kind.items() if k != OURS
            ]
    return found


def settings_of(kind: str, protocol: Protocol) -> str:
    """Of a rival, in words."""
    if kind == PYOD:
        return f"its defaults, where at most {PYOD_ROWS:,} rows are fitted on"
    found = choice(NAME, protocol)[kind]
    how = f"chosen among {found['tried']} by mean AUROC on the other half of the tables"
    return in_words(found["settings"], how)


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


def alarm_metrics(cells: list[dict[str, Scores]]) -> list[Metric]:
    """How often the false-alarm rate is inside its band, and what it is on average."""
    found = []
    for rate in RATES:
        shares, inside = [], []
        for told in (scores["alarms"] for cell in cells for scores in cell.values()):
            if str(rate) in told:
                shares.append(told[str(rate)])
                inside.append(told[f"{rate} inside"])
        if not shares:
            continue
        name = f"false alarms at {rate:.0%}, {len(shares)} tables and seeds"
        mean = Metric(f"{name}: mean rate", 100 * float(np.mean(shares)), "%", "lower")
        held = 100 * float(np.mean(inside))
        found += [mean, Metric(f"{name}: inside the band", held, "%", "higher", None, 90)]
    return found


def quick(seed: int) -> None:
    """One table of the first half: nobody looks at the second in passing."""
    rows = split("45_wine", "clean", seed)
    for kind, rival in CLASSICAL.items():
        odd = rival.detect(rows.training, rows.test, seed, **rival.settings[0])
        print(f"quick, not quoted: {kind} {areas(rows, odd)['auroc']:.3f}")
    ours = fitted_vae(rows.training, seed)
    print(f"quick, not quoted: {OURS} {areas(rows, ours.anomaly_score(rows.test))['auroc']:.3f}")


def summarize(cells: dict[Protocol, list[dict[str, Scores]]], minutes: float) -> None:
    metrics = [metric for protocol in PROTOCOLS for metric in metrics_of(protocol, cells[protocol])]
    metrics += alarm_metrics(cells["clean"])
    for metric in metrics:
        print(f"{metric.name}: {metric.value:.4f}", flush=True)
    write(
        NAME,
        metrics,
        data=[
            {
                "file": ARCHIVE,
                "split": "the second half of the tables by the hash of their names",
                "sha256": file_sha256(archive_path()),
            }
        ],
        seeds=list(SEEDS),
        minutes=minutes,
        notes="Tables above 10,000 rows are cut to that. PyOD's VAE, with its defaults, runs where "
        f"at most {PYOD_ROWS:,} rows are fitted on{'' if HAS_PYOD else '; it is not installed'}. "
        "The settings of each other detector have the highest mean AUROC on the first half of the "
        "tables, for each protocol. Spread: standard deviation over seeds. Minutes are processor "
        "time of the cells.",
        extra={
            "rivals": {protocol: choice(NAME, protocol) for protocol in PROTOCOLS},
            "cells": {
                f"{protocol}_{seed}": cell
                for protocol in PROTOCOLS
                for seed, cell in zip(SEEDS, cells[protocol], strict=True)
            },
        },
    )


def main() -> None:
    names = [f"choose_{p}" for p in PROTOCOLS] + [f"{p}_{s}" for p, s in product(PROTOCOLS, SEEDS)]
    parser = arguments(__doc__ or "")
    parser.add_argument("--cell", choices=names)
    chosen = parser.parse_args()
    if chosen.quick:
        quick(chosen.seed)
        return
    if chosen.cell and chosen.cell.startswith("choose_"):
        choice(NAME, chosen.cell.removeprefix("choose_"))
        return
    if chosen.cell:
        protocol, _, seed = chosen.cell.rpartition("_")
        run_cell(protocol, int(seed))
        return
    cells = {protocol: [run_cell(protocol, seed) for seed in SEEDS] for protocol in PROTOCOLS}
    seconds = (
        scores.get("seconds", 0.0)
        for cell in (*cells["clean"], *cells["contaminated"])
        for table in cell.values()
        for scores in table.values()
    )
    summarize(cells, sum(seconds) / 60)


if __name__ == "__main__":
    main()
