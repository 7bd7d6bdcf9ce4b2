import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trilith_native import record

from . import oracles

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
kinds = st.integers(1, 255)
fields = st.tuples(kinds, u64, u64, u64, st.binary(max_size=100))
SEED = 0x1234_5678


def framed(*payloads: bytes) -> bytes:
    return b"".join(record.frame(SEED, 1, 2, 3, i, p) for i, p in enumerate(payloads))


@given(u32, fields)
def test_a_framed_record_equals_the_oracles(
    seed: int, values: tuple[int, int, int, int, bytes]
) -> None:
    kind, partition, epoch, index, payload = values
    made = record.frame(seed, kind, partition, epoch, index, payload)
    assert made == oracles.frame(seed, kind, partition, epoch, index, payload)
    assert record.frame(seed, kind, partition, epoch, index, memoryview(payload)) == made
    assert record.verify(made, 0, seed)


@given(u32, st.lists(fields, max_size=5), st.binary(max_size=60))
def test_a_scan_gives_back_what_was_framed_and_stops_before_what_was_not(
    seed: int, rows: list[tuple[int, int, int, int, bytes]], tail: bytes
) -> None:
    data = b"".join(record.frame(seed, *row) for row in rows) + tail
    records, end = record.scan(data, 0, seed)
    assert (records, end) == oracles.scan(data, 0, seed)
    got = [(*r[:4], data[r[4] : r[4] + r[5]]) for r in records]
    assert got[: len(rows)] == rows


@given(st.binary(max_size=120), st.integers(0, 120), u32)
@example(bytes(100), 0, 0)
@example(bytes(100), 0, 2**32 - 1)
def test_hostile_bytes_read_as_the_oracle_reads_them(data: bytes, offset: int, seed: int) -> None:
    offset = min(offset, len(data))
    assert record.scan(data, offset, seed) == oracles.scan(data, offset, seed)
    assert record.find_valid_after(data, offset, seed) == oracles.find_valid_after(
        data, offset, seed
    )


@given(st.binary(max_size=30), st.binary(max_size=60), st.data())
def test_any_flipped_bit_makes_a_record_invalid(
    before: bytes, payload: bytes, data: st.DataObject
) -> None:
    good = bytearray(before + record.frame(SEED, 7, 1, 2, 3, payload))
    bit = data.draw(st.integers(len(before) * 8, len(good) * 8 - 1))
    good[bit // 8] ^= 1 << (bit % 8)
    assert not record.verify(good, len(before), SEED)
    assert record.scan(good, len(before), SEED) == ([], len(before))


@given(u32, u32, st.binary(max_size=200))
def test_a_record_of_another_seed_never_validates(a: int, b: int, payload: bytes) -> None:
    made = record.frame(a, 1, 2, 3, 4, payload)
    assert record.verify(made, 0, b) == (a == b)


def test_zeroed_space_is_no_record_under_any_seed_that_would_sum_it_to_zero() -> None:
    zeros = bytes(4096)
    # The seed whose sum over an all-zero header is the zero that stands in its CRC field.
    for seed in (0, 2**32 - 1, SEED):
        assert not record.verify(zeros, 0, seed)
        assert record.scan(zeros, 0, seed) == ([], 0)
        assert record.find_valid_after(zeros, 0, seed) == -1
    with pytest.raises(ValueError, match="kind 0"):
        record.frame(SEED, 0, 1, 1, 1, b"")


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_torn_tail_ends_the_scan_at_the_last_whole_record(cut: int) -> None:
    data = framed(b"first", b"second record " + bytes(6))
    whole = len(framed(b"first"))
    records, end = record.scan(data[:-cut], 0, SEED)
    assert (len(records), end) == (1, whole)
    assert record.find_valid_after(data[:-cut], end, SEED) == -1


@pytest.mark.parametrize("size", [0, 1000, 1024, 1025, 5000, 40_000, 200_000])
@pytest.mark.parametrize("shift", [0, 1, 7, 1023, 4097])
def test_a_valid_record_is_found_behind_damage_at_any_alignment(size: int, shift: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    good = record.frame(SEED, 3, 1, 1, 1, payload[:size])
    data = b"\x01" * shift + good + b"\x01" * 77
    assert record.find_valid_after(data, 0, SEED) == shift
    damaged = bytearray(data)
    damaged[shift + len(good) - 1] ^= 0x40
    assert record.find_valid_after(damaged, 0, SEED) == -1
    assert record.find_valid_after(bytes(damaged) + good, 0, SEED) == len(damaged)


def test_a_field_of_look_alike_headers_is_searched_in_bounded_time() -> None:
    look_alike = struct.pack("<IIBBHI", 0, 3_900_000, 1, 0, 0, 0)
    data = look_alike * (4_000_000 // len(look_alike))  # 250,000 candidates of megabytes each
    good = framed(b"here")
    assert record.find_valid_after(data + good, 0, SEED) == len(data)


def test_a_length_beyond_the_buffer_or_the_limit_is_not_followed() -> None:
    for length in (1, 2**31 - 1, 2**31, 2**32 - 1, record.MAX_PAYLOAD + 1):
        header = struct.pack("<IIBBHIQQQ", 0, length, 1, 0, 0, 0, 1, 1, 1)
        assert record.scan(header, 0, SEED) == ([], 0)
        assert not record.verify(header, 0, SEED)


def test_a_payload_over_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        record.frame(SEED, 1, 1, 1, 1, bytes(record.MAX_PAYLOAD + 1))


@pytest.mark.parametrize(
    "arguments",
    [
        (2**32, 1, 1, 1, 1),
        (0, 256, 1, 1, 1),
        (0, 1, 2**64, 1, 1),
        (0, 1, 1, -1, 1),
        (0, 1, 1, 1, -1),
    ],
)
def test_an_integer_out_of_its_field_is_refused(arguments: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(OverflowError):
        record.frame(*arguments, b"")


@pytest.mark.parametrize("offset", [-1, 4])
def test_an_offset_outside_the_buffer_is_refused(offset: int) -> None:
    for function in (record.scan, record.find_valid_after, record.verify):
        with pytest.raises(ValueError, match="outside"):
            function(b"abc", offset, SEED)
