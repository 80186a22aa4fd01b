"""Operations of the package that ONNX lacks, in operations that it has, also in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


def cholesky(matrix: Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """The factor L of A = L L^T, and zeros for "no error".

    Args:
        matrix: A, symmetric and positive definite, (rows, d, d).
        upper, check_errors: False, as the package calls it.
    """
    columns = []
    for j in range(matrix.shape[-1]):
        column = matrix[..., j] / matrix[..., j, j, None].sqrt()
        column = torch.cat((torch.zeros_like(column[..., :j]), column[..., j:]), -1)
        matrix = matrix - column.unsqueeze(-1) * column.unsqueeze(-2)
        columns.append(column)
    return torch.stack(columns, -1), torch.zeros_like(matrix[..., 0, 0], dtype=torch.int32)


def solve_triangular(
    factor: Tensor, values: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X with L X = B, by forward substitution.

    Args:
        factor: L, lower triangular, (rows, d, d).
        values: B, (rows, d, columns).
        upper, unitriangular: False, as the package calls it.
        left: True.
    """
    solved: list[Tensor] = []
    for i in range(factor.shape[-1]):
        rest = values[..., i, :]
        for k, row in enumerate(solved):
            rest = rest - factor[..., i, k, None] * row
        solved.append(rest / factor[..., i, i, None])
    return torch.stack(solved, -2)


def atanh(values: Tensor) -> Tensor:
    """(log(1 + x) - log(1 - x)) / 2."""
    return (torch.log(1 + values) - torch.log(1 - values)) / 2


DECOMPOSITIONS: Mapping[Any, Callable[..., Any]] = {
    torch.ops.aten.atanh.default: atanh,
    torch.ops.aten.linalg_cholesky_ex.default: cholesky,
    torch.ops.aten.linalg_solve_triangular.default: solve_triangular,
}
