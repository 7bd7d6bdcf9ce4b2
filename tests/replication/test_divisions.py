"""Where models let their partitions be split, and how a place is chosen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.objects.local_partitions import LocalPartitions

from trilith.node.auto_split import Marks, median
from trilith.objects.commands import CloseBucket
from trilith.objects.division import ObjectsDivision
from trilith.objects.keys import FENCE, OBJECTS_KEYSPACE, stem_of
from trilith.replication.ranges import RangeRecord
from trilith.tables.division import TableDivision
from trilith.tables.layout import CHANGE, ITEM, anchored, item_key, slot_ranges
from trilith.tables.layout import stem_of as item_stem

BUCKET = b"b" * 16
TABLE = b"t" * 16
objects, tables = ObjectsDivision(), TableDivision()


@given(st.text(max_size=20), st.binary(max_size=30), st.text(max_size=20), st.binary(max_size=30))
def test_no_stem_of_an_object_is_torn(one: str, suffix: bytes, other: str, more: bytes) -> None:
    place = objects.boundary(stem_of(BUCKET, one) + suffix)
    assert place == stem_of(BUCKET, one)
    record = stem_of(BUCKET, other)
    assert (record < place) == (record + more < place)


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20), st.binary(max_size=30))
def test_no_stem_of_an_item_is_torn(one: str, other: str, more: bytes) -> None:
    place = tables.boundary(item_key(TABLE, {"S": one}, {"S": "x"}))
    assert place is not None
    record = item_stem(TABLE, {"S": other})
    assert (record < place) == (record + more < place)


@given(st.text(min_size=1, max_size=20), st.integers(0, 11))
def test_what_is_anchored_at_a_start_is_no_place_to_split(one: str, slot: int) -> None:
    start = item_stem(TABLE, {"S": one})[:25]
    for begin in (b"", bytes((slot,)), start):
        assert tables.boundary(anchored(begin, TABLE) + bytes(8)) in (None, begin[:1], start)
    assert all(tables.boundary(first) in (None, first[:1]) for first, _ in slot_ranges(TABLE))


def test_the_fence_of_a_torn_bucket_is_carried_to_the_right_child() -> None:
    twin = LocalPartitions()
    twin.run(OBJECTS_KEYSPACE, BUCKET, CloseBucket(BUCKET, BUCKET, 3))
    view = twin.view_of(BUCKET)
    place = stem_of(BUCKET, "m")
    carried = objects.carried(view, b"", place)
    assert [(family, key) for family, key, _ in carried] == [(FENCE, place)]
    assert objects.carried(view, b"", stem_of(b"c" * 16, "m")) == []


def test_a_place_halves_the_load_and_one_hot_key_has_none() -> None:
    whole = RangeRecord(b"", b"")
    keys = [item_key(TABLE, {"S": f"user-{n}"}, None) for n in range(200)]
    place = median(keys, tables, whole)
    assert place is not None
    assert 0.4 < sum(key < place for key in keys) / 200 < 0.6
    assert median(keys[:1] * 200, tables, whole) is None
    assert median(keys[:10], tables, whole) is None
    assert median(keys, tables, RangeRecord(b"", min(keys))) is None


def test_a_days_changes_at_a_partitions_start_do_not_hide_where_its_items_halve() -> None:
    start = item_stem(TABLE, {"S": "user-0"})[:25]
    record = RangeRecord(start, b"")
    keys = sorted(item_key(TABLE, {"S": f"user-{n}"}, None) for n in range(400))
    keys = [key for key in keys if key >= start]
    marks = Marks()
    for number in range(4000):
        change = anchored(start, TABLE) + number.to_bytes(8, "big")
        marks.add(change, 1000, is_anchored=CHANGE in tables.anchored)
    for key in keys:
        marks.add(key, 500, is_anchored=ITEM in tables.anchored)
    place = median(marks.keys, tables, record)
    assert place is not None
    assert 0.4 < sum(key < place for key in keys) / len(keys) < 0.6
    assert (marks.movable, marks.size) == (500 * len(keys), 500 * len(keys) + 4_000_000)
