"""What drawn rows of a table lack: the shares of the values of a column, and missing cells."""

from lowerbound.models.correction.row_correction import RowCorrection, correction_for

__all__ = ["RowCorrection", "correction_for"]
