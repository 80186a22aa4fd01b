"""Codes as bytes: the length that information theory asks for, and the codes again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")

from lowerbound.applications.compression import code_ranges
from lowerbound.applications.compression.code_tables import whole_counts
from lowerbound.applications.compression.stack import PRECISION, CodingTable
from lowerbound.data.arrays import Array
from lowerbound.errors import BitstreamError


def drawn(rows: int, places: int, codes: int, seed: int = 0) -> tuple[list[Array], Array]:
    """Columns, and the counts of each place that they were drawn from."""
    torch.manual_seed(seed)
    shares = torch.distributions.Dirichlet(torch.full((codes,), 0.2)).sample((places,))
    counts = whole_counts(shares.double().log()).numpy()
    random = np.random.default_rng(seed)
    columns = [random.choice(codes, rows, p=count / count.sum()) for count in counts]
    return columns, counts


@pytest.mark.parametrize("rows", [1, 2, 50, 3000])
@pytest.mark.parametrize("places", [1, 16])
def test_bits_are_those_of_the_tables(rows: int, places: int) -> None:
    columns, counts = drawn(rows, places, 40)
    tables = [CodingTable(count) for count in counts]
    payload = code_ranges.encode(columns, tables)
    found = code_ranges.decode(payload, rows, tables)
    assert all(map(np.array_equal, found, columns))
    bits = sum(
        (PRECISION - np.log2(count[column])).sum()
        for count, column in zip(counts, columns, strict=True)
    )
    assert -64 <= 8 * len(payload) - bits <= 64 + 2e-4 * bits


def test_bytes_that_name_no_codes_are_refused() -> None:
    columns, counts = drawn(300, 3, 40)
    tables = [CodingTable(count) for count in counts]
    payload = bytearray(code_ranges.encode(columns, tables))
    refused = 0
    for place in range(0, len(payload), 5):
        damaged = payload.copy()
        damaged[place] ^= 0xFF
        try:
            found = code_ranges.decode(bytes(damaged), 300, tables)
        except BitstreamError:
            refused += 1
        else:
            assert not all(map(np.array_equal, found, columns))
    assert refused  # where it is not, a checksum of the codes tells


def test_no_shorter_beginning_of_the_bytes_has_the_codes() -> None:
    lengths = set()
    for seed in range(40):
        columns, counts = drawn(1 + seed % 4, 1 + seed % 2, 3 + seed, seed)
        tables = [CodingTable(count) for count in counts]
        payload = code_ranges.encode(columns, tables)
        lengths.add(len(payload) % code_ranges.WORD_BYTES)
        for length in range(len(payload)):
            try:
                found = code_ranges.decode(payload[:length], len(columns[0]), tables)
            except BitstreamError:
                continue
            assert not all(map(np.array_equal, found, columns))
    assert len(lengths) > 1  # the coder itself writes whole words
