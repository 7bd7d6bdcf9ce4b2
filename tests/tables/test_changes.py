"""The change log: what is recorded of writes, over splits, merges and trims."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from trilith.tables import layout
from trilith.tables.changes import (
    IN_STREAM,
    INSERT,
    MODIFY,
    REMOVE,
    Change,
    ChangeLog,
    Position,
    Shard,
)
from trilith.tables.commands import DeleteItem, PutItem, RollShards, Terms, UpdateItem
from trilith.tables.definitions import Feeds
from trilith.tables.expressions.operands import Literal
from trilith.tables.expressions.updates import Set, Update
from trilith.tables.item_codec import encode_item
from trilith.tables.layout import CHANGE, SHARD, TABLES_KEYSPACE
from trilith.tables.service import item_key
from trilith.tables.sizes import item_size
from trilith.tables.values import Item

from .local_tables import TABLE_ID, LocalTables, item, table

PLAIN = table()
STREAMED = Feeds(era=1, stream=1000, with_old=True, with_new=True)
INDEXED = Feeds(era=1, is_indexed=True, with_old=True, with_new=True)


def put(value: Item, feeds: Feeds = STREAMED) -> PutItem:
    terms = Terms(TABLE_ID, feeds=feeds)
    return PutItem(item_key(PLAIN, value), terms, encode_item(value), item_size(value))


def delete(value: Item, feeds: Feeds = STREAMED) -> DeleteItem:
    return DeleteItem(item_key(PLAIN, value), Terms(TABLE_ID, feeds=feeds))


def run(partitions: LocalTables, *commands: Any) -> None:
    for command in commands:
        partitions.run(TABLES_KEYSPACE, command.key, command)


def shards_of(partitions: LocalTables, starts: list[bytes]) -> list[Shard]:
    async def ask() -> list[Shard]:
        log = ChangeLog(partitions)
        return [shard for start in starts for shard in await log.shards(start, None, TABLE_ID)]

    return asyncio.run(ask())


def changes_of(partitions: LocalTables, shard: Shard, after: int = 0) -> list[Position]:
    async def ask() -> list[Position]:
        log, found, at = ChangeLog(partitions), [], after
        while True:
            page = await log.read(shard, at, limit=2)
            found += page.changes
            if page.is_whole:
                return found
            at = page.changes[-1].sequence

    return asyncio.run(ask())


def trim(partitions: LocalTables, start: bytes, until: int, before_ms: int = 0) -> int:
    log = ChangeLog(partitions)
    return asyncio.run(log.trim(start, TABLE_ID, until, streamed_before_ms=before_ms))


def images(partitions: LocalTables, change: Change) -> tuple[Item | None, Item | None]:
    old, new = (
        None if record is None else partitions.keys.open_item(TABLE_ID, change.key, record)
        for record in (change.old, change.new)
    )
    return old, new


def test_each_change_of_an_item_is_recorded_once_with_its_images() -> None:
    partitions = LocalTables()
    first, second = item("ann", 1, age={"N": "7"}), item("ann", 1, age={"N": "8"})
    run(partitions, put(first), put(second), delete(second))
    (shard,) = shards_of(partitions, [b""])
    found = [position.change for position in changes_of(partitions, shard)]
    assert [change.kind for change in found] == [INSERT, MODIFY, REMOVE]
    assert [images(partitions, change) for change in found] == [
        (None, first),
        (first, second),
        (second, None),
    ]
    assert all(change.flags == IN_STREAM for change in found)


def test_a_write_that_changes_nothing_is_not_recorded() -> None:
    partitions = LocalTables()
    one = item("ann", 1, tags={"SS": ["a", "b"]})
    same = Update((Set(("tags",), Literal({"SS": ["a", "b"]})),))
    key = {name: one[name] for name in ("pk", "sk")}
    terms = Terms(TABLE_ID, feeds=STREAMED)
    run(
        partitions,
        delete(one),
        put(one),
        put(one),
        UpdateItem(item_key(PLAIN, one), terms, encode_item(key), same),
    )
    (shard,) = shards_of(partitions, [b""])
    assert [position.change.kind for position in changes_of(partitions, shard)] == [INSERT]


def test_nothing_is_recorded_of_a_table_without_stream_and_indexes() -> None:
    partitions = LocalTables()
    one = item("ann", 1)
    run(partitions, put(one, Feeds(era=1, ttl="expires")), delete(one, Feeds(era=1, ttl="expires")))
    assert partitions.records(CHANGE, TABLES_KEYSPACE) == {}
    assert partitions.records(SHARD, TABLES_KEYSPACE) == {}


def test_no_value_is_readable_in_the_change_log() -> None:
    partitions = LocalTables()
    for age in ("secret-1", "secret-2"):
        command = put(item("ann", 1, age={"S": age}))
        result, effects = partitions.evaluate(TABLES_KEYSPACE, command.key, command)
        partitions.commit(TABLES_KEYSPACE, effects)
        assert b"secret" not in msgspec.msgpack.encode(result)
        for _, _, _, value in effects.operations:
            assert b"secret" not in value


def test_images_that_nobody_needs_are_not_kept() -> None:
    partitions = LocalTables()
    one = item("ann", 1)
    run(partitions, put(one, Feeds(era=1, stream=1000)))
    (shard,) = shards_of(partitions, [b""])
    ((_, change),) = changes_of(partitions, shard)
    assert (change.kind, change.old, change.new) == (INSERT, None, None)


def test_disabling_a_stream_ends_its_shards_and_enabling_begins_new_ones() -> None:
    partitions = LocalTables()
    one = item("ann", 1)
    run(partitions, put(one))
    run(partitions, RollShards(b"", TABLE_ID, Feeds(era=2)))
    run(partitions, delete(one))  # by a gateway that has not heard of it
    run(partitions, put(one, Feeds(era=3, stream=2000)))
    shards = shards_of(partitions, [b""])
    assert [(shard.stream, bool(shard.last)) for shard in shards] == [
        (1000, True),
        (0, True),
        (2000, False),
    ]
    kinds = [[c.kind for _, c in changes_of(partitions, shard)] for shard in shards]
    assert kinds == [[INSERT], [], [INSERT]]


def test_rolling_shards_that_are_as_they_should_be_has_no_effects() -> None:
    partitions = LocalTables()
    roll = RollShards(b"", TABLE_ID, STREAMED)
    run(partitions, roll)
    _, effects = partitions.evaluate(TABLES_KEYSPACE, b"", roll)
    assert effects.operations == []


def test_changes_that_only_indexes_need_go_as_soon_as_they_are_consumed() -> None:
    partitions = LocalTables()
    run(partitions, *(put(item("ann", n), INDEXED) for n in range(5)))
    (shard,) = shards_of(partitions, [b""])
    third = changes_of(partitions, shard)[2].sequence
    assert trim(partitions, b"", third) == 3
    (shard,) = shards_of(partitions, [b""])
    assert shard.trimmed == third
    assert len(changes_of(partitions, shard)) == 2


def test_changes_of_a_stream_stay_as_long_as_they_are_promised() -> None:
    partitions = LocalTables()
    run(partitions, *(put(item("ann", n)) for n in range(5)))
    (shard,) = shards_of(partitions, [b""])
    times = [position.change.time_ms for position in changes_of(partitions, shard)]
    assert trim(partitions, b"", layout.SEQUENCE_MAX, before_ms=times[0]) == 0
    assert trim(partitions, b"", layout.SEQUENCE_MAX, before_ms=times[2]) == 2
    run(partitions, RollShards(b"", TABLE_ID, Feeds(era=2)))
    closed = shards_of(partitions, [b""])[0]
    assert trim(partitions, b"", layout.SEQUENCE_MAX, before_ms=closed.closed_ms) == 3
    assert len(shards_of(partitions, [b""])) == 2  # it is still listed
    trim(partitions, b"", layout.SEQUENCE_MAX, before_ms=closed.closed_ms + 1)
    assert len(shards_of(partitions, [b""])) == 1


def test_what_was_kept_for_an_index_that_is_gone_goes() -> None:
    both = Feeds(1, 1000, is_indexed=True, with_old=True, with_new=True)
    partitions = LocalTables()
    run(partitions, put(item("ann", 1), both), put(item("ann", 2), both))
    (shard,) = shards_of(partitions, [b""])
    assert trim(partitions, b"", 0, before_ms=layout.SEQUENCE_MAX) == 0
    run(partitions, put(item("ann", 3), Feeds(2, 1000, with_old=True, with_new=True)))
    assert trim(partitions, b"", 0, before_ms=layout.SEQUENCE_MAX) == 3
    assert changes_of(partitions, shard) == []


def test_a_deleted_table_leaves_nothing_of_its_log() -> None:
    partitions = LocalTables()
    partitions.cut(TABLES_KEYSPACE, STEMS[:2])
    run(partitions, *(put(item(pk, 1)) for pk in PEOPLE))
    partitions.cut(TABLES_KEYSPACE, STEMS[1:3])
    run(partitions, *(delete(item(pk, 1)) for pk in PEOPLE))
    asyncio.run(partitions.catalog.remove(PLAIN.record))
    assert partitions.records(CHANGE, TABLES_KEYSPACE) == {}
    assert partitions.records(SHARD, TABLES_KEYSPACE) == {}


def test_a_legacy_table_id_that_begins_with_a_zero_byte_keeps_its_log_below_its_items() -> None:
    table_id = b"\x00" + TABLE_ID[1:]
    assert layout.anchored(b"", table_id) < b"\x00" + table_id


PEOPLE = [f"p{number}" for number in range(8)]
STEMS = sorted(layout.stem_of(TABLE_ID, {"S": pk}) for pk in PEOPLE)
STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(PEOPLE), st.integers(0, 2)),
    st.tuples(st.just("delete"), st.sampled_from(PEOPLE), st.just(0)),
    st.tuples(st.just("split"), st.sampled_from(STEMS), st.just(0)),
    st.tuples(st.just("merge"), st.sampled_from(STEMS), st.just(0)),
)


def in_lineage_order(shards: list[Shard]) -> list[Shard]:
    """Each shard behind all that it follows."""
    ordered: list[Shard] = []
    waiting = list(shards)
    while waiting:
        ready = [s for s in waiting if not any(s.follows(other) for other in waiting)]
        assert ready, "shards follow one another in a circle"
        ordered += ready
        waiting = [shard for shard in waiting if shard not in ready]
    return ordered


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_a_consumer_sees_every_change_of_an_item_once_and_in_order(
    steps: list[tuple[str, str | bytes, int]],
) -> None:
    partitions = LocalTables()
    cuts: set[bytes] = set()
    state: dict[str, Item] = {}
    expected: dict[str, list[tuple[Item | None, Item | None]]] = {pk: [] for pk in PEOPLE}
    for name, subject, number in steps:
        if isinstance(subject, bytes):
            (cuts.add if name == "split" else cuts.discard)(subject)
            partitions.cut(TABLES_KEYSPACE, list(cuts))
            # What the leaders' upkeep does on a new range (node/tables.py).
            run(partitions, *(RollShards(s, TABLE_ID, STREAMED) for s in (b"", *sorted(cuts))))
            continue
        old = state.get(subject)
        if name == "write":
            new = item(subject, 1, n={"N": str(number)})
            run(partitions, put(new))
            state[subject] = new
            if new != old:
                expected[subject].append((old, new))
        elif old is not None:
            run(partitions, delete(old))
            del state[subject]
            expected[subject].append((old, None))
        else:
            run(partitions, delete(item(subject, 1)))
    seen: dict[str, list[tuple[Item | None, Item | None]]] = {pk: [] for pk in PEOPLE}
    last: dict[str, int] = dict.fromkeys(PEOPLE, 0)
    for shard in in_lineage_order(shards_of(partitions, [b"", *sorted(cuts)])):
        for sequence, change in changes_of(partitions, shard):
            pair = images(partitions, change)
            pk = (pair[0] or pair[1] or {})["pk"]["S"]
            assert sequence > last[pk]
            last[pk] = sequence
            seen[pk].append(pair)
    assert seen == expected
