"""Ten real tables whose rows get a person: names, mails, phones, addresses, towns, remarks,
numbers, dates of birth and salaries, which depend on the row.

The people are invented by faker in ten languages. Half of the tables were looked at while the
protection of values was written (``CHOSEN``), the others were not.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from _icu import _records as icu_records
from _release_tables import SOURCES
from event_tables import purchases
from table_priors import place

ROWS = 3_000  # of the training part, at most; as many are the control group
TOWNS, JOBS = 250, 120
FAR = 4  # people with a salary far from all others, and as many with an odd date of birth
IDENTITY = ("number", "name", "mail", "phone", "address", "remark")
PERSONAL = (*IDENTITY, "town", "job", "born", "salary")
FACTS = {
    "illness": ("diabetes", "asthma", "a depression", "back pain", "epilepsy", "HIV", "migraine"),
    "event": ("a divorce", "a burglary", "losing a child", "an accident at work", "a stroke"),
    "habit": ("drinks too much", "owes rent", "lives alone", "sleeps badly", "sees a lawyer"),
}


@dataclass(frozen=True)
class PeopleTable:
    """A table of people.

    Attributes:
        locale: language of the people.
        file: of the table, in LOWERBOUND_DATA.
        read: reads the columns that the people are added to.
        entity: the column of the people if each has several rows; "": each row is one.
        time: the column of the time of a row, with an entity.
    """

    locale: str
    file: str
    read: Callable[[], Any]
    entity: str = ""
    time: str = ""


def _of_release(name: str, columns: tuple[str, ...]) -> Callable[[], Any]:
    def read() -> Any:
        source = SOURCES[name]
        if source.read is None:
            from _release_tables import frames

            return frames(name, False)[0][[*columns]]
        return source.read(str(place(source.file)))[[*columns]]

    return read


def _plain(file: str, names: list[str], kept: tuple[str, ...], **options: Any) -> Callable[[], Any]:
    def read() -> Any:
        return pd.read_csv(place(file), names=names, header=None, **options)[[*kept]]

    return read


def _intensive_care() -> Any:
    """What each patient was on arrival: one row for each."""
    records = pd.concat(icu_records(), ignore_index=True)
    names = ["Age", "Gender", "Height", "ICUType", "Weight"]
    first = records[records["Parameter"].isin(names)].drop_duplicates(["patient", "Parameter"])
    wide = first.pivot(index="patient", columns="Parameter", values="Value")
    wide = wide[[name for name in names if name in wide]]
    return wide.where(wide >= 0).reset_index(drop=True)


def _customers() -> Any:
    """Purchases of 1,500 customers."""
    frame = purchases(place("cdnow_transactions.csv.xz"))
    kept = frame["customer"].drop_duplicates().sample(1_500, random_state=0)
    frame = frame[frame["customer"].isin(kept)].reset_index(drop=True)
    return frame.assign(date=pd.to_datetime(frame["date"].astype(str)).dt.strftime("%Y-%m-%d"))


ABALONE = ["sex", "length", "diameter", "height", "whole", "shucked", "viscera", "shell", "rings"]
CELLS = ["clump", "size", "shape", "adhesion", "single", "nuclei", "bland", "normal"]
CELLS += ["mitoses", "class"]
WINE = ["fixed", "volatile", "citric", "sugar", "chlorides", "free", "total", "density", "pH"]
WINE += ["sulphates", "alcohol", "quality"]
ADULT = ("age", "education", "occupation", "native_country", "sex", "hours_per_week", "income")
CREDIT = ("LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "PAY_0", "BILL_AMT1")
TABLES = {
    "adult": PeopleTable("en_US", "uci_adult-train.csv.xz", _of_release("adult", ADULT)),
    "german": PeopleTable(
        "de_DE", "uci_german.csv.xz", _of_release("german", ("c1", "c3", "c4", "c7", "c12", "c20"))
    ),
    "california": PeopleTable(
        "es_ES",
        "california_housing.csv.xz",
        _of_release(
            "california",
            ("housing_median_age", "total_rooms", "median_income", "ocean_proximity"),
        ),
    ),
    "abalone": PeopleTable(
        "fr_FR",
        "uci_abalone.csv.xz",
        _plain("uci_abalone.csv.xz", ABALONE, ("sex", "length", "whole", "rings")),
    ),
    "purchases": PeopleTable(
        "nl_NL", "cdnow_transactions.csv.xz", _customers, entity="customer", time="date"
    ),
    "diabetes": PeopleTable(
        "pl_PL",
        "diabetes130.csv.xz",
        _of_release(
            "diabetes",
            ("race", "gender", "age", "medical_specialty", "time_in_hospital", "readmitted"),
        ),
    ),
    "credit": PeopleTable("ja_JP", "credit_default.csv.xz", _of_release("credit", CREDIT)),
    "cells": PeopleTable(
        "it_IT",
        "uci_breast-cancer-wisconsin.csv.xz",
        _plain(
            "uci_breast-cancer-wisconsin.csv.xz",
            CELLS,
            ("clump", "size", "nuclei", "class"),
            na_values="?",
        ),
    ),
    "wine": PeopleTable(
        "pt_BR",
        "uci_winequality-white.csv.xz",
        _plain("uci_winequality-white.csv.xz", WINE, ("volatile", "sugar", "alcohol", "quality")),
    ),
    "intensive_care": PeopleTable("ru_RU", "physionet2012_set_a.tar.xz", _intensive_care),
}
CHOSEN = ("adult", "german", "california", "abalone", "purchases")


@cache
def people(name: str, rows: int = ROWS, seed: int = 0) -> tuple[Any, Any]:
    """(training rows, control group), with the people of each row."""
    table, draw = TABLES[name], np.random.default_rng([seed, sorted(TABLES).index(name)])
    frame = table.read()
    if table.entity:
        entities = frame[table.entity].drop_duplicates().to_numpy()
        of_row = pd.Series(np.arange(len(entities)), index=entities)[frame[table.entity]].to_numpy()
        first = frame.drop_duplicates(table.entity).reset_index(drop=True)
    else:
        frame = frame.sample(min(len(frame), 2 * rows), random_state=seed).reset_index(drop=True)
        of_row, first = np.arange(len(frame)), frame
    invented = _invented(table, first, draw)
    made = pd.concat([invented.iloc[of_row].reset_index(drop=True), frame], axis=1)
    half = draw.permutation(len(first)) < len(first) // 2
    parts = made[half[of_row]], made[~half[of_row]]
    training, control = (part.reset_index(drop=True) for part in parts)
    return training, control


def _invented(table: PeopleTable, rows: Any, draw: np.random.Generator) -> Any:
    """A person for each row; sex, town, job and salary depend on the row's first columns."""
    from faker import Faker

    fake = Faker(table.locale)
    fake.seed_instance(int(draw.integers(2**31)))
    count = len(rows)
    group = pd.factorize(rows.iloc[:, -1])[0] % 7
    female = pd.factorize(rows.iloc[:, 0])[0] % 2 == 0
    names = [fake.name_female() if woman else fake.name_male() for woman in female]
    towns, jobs = _distinct(fake.city, TOWNS), _distinct(fake.job, JOBS)
    born = pd.Timestamp("1985-01-01") - pd.to_timedelta(
        (draw.normal(0, 15, count) * 365).round() + 200 * group, unit="D"
    )
    salary = np.round(draw.lognormal(10.2 + 0.08 * group, 0.5, count), 2)
    far = draw.permutation(count)[: 2 * FAR]
    born = born.to_series(index=range(count))
    born.iloc[far[:FAR]] = pd.to_datetime(["1899-03-14", "1901-07-02", "2029-12-24", "2031-05-05"])
    salary[far[FAR:]] = np.round(draw.uniform(2e6, 9e6, FAR), 2)
    numbers = draw.choice(10**6, count, replace=False)
    return pd.DataFrame(
        {
            "number": [f"K-{number:06d}" for number in numbers],
            "name": names,
            "mail": [_mail(name, fake, place) for place, name in enumerate(names)],
            "phone": [fake.phone_number() for _ in range(count)],
            "address": [fake.street_address() for _ in range(count)],
            "town": towns[(draw.zipf(1.5, count) + 9 * group) % len(towns)],
            "job": jobs[(draw.zipf(1.7, count) + 5 * group) % len(jobs)],
            "born": born.dt.strftime("%Y-%m-%d").to_numpy(),
            "salary": salary,
            "remark": [_remark(name, draw) for name in names],
        }
    )


def _distinct(make: Callable[[], str], count: int) -> Any:
    made = dict.fromkeys(make() for _ in range(20 * count))
    return np.array([*made][:count], dtype=object)


def _mail(name: str, fake: Any, place: int) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = "".join(each if each.isalnum() else "." for each in plain).strip(".")
    return f"{words or fake.user_name()}{place % 97 or ''}@{fake.free_email_domain()}"


def _remark(name: str, draw: np.random.Generator) -> str | None:
    if draw.random() < 0.2:
        return None
    fact = {kind: words[draw.integers(len(words))] for kind, words in FACTS.items()}
    return (
        f"{name} has had {fact['illness']} since {draw.integers(1990, 2025)}, after "
        f"{fact['event']}; {fact['habit']}."
    )
