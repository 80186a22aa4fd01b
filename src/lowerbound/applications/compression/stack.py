"""A stack of bits: a value is popped under the distribution under which it was pushed.

Pushing a value of probability p makes the stack -log2 p bits higher; popping takes them back. The
coder is ``constriction``'s. Its distributions are whole numbers, or floats that result from
them by one division, so that encoder and decoder agree to the last bit.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import BitstreamError, MissingExtraError

PRECISION = 24  # bits of a probability inside the coder
WORD = 32


class CodingTable:
    """A distribution over 0 .. n - 1 for many values.

    Args:
        counts: whole numbers that sum to 2 ** 24, (n,).
    """

    def __init__(self, counts: Array) -> None:
        assert counts.sum() == 1 << PRECISION
        self.model = constriction().stream.model.Categorical(
            counts.astype(np.float64) / (1 << PRECISION), perfect=False
        )


class Stack:
    """Bits with push and pop under distributions.

    Args:
        words: initial content, uint32.
    """

    def __init__(self, words: Array) -> None:
        self._uniform = constriction().stream.model.Uniform()
        self._bernoulli = constriction().stream.model.Bernoulli(perfect=False)
        self._coder = constriction().stream.stack.AnsCoder(np.ascontiguousarray(words, np.uint32))

    @property
    def bits(self) -> int:
        """Height in bits."""
        return int(self._coder.num_valid_bits())

    def words(self) -> Array:
        """The content, uint32."""
        words: Array = self._coder.get_compressed()
        return words

    def push_table(self, values: Array, table: CodingTable) -> None:
        """Values 0 .. n - 1 under one distribution."""
        self._coder.encode_reverse(values.astype(np.int32), table.model)

    def pop_table(self, count: int, table: CodingTable) -> Array:
        """Pop ``count`` values 0 .. n - 1."""
        values: Array = self._coder.decode(table.model, count)
        return values

    def push_uniform(self, values: Array, sizes: Array) -> None:
        """Values each uniform on 0 .. size - 1, sizes from 2 to 2 ** 24 - 1."""
        self._coder.encode_reverse(values.astype(np.int32), self._uniform, sizes.astype(np.int32))

    def pop_uniform(self, sizes: Array) -> Array:
        """Pop the values that were pushed under those sizes."""
        values: Array = self._coder.decode(self._uniform, sizes.astype(np.int32))
        return values

    def push_bits(self, values: Array, ones: Array) -> None:
        """Zeros and ones under their probabilities of a one, float64."""
        self._coder.encode_reverse(values.astype(np.int32), self._bernoulli, ones)

    def pop_bits(self, ones: Array) -> Array:
        """Pop the zeros and ones that were pushed under those probabilities."""
        values: Array = self._coder.decode(self._bernoulli, ones)
        return values


def seed_words(count: int) -> Array:
    """The first bits of every stream: SHA-256 of a counter, uint32 (count,).

    The first latents are popped from them. After decoding, exactly these bits must remain;
    otherwise the stream is invalid.
    """
    blocks = (hashlib.sha256(b"lowerbound" + i.to_bytes(4, "big")) for i in range(count // 8 + 1))
    words = np.frombuffer(b"".join(block.digest() for block in blocks), "<u4")[:count].copy()
    words[-1] |= 1  # the uppermost word of a stack is never zero
    return words.astype(np.uint32)


def to_bytes(words: Array) -> bytes:
    """Little-endian on every machine."""
    return words.astype("<u4").tobytes()


def from_bytes(payload: bytes) -> Array:
    """The words of a payload.

    Raises:
        BitstreamError: their number of bytes is no multiple of 4, or the uppermost word is zero.
    """
    if not payload or len(payload) % 4:
        raise BitstreamError("the stream is no stack of 32-bit words")
    words = np.frombuffer(payload, "<u4").astype(np.uint32)
    if words[-1] == 0:
        raise BitstreamError("the stream's uppermost word is zero, so it is damaged")
    return words


def constriction() -> Any:
    """The entropy coder.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import constriction as library
    except ImportError as error:
        raise MissingExtraError("constriction", "compress") from error
    return library


def whole_shares(shares: Array) -> Array:
    r"""One distribution in whole numbers n, (K,) int64, as near to its shares as can be.

    .. math:: \hat p(k) = n(k) / 2^{24}, \qquad n(k) \ge 1, \quad \textstyle\sum_k n(k) = 2^{24}
    """
    wanted = np.asarray(shares, np.float64)
    free = (1 << PRECISION) - len(wanted)
    counts: Array = 1 + np.floor(wanted / wanted.sum() * free).astype(np.int64)
    likeliest = np.argsort(-wanted, kind="stable")
    counts[likeliest[: (1 << PRECISION) - counts.sum()]] += 1
    return counts
