"""Reading SMILES: which texts are molecules, why the others are not, and drawings of the former.

A molecule here is one connected structure without attachment points. Its canonical isomeric SMILES
is the same for every way of writing it, so that texts can be compared: OCO and C(O)O are equal. The
optional libraries of chemistry are imported when they are first used.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from lowerbound.data.arrays import row_numbers
from lowerbound.errors import DataError, MissingExtraError, OptionError

MOST_CHARACTERS = 2000  # of one SMILES; the time of some properties grows fast with the length
MOST_SKIPPED = 0.01  # share of rows that on_error="skip" leaves out without an error
CELL = (260, 220)  # pixels of one molecule with its caption


def chemistry(module: str = "Chem") -> Any:
    """A module of RDKit by its name below ``rdkit``.

    Raises:
        MissingExtraError: RDKit is not installed.
    """
    try:
        return import_module(f"rdkit.{module}")
    except ModuleNotFoundError as error:
        raise MissingExtraError("RDKit", "chem") from error


def selfies_library() -> Any:
    """The library ``selfies``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module("selfies")
    except ModuleNotFoundError as error:
        raise MissingExtraError("selfies", "chem") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Hide what RDKit writes to the standard error, which the caller reports by itself."""
    with chemistry("rdBase").BlockLogs():
        yield


@dataclass(frozen=True)
class ReadMolecules:
    """The molecules of some rows of text.

    Attributes:
        smiles: canonical isomeric SMILES.
        rows: the row of each, counted from the number that the caller gave.
        skipped: the rows that are not molecules, each with its reason.
    """

    smiles: tuple[str, ...]
    rows: tuple[int, ...]
    skipped: dict[int, str] = field(default_factory=dict)

    @property
    def duplicates(self) -> int:
        """Number of molecules that equal an earlier one."""
        return len(self.smiles) - len(set(self.smiles))


def read_smiles(
    texts: Sequence[Any],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    most_skipped: float = MOST_SKIPPED,
    first: int = 0,
) -> ReadMolecules:
    """Read a SMILES from each text; a name after it, as in .smi files, is ignored.

    Args:
        texts: one molecule each.
        on_error: "raise", or "skip" to leave out rows that are not molecules, with a warning.
        most_skipped: largest share of rows that "skip" may leave out.
        first: number of the first row, for messages.

    Raises:
        DataError: a row is not a molecule, too many are not, or there are no rows.
        MissingExtraError: RDKit is not installed.
    """
    if isinstance(texts, str):
        raise DataError(f"give a list of SMILES, such as [{texts!r}], not one text")
    if not len(texts):
        raise DataError("there are no molecules: the list of SMILES is empty")
    smiles, rows, skipped = [], [], {}
    for row, text in enumerate(texts, first):
        try:
            smiles.append(canonical_smiles(text))
            rows.append(row)
        except DataError as error:
            skipped[row] = str(error)
    few = len(skipped) <= most_skipped * len(texts) and bool(smiles)
    if skipped and on_error == "raise":
        row, reason = next(iter(skipped.items()))
        remedy = " (on_error='skip' leaves such rows out)" if few else ": correct the row"
        raise DataError(f"row {row}, counted from {first}, is not a molecule: {reason}{remedy}")
    _report(skipped, len(texts), most_skipped, first, few)
    return ReadMolecules(tuple(smiles), tuple(rows), skipped)


def _report(skipped: dict[int, str], total: int, most: float, first: int, few: bool) -> None:
    """Warn about skipped rows.

    Raises:
        DataError: there are not ``few``, which are at most the share ``most``.
    """
    if not skipped:
        return
    which = (
        f"{len(skipped):,} of {total:,} rows are not molecules: {row_numbers(list(skipped))}, "
        f"counted from {first}; the first: {next(iter(skipped.values()))}"
    )
    if not few:
        raise DataError(
            f"{which}. At most {most:.3g} of the rows may be left out: correct the rows, or set "
            "another limit"
        )
    warnings.warn(f"{which}; they are left out", UserWarning, stacklevel=3)


def canonical_smiles(text: Any) -> str:
    """The canonical isomeric SMILES of one molecule.

    Raises:
        DataError: the text is not a molecule; the message gives the reason.
    """
    found: str = chemistry().MolToSmiles(molecule(text))
    return found


def molecule_or_none(text: Any) -> Any:
    """RDKit's molecule of a SMILES, or None if the text is not a molecule."""
    try:
        return molecule(text)
    except DataError:
        return None


def molecule(text: Any) -> Any:
    """RDKit's molecule of a SMILES.

    Raises:
        DataError: the text is not a molecule; the message gives the reason.
    """
    if not isinstance(text, str):
        raise DataError(f"{text!r:.40} is not text")
    words = text.split(maxsplit=1)
    if not words:
        raise DataError("the text is empty")
    if not words[0].isascii() or not words[0].isprintable():
        raise DataError(f"{_shown(words[0])} contains characters that SMILES does not use")
    if len(words[0]) > MOST_CHARACTERS:
        raise DataError(
            f"{_shown(words[0])} has {len(words[0]):,} characters, more than {MOST_CHARACTERS:,}"
        )
    smiles = words[0]
    chem = chemistry()
    with quiet():
        found = chem.MolFromSmiles(smiles)
        if found is None:
            raise DataError(f"{_shown(smiles)} {_problem(chem, smiles)}")
    if ("*" in smiles or "#0" in smiles) and any(a.GetAtomicNum() == 0 for a in found.GetAtoms()):
        raise DataError(f"{_shown(smiles)} has an attachment point, such as *")
    if "." in smiles and (fragments := len(chem.GetMolFrags(found))) > 1:
        raise DataError(
            f"{_shown(smiles)} has {fragments} separate fragments, as a salt or a mixture has"
        )
    return found


def _problem(chem: Any, smiles: str) -> str:
    """Why RDKit cannot read a SMILES."""
    unchecked = chem.MolFromSmiles(smiles, sanitize=False)
    if unchecked is None:
        return "is not SMILES"
    problems = [problem.Message() for problem in chem.DetectChemistryProblems(unchecked)]
    return f"is no possible molecule: {'; '.join(problems) or 'it cannot be sanitized'}"


def _shown(text: str) -> str:
    shown = ascii(text[:40])
    return shown if len(text) <= 40 else f"{shown[:-1]}...'"


def molecule_grid(
    smiles: Sequence[Any],
    captions: Sequence[str] | None = None,
    *,
    columns: int = 5,
    cell: tuple[int, int] = CELL,
) -> bytes:
    """A PNG of molecules in rows, from left to right, each above its caption.

    In the place of a text that is not a molecule are the words "not a molecule".

    Args:
        smiles: one molecule each.
        captions: one for each; None: no captions.
        columns: most molecules in a row.
        cell: width and height of each in pixels.

    Raises:
        OptionError: there are no molecules, not as many captions as molecules, or no columns.
        MissingExtraError: RDKit is not installed.
    """
    captions = [""] * len(smiles) if captions is None else list(captions)
    if not len(smiles) or len(captions) != len(smiles) or columns < 1:
        raise OptionError(
            f"a grid needs molecules, a caption for each and at least one column, not "
            f"{len(smiles)} molecules, {len(captions)} captions and {columns} columns"
        )
    draw = chemistry("Chem.Draw.rdMolDraw2D")
    columns = min(columns, len(smiles))
    rows = -(-len(smiles) // columns)
    canvas = draw.MolDraw2DCairo(columns * cell[0], rows * cell[1], *cell)
    with quiet():
        molecules = [molecule_or_none(text) or _placeholder() for text in smiles]
        canvas.DrawMolecules(molecules, legends=captions)
    canvas.FinishDrawing()
    png: bytes = canvas.GetDrawingText()
    return png


def _placeholder() -> Any:
    """A drawable atom with a label instead of a symbol."""
    found = chemistry().MolFromSmiles("*")
    found.GetAtomWithIdx(0).SetProp("atomLabel", "not a molecule")
    return found
