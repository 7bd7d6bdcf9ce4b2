import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trilith_native import codec

from . import oracles

# Few letters, so that zeros, escapes and common prefixes are common.
raw = st.lists(st.sampled_from([0, 1, 2, 0xFE, 0xFF]), max_size=12).map(bytes) | st.binary()
operations = st.lists(
    st.tuples(st.just(codec.PUT), raw, raw)
    | st.tuples(st.just(codec.DELETE), raw, st.just(b""))
    | st.tuples(st.just(codec.DELETE_RANGE), raw, raw),
    max_size=8,
)
Operations = list[tuple[int, bytes, bytes]]


@given(raw, raw, raw)
def test_escaped_bytes_equal_the_oracles_and_come_back_whatever_surrounds_them(
    data: bytes, before: bytes, after: bytes
) -> None:
    escaped = codec.escape_bytes(data)
    assert escaped == oracles.escape_bytes(data)
    end = len(before) + len(escaped)
    assert codec.unescape_bytes(before + escaped + after, len(before)) == (data, end)


@given(st.lists(raw, max_size=3), st.lists(raw, max_size=3))
def test_concatenated_escapes_order_as_the_tuples_of_their_strings(
    a: list[bytes], b: list[bytes]
) -> None:
    encoded_a = b"".join(codec.escape_bytes(part) for part in a)
    encoded_b = b"".join(codec.escape_bytes(part) for part in b)
    assert (encoded_a < encoded_b) == (a < b)
    assert (encoded_a == encoded_b) == (a == b)


@pytest.mark.parametrize(
    "data", [b"", b"a", b"\x00", b"a\x00", b"\x00\xff", b"\x00\x02", b"a\x00\x00"]
)
def test_malformed_escapes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="malformed"):
        codec.unescape_bytes(data)


@given(raw)
def test_hostile_escapes_either_decode_to_what_encodes_to_them_or_are_refused(data: bytes) -> None:
    try:
        plain, end = codec.unescape_bytes(data)
    except ValueError:
        return
    assert codec.escape_bytes(plain) == data[:end]


@given(operations)
def test_a_batch_equals_the_oracles_and_comes_back(ops: Operations) -> None:
    batch = codec.encode_batch(ops)
    assert batch == oracles.encode_batch(ops)
    assert codec.decode_batch(batch) == ops
    assert codec.decode_batch(memoryview(batch)) == ops
    assert codec.batch_keys(batch) == [
        (op, key, value if op == codec.DELETE_RANGE else b"") for op, key, value in ops
    ]


@given(st.lists(operations, max_size=4))
def test_joined_batches_hold_the_operations_of_all_in_order(parts: list[Operations]) -> None:
    joined = codec.join_batches([codec.encode_batch(part) for part in parts])
    assert joined == codec.encode_batch([op for part in parts for op in part])


@given(operations, st.data())
def test_a_batch_cut_short_or_prolonged_is_refused(ops: Operations, data: st.DataObject) -> None:
    batch = codec.encode_batch(ops)
    cut = batch[: data.draw(st.integers(0, len(batch) - 1))]
    for hostile in (cut, batch + b"\x00"):
        with pytest.raises(ValueError, match="batch"):
            codec.decode_batch(hostile)


@given(st.binary(max_size=60))
@example(struct.pack("<I", 2**32 - 1) + bytes(30))
@example(struct.pack("<IBII", 1, 0, 2**32 - 1, 2**32 - 1))
@example(struct.pack("<IBII", 1, 3, 0, 0))
@example(struct.pack("<IBII", 1, 1, 0, 1) + b"x")
def test_hostile_bytes_either_decode_to_what_encodes_to_them_or_are_refused(data: bytes) -> None:
    try:
        ops = codec.decode_batch(data)
    except ValueError:
        return
    assert codec.encode_batch(ops) == data


@pytest.mark.parametrize("op", [-1, 3, 256, 2**40])
def test_an_unknown_operation_is_refused(op: int) -> None:
    with pytest.raises(ValueError, match="unknown operation"):
        codec.encode_batch([(op, b"", b"")])


def test_a_delete_with_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="DELETE"):
        codec.encode_batch([(codec.DELETE, b"k", b"v")])


@pytest.mark.parametrize(
    "operation", [(0, b"k"), (0, "k", b""), (0, b"k", None), ("0", b"k", b""), None, [0, b"", b""]]
)
def test_what_is_not_an_operation_is_refused(operation: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        codec.encode_batch([operation])  # type: ignore[list-item]


def test_joining_what_is_no_batch_is_refused() -> None:
    for part in (b"", b"abc", struct.pack("<I", 1)):
        with pytest.raises(ValueError, match="batch"):
            codec.join_batches([part])
