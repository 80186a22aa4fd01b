"""Files of texts: a text in each line, or a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lowerbound.applications.io.animations import FRAMES_PER_SECOND
from lowerbound.applications.io.rows import ROW_FILES, Files, RowFiles, write_columns
from lowerbound.applications.io.strips import Strip
from lowerbound.data.tokens.kind import TokenForm
from lowerbound.durable import write_text

LINES = (".txt", ".smi")


@ROW_FILES.register("tokens")
class TokenFiles(RowFiles):
    """Texts, one in each line of a .txt or .smi file, or in a column of a table."""

    suffixes = (*LINES, ".csv", ".parquet")
    written = "texts are written as .txt, .smi, .csv or .parquet"

    @property
    def column(self) -> str:
        """Name of the column of the texts."""
        return TokenForm.of(self.schema).column or "text"

    def _write(self, path: Path, x: Tensor, rounded: bool, extra: Mapping[str, Any]) -> Files:
        texts = self.schema.decode(x)
        if path.suffix.lower() not in LINES:
            return write_columns(path, {self.column: texts, **extra})
        write_text(path, "".join(f"{text}\n" for text in texts))
        return (str(path),)

    def _write_reconstruction(
        self, path: Path, x: Tensor, mean: Tensor, std: Tensor | None, ids: Files | None
    ) -> Files:
        if path.suffix.lower() in LINES:
            return self._write(path, mean, True, {})
        named: dict[str, Any] = {} if ids is None else {"id": list(ids)}
        named |= {self.column: self.schema.decode(x)}
        return write_columns(path, {**named, "reconstruction": self.schema.decode(mean)})

    def write_strip(self, path: Path, strip: Strip, per_second: float = FRAMES_PER_SECOND) -> Files:
        if path.suffix.lower() in LINES:
            return super().write_strip(path, strip, per_second)
        texts = self.schema.decode(strip.x.flatten(0, 1))
        return write_columns(path, {**strip.row_keys, self.column: texts})
