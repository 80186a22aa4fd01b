"""The chemical elements, and the order in which a formula names them."""

from __future__ import annotations

# symbol:electronegativity on Pauling's scale (Pauling 1960, Allred 1961), "-" if it has none; in
# the order of atomic numbers
_TABLE = """
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
_PAIRS = [word.split(":") for word in _TABLE.split()]

ELEMENTS = tuple(symbol for symbol, _ in _PAIRS)  # from hydrogen, 1, to oganesson, 118
ELECTRONEGATIVITY = {symbol: float(value) for symbol, value in _PAIRS if value != "-"}
UNKNOWN = 1.2  # that of most lanthanides and actinides


def formula_order(symbol: str) -> tuple[float, str]:
    """The key by which formulas list elements: the least electronegative first, as in GaAs."""
    return ELECTRONEGATIVITY.get(symbol, UNKNOWN), symbol
