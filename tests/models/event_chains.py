"""A small process whose distribution is known, for tests of models of histories."""

from __future__ import annotations

import numpy as np
import pandas as pd

KINDS = ("a", "b", "c")
START = np.array([0.6, 0.3, 0.1])
TRANSITION = np.array([[0.1, 0.7, 0.2], [0.5, 0.1, 0.4], [0.3, 0.3, 0.4]])
STOP = np.array([0.2, 0.35, 0.5])  # after an event of each kind
WAIT = np.array([[0.8, 0.2], [0.3, 0.7], [0.5, 0.5]])  # of one or two days, before each kind


def chains(entities: int, seed: int = 0, most: int = 12) -> pd.DataFrame:
    """Histories of a Markov chain that stops by chance."""
    random = np.random.default_rng(seed)
    rows = []
    for entity in range(entities):
        day, kind = int(random.integers(0, 5)), int(random.choice(3, p=START))
        for place in range(most):
            rows.append((f"E{entity:05d}", day, KINDS[kind]))
            if random.random() < STOP[kind] or place == most - 1:
                break
            kind = int(random.choice(3, p=TRANSITION[kind]))
            day += 1 + int(random.random() < WAIT[kind, 1])
    return pd.DataFrame(rows, columns=["who", "day", "kind"])


def transitions(frame: pd.DataFrame) -> np.ndarray:
    """Shares of the next kind after each kind, (3, 3)."""
    after = frame.groupby("who")["kind"].shift(-1)
    table = pd.crosstab(frame["kind"], after).reindex(index=KINDS, columns=KINDS, fill_value=0)
    counts = table.to_numpy(dtype=float)
    return np.asarray(counts / counts.sum(1, keepdims=True))


def log_likelihood(frame: pd.DataFrame, most: int = 12) -> dict[str, float]:
    """Exact log-probability of each history, in nats, by the name of its entity."""
    found = {}
    for who, events in frame.groupby("who"):
        kinds = [KINDS.index(kind) for kind in events["kind"]]
        total = np.log(0.2) + np.log(START[kinds[0]])  # the first day is one of five
        for before, kind, wait in zip(
            kinds, kinds[1:], np.diff(events["day"].to_numpy()), strict=False
        ):
            total += np.log(1 - STOP[before]) + np.log(TRANSITION[before, kind])
            total += np.log(WAIT[kind, wait - 1])
        if len(kinds) < most:
            total += np.log(STOP[kinds[-1]])
        found[str(who)] = float(total)
    return found
