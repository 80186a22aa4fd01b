"""How near samples are to real rows, as lines of text: one for each way of sampling, between floor
and ceiling."""

from __future__ import annotations

from collections.abc import Sequence

from lowerbound.evaluation.samples.quality import Quality, SampleQuality
from lowerbound.evaluation.samples.two_sample import TwoSample
from lowerbound.inference.estimate import Estimate, Skipped

FLOOR, CEILING = "real against real (floor)", "shuffled (ceiling)"


def about_quality(found: SampleQuality | Skipped) -> list[str]:
    """A sentence on what was compared, and a table."""
    if isinstance(found, Skipped):
        return [f"no distances of samples: {found.reason}"]
    named = _named(found)
    pictures = not isinstance(next(iter(named.values())).sharpness, Skipped)
    head = ("", f"FD[{found.space}]", f"KD[{found.space}]", "precision", "recall", "density")
    head = (*head, "coverage", "told apart", *(("sharpness",) if pictures else ()))
    rows = [(name, *_cells(quality)) for name, quality in named.items()]
    return [_introduction(found), *_aligned([head, *rows]), *_remarks(found, pictures)]


def _named(found: SampleQuality) -> dict[str, Quality]:
    """Every line by its name; floors and ceilings of several forms are told apart."""
    named = {
        f"{way}, {form}": quality
        for way, forms in found.found.items()
        for form, quality in forms.items()
    }
    for name, bounds in ((FLOOR, found.floor), (CEILING, found.ceiling)):
        same = len({id(quality) for quality in bounds.values()}) == 1
        for form, quality in list(bounds.items())[: 1 if same else None]:
            named[name if same else f"{name}, as {form}"] = quality
    return named


def _introduction(found: SampleQuality) -> str:
    if found.accuracy is None and found.space == "columns":
        seen = "column by column, as they are"
    else:
        seen = f"in the features of {found.space}"
    if found.accuracy is not None:
        seen += f" (it knows the class of {found.accuracy:.1%} of rows it has not seen)"
    return f"{found.rows:,} samples against {found.rows:,} held-out rows, {seen}:"


def _cells(quality: Quality) -> tuple[str, ...]:
    near, sharpness = quality.near, quality.sharpness
    return (
        _number(quality.frechet),
        _number(quality.kernel),
        f"{near.precision:.1%}",
        f"{near.recall:.1%}",
        f"{near.density:.2f}",
        f"{near.coverage:.1%}",
        _two_sample(quality.two_sample),
        *(() if isinstance(sharpness, Skipped) else (f"{sharpness.mean:.2f}",)),
    )


def _number(value: Estimate) -> str:
    """Three digits that count, and the error to as many places."""
    size = max(abs(value.mean), value.standard_error or 0.0)
    places = 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0
    error = "" if value.standard_error is None else f" ± {value.standard_error:.{places}f}"
    return f"{value.mean:.{places}f}{error}"


def _two_sample(found: TwoSample) -> str:
    p = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.3f}"
    return f"{found.accuracy.mean:.1%} ({p})"


def _remarks(found: SampleQuality, pictures: bool) -> list[str]:
    remark = (
        f"(told apart: right answers of a classifier to real-or-not, ideal 50%; shuffled: the "
        f"{found.shuffled}"
    )
    if pictures:
        return [f"{remark}; sharpness: variance of the Laplacian, samples over data)"]
    return [f"{remark}; no sharpness, which is for pictures)"]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of one width, the first flush left and the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
