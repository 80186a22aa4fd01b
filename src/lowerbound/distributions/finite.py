"""Answers of a model that are not finite, because codes, cells or weights are too large."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from lowerbound.errors import NotFiniteError

NOT_FINITE = "the model has no finite answer here: codes, cells or its weights are too large"
# what torch says of probabilities and rates that are NaN, on the processor
NO_PROBABILITY = re.compile("p_in >= 0|probability tensor contains|invalid Poisson rate")


def check_finite(answer: Tensor, gaps: bool = False) -> Tensor:
    """The answer of a model, if it is finite.

    Args:
        answer: the numbers.
        gaps: whether NaN is a missing cell, as of a table or a history, unless all cells are.

    Raises:
        NotFiniteError: it is not.
    """
    absent = answer.isnan()
    wrong = absent.all() if gaps and answer.numel() else absent.any()
    if bool(wrong) or bool(answer.isinf().any()):
        raise NotFiniteError(NOT_FINITE)
    return answer


@contextmanager
def drawn() -> Iterator[None]:
    """Context of draws by torch, which refuses parameters that are not finite.

    Raises:
        NotFiniteError: some are not.
    """
    try:
        yield
    except RuntimeError as error:
        if NO_PROBABILITY.search(str(error)) is None:
            raise
        raise NotFiniteError(NOT_FINITE) from error
