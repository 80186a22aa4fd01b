"""Chemical formulas: from text to fractions of elements, and back.

A formula names its elements in a fixed order. It is neutral if common charges of them sum to zero.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lowerbound.errors import DataError

# common oxidation states (Greenwood & Earnshaw 1997); formulas with other elements are not balanced
_TABLE = """
    H:+1,-1 Li:+1 Be:+2 B:+3 C:+4,+2,-4 N:-3,+3,+5 O:-2 F:-1 Na:+1 Mg:+2 Al:+3 Si:+4,-4
    P:+5,+3,-3 S:-2,+4,+6 Cl:-1 K:+1 Ca:+2 Sc:+3 Ti:+4,+3,+2 V:+5,+4,+3,+2 Cr:+3,+6,+2
    Mn:+2,+3,+4,+7 Fe:+3,+2 Co:+2,+3 Ni:+2 Cu:+2,+1 Zn:+2 Ga:+3 Ge:+4,+2,-4 As:+3,+5,-3
    Se:-2,+4,+6 Br:-1 Rb:+1 Sr:+2 Y:+3 Zr:+4 Nb:+5,+4 Mo:+6,+4 Tc:+7,+4 Ru:+3,+4 Rh:+3 Pd:+2,+4
    Ag:+1 Cd:+2 In:+3,+1 Sn:+4,+2 Sb:+3,+5,-3 Te:-2,+4,+6 I:-1,+5 Xe:+2,+4 Cs:+1 Ba:+2 La:+3
    Ce:+3,+4 Pr:+3 Nd:+3 Pm:+3 Sm:+3 Eu:+3,+2 Gd:+3 Tb:+3,+4 Dy:+3 Ho:+3 Er:+3 Tm:+3 Yb:+3,+2
    Lu:+3 Hf:+4 Ta:+5 W:+6,+4 Re:+7,+4 Os:+4 Ir:+4,+3 Pt:+2,+4 Au:+3,+1 Hg:+2,+1 Tl:+1,+3
    Pb:+2,+4 Bi:+3,-3 Po:+4,-2 Ra:+2 Ac:+3 Th:+4 Pa:+5 U:+6,+4 Np:+5,+4 Pu:+4,+3 Am:+3 Cm:+3
"""
# symbol:electronegativity on Pauling's scale (Pauling 1960, Allred 1961), "-" if it has none; in
# the order of atomic numbers
_TABLE_elements = """
    H:2.2 He:- Li:0.98 Be:1.57 B:2.04 C:2.55 N:3.04 O:3.44 F:3.98 Ne:- Na:0.93 Mg:1.31 Al:1.61
    Si:1.9 P:2.19 S:2.58 Cl:3.16 Ar:- K:0.82 Ca:1 Sc:1.36 Ti:1.54 V:1.63 Cr:1.66 Mn:1.55 Fe:1.83
    Co:1.88 Ni:1.91 Cu:1.9 Zn:1.65 Ga:1.81 Ge:2.01 As:2.18 Se:2.55 Br:2.96 Kr:- Rb:0.82 Sr:0.95
    Y:1.22 Zr:1.33 Nb:1.6 Mo:2.16 Tc:2.1 Ru:2.2 Rh:2.28 Pd:2.2 Ag:1.93 Cd:1.69 In:1.78 Sn:1.96
    Sb:2.05 Te:2.1 I:2.66 Xe:2.6 Cs:0.79 Ba:0.89 La:1.1 Ce:1.12 Pr:1.13 Nd:1.14 Pm:- Sm:1.17
    Eu:- Gd:1.2 Tb:- Dy:1.22 Ho:1.23 Er:1.24 Tm:1.25 Yb:- Lu:1 Hf:1.3 Ta:1.5 W:1.7 Re:1.9 Os:2.2
    Ir:2.2 Pt:2.2 Au:2.4 Hg:1.9 Tl:1.8 Pb:1.8 Bi:1.9 Po:2 At:2.2 Rn:- Fr:0.7 Ra:0.9 Ac:1.1
    Th:1.3 Pa:1.5 U:1.7 Np:1.3 Pu:1.3 Am:- Cm:- Bk:- Cf:- Es:- Fm:- Md:- No:- Lr:- Rf:- Db:-
    Sg:- Bh:- Hs:- Mt:- Ds:- Rg:- Cn:- Nh:- Fl:- Mc:- Lv:- Ts:- Og:-
"""
MOST_CHARACTERS = 500
FEW_ATOMS, MOST_ATOMS = 24, 60  # of a formula of whole numbers that is found for fractions
TOLERANCE, EXACT = 2e-3, 1e-4  # largest error of a fraction in a formula of few or of more atoms

_PLAIN = str.maketrans("₀₁₂₃₄₅₆₇₈₉．[]{}•∙⋅‧*", "0123456789.()()·····")
_BEHIND = re.compile(r"(?P<number>\d*(?:\.\d+)?(?:/\d+)?)(?P<part>[A-Z(][A-Za-z\d()]*)")
_RUN_ON = re.compile(
    r"(?P<symbol>[A-Z][a-z]?|\))(?P<number>\d+(?:\.\d+)?)(?P<part>\(?(?:H2O|D2O|OH2)\)?)(?=[.·]|$)"
)
_SYMBOL = re.compile("[A-Z][a-z]?")
_LIGANDS = frozenset(
    [
        "H2O",
        "D2O",
        "OH2",
        "NH3",
        "ND3",
        "N2H4",
        "H2O2",
        "HF",
        "HCl",
        "HBr",
        "HI",
        "HNO3",
        "H2SO4",
        "H3PO4",
        "CH3OH",
        "C2H5OH",
        "CH3CN",
        "C5H5N",
    ]
)
_OXIDES = frozenset(("CO2", "SO2", "SO3"))
"""Molecules that are added to others, and those of which the elements may also stand alone."""
_TOKEN = re.compile(r"(?P<symbol>[A-Z][a-z]?)|(?P<open>\()|(?P<close>\))|(?P<next>·)|(?P<bad>.)")
_AMOUNT = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:/\d+)?")


CHARGES: dict[str, tuple[int, ...]] = {
    symbol: tuple(map(int, states.split(",")))
    for symbol, states in (word.split(":") for word in _TABLE.split())
}
CHARGE_TOLERANCE = 1e-6  # of the sum of charges per atom
MOST_SEVERAL = 12  # elements with several charges


def is_balanced(fractions: Mapping[str, float]) -> bool:
    """Whether each element can have one of its common charges so that they sum to zero.

    All atoms of an element have the same charge, so that mixed valences such as Fe3O4 and metals
    are not balanced. Nor are formulas with more than ``MOST_SEVERAL`` elements that have several
    charges, because the number of combinations grows exponentially with them.

    Args:
        fractions: element -> fraction of the atoms, or amount.
    """
    fractions = {symbol: fraction for symbol, fraction in fractions.items() if fraction}
    if not fractions or any(symbol not in CHARGES for symbol in fractions):
        return False
    several = [symbol for symbol in fractions if len(CHARGES[symbol]) > 1]
    if len(several) > MOST_SEVERAL:
        return False
    total = sum(fractions.values())
    parts = {s: np.array(CHARGES[s]) * fraction / total for s, fraction in fractions.items()}
    least, most = (sum(map(end, parts.values())) for end in (np.min, np.max))
    sums = np.zeros(1)
    for part in parts.values():
        least, most = least - part.min(), most - part.max()  # of the elements that are left
        sums = np.unique((sums[:, None] + part).round(12))
        sums = sums[(sums + least <= CHARGE_TOLERANCE) & (sums + most >= -CHARGE_TOLERANCE)]
    return bool(len(sums))


_PAIRS = [word.split(":") for word in _TABLE_elements.split()]

ELEMENTS = tuple(symbol for symbol, _ in _PAIRS)  # from hydrogen, 1, to oganesson, 118
ELECTRONEGATIVITY = {symbol: float(value) for symbol, value in _PAIRS if value != "-"}
UNKNOWN = 1.2  # that of most lanthanides and actinides


def formula_order(symbol: str) -> tuple[float, str]:
    """The key by which formulas list elements: the least electronegative first, as in GaAs."""
    return ELECTRONEGATIVITY.get(symbol, UNKNOWN), symbol


_KNOWN = frozenset(ELEMENTS)


def read_formula(text: Any) -> dict[str, float]:
    """The fractions of atoms of each element; they sum to 1.

    Amounts may be decimal numbers, ratios such as 1/3, or subscripts; groups in brackets nest, and
    a dot separates parts as in CuSO4·5H2O, also a star, and a point before water, ammonia and the
    like. The order of the elements in the text changes nothing.

    >>> read_formula("AsGa") == read_formula("GaAs")
    True
    >>> read_formula("Al0.3Ga0.7As")
    {'Al': 0.15, 'As': 0.5, 'Ga': 0.35}

    Raises:
        DataError: the text is not a formula, or an amount is not positive; the message says where.
    """
    if not isinstance(text, str):
        raise DataError(f"{text!r:.40} is not text")
    plain = "".join(text.split()).translate(_PLAIN)
    if not plain:
        raise DataError("the formula is empty")
    if len(plain) > MOST_CHARACTERS:
        raise DataError(f"the formula has {len(plain):,} characters, more than {MOST_CHARACTERS}")
    amounts = _Reader(_with_dots(plain)).amounts()
    total = math.fsum(amounts.values())
    if not math.isfinite(total):
        raise DataError(f"the amounts in {_shown(text)} are too large")
    return {element: amounts[element] / total for element in sorted(amounts)}


def _with_dots(plain: str) -> str:
    """CuSO4·5H2O from CuSO4.5H2O, and CoCl2·6NH3 from CoCl2.6NH3; decimal points stay.

    Raises:
        DataError: a point may be either.
    """
    for each in _RUN_ON.finditer(plain):
        _refuse_run_on(plain, each)
    found, start = plain, 0
    while (at := found.find(".", start)) >= 0:
        start = at + 1
        behind = _BEHIND.match(found, at + 1)
        if behind is None or not _separates(found, at, behind):
            continue
        found = f"{found[:at]}·{found[at + 1 :]}"
        start = behind.start("part")  # a point in the number before the part is of this number
    return found


def _refuse_run_on(text: str, each: re.Match[str]) -> None:
    """Refuse water whose number runs on from an amount, as in FeO1.5H2O and MgSO47H2O.

    FeO·1.5H2O and FeO1.5·H2O are both hydrates, and CaSO40.5H2O is hardly one of forty oxygens.
    Nobody writes an amount of 1, so C12H22O11H2O has one reading.

    Raises:
        DataError: the number can be an amount of the symbol before, of the water, or of both.
    """
    symbol, number = each["symbol"], each["number"]
    whole, point, _ = number.partition(".")
    again = symbol == ")" or symbol in _SYMBOL.findall(each["part"])
    apart = [(number[:at], number[at:]) for at in range(1, len(whole))]
    shared = any(a != "1" and a[0] != "0" and b != "1" and b[:2] != "0" for a, b in apart)
    one = bool(point) and (whole == "1" or (whole == "0" and again))
    if one or (again and shared):
        raise DataError(
            f"{_shown(text)}: {number} before {each['part']} may count {symbol} or the water; "
            "write · between the parts"
        )


def _separates(text: str, at: int, behind: re.Match[str]) -> bool:
    """Whether a point separates two parts of a formula.

    Args:
        text: of the formula.
        at: of the point.
        behind: the number and the part that follow it.

    Raises:
        DataError: it may be a decimal point too.
    """
    before = re.split("·", text[:at])[-1]
    amount = re.search(r"\d*$", before)
    number, part = behind["number"], behind["part"]
    if not before or (amount and amount[0] == "0"):
        return False
    if not number or "/" in number or "." in number:
        return True
    whole = text[behind.end() :][:1] in ("", "·", ".") and not part.endswith("0")
    if number.startswith("0") or not whole:
        return False
    molecule = part.strip("()")
    if molecule in _LIGANDS:
        return True
    again = {*_SYMBOL.findall(before)} & {*_SYMBOL.findall(part)}
    if again and (molecule in _OXIDES or "·" in text):
        return True
    if again or molecule in _OXIDES:
        raise DataError(
            f"{_shown(text)}: the point before {number}{part} may be a decimal point or separate "
            "two parts; write · between parts, or each element once"
        )
    return False


def formula_of(
    fractions: Mapping[str, float], *, least: float = 0.0, tolerance: float = TOLERANCE
) -> str:
    """A formula of fractions of elements: small whole numbers where they fit, else decimals.

    Elements are in the order of electronegativity. Decimals are relative to the largest amount, and
    have an error of at most 0.0005 of it.

    >>> formula_of({"As": 0.5001, "Ga": 0.4999})
    'GaAs'
    >>> formula_of({"Al": 0.1523, "Ga": 0.3477, "As": 0.5})
    'Al0.305Ga0.695As'

    Args:
        fractions: amount of each element; they need not sum to 1.
        least: elements with a smaller fraction are left out.
        tolerance: largest error of a fraction in a formula of whole numbers with at most 24 atoms;
            with more, up to 60, it is 0.0001.

    Raises:
        DataError: a symbol is unknown, an amount is negative or not finite, or none is left.
    """
    values = {symbol: float(amount) for symbol, amount in fractions.items()}
    for symbol, amount in values.items():
        if symbol not in _KNOWN:
            raise no_element(symbol)
        if not math.isfinite(amount) or amount < 0:
            raise DataError(f"the amount {amount:g} of {symbol} is not a positive number")
    whole = math.fsum(values.values())
    kept = {symbol: amount for symbol, amount in values.items() if amount > max(least, 0) * whole}
    if not kept:
        raise DataError("no element has a positive amount, so there is no formula")
    total = math.fsum(kept.values())
    ordered = sorted(kept, key=formula_order)
    numbers = _whole_numbers([kept[symbol] / total for symbol in ordered], tolerance)
    largest = max(kept.values())
    amounts: Sequence[float] = numbers or [round(kept[symbol] / largest, 3) for symbol in ordered]
    pairs = [(s, amount) for s, amount in zip(ordered, amounts, strict=True) if amount]
    return "".join(symbol + ("" if amount == 1 else f"{amount:g}") for symbol, amount in pairs)


def _whole_numbers(fractions: list[float], tolerance: float) -> list[int]:
    """The fewest atoms of each element with these fractions within the tolerance; [] if none."""
    for atoms in range(len(fractions), MOST_ATOMS + 1):
        numbers = [round(fraction * atoms) for fraction in fractions]
        most = tolerance if atoms <= FEW_ATOMS else min(tolerance, EXACT)
        errors = (abs(n / atoms - f) for n, f in zip(numbers, fractions, strict=True))
        if all(numbers) and sum(numbers) == atoms and max(errors) <= most:
            return numbers
    return []


def no_element(symbol: str) -> DataError:
    """The error for a symbol that is no element's; it suggests the nearest one."""
    close = difflib.get_close_matches(symbol, ELEMENTS, n=1, cutoff=0.0)
    return DataError(f"there is no element {symbol!r}; the nearest symbol is {close[0]!r}")


class _Reader:
    """Reads a formula from left to right; a stack holds the open groups."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def amounts(self) -> Counter[str]:
        """The amount of each element, in the units of the formula.

        Raises:
            DataError: as in ``read_formula``.
        """
        whole: Counter[str] = Counter()
        factor = self._factor()
        groups: list[Counter[str]] = [Counter()]
        while self.at < len(self.text):
            token = _TOKEN.match(self.text, self.at)
            assert token is not None
            self.at = token.end()
            if token["bad"]:
                raise self._error(token["bad"], token.start())
            if token["symbol"]:
                groups[-1].update({self._element(token["symbol"]): self._amount(token["symbol"])})
            elif token["open"]:
                groups.append(Counter())
            elif token["close"]:
                self._close(groups)
            else:
                _add(whole, self._complete(groups), factor)
                groups, factor = [Counter()], self._factor()
        _add(whole, self._complete(groups), factor)
        return whole

    def _factor(self) -> float:
        """The number in front of a part, 1 if there is none."""
        return self._amount("the formula")

    def _amount(self, of: str) -> float:
        """The number at the current position, 1 if there is none.

        Raises:
            DataError: it is zero.
        """
        found = _AMOUNT.match(self.text, self.at)
        if found is None:
            return 1.0
        self.at = found.end()
        above, _, below = found[0].partition("/")
        amount = float(above) / float(below) if below and float(below) else float(above or 0)
        if amount <= 0 or (below and not float(below)):
            raise DataError(f"{_shown(self.text)}: the amount {found[0]} of {of} is not positive")
        return amount

    def _element(self, symbol: str) -> str:
        if symbol in _KNOWN:
            return symbol
        raise DataError(f"{_shown(self.text)}: {no_element(symbol)}")

    def _close(self, groups: list[Counter[str]]) -> None:
        if len(groups) < 2:
            raise DataError(f"{_shown(self.text)}: a bracket closes that was not opened")
        inner = groups.pop()
        if not inner:
            raise DataError(f"{_shown(self.text)}: a pair of brackets is empty")
        _add(groups[-1], inner, self._amount("a group"))

    def _complete(self, groups: list[Counter[str]]) -> Counter[str]:
        if len(groups) > 1:
            raise DataError(f"{_shown(self.text)}: a bracket is not closed")
        if not groups[0]:
            raise DataError(f"{_shown(self.text)}: a part of the formula has no element")
        return groups[0]

    def _error(self, character: str, at: int) -> DataError:
        if character in "-−":
            reason = "amounts must be positive, and an unknown share such as x needs its number"
        elif character.islower():
            reason = "symbols of elements start with a capital letter, and amounts are numbers"
        else:
            reason = "a formula has symbols, amounts, brackets and ·"
        return DataError(f"{_shown(self.text)}: {character!r} at position {at + 1}; {reason}")


def _add(whole: Counter[str], part: Mapping[str, float], factor: float) -> None:
    for element, amount in part.items():
        whole[element] += factor * amount  # type: ignore[assignment]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
