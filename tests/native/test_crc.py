import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilith_native import crc

from . import oracles

CHECK = b"123456789"
# Around the edges of the lanes and registers of the fast loops.
EDGES = [0, 1, 7, 8, 9, 127, 128, 129, 143, 144, 767, 768, 769, 3071, 3072, 12287, 12288, 12297]


def test_the_published_check_values_come_out() -> None:
    assert crc.crc32c(CHECK) == crc.portable_crc32c(CHECK) == 0xE3069283
    assert crc.crc64nvme(CHECK) == crc.portable_crc64nvme(CHECK) == 0xAE8B14860A799888


@given(st.binary(max_size=400), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_checksums_equal_the_bitwise_oracle(data: bytes, value: int, wide: int) -> None:
    assert crc.crc32c(data, value) == oracles.crc32c(data, value)
    assert crc.portable_crc32c(data, value) == oracles.crc32c(data, value)
    assert crc.crc64nvme(data, wide) == oracles.crc64nvme(data, wide)
    assert crc.portable_crc64nvme(data, wide) == oracles.crc64nvme(data, wide)


@pytest.mark.parametrize("size", EDGES)
def test_the_processors_instructions_agree_with_the_oracle_at_the_edges_of_the_fast_loops(
    size: int,
) -> None:
    data = random.Random(size).randbytes(size)
    assert crc.crc32c(data, 5) == oracles.crc32c(data, 5)
    assert crc.crc64nvme(data, 5) == oracles.crc64nvme(data, 5)


@given(st.integers(0, 70_000), st.integers(0, 70_000), st.integers(0, 15))
def test_a_checksum_continues_another_at_any_size_and_alignment(a: int, b: int, skip: int) -> None:
    data = memoryview(random.Random(a).randbytes(a + b + skip))[skip:]
    whole, head, tail = bytes(data), data[:a], data[a:]
    for function in (crc.crc32c, crc.crc64nvme, crc.portable_crc32c, crc.portable_crc64nvme):
        assert function(tail, function(head)) == function(data)
    assert crc.crc32c(whole) == crc.portable_crc32c(data)
    assert crc.crc64nvme(whole) == crc.portable_crc64nvme(data)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_a_value_out_of_range_is_refused(value: int) -> None:
    with pytest.raises(OverflowError):
        crc.crc32c(b"", value)
    with pytest.raises(OverflowError):
        crc.crc64nvme(b"", value)


def test_a_buffer_with_gaps_is_refused() -> None:
    with pytest.raises(BufferError):
        crc.crc32c(memoryview(b"abcdef")[::2])
