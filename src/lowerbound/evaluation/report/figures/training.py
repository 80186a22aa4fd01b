"""Training curves: the bound on training and validation rows, and its two parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.report.figures.style import (
    MUTED,
    SEQUENTIAL,
    color_of,
    legend,
    legend_below,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 15  # fewer points are marked one by one
LEAST_SPREAD = 1e-3  # of the values of a curve, on each side of it


@dataclass(frozen=True)
class TrainingCurve:
    """One model's training, one value per epoch; NaN if there is none.

    Attributes:
        name: name of the model.
        epoch: number of the epoch.
        bound: on training rows, nats per row.
        validation: bound on validation rows.
        distortion: -log p(x | z).
        rate: sum of the latents' KL.
    """

    name: str
    epoch: Array
    bound: Array
    validation: Array
    distortion: Array
    rate: Array


def training_curves(curves: Sequence[TrainingCurve]) -> Figure:
    """One row per model: the bound at the left, distortion and rate at the right."""
    figure = new_figure(9, 0.5 + 2.6 * len(curves), "Training")
    panels = figure.subplots(len(curves), 2, squeeze=False)
    for (left, right), curve in zip(panels, curves, strict=True):
        _bound(left, curve)
        _parts(right, curve)
    return figure


def level_curves(name: str, epoch: Array, rates: Array) -> Figure:
    """The rate of each level against epochs, (records, levels), the coarsest first."""
    from matplotlib import colormaps

    figure = new_figure(6.5, 3.4, "Rates of the levels")
    axes = style(figure.subplots(), name, "epoch", "rate (nats)", grid=True)
    tints = colormaps[SEQUENTIAL]
    for level, values in enumerate(rates.T):
        tint = 0.15 + 0.75 * level / max(rates.shape[1] - 1, 1)
        axes.plot(epoch, values, color=tints(tint), linewidth=1.5, label=f"level {level}")
    legend(axes, loc="upper left", ncols=1 + rates.shape[1] // 9)
    return figure


def prior_curve(
    epoch: Array,
    training: Array,
    validation: Array,
    former: float | None,
    *,
    title: str = "Training of the prior",
    what: str = "log p(z) of latents",
) -> Figure:
    """log p(z) of latents against epochs, with a line at the former prior's value."""
    figure = new_figure(6.5, 3.4, title)
    axes = style(figure.subplots(), what, "epoch", "nats per row", grid=True)
    lines: dict[str, Any] = {"linewidth": 1.5}
    seen = np.isfinite(validation)
    faint = 0.4 if seen.any() else 1.0  # a bound is noisy on training rows
    axes.plot(epoch, training, color=color_of(0), label="training rows", alpha=faint, **lines)
    axes.plot(epoch[seen], validation[seen], color=color_of(6), label="held-out rows", **lines)
    known = [] if former is None else [former]
    if known:
        axes.axhline(known[0], color=MUTED, linestyle="--", label="former prior, held-out rows")
    shown = validation[seen] if seen.any() else _late(training)
    _zoom(axes, np.concatenate([shown, np.array(known)]))
    legend_below(axes)
    return figure


def reading_curves(title: str, epoch: Array, curves: Mapping[str, Array]) -> Figure:
    """One panel per reading against epochs, (records,) each; NaN where there is none."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(2.6 * len(curves), 2.6, title)
    for index, (name, values) in enumerate(curves.items()):
        axes = style(figure.add_subplot(1, len(curves), index + 1), name, "epoch", grid=True)
        axes.plot(epoch, values, color=color_of(index), linewidth=1.5)
        axes.set_xlim(float(epoch[0]), float(epoch[-1]))
        _zoom(axes, _late(values))
        seen = values[np.isfinite(values)]
        if np.array_equal(seen, np.round(seen)):  # a count
            axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def _bound(axes: Axes, curve: TrainingCurve) -> None:
    what = "lower bound on log p(x)" if np.nanmax(curve.rate, initial=0) > 0 else "log p(x | code)"
    style(axes, f"{curve.name}: {what}", "epoch", "nats per row", grid=True)
    lines: dict[str, Any] = {
        "linewidth": 1.5,
        "marker": "o" if len(curve.epoch) < FEW else "",
        "markersize": 3,
    }
    axes.plot(curve.epoch, curve.bound, color=color_of(0), label="training rows", **lines)
    seen = np.isfinite(curve.validation)
    if seen.any():
        axes.plot(
            curve.epoch[seen],
            curve.validation[seen],
            color=color_of(6),
            label="validation rows",
            **lines,
        )
    _zoom(axes, np.concatenate([_late(curve.bound), _late(curve.validation[seen])]))
    legend_below(axes)


def _parts(axes: Axes, curve: TrainingCurve) -> None:
    has_rate = np.nanmax(curve.rate, initial=0) > 0
    title = "parts of the bound" if has_rate else "distortion"
    style(axes, f"{curve.name}: {title}", "epoch", "distortion (nats)", grid=True)
    (first,) = axes.plot(curve.epoch, curve.distortion, color=color_of(4), linewidth=1.5)
    _zoom(axes, _late(curve.distortion))
    lines, names = [first], ["distortion: −log p(x | z)"]
    if has_rate:
        other = style(axes.twinx(), y="rate (nats)")
        other.spines["right"].set_visible(True)
        (second,) = other.plot(curve.epoch, curve.rate, color=color_of(1), linewidth=1.5)
        lines, names = [first, second], [names[0], "rate: KL(q(z | x) ‖ p(z))"]
    legend_below(axes, lines, names)


def _late(values: Array) -> Array:
    """The values without the first tenth, whose range would flatten the rest of the curve."""
    return values[min(len(values) // 10, max(len(values) - 2, 0)) :]


def _zoom(axes: Axes, values: Array) -> None:
    values = values[np.isfinite(values)]
    if len(values) and values.max() > values.min():
        least = LEAST_SPREAD * np.abs(values).max()  # rounding errors have no ticks
        margin = max(0.08 * (values.max() - values.min()), least)
        axes.set_ylim(values.min() - margin, values.max() + margin)
