"""Drawings of molecules as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lowerbound.data.molecules.library import chemistry, quiet
from lowerbound.data.molecules.smiles import molecule_or_none
from lowerbound.errors import OptionError

CELL = (260, 220)  # pixels of one molecule with its caption


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
