"""The verdict of a report: is the model good, can the figures be trusted, and what to do next.

It is three sentences, made by the rules in this file from a few figures. Each rule is one function:
``FLAGS`` finds headline figures that are not trustworthy, and the first of ``STEPS`` that applies
gives the next step. A rule says nothing that its figures do not support.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lowerbound.config import to_mapping
from lowerbound.errors import counted
from lowerbound.evaluation.likelihood.baselines import INDEPENDENT, NATS, VARIANCE, Margin
from lowerbound.inference.estimate import UNRELIABLE, Estimate
from lowerbound.inference.scores import LARGE_SHARE

MARK = "⚠"
SENTENCES = ("quality", "trust", "advice")  # of a verdict, in their order
FEW_ROWS = 100  # held-out rows below which every held-out figure is flagged
SIGNIFICANT = 1.96  # standard errors of a 95 % interval
OVERFITTED = 0.25  # of the gain over independent columns, that training rows may score above others
RISING = 0.01  # of that gain, by which the last tenth of training may still raise the bound
NOTABLE = 1.0  # nats that count if there is no gain to compare them with
UNUSED = 0.5  # share of latent units whose lack of use asks for a smaller code

ABOVE, BELOW, LEVEL = "above", "below", "level with"
BOUND, ACCEPTED = "the bound", "the accepted share"
DISTANCES = "the distances of samples"


@dataclass(frozen=True)
class Evidence:
    """The figures that the verdict rests on; None: not measured.

    Attributes:
        model: its name in the sentences.
        rows: number of scored rows.
        unseen: whether the model has not been fitted to them.
        samples: K of the bound.
        bound: L_K in nats per row.
        effective_low: the median effective sample size, if it is too low.
        heavy_tailed: share of rows whose importance weights have a heavy tail.
        margins: comparisons with the baselines.
        unjudged: why there is no comparison; empty if there is one.
        rising: nats by which the validation bound rose in the last tenth of a training that ended
            because its budget was used up.
        brief: whether training used up its budget before the bound could be seen to rise or not.
        overfit: nats by which the training bound lies above the validation bound where that was
            highest.
        active, units: number of active latent units, and of all.
        collapsed: whether no unit was active when the weights of the fit were kept.
        explained: share of the variance that reconstructions keep; NaN: the rows have no variance.
        accepted: whether samples were judged by a classifier.
        distances: whether samples were compared with the rows.
    """

    model: str
    rows: int
    unseen: bool = True
    samples: int | None = None
    bound: Estimate | None = None
    effective_low: float | None = None
    heavy_tailed: float | None = None
    margins: tuple[Margin, ...] = ()
    unjudged: str = ""
    rising: float | None = None
    brief: bool = False
    overfit: float | None = None
    active: int | None = None
    units: int | None = None
    collapsed: bool = False
    explained: float | None = None
    accepted: bool = False
    distances: bool = False

    @property
    def gain(self) -> float | None:
        """Nats by which the model lies above independent columns; None if it does not."""
        gains = [each.difference.mean for each in self.margins if each.name == INDEPENDENT]
        return gains[0] if gains and gains[0] > 0 else None


@dataclass(frozen=True)
class Flag:
    """A headline figure that is not trustworthy.

    Attributes:
        figure: BOUND (of bits per dimension too), ACCEPTED, or the name of a baseline.
        reason: why, as a clause.
    """

    figure: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """Three sentences.

    Attributes:
        quality: whether the model is good, against both baselines.
        trust: whether the headline figures are trustworthy.
        advice: the next step.
        flags: the headline figures that are not trustworthy.
        evidence: the figures behind the sentences.
    """

    quality: str
    trust: str
    advice: str
    flags: tuple[Flag, ...]
    evidence: Evidence

    @property
    def sentences(self) -> tuple[str, ...]:
        """The three sentences in their order."""
        return tuple(getattr(self, name) for name in SENTENCES)

    @property
    def plain(self) -> tuple[str, ...]:
        """The sentences with hyphens for minus signs, like all numbers on a terminal."""
        return tuple(sentence.replace("−", "-") for sentence in self.sentences)

    def reason(self, figure: str) -> str:
        """Why a figure is flagged; empty if it is not."""
        return "; ".join(flag.reason for flag in self.flags if flag.figure == figure)

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values."""
        values = to_mapping(self)
        assert isinstance(values, dict)
        return values


def judge(evidence: Evidence) -> Verdict:
    """The verdict on these figures."""
    flags = tuple(flag for rule in FLAGS for flag in rule(evidence))
    flagged = {flag.figure for flag in flags}
    return Verdict(
        quality=_quality(evidence, flagged),
        trust=_trust(evidence, flags),
        advice=next(filter(None, (step(evidence) for step in STEPS))),
        flags=flags,
        evidence=evidence,
    )


# is it good ---------------------------------------------------------------------


def _quality(evidence: Evidence, flagged: set[str]) -> str:
    if not evidence.margins:
        return f"Not compared with a baseline: {evidence.unjudged}."
    word = _word(evidence)
    kind = "held-out" if evidence.unseen else "training"
    nats = [each for each in evidence.margins if each.unit == NATS]
    shares = [each for each in evidence.margins if each.unit == VARIANCE]
    parts = []
    if nats:
        own = evidence.bound or Estimate(nats[0].model, None)
        compared = " and ".join(_compared(each, flagged) for each in nats)
        parts.append(f"reaches {signed(own)} nats per row{_mark(BOUND, flagged)}, {compared}")
    if shares:
        compared = " and ".join(_compared(each, flagged) for each in shares)
        parts.append(f"keeps {shares[0].model:.1%} of the variance, {compared}")
    return f"{word}: on {evidence.rows:,} {kind} rows, {evidence.model} {'; it '.join(parts)}."


def _word(evidence: Evidence) -> str:
    """Good: above every baseline. Not good: below one in nats, or above none. Fair: else."""
    above = [_side(each) == ABOVE for each in evidence.margins]
    if all(above):
        return "Good"
    below = [each.unit == NATS and _side(each) == BELOW for each in evidence.margins]
    return "Not good" if any(below) or not any(above) else "Fair"


def _side(margin: Margin) -> str:
    """Where the model lies; LEVEL if the 95 % interval of the difference contains zero."""
    difference = margin.difference
    if abs(difference.mean) <= SIGNIFICANT * (difference.standard_error or 0.0):
        return LEVEL
    return ABOVE if difference.mean > 0 else BELOW


def _compared(margin: Margin, flagged: set[str]) -> str:
    """Such as "26.54 ± 0.60 above independent columns (−109.05)"."""
    side, mark = _side(margin), _mark(margin.name, flagged)
    if margin.unit == VARIANCE:
        difference, points, other = (
            margin.difference.scaled(100),
            "points ",
            f"{margin.baseline:.1%}",
        )
    else:
        difference, points = margin.difference, ""
        other = signed(Estimate(margin.baseline, None))
    if side == LEVEL:
        return f"{LEVEL} {margin.name} ({other}; difference {signed(difference)}){mark}"
    size = Estimate(abs(difference.mean), difference.standard_error)
    return f"{size} {points}{side} {margin.name} ({other}){mark}"


def _mark(figure: str, flagged: set[str]) -> str:
    return f" {MARK}" if figure in flagged else ""


def signed(value: Estimate) -> str:
    """An estimate with a true minus sign."""
    return str(value).replace("-", "−")


# can it be trusted ---------------------------------------------------------------------


def _trust(evidence: Evidence, flags: tuple[Flag, ...]) -> str:
    """Every flagged figure with its reasons."""
    if not flags:
        return f"Trustworthy: no headline figure of these {evidence.rows:,} rows is flagged."
    reasons: dict[str, list[str]] = {}
    for flag in flags:
        reasons.setdefault(flag.figure, []).append(flag.reason)
    figures: dict[str, list[str]] = {}
    for figure, each in reasons.items():
        figures.setdefault(" and because ".join(each), []).append(figure)
    clauses = [f"{' and '.join(each)}, because {why}" for why, each in figures.items()]
    return f"Not fully trustworthy {MARK}: {'; '.join(clauses)}."


def _held_out_figures(evidence: Evidence, reason: str) -> Iterator[Flag]:
    """A flag for each headline figure that rests on the held-out rows."""
    if evidence.bound is not None:
        yield Flag(BOUND, reason)
    if evidence.accepted:
        yield Flag(ACCEPTED, reason)


def flag_seen_rows(evidence: Evidence) -> Iterator[Flag]:
    """The model was fitted to the rows that are scored."""
    if not evidence.unseen:
        reason = "the model was fitted to these rows"
        yield from _held_out_figures(evidence, reason)
        if evidence.distances:
            yield Flag(DISTANCES, reason)


def flag_few_rows(evidence: Evidence) -> Iterator[Flag]:
    """Fewer than ``FEW_ROWS`` rows."""
    if evidence.rows < FEW_ROWS:
        verb = "is" if evidence.rows == 1 else "are"
        reason = f"there {verb} only {counted(evidence.rows, 'row')}"
        yield from _held_out_figures(evidence, reason)


def flag_heavy_tails(evidence: Evidence) -> Iterator[Flag]:
    """More than a tenth of the rows have importance weights with Pareto k above 0.7."""
    if evidence.heavy_tailed is not None and evidence.heavy_tailed > LARGE_SHARE:
        yield Flag(
            BOUND,
            f"the importance weights of {evidence.heavy_tailed:.1%} of the rows are heavy-tailed "
            f"(Pareto k above {UNRELIABLE}), so that it may lie nats below log p(x)",
        )


def flag_low_sample_size(evidence: Evidence) -> Iterator[Flag]:
    """Half of the rows have few effective draws; silent if heavy tails already say so."""
    if evidence.effective_low is not None and not list(flag_heavy_tails(evidence)):
        yield Flag(
            BOUND,
            f"the median effective sample size is {evidence.effective_low:.1f} of "
            f"{evidence.samples} draws, so that it may lie nats below log p(x)",
        )


def flag_wide_intervals(evidence: Evidence) -> Iterator[Flag]:
    """The 95 % interval of a difference contains zero."""
    for margin in evidence.margins:
        if _side(margin) == LEVEL:
            yield Flag(margin.name, "the 95 % interval of the difference contains zero")


FLAGS = (
    flag_seen_rows,
    flag_few_rows,
    flag_heavy_tails,
    flag_low_sample_size,
    flag_wide_intervals,
)


# what to do next ---------------------------------------------------------------------


def measure_unseen_rows(evidence: Evidence) -> str:
    """The scored rows were fitted to."""
    if evidence.unseen:
        return ""
    return (
        "Next: measure rows that the model has not seen, with --part test of lowerbound evaluate "
        "or --test 0.1 of lowerbound fit."
    )


def _share_of_gain(evidence: Evidence, share: float) -> float:
    """Nats that are a share of the gain over independent columns; NOTABLE without a gain."""
    return NOTABLE if evidence.gain is None else share * evidence.gain


def train_longer(evidence: Evidence) -> str:
    """The budget of training was used up while the validation bound still rose, or too early."""
    if evidence.brief:
        return (
            "Next: train longer, with a larger --epochs or --minutes, because training ended "
            "before the validation bound could show whether it still rises."
        )
    if evidence.rising is None or evidence.rising <= _share_of_gain(evidence, RISING):
        return ""
    return (
        "Next: train longer, with a larger --epochs or --minutes, because the validation bound "
        f"still rose by {evidence.rising:.2f} nats in the last tenth of training."
    )


def use_the_code(evidence: Evidence) -> str:
    """No latent unit is in use."""
    if evidence.active != 0 or not evidence.units:
        return ""
    return (
        "Next: fit with --set objective.warm_up=0.5 or another --likelihood, because no latent "
        "unit is active: the codes say nothing about the rows."
    )


def explain_something(evidence: Evidence) -> str:
    """Reconstructions are no better than the mean row."""
    if evidence.explained is None or not evidence.explained <= 0:
        return ""
    return (
        "Next: train longer, with a larger --epochs or --minutes, or a private model with a larger "
        "--epsilon, because reconstructions keep none of the variance."
    )


def reduce_overfitting(evidence: Evidence) -> str:
    """Training rows score well above validation rows.

    Where no latent unit is active, a smaller code would not change that.
    """
    if evidence.overfit is None or evidence.overfit <= _share_of_gain(evidence, OVERFITTED):
        return ""
    smaller = "" if evidence.collapsed else " or a smaller --latent-dim"
    return (
        f"Next: fit to more rows, or with --weight-decay 0.01{smaller}, because the bound of "
        f"training rows lies {evidence.overfit:.2f} nats above that of validation rows."
    )


def change_model(evidence: Evidence) -> str:
    """A baseline is above the model."""
    better = [margin for margin in evidence.margins if _side(margin) == BELOW]
    if not better:
        return ""
    if better[0].unit == VARIANCE:
        larger = (
            f"a larger --latent-dim than {evidence.units}" if evidence.units else "more latents"
        )
        return f"Next: fit with {larger}, because {better[0].name} keeps more of the variance."
    return (
        "Next: fit another model, with another --model or --likelihood, because "
        f"the score of {better[0].name} is higher on the same rows."
    )


def shrink_code(evidence: Evidence) -> str:
    """Less than half of the latent units are in use."""
    if not evidence.active or not evidence.units:
        return ""
    if evidence.active >= UNUSED * evidence.units:
        return ""
    return (
        f"Next: fit with --latent-dim {evidence.active}, because only {evidence.active} of "
        f"{evidence.units} latent units are active."
    )


def tighten_bound(evidence: Evidence) -> str:
    """The importance weights are uneven."""
    if list(flag_heavy_tails(evidence)):
        return (
            "Next: bracket log p(x) by annealing, with --ais-rows 100 of lowerbound evaluate, "
            "because more importance samples hardly tighten the bound."
        )
    if evidence.effective_low is not None and evidence.samples is not None:
        return (
            f"Next: score with more importance samples, --samples {10 * evidence.samples}, "
            "because few draws dominate the bound."
        )
    return ""


def hold_out_more_rows(evidence: Evidence) -> str:
    """There are too few held-out rows for narrow errors."""
    if evidence.rows >= FEW_ROWS:
        return ""
    few = f"{counted(evidence.rows, 'row')} {'is' if evidence.rows == 1 else 'are'} few"
    return f"Next: hold out more rows, with --test 0.3, because {few}."


def prefer_the_simpler(evidence: Evidence) -> str:
    """A baseline does not differ from the model."""
    level = [margin.name for margin in evidence.margins if _side(margin) == LEVEL]
    if not level:
        return ""
    return (
        f"Next: score more rows (--rows 0), or use the simpler model, because {level[0]} cannot be "
        "told apart from this one."
    )


def use_it(evidence: Evidence) -> str:
    """No rule asks for a change."""
    return "Next: use the model, such as with lowerbound sample; no figure here asks for a change."


STEPS = (
    measure_unseen_rows,
    train_longer,
    use_the_code,
    explain_something,
    reduce_overfitting,
    change_model,
    shrink_code,
    tighten_bound,
    hold_out_more_rows,
    prefer_the_simpler,
    use_it,
)
