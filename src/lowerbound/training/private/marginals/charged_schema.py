"""The budget of a fit whose schema was measured from the same rows."""

from __future__ import annotations

from dataclasses import replace

from lowerbound.training.private.marginals.zcdp import ROUNDING, epsilon_of, rho_for
from lowerbound.training.private.record import ReleaseRecord
from lowerbound.training.private.schema_record import SchemaRecord


def rho_left(epsilon: float, delta: float, measured: SchemaRecord | None) -> float:
    """The rho of (epsilon, delta), less that of a measured schema.

    The rho of both add, and hold except with the probability ``threshold_delta`` (Bun & Steinke
    2016, section 8). This leaves more than a difference of the epsilons would.

    Raises:
        OptionError: epsilon or delta is out of range, or nothing is left.
    """
    if measured is None:
        return rho_for(epsilon, delta)
    if epsilon > 0 and not delta > measured.threshold_delta:
        raise measured.exhausted(epsilon, delta)
    rho = rho_for(epsilon, delta - measured.threshold_delta) - measured.rho
    if not rho > 0:
        raise measured.exhausted(epsilon, delta)
    return rho * (1 - ROUNDING)


def with_schema(record: ReleaseRecord, measured: SchemaRecord | None, public: str) -> ReleaseRecord:
    """The record of a fit and of its schema together.

    Args:
        record: of the fit alone.
        measured: what the schema has spent; None: nothing.
        public: where the declarations come from, in words.
    """
    if measured is None:
        return record
    assert record.rho is not None
    rho = record.rho + measured.rho
    return replace(
        record,
        mechanism=f"{record.mechanism} (rho {record.rho:.4g}), and a measured schema (rho "
        f"{measured.rho:.4g})",
        epsilon=epsilon_of(rho, record.delta - measured.threshold_delta),
        rho=rho,
        charged=(measured.charged,),
        public=measured.public(public),
    )
