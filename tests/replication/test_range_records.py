"""What records and log entries say of ranges, also those of earlier versions."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trilith.replication.entry import (
    PendingEntry,
    decode_entry,
    encode_payload,
    logged_range,
)
from trilith.replication.ranges import (
    Absorb,
    Close,
    Merge,
    RangeRecord,
    Split,
    decode_range,
    encode_range,
    tombstone,
)

keys = st.binary(min_size=1, max_size=3)
changes = st.lists(
    st.one_of(
        st.none(),
        st.builds(Split, keys, st.integers(1, 99)),
        st.builds(Absorb, st.integers(1, 99), st.integers(1, 99), st.integers(1, 9), st.integers()),
    ),
    max_size=6,
)


def _entry(index: int, change: Split | Merge | None) -> PendingEntry:
    split = change if isinstance(change, Split) else None
    merge = change if isinstance(change, Close | Absorb) else None
    return PendingEntry(index, 1, [], b"", [], split, merge)


def test_a_range_of_an_earlier_version_is_open_and_was_never_merged() -> None:
    record = decode_range(msgspec.msgpack.encode([b"a", b"m", 3, 7, b"z", 0, 0]))
    assert record == RangeRecord(b"a", b"m", 3, 7, b"z")
    assert (record.closed, record.absorbed, record.absorbed_by, record.lead) == (0, 0, 0, 0)


def test_an_entry_of_an_earlier_version_merges_nothing() -> None:
    assert decode_entry(5, 2, msgspec.msgpack.encode([[b"k"], b""])).merge is None
    split = decode_entry(5, 2, msgspec.msgpack.encode([[], b"", [b"m", 7]]))
    assert (split.split, split.merge) == (Split(b"m", 7), None)


@given(st.one_of(st.just(Close()), st.builds(Absorb, *[st.integers(0, 1 << 60)] * 4)))
def test_what_an_entry_says_of_a_merge_is_read_back(merge: Merge) -> None:
    payload, _ = encode_payload([b"k"], [], None, merge)
    assert decode_entry(9, 1, payload).merge == merge


@given(st.builds(RangeRecord, keys, keys, *[st.integers(0, 1 << 60)] * 2))
def test_nothing_is_in_the_range_of_what_was_absorbed(record: RangeRecord) -> None:
    _, _, value = tombstone(5, record, 3)
    stone = decode_range(value)
    assert stone.absorbed_by == 3
    assert not stone.covers(record.start)
    assert decode_range(encode_range(record)) == record


@given(changes, st.integers(0, 50))
def test_what_is_logged_of_a_range_is_what_its_entries_will_make_of_it(
    logged: list[Split | Merge | None], lead: int
) -> None:
    """But for what is to be absorbed, which is no part of it before it is."""
    record = RangeRecord(b"\x00", b"", generation=4, lead=lead)
    seen = logged_range(record, [_entry(n, change) for n, change in enumerate(logged, 1)])
    splits = [change for change in logged if isinstance(change, Split)]
    leads = [change.lead for change in logged if isinstance(change, Absorb)]
    assert seen.end == (splits[-1].key if splits else b"")
    assert seen.generation == 4 + len(splits)
    assert seen.lead == max([lead, *leads])
    assert seen.changes == len([change for change in logged if change is not None])
