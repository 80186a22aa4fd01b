"""The protocol of a score, and the model's rank among published models, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lowerbound.evaluation.likelihood.leaderboard import Leaderboard, Standing, binarization_of
from lowerbound.inference.scores import Protocol

SHOWN_OF_A_HASH = 12


def about_protocol(protocol: Protocol) -> str:
    """The protocol in one line; figures are comparable only if their protocols agree."""
    values = _values(protocol)
    what = "bits" if protocol.levels == 2 or protocol.binarize != "none" else "rows"
    parts = [
        f"{protocol.rows:,} rows",
        *([protocol.data] if protocol.data else []),
        *([f"part {protocol.split}"] if protocol.split else []),
        values,
        f"p(x | z) {protocol.likelihood}",
        f"seed {protocol.seed}",
        f"SHA-256 of the {what} {protocol.sha256[:SHOWN_OF_A_HASH]}",
    ]
    return f"protocol: {', '.join(parts)}"


def _values(protocol: Protocol) -> str:
    """Binarization, bit depth, or "continuous values"."""
    kind = binarization_of(protocol)
    if kind == "static":
        return "bits as given (static)"
    if kind != "none":
        return f"bits by {kind} binarization"
    if protocol.levels is None:
        return "continuous values"
    depth = (protocol.levels - 1).bit_length()
    return f"{protocol.levels} levels ({depth} bits)"


def about_leaderboard(board: Leaderboard) -> list[str]:
    """A table of comparable figures, then one line per reason why others are not comparable."""
    if not board.dataset:
        return []
    lines = [f"published figures of {board.dataset}, lower is better:"]
    lines += [f"  {line}" for line in _tables(board)] or ["  none has the protocol of this run"]
    return lines + [f"  not compared: {line}" for line in _refusals(board)]


def _tables(board: Leaderboard) -> Iterator[str]:
    """One table per estimator and unit, with this model in its rank."""
    groups: dict[str, list[Standing]] = {}
    for found in board.comparable:
        figure = found.figure
        groups.setdefault(f"{figure.estimator} in {figure.unit}:", []).append(found)
    for title, standings in groups.items():
        yield title
        yield from (f"  {line}" for line in _ranked(standings))


def _ranked(standings: list[Standing]) -> list[str]:
    measured = standings[0].measured
    assert measured is not None
    digits = 2 if standings[0].figure.unit == "nats" else 3
    lines = [
        (
            found.figure.value,
            f"{found.figure.value:.2f}  {found.figure.model}, {found.figure.source}",
        )
        for found in standings
    ]
    error = measured.standard_error
    spread = "" if error is None else f" ± {error:.{digits}f}"
    lines.append((measured.mean, f"{measured.mean:.{digits}f}{spread}  THIS MODEL"))
    return [line for _, line in sorted(lines)]


def _refusals(board: Leaderboard) -> Iterator[str]:
    """One line per reason why figures are not comparable."""
    reasons: dict[str, list[Standing]] = {}
    for found in board.refused:
        reasons.setdefault(found.refusal, []).append(found)
    yield from _grouped(reasons)


def _grouped(reasons: Mapping[str, list[Standing]]) -> Iterator[str]:
    for reason, standings in reasons.items():
        first = standings[0].figure
        more = f" and {len(standings) - 1} more" if len(standings) > 1 else ""
        yield f"{first.model}, {first.value:.2f}{more}: {reason}"
