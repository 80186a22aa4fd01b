"""Columns that identify people, recognized by their cells, their names and their distinct values.

A column identifies if its cells have the format of an address, a number or a sentence of one
person, or if its name says so and many of its cells are distinct. Both are needed where a name says
little: a country, a species or a product is called "name" as well. Where the name and the cells say
it clearly, it does not matter how often each repeats: a person may have many rows.

The words in names of columns that hold names, numbers or addresses of people are listed by
language.

Cells of a column that identifies people: fresh ones, which repeat as often as the given ones.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.dates import looks_like_date
from lowerbound.data.columns.identifiers import IdentifierFormat
from lowerbound.data.columns.values import (
    are_whole,
    factorized,
    level_name as text_of,
    marked,
    missing,
)
from lowerbound.errors import OptionError

FRESH = "(a fresh value)"  # the level of cells that get fresh values
LARGEST = 2**62  # of a pool and of rows, as of the numbers that look like chance
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)  # of splitmix64


@dataclass(frozen=True)
class FreshCells:
    """Fresh cells by the number of their row.

    Attributes:
        format: of the cells.
        dtype: pandas' name of their type.
        pool: distinct values from which ``rows`` neighbors are drawn; 0: none repeats.
        rows: number of the fitted rows.

    Raises:
        OptionError: a number is negative or beyond 62 bits, or there are no rows.
    """

    format: IdentifierFormat = field(default_factory=IdentifierFormat)
    dtype: str = "object"
    pool: int = 0
    rows: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.pool <= LARGEST or not 1 <= self.rows <= LARGEST:
            raise OptionError(
                f"fresh cells need a pool of 0 to {LARGEST:.3g} and 1 row to {LARGEST:.3g}, not "
                f"{self.pool:.3g} and {self.rows:.3g}"
            )

    def fresh(self, first: int, count: int) -> Array:
        """The cells of rows ``first`` and on, (count,)."""
        return self.at(np.arange(first, first + count))

    def at(self, numbers: Array) -> Array:
        """The cells of some rows; equal numbers have the same."""
        if self.pool:
            numbers = numbers // self.rows * self.pool + _mixed(numbers) % self.pool
        return self.format.at(numbers.tolist())


def pool_of(distinct: int, cells: int) -> int:
    """The values from which as many cells are drawn that have ``distinct`` ones on average:
    P (1 - exp(-cells / P)) = distinct; 0: all are distinct."""
    if distinct >= cells:
        return 0
    low, high = float(distinct), 2.0 * cells * cells
    for _ in range(80):
        middle = math.sqrt(low * high)
        if -middle * math.expm1(-cells / middle) < distinct:
            low = middle
        else:
            high = middle
    return max(1, round(low))


def _mixed(numbers: Array) -> Array:
    """Numbers that look like chance, of 62 bits; equal for equal numbers (splitmix64)."""
    with np.errstate(over="ignore"):
        mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(2)).astype(np.int64)


_WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![^\W\d_A-Z])|[^\W\d_]+")
FEWEST = 20  # distinct values, and
LEAST_SHARE = 0.1  # of the present cells, with which a column whose name says little identifies
MOST_SHARE = 0.25  # of the present cells, above which distinct codes of an id column are of people
ALIKE = 0.8  # of the distinct cells that have a format
WORDS, FEW_WORDS = 4.0, 2.0  # of a cell on average: free text, and under the name of a remark
LOOKED_AT = 2_000  # distinct cells

_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]{2,}")
_PHONE = re.compile(r"(?:\+|00|0|\()\s*\d[\d\s()/.\-]{5,}\d|\d{3}[-. ]\d{3}[-. ]\d{4}")
_SSN = re.compile(r"\d{3}-\d{2}-\d{4}")
_IBAN = re.compile(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?")
_IP = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}")
_CARD = re.compile(r"(?:\d{4}[ -]){3}\d{4}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_PROFILE = re.compile(r"@\w{2,}|https?://\S+")
_STREET = re.compile(
    r"\d+[a-z]?,? +(?:[^\W\d_]+\.? +){1,4}(?:st|street|road|rd|ave|avenue|lane|ln|drive|dr|way|"
    r"court|ct|blvd|place|pl|square|sq)\b.*|[^\W\d_]\S*(?:str\.|stra(?:ss|ß)e|weg|gasse|platz|"
    r"allee|straat|laan|gatan|vej)\b.* \d.*|\d+,? (?:rue|avenue|boulevard|place|chemin) .*|"
    r"(?:calle|avenida|via|viale|piazza|rua|ulica|ul\.) [^\d\n]*\d.*",
    re.IGNORECASE,
)
_FORMATS = (
    ("e-mail addresses", _MAIL),
    ("numbers of people (ids)", _SSN),
    ("numbers of people (ids)", _UUID),
    ("numbers of accounts", _IBAN),
    ("numbers of cards", _CARD),
    ("network addresses", _IP),
    ("phone numbers", _PHONE),
    ("profiles and web addresses", _PROFILE),
    ("addresses", _STREET),
)
_PERSON = re.compile(
    r"(?:[^\W\d_]+\.? )?[^\W\d_][^\W\d_'’\-]*\.?(?:[ ,'’\-]+[^\W\d_][^\W\d_'’\-]*\.?){0,4}"
)


_FULL_NAME = re.compile(r"[^\W\d_a-z][^\W\d_]*\.?,?(?: +[^\W\d_][^\W\d_'’\-]*\.?){1,4}")


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


GIVEN_NAMES = _set(
    "firstname lastname surname forename fullname givenname familyname maidenname username "
    "nickname vorname nachname familienname geburtsname prenom nomdefamille apellido apellidos "
    "cognome sobrenome voornaam achternaam fornavn etternavn efternavn fornamn efternamn etunimi "
    "sukunimi imie nazwisko jmeno prijmeni keresztnev vezeteknev imya familiya ad soyad soyadi "
    "имя фамилия отчество фио 姓名 氏名 名前 이름 성명 اسم"
)
"""Names of people, whatever else the column's name says."""

OF_PEOPLE = _set("name names nom nombre nome naam navn namn nimi nev isim")
"""Names of people, unless the column's name says of what else."""

PEOPLE = _set(
    "person people cust emp pers usr pat "
    "patient patients customer customers client clients employee employees member "
    "members user users student students pupil teacher doctor physician nurse author passenger "
    "driver tenant borrower applicant subject participant respondent resident citizen donor "
    "contact holder owner player kunde kunden patientin mitarbeiter mitarbeiterin schueler lehrer "
    "arzt mieter versicherter versicherte cliente clientes paciente pacientes empleado alumno "
    "paziente dipendente utente salarie assure utilisateur klant patienten klient pacjent "
    "kund asiakas пациент клиент сотрудник 患者 客户 顧客"
)

OF_THINGS = _set(
    "product products item items brand model country countries nation state region province "
    "county city cities town species genus plant animal breed company companies firm organization "
    "organisation institution department team school university hospital shop store category "
    "categories type class group variable column field file table event drug medication disease "
    "diagnosis job occupation title color colour material ingredient station airport airline "
    "street language currency artikel produkt produktname land stadt ort firma marke art gruppe "
    "abteilung schule pays ville produit marque espece entreprise pais ciudad producto empresa "
    "especie paese citta prodotto azienda specie stad bedrijf merk gene protein movie film song "
    "album book game channel device machine part server host domain project course ship vessel "
    "admission discharge source disposition location zone vendor branch ward"
)

NUMBERS = _set(
    "id ids pid cid sid eid userid personid recordid "
    "uid uuid guid nr no num number nbr nummer numero numer identifier identification key "
    "code kennung ssn nin nhs mrn iban account acct konto kontonummer passport ausweis license "
    "licence insurance versicherungsnummer steuernummer steuerid dni nie nif cpf curp rut pesel "
    "bsn personnummer cnp aadhaar pan taxid kundennummer patientennummer personalnummer matricule "
    "siret matrikelnummer folio снилс инн номер 番号 身份证"
)

PERSON_NUMBERS = _set(
    "userid personid ssn nin nhs mrn iban passport ausweis versicherungsnummer steuernummer "
    "steuerid dni nie nif cpf curp rut pesel bsn personnummer cnp aadhaar taxid kundennummer "
    "patientennummer personalnummer matrikelnummer снилс инн 身份证"
)
"""Those of ``NUMBERS`` that only people have."""

PHONES = _set(
    "phone phones telephone tel mobile cell cellphone fax telefon telefonnummer handy mobil "
    "rufnummer telefono movil celular telefone portable gsm телефон 电话 電話"
)

ADDRESSES = _set(
    "address addresses addr street adresse anschrift strasse strassenname direccion domicilio "
    "indirizzo endereco rue adres adress osoite cim адрес 地址 住所"
)

REMARKS = _set(
    "remark remarks comment comments note notes text description free message messages complaint "
    "narrative bemerkung bemerkungen kommentar notiz notizen freitext anmerkung beschreibung "
    "remarque commentaire observacion observaciones comentario nota note opmerking uwagi "
    "комментарий 备注"
)


def words_of(name: str) -> frozenset[str]:
    """The words of a column's name in lower case without accents, and each two neighbors joined:
    of FirstName, first, name and firstname."""
    plain = name.replace("ß", "ss").replace("ø", "o").replace("ł", "l")
    for umlaut, written in (("ä", "ae"), ("ö", "oe"), ("ü", "ue")):
        plain = plain.replace(umlaut, written)
    plain = unicodedata.normalize("NFKD", plain)
    plain = "".join(each for each in plain if not unicodedata.combining(each))
    plain = unicodedata.normalize("NFC", plain)
    words = [word.lower() for word in _WORD.findall(plain)]
    pairs = [first + second for first, second in pairwise(words)]
    return frozenset([*words, *pairs, plain.lower()])


@dataclass(frozen=True)
class Identity:
    """What a column that identifies people holds.

    Attributes:
        what: such as "e-mail addresses".
        why: a clause for messages.
        role: of its cells: identifiers, or free text.
        one_each: whether hardly any two people have the same, unlike a first name or an address.
    """

    what: str
    why: str
    role: Literal["identifier", "free text"] = "identifier"
    one_each: bool = True

    def repeats(self, codes: Array) -> bool:
        """Whether most values have several rows, given the value of each row: then it may be that a
        person has several. A placeholder in place of many values changes nothing."""
        return self.one_each and float(np.median(np.unique(codes, return_counts=True)[1])) >= 2


def identifying(name: str, series: Any) -> Identity | None:
    """What a column holds if it identifies people, else None.

    Args:
        name: of the column.
        series: its cells.
    """
    import pandas as pd

    types = pd.api.types
    if types.is_float_dtype(series.dtype) and not _are_whole(series):
        return None
    if types.is_datetime64_any_dtype(series.dtype) or types.is_bool_dtype(series.dtype):
        return None
    cells = [text_of(value) for value in factorized(series)[1]]
    cells = [cell for cell, mark in zip(cells, marked(cells), strict=True) if not mark]
    rows = int((~missing(series)).sum())
    if not cells:
        return None
    some = cells[:: max(1, len(cells) // LOOKED_AT)]
    numeric = bool(types.is_numeric_dtype(series.dtype)) or are_whole(pd.Series(some, dtype=object))
    found = None if numeric else _by_format(some)
    if found is None:
        found = _by_name(words_of(name), name, some, rows, len(cells), numeric)
    many = len(cells) >= max(FEWEST, LEAST_SHARE * rows)
    return found or (_free_text(words_of(name), some, many) if not numeric else None)


def _are_whole(series: Any) -> bool:
    values = series.dropna().to_numpy(dtype=np.float64)
    return bool(np.isfinite(values).all() and (values % 1 == 0).all())


def _by_format(cells: Sequence[str]) -> Identity | None:
    for what, format in _FORMATS:
        if sum(format.fullmatch(cell) is not None for cell in cells) >= ALIKE * len(cells):
            if what == "phone numbers" and all(map(looks_like_date, cells[:20])):
                continue
            why = f"its cells are written like {what}"
            return Identity(what, why, one_each=what != "addresses")
    return None


def _by_name(
    words: frozenset[str], name: str, cells: Sequence[str], rows: int, distinct: int, numeric: bool
) -> Identity | None:
    """By what the column is called; if that says little, of many distinct cells only."""
    things, why = words & OF_THINGS, f"it is called {name!r}"
    several, many = distinct >= FEWEST, distinct >= max(FEWEST, LEAST_SHARE * rows)
    if several and words & PHONES and _share(cells, r"[\d\s()+/.\-]{5,}.*"):
        return Identity("phone numbers", why)
    if several and not things and _numbered(words, cells, distinct / rows):
        return Identity("numbers of people (ids)", why)
    if numeric or things:
        return None
    if several and words & ADDRESSES and _share(cells, r".*\d.*|.*\s.*"):
        return Identity("addresses", why, one_each=False)
    called = words & (GIVEN_NAMES | OF_PEOPLE)
    full = len(cells) > 1 and bool(called or (several and words & PEOPLE))
    full = full and _share(cells, _FULL_NAME)
    if full or ((many or (several and called)) and (called or words & PEOPLE)):
        alone = full or _share(cells, _FULL_NAME)
        named = Identity("names of people", why, one_each=alone)
        return named if _share(cells, _PERSON) else None
    return None


def _numbered(words: frozenset[str], cells: Sequence[str], share: float) -> bool:
    """Whether a column of so many distinct cells per row is called like numbers of people."""
    if not words & NUMBERS or any(map(looks_like_date, cells[:5])):
        return False
    known = words & PERSON_NUMBERS or words & PEOPLE or words <= {"id", "ids", "pid", "uid", "uuid"}
    return bool(known) or share > MOST_SHARE


def _share(cells: Sequence[str], format: str | re.Pattern[str]) -> bool:
    pattern = re.compile(format)
    return sum(pattern.fullmatch(cell) is not None for cell in cells) >= ALIKE * len(cells)


def _free_text(words: frozenset[str], cells: Sequence[str], many: bool) -> Identity | None:
    counts = [len(cell.split()) for cell in cells]
    remark = bool(words & REMARKS)
    mean = float(np.mean(counts))
    if many and (mean >= WORDS or (remark and mean >= FEW_WORDS)):
        called = f"it is called like a remark, and its cells have {mean:.0f} words"
        plain = f"its cells have {mean:.0f} words on average, and few repeat"
        return Identity("free text", called if remark else plain, "free text")
    return None
