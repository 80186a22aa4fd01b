"""Values that few people have, in synthetic rows of ten tables with people: none is to be there.

Each table has columns of a real one, and a person per row (``_people``): number, name, mail, phone,
address, town, job, date of birth, salary and a remark. It is released in all ways: plain, given a
column, like given rows, without missing cells, in Python, with another k, by noisy tables whose
schema is copied, measured, or that are hybrid, and by a private fit; one table is of events.

- rare values: cells of the synthetic rows that bear a level, a number of a person or a remark that
  fewer than k people of the training rows have, or a number or a date beyond the k-th value from
  either end. Given cells do not count. Of a measured schema, whose ranges are noisy, those beyond
  count that equal one of a training row.
- far values: cells that repeat exactly a number in whose neighborhood fewer than k people are, less
  those of the control group, which no model has seen: they are equal by chance
- singling out: the attack of the audit, on training rows and on the control group
- other columns: two-sample AUROC of the columns that are not of the person, protected and not, in
  one run, with the same options

    python benchmarks/value_protection.py --cell adult    one table, resumable
    python benchmarks/value_protection.py                 all missing tables, then the result
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _cells import done, drive
from _people import CHOSEN, IDENTITY, PERSONAL, TABLES, PeopleTable, people
from _record import Metric, commit, keep_answer, write
from table_priors import place

from lowerbound import TableSynthesizer
from lowerbound.applications.release.attacks import singling_out
from lowerbound.cli import main as command
from lowerbound.data import file_sha256
from lowerbound.data.columns.values import level_name as text_of, missing
from lowerbound.evaluation.samples.column_judge import CodedColumns, distinguished

NAME = "value_protection"
K, OTHER_K = 10, 3
MINUTES = 0.1  # of each fit
EPSILON, UPDATES = 2.0, 60
GRID = 128  # distinct numbers below which each of them is drawn, such as ages
NEAR = 0.02  # of the range between the k-th values: the neighborhood of a number
SEED = 0
MEASURED = "private-table measured"  # whose ranges are noisy, and have no k
Answer = dict[str, Any]
Array = np.ndarray[Any, Any]


# ways of drawing ----------------------------------------------------------------------------------


def run(*words: object) -> None:
    """A command, in this process and in silence.

    Raises:
        RuntimeError: it failed.
    """
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = command([str(word) for word in words])
    if code:
        raise RuntimeError(f"{' '.join(map(str, words))}: {said.getvalue()[-500:]}")


def read(path: Path) -> Any:
    return pd.read_csv(path, dtype={"customer": str}, low_memory=False)


def frequent(frame: Any) -> Any:
    """Given cells, without levels of few rows, which no protected model has."""
    found = {
        name: frame[name].where(frame.groupby(name)[name].transform("size") >= K)
        if frame[name].dtype == object or frame[name].nunique() <= 20
        else frame[name]
        for name in frame.columns
    }
    return pd.DataFrame(found)


def synthesized(training: Any, folder: Path) -> Iterator[tuple[str, Any, int, list[str]]]:
    """(way, rows, k, given columns) of the synthesizer, from the command line and in Python."""
    count, given = len(training), [name for name in training.columns if name not in PERSONAL]
    source, out = folder / "people.csv", folder / "out.csv"
    training.to_csv(source, index=False)
    fit = ("--minutes", MINUTES, "--seed", SEED)
    run("synthesizer", source, "-o", folder / "m.lb", *fit)
    draw = ("synthesize", folder / "m.lb", "-o", out, "-n", count)
    run(*draw)
    yield "synthesize", read(out), K, []
    run(*draw, "--complete")
    yield "--complete", read(out), K, []
    value = training[given[-1]].mode().iloc[0]
    run(*draw, "--given", f"{given[-1]}={value}")
    yield "--given", read(out), K, [given[-1]]
    like = folder / "like.csv"
    frequent(training[given[:2]]).to_csv(like, index=False)
    run(*draw, "--like", like)
    yield "--like", read(out), K, given[:2]
    run("synthesizer", source, "-o", folder / "other.lb", *fit, "--least-people", OTHER_K)
    run("synthesize", folder / "other.lb", "-o", out, "-n", count)
    yield f"--least-people {OTHER_K}", read(out), OTHER_K, []
    python = TableSynthesizer(minutes=MINUTES, random_state=SEED).fit(training)
    yield "Python sample", python.sample(count), K, []
    yield "Python complete", python.complete(frequent(training[given[:1]])), K, given[:1]


def private(training: Any, folder: Path) -> Iterator[tuple[str, Any, int, list[str]]]:
    """(way, rows, k, given columns) of noisy tables and of a private fit."""
    source, out, schema = folder / "people.csv", folder / "out.csv", folder / "columns.json"
    training.to_csv(source, index=False)
    target = training.columns[-1]
    left = [word for name in IDENTITY for word in ("--leave-out", name)]
    budget = ("--epsilon", EPSILON)
    draw = ("private-table", source, "-o", out, *budget, "--public-schema")
    run(*draw, "data", *left)
    yield "private-table data", read(out), K, []
    run(*draw, "data", *left, "--target", target, "--hybrid")
    yield "private-table hybrid", read(out), K, []
    sparse = training.nunique() > len(training) / 20
    rare = [name for name in training.columns if sparse[name] and training[name].dtype == object]
    more = [word for name in rare if name not in IDENTITY for word in ("--leave-out", name)]
    measured = ("private-schema", source, "-o", schema, "--epsilon", 0.8 * EPSILON, "--overwrite")
    try:
        run(*measured, *left, *more)
    except RuntimeError as error:  # a small table shows nothing under this epsilon
        print(error, flush=True)
    else:
        run(*draw, schema, *left)
        yield MEASURED, read(out), K, []
    fit = ("fit", source, "-o", folder / "private.lb", *budget, "--public-schema", "data", *left)
    run(*fit, "--updates", UPDATES, "--test", 0, "--overwrite")
    run("synthesize", folder / "private.lb", "-o", out, "-n", len(training))
    yield "private fit", read(out), K, []


def histories(
    training: Any, folder: Path, table: PeopleTable
) -> Iterator[tuple[str, Any, int, list[str]]]:
    """(way, rows, k, given columns) of a table of events, and of its rows with an entity."""
    source, out = folder / "people.csv", folder / "out.csv"
    training.to_csv(source, index=False)
    who = ("--entity", table.entity)
    run("fit", source, "-o", folder / "m.lb", *who, "--time", table.time, "--minutes", MINUTES)
    entities = training[table.entity].nunique()
    run("sample", folder / "m.lb", "-o", out, "-n", entities)
    yield "events", read(out), K, []
    run("synthesizer", source, "-o", folder / "rows.lb", *who, "--minutes", MINUTES)
    run("synthesize", folder / "rows.lb", "-o", out, "-n", len(training))
    yield "synthesize --entity", read(out), K, []


# measures -----------------------------------------------------------------------------------------


def rare_cells(
    training: Any, made: Any, k: int, entity: str, given: Sequence[str], bounded: bool = True
) -> Counter[str]:
    """Cells of drawn columns that bear what fewer than k people of the training rows have.

    Args:
        training, made: rows.
        k: people.
        entity: the column of the people; "": each row is one.
        given: columns whose cells were given.
        bounded: numbers and dates beyond the k-th from either end count; else those of them that
            some row has.
    """
    who = training[entity] if entity else pd.Series(np.arange(len(training)))
    found: Counter[str] = Counter()
    for name in made.columns:
        if name in given:
            continue
        if (values := _numbers(training[name], name)) is not None:
            ends = _ends(values, who, k)
            drawn = _numbers(made[name], name)
            assert drawn is not None
            beyond = (drawn < ends[0]) | (drawn > ends[1])
            found[name] += int((beyond & (bounded | np.isin(drawn, values))).sum())
            continue
        present = ~missing(training[name], words=True)
        cells = training[name][present].map(text_of)
        people_of = who[present].groupby(cells.to_numpy()).nunique()
        rare = set(people_of.index[people_of < k])
        drawn_cells = made[name][~missing(made[name], words=True)].map(text_of)
        found[name] += int(drawn_cells.isin(rare).sum())
    return found


def far_cells(rows: Any, made: Any, k: int, given: Sequence[str]) -> int:
    """Cells of numbers that repeat exactly one of ``rows`` with fewer than k rows near it."""
    found = 0
    for name in made.columns:
        values = None if name in given else _numbers(rows[name], name)
        if values is None:
            continue
        ordered = np.sort(values[~np.isnan(values)])
        width = NEAR * (ordered[-k] - ordered[k - 1])
        if len(np.unique(ordered)) < GRID:
            continue
        near = np.searchsorted(ordered, ordered + width, side="right") - np.searchsorted(
            ordered, ordered - width
        )
        drawn = _numbers(made[name], name)
        assert drawn is not None
        found += int(np.isin(drawn, ordered[near < k]).sum())
    return found


def _numbers(series: Any, name: str) -> Array | None:
    """Numbers of a column, days of dates; None: it has levels."""
    if name in ("born", "date"):
        days = pd.to_datetime(series, errors="coerce")
        return np.asarray((days - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1), np.float64)
    if series.dtype.kind in "iuf" and name not in IDENTITY:
        return np.asarray(series, dtype=np.float64)
    return None


def _ends(values: Array, who: Any, k: int) -> tuple[float, float]:
    """The k-th person's value from each end."""
    frame = pd.DataFrame({"value": values, "who": who.to_numpy()}).dropna()
    low, high = (frame.groupby("who")["value"].agg(end).sort_values() for end in ("min", "max"))
    return float(low.iloc[k - 1]), float(high.iloc[-k])


def attacked(training: Any, control: Any, made: Any, seed: int = SEED) -> list[float] | None:
    """Singling out: [rate on training rows, on the control group, excess, its low and high end]."""
    shared = [name for name in made.columns if name not in IDENTITY]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        codes = CodedColumns.learn(training[shared])
        real, others, drawn = (codes.encode(rows[shared]) for rows in (training, control, made))
        rate = singling_out(codes, real, others, drawn, seed)
    if rate is None:
        return None
    excess = rate.excess
    return [rate.training.value, rate.control.value, excess.value, excess.low, excess.high]


def repeated(name: str, least_people: int = K, seeds: Sequence[int] = range(1, 7)) -> list[float]:
    """The excess of singling out of more fits, with training rows and control group also exchanged:
    chance in who is in which group cancels, and what the model remembers stays."""
    groups, found = people(name), []
    for seed in seeds:
        for training, control in (groups, groups[::-1]):
            fit = TableSynthesizer(minutes=MINUTES, least_people=least_people, random_state=seed)
            rate = attacked(training, control, fit.fit(training).sample(len(training)), seed)
            found += [] if rate is None else [rate[2]]
    return found


def two_sample(control: Any, made: Any) -> float:
    """AUROC of boosting that distinguishes the columns that are not of the person."""
    others = [name for name in control.columns if name not in PERSONAL]
    codes = CodedColumns.learn(control[others])
    real, drawn = (codes.encode(rows[others]) for rows in (control, made))
    return distinguished(codes, real, drawn, SEED).value


# cells --------------------------------------------------------------------------------------------


def measured(name: str, rows: int | None = None, most: int | None = None) -> Answer:
    """All measures of one table; of so many ways at most."""
    table = TABLES[name]
    training, control = people(name) if rows is None else people(name, rows)
    answer: Answer = {"ways": {}, "rows": len(training)}
    with tempfile.TemporaryDirectory() as place_of_files, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(place_of_files)
        if table.entity:
            ways = histories(training, folder, table)
        else:
            ways = chain(synthesized(training, folder), private(training, folder))
        for way, made, k, given in islice(ways, most):
            found = rare_cells(training, made, k, table.entity, given, way != MEASURED)
            answer["ways"][way] = {
                "rare": {column: count for column, count in found.items() if count},
                "cells": int(made.shape[0] * (made.shape[1] - len(given))),
                "far": far_cells(training, made, k, given),
                "far_by_chance": far_cells(control, made, k, given),
            }
            if way in ("synthesize", "private-table data", "synthesize --entity"):
                answer["ways"][way]["singling_out"] = attacked(training, control, made)
            if way in ("synthesize", "synthesize --entity"):
                answer["auroc"] = two_sample(control, made)
            print(name, way, json.dumps(answer["ways"][way]), flush=True)
        answer["before"] = _before(training, control, table)
    return answer


def _before(training: Any, control: Any, table: PeopleTable) -> Answer:
    """The same figures of the synthesizer without protection."""
    made = TableSynthesizer(minutes=MINUTES, least_people=1, random_state=SEED).fit(training)
    drawn = made.sample(len(training))
    return {
        "rare": sum(rare_cells(training, drawn, K, table.entity, []).values()),
        "cells": int(drawn.size),
        "far": far_cells(training, drawn, K, []),
        "far_by_chance": far_cells(control, drawn, K, []),
        "auroc": two_sample(control, drawn),
        "singling_out": attacked(training, control, drawn),
    }


def run_cell(name: str) -> Answer:
    """One table."""
    wall, processor = time.perf_counter(), time.process_time()
    answer = {
        "cell": name,
        "title": f"{name}, {TABLES[name].locale}",
        **measured(name),
        "minutes": round((time.process_time() - processor) / 120, 2),
        "wall_minutes": round((time.perf_counter() - wall) / 60, 2),
        "commit": commit(),
    }
    keep_answer(NAME, name, answer)
    return answer


def summarize() -> None:
    """The result of the tables that are done."""
    cells = done(NAME)
    assert cells, "no cell is done"
    reported = {name: cell for name, cell in cells.items() if name not in CHOSEN}
    files = sorted({TABLES[name].file for name in cells})
    write(
        NAME,
        [*_metrics("five tables not looked at before", reported), *_metrics("all tables", cells)],
        data=[{"file": name, "sha256": file_sha256(place(name))} for name in files],
        seeds=[SEED],
        minutes=sum(cell["minutes"] for cell in cells.values()),
        notes=f"Each fit takes {MINUTES * 60:g} s, which is short; at most 3,000 training rows and "
        f"as many of the control group. k is {K}; epsilon {EPSILON:g}. Looked at while the "
        f"protection was written: {', '.join(CHOSEN)}. People are invented by faker 40.54.0.",
        extra={"cells": list(cells.values())},
    )


def _metrics(which: str, cells: Mapping[str, Answer]) -> list[Metric]:
    if not cells:
        return []
    ways = [way for cell in cells.values() for way in cell["ways"].values()]
    before = [cell["before"] for cell in cells.values()]
    rare = sum(sum(way["rare"].values()) for way in ways)
    repeated, chance = (sum(way[name] for way in ways) for name in ("far", "far_by_chance"))
    excess = [
        float(np.mean([way["far"] - way["far_by_chance"] for way in cell["ways"].values()]))
        for cell in cells.values()
    ]
    attacks = [way["singling_out"] for way in ways if way.get("singling_out")]
    unprotected = [each["singling_out"] for each in before if each["singling_out"]]
    gains = [cell["auroc"] - cell["before"]["auroc"] for cell in cells.values()]
    share = sum(each["rare"] for each in before) / sum(each["cells"] for each in before)
    return [
        Metric(
            f"{which}: cells with a value of fewer than k people, {len(ways)} ways",
            rare,
            "cells",
            "lower",
            target=0.0,
            beside={
                "of cells": sum(way["cells"] for way in ways),
                "share of cells without protection": share,
            },
        ),
        Metric(
            f"{which}: far numbers repeated exactly, less those of the control group, lower end",
            _lower(excess),
            "cells of a way",
            "lower",
            target=0.0,
            beside={
                "repeated": repeated,
                "of the control group, by chance": chance,
                "one way without protection": sum(each["far"] for each in before),
                "by chance there": sum(each["far_by_chance"] for each in before),
            },
        ),
        Metric(
            f"{which}: singling out, lowest end of the interval of the excess over the control "
            "group, the largest",
            max(each[3] for each in attacks),
            "",
            "lower",
            target=0.0,
            beside={
                "mean excess": float(np.mean([each[2] for each in attacks])),
                "mean excess without protection": float(np.mean([each[2] for each in unprotected])),
            },
        ),
        Metric(
            f"{which}: two-sample AUROC of other columns, protected minus not, lower end",
            _lower(gains),
            "",
            "lower",
            target=0.0,
            beside={
                "mean difference": float(np.mean(gains)),
                "protected": float(np.mean([cell["auroc"] for cell in cells.values()])),
                "not protected": float(np.mean([each["auroc"] for each in before])),
            },
        ),
    ]


def _lower(values: Sequence[float]) -> float:
    """The lower end of the 95 % interval of a mean over tables."""
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return float(np.mean(values)) - 1.96 * error


def quick() -> None:
    """One small table; printed only."""
    try:
        import faker  # noqa: F401
    except ImportError:
        print("faker is missing, which invents the people: pip install 'lowerbound[bench]'")
        return
    print("quick, not quoted:", json.dumps(measured("cells", rows=200, most=3))[:300])


def main() -> None:
    drive(
        NAME,
        __doc__ or "",
        TABLES,
        summarize,
        lambda seed: quick(),
        lambda benchmark, name, cell, held_out: run_cell(name),
    )


if __name__ == "__main__":
    main()
