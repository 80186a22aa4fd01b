"""Common charges of the elements in compounds, and formulas whose charges sum to zero."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

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
CHARGES: dict[str, tuple[int, ...]] = {
    symbol: tuple(map(int, states.split(",")))
    for symbol, states in (word.split(":") for word in _TABLE.split())
}
TOLERANCE = 1e-6  # of the sum of charges per atom
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
        sums = sums[(sums + least <= TOLERANCE) & (sums + most >= -TOLERANCE)]
    return bool(len(sums))
