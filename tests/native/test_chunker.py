import hashlib
import random
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilith_native.chunker import GEAR, Chunker

from . import oracles

SMALL = (64, 256, 1024)


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def cuts(chunker: Chunker, data: bytes) -> Iterator[int]:
    offset = 0
    while length := chunker.next_cut(data, offset, final=True):
        yield length
        offset += length


@st.composite
def chunk_sizes(draw: st.DrawFn) -> tuple[int, int, int]:
    first, second, third = sorted(draw(st.tuples(*[st.integers(64, 700)] * 3)))
    return first, second, third


@given(st.integers(0, 1000), st.integers(0, 1500), chunk_sizes(), st.booleans())
def test_a_cut_is_where_the_definition_puts_it(
    seed: int, size: int, sizes: tuple[int, int, int], final: bool
) -> None:
    data = noise(seed, size)
    assert Chunker(*sizes).next_cut(data, final=final) == oracles.next_cut(data, sizes, final=final)


@given(st.binary(max_size=400), st.integers(0, 400))
def test_repetitive_bytes_are_cut_as_the_definition_cuts_them(data: bytes, offset: int) -> None:
    offset = min(offset, len(data))
    got = Chunker(64, 64, 300).next_cut(data, offset, final=True)
    assert got == oracles.next_cut(data[offset:], (64, 64, 300), final=True)


@given(st.integers(0, 1000), st.integers(0, 6000))
def test_chunks_cover_the_data_within_their_limits(seed: int, size: int) -> None:
    lengths = list(cuts(Chunker(*SMALL), noise(seed, size)))
    assert sum(lengths) == size
    assert all(SMALL[0] <= length <= SMALL[2] for length in lengths[:-1])
    assert all(0 < length <= SMALL[2] for length in lengths)


@given(st.integers(0, 1000), st.lists(st.integers(1, 900), min_size=1, max_size=20))
def test_a_stream_is_cut_the_same_however_it_arrives(seed: int, arrivals: list[int]) -> None:
    data = noise(seed, sum(arrivals))
    chunker = Chunker(*SMALL)
    held, lengths = bytearray(), []
    start = 0
    for size in arrivals:
        held += data[start : start + size]
        start += size
        while length := chunker.next_cut(held, final=False):
            lengths.append(length)
            del held[:length]
    while length := chunker.next_cut(held, final=True):
        lengths.append(length)
        del held[:length]
    assert lengths == list(cuts(chunker, data))


def test_a_cut_is_a_property_of_the_64_bytes_before_it() -> None:
    data, chunker = noise(3, 200_000), Chunker(*SMALL)
    offset = 0
    for length in cuts(chunker, data):
        if SMALL[0] < length < SMALL[2] and offset + length < len(data):
            window = data[offset + length - 64 : offset + length]
            # Put where it completes a chunk of the least length, it cuts only if strict lets it.
            strict = oracles.window_hash(window) >> (64 - 10) == 0
            assert (chunker.next_cut(window, final=False) == 64) == strict
        offset += length


def test_inserted_bytes_change_few_chunks() -> None:
    data, chunker = noise(1, 400_000), Chunker(*SMALL)
    shifted = data[:1000] + b"inserted" + data[1000:]

    def pieces(whole: bytes) -> set[bytes]:
        offset, found = 0, set()
        for length in cuts(chunker, whole):
            found.add(hashlib.sha256(whole[offset : offset + length]).digest())
            offset += length
        return found

    before, after = pieces(data), pieces(shifted)
    assert len(after - before) <= 10 < len(before)


def test_the_average_is_near_the_one_asked_for() -> None:
    data = noise(2, 4_000_000)
    lengths = list(cuts(Chunker(1024, 4096, 16384), data))
    assert 3500 < len(data) / len(lengths) < 5500


def test_three_equal_sizes_cut_fixed_chunks() -> None:
    assert list(cuts(Chunker(100, 100, 100), bytes(250))) == [100, 100, 50]
    assert Chunker(100, 100, 100).next_cut(bytes(99), final=False) == 0


def test_the_gear_table_is_that_of_the_format() -> None:
    assert list(GEAR) == oracles.GEAR
    packed = struct.pack("<256Q", *GEAR)
    assert (
        hashlib.sha256(packed).hexdigest()
        == "d7b378235e874fe970b17c9eba3c39bb97b890dac6711b47b2ecc5e42cbd7e3d"
    )


def test_the_cuts_of_the_default_sizes_are_those_of_the_format() -> None:
    # Changing these ends deduplication with everything already stored.
    data = hashlib.shake_256(b"trilith chunker").digest(12 << 20)
    assert list(cuts(Chunker(256 << 10, 1 << 20, 4 << 20), data)) == [
        318283,
        1335870,
        409560,
        1607549,
        480771,
        1084546,
        1079105,
        801409,
        1129189,
        1195976,
        1198121,
        1101371,
        841162,
    ]


@pytest.mark.parametrize(
    "sizes", [(63, 100, 200), (100, 99, 200), (100, 200, 199), (100, 200, 2**30 + 1), (-1, 0, 0)]
)
def test_sizes_that_do_not_rise_within_the_limits_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="chunk sizes"):
        Chunker(*sizes)


@pytest.mark.parametrize("offset", [-1, 11])
def test_an_offset_outside_the_buffer_is_refused(offset: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        Chunker(*SMALL).next_cut(bytes(10), offset, final=True)
