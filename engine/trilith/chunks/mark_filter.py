"""A set of chunk ids in bounded memory that never denies a member: a Bloom filter.

Chunk ids are uniformly random, so their own bytes serve as hashes. A seed picks which of them, so
that two filters do not err about the same ids.
"""

from __future__ import annotations

import struct

FILTER_BYTES_MIN = 64 * 1024
FILTER_BYTES_MAX = 32 * 1024 * 1024
BITS_PER_MEMBER = 16  # with four bits each: one id in 400 is wrongly taken for a member
CHUNK_ID_SIZE = 32

_WORDS = struct.Struct("<8I")


class MarkFilter:
    """`expected`: how many members; with many more it errs more often, on the same side."""

    __slots__ = ("_bits", "_mask", "_mix", "_places")

    def __init__(self, expected: int, *, seed: int) -> None:
        size = max(FILTER_BYTES_MIN, min(FILTER_BYTES_MAX, expected * BITS_PER_MEMBER // 8))
        size = 1 << (size - 1).bit_length()
        self._bits = bytearray(min(size, FILTER_BYTES_MAX))
        self._mask = len(self._bits) * 8 - 1
        self._mix = (seed * 0x9E3779B1) & 0xFFFFFFFF
        first = seed % 5
        self._places = (first, first + 1, first + 2, first + 3)

    def add_all(self, chunk_ids: bytes) -> None:
        """`chunk_ids`: 32 bytes each, end to end."""
        bits, mask, mix = self._bits, self._mask, self._mix
        a, b, c, d = self._places
        for words in _WORDS.iter_unpack(chunk_ids):
            for word in (words[a], words[b], words[c], words[d]):
                place = (word ^ mix) & mask
                bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, chunk_id: bytes) -> bool:
        bits, mask, mix = self._bits, self._mask, self._mix
        words = _WORDS.unpack(chunk_id)
        for index in self._places:
            place = (words[index] ^ mix) & mask
            if not bits[place >> 3] & (1 << (place & 7)):
                return False
        return True
