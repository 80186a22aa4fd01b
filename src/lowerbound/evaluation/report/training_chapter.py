"""The chapters on the data and on training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lowerbound.evaluation.report import figures
from lowerbound.evaluation.report.subjects import Material, Plate, TrainingRecord
from lowerbound.evaluation.samples.acceptance import real_rows

ROWS, COLUMNS = 4, 20
INFORMATION = {
    "active units": "active units",
    "mutual information": "mutual information (nats)",
    "rate weight": "weight of the rate",
}

SAID = {
    "active units": ", the others are of held-out rows. Active units vary with the row",
    "mutual information": ". The mutual information is estimated within a batch, so it is too "
    "small on average, and at most the logarithm of the rows of a batch",
}


def data_sheet(material: Material) -> Iterator[Plate]:
    """Some of the pictures that the models were fitted to."""
    rows = real_rows(material.training.thinned(ROWS * COLUMNS)).float().numpy()
    yield Plate(
        "data",
        "Your data",
        f"{len(rows)} of the {len(material.training):,} rows that the models were fitted to. What "
        f"is frequent here should be frequent in samples.{_enlarged(material)}",
        figures.picture_strip(rows, COLUMNS, "Your data"),
    )


def training(material: Material) -> Iterator[Plate]:
    """Bound, distortion and rate against epochs, for models that were trained."""
    curves = [
        _curve(found.name, list(found.subject.history))
        for found in material.findings
        if found.subject.history is not None and len(found.subject.history) > 1
    ]
    if curves:
        yield Plate(
            "training",
            "Training",
            "Left: the bound rises and levels off. If it falls on validation rows while it "
            "rises on training rows, the model has begun to overfit; the kept weights are those "
            "from before. Right: distortion falls as codes carry more information, and the rate is "
            "their cost.",
            figures.training_curves(curves),
        )


def levels(material: Material) -> Iterator[Plate]:
    """The rate of each level against epochs, for hierarchies."""
    for found in material.findings:
        records = [] if found.subject.history is None else list(found.subject.history)
        if len(records) < 2 or len(records[0].rates) < 2:
            continue
        yield Plate(
            "level_rates",
            "Training",
            f"The rate of each level of {found.name}; level 0 is the coarsest. A level at zero is "
            "not used: its prior and posterior agree for every row.",
            figures.level_curves(
                found.name,
                np.array([record.epoch for record in records]),
                np.array([record.rates for record in records]),
            ),
        )


def information(material: Material) -> Iterator[Plate]:
    """Rate, active units and mutual information against epochs, for continuous latents."""
    for found in material.findings:
        records = [] if found.subject.history is None else list(found.subject.history)
        seen = [name for name in INFORMATION if any(name in r.readings for r in records)]
        if len(records) < 2 or not seen:
            continue
        yield Plate(
            "information",
            "Training",
            f"What the latents of {found.name} carry. The rate is of training rows"
            f"{''.join(SAID.get(name, '') for name in seen)}. If all of them fall to zero, the "
            "latents have collapsed.",
            figures.reading_curves(
                "Information in the latents",
                np.array([record.epoch for record in records]),
                {
                    "rate (nats)": np.array([sum(record.rates) for record in records]),
                    **{
                        label: np.array([_reading(record, name) for record in records])
                        for name, label in INFORMATION.items()
                        if name in seen
                    },
                },
            ),
        )


def critics(material: Material) -> Iterator[Plate]:
    """The readings of a critic that enters late, for models that were trained with one."""
    for found in material.findings:
        records = [] if found.subject.history is None else list(found.subject.history)
        seen = {name for record in records for name in record.readings if "critic" in name}
        if len(records) < 2 or not seen:
            continue
        yield Plate(
            "critic",
            "Training",
            f"The entrance of the critic of {found.name}. Its weight is balanced, so distortion "
            "should rise little when it enters. A critic that is right in half of the cases "
            "cannot tell rows from reconstructions; one that is always right teaches nothing.",
            figures.reading_curves(
                "Critic",
                np.array([record.epoch for record in records]),
                {
                    "distortion (nats)": np.array([record.distortion for record in records]),
                    **{
                        name: np.array([_reading(record, name) for record in records])
                        for name in sorted(seen)
                    },
                },
            ),
        )


def _reading(record: TrainingRecord, name: str) -> float:
    return record.readings.get(name, (np.nan,))[0]


def _curve(name: str, records: Sequence[TrainingRecord]) -> figures.TrainingCurve:
    validation = [np.nan if r.validation is None else r.validation for r in records]
    return figures.TrainingCurve(
        name=name,
        epoch=np.array([r.epoch for r in records]),
        bound=np.array([r.bound for r in records]),
        validation=np.array(validation, dtype=float),
        distortion=np.array([r.distortion for r in records]),
        rate=np.array([sum(r.rates) for r in records], dtype=float),
    )


def _enlarged(material: Material) -> str:
    if max(material.training.schema.event_shape) >= figures.SMALL:
        return ""
    return " Small pictures are shown enlarged and smoothed on this page."
