"""Global indexes against a dictionary: whatever feeds them, however often, late or interrupted."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.objects.local_partitions import LocalView

from trilith.errors import Corruption
from trilith.tables.catalog import Table
from trilith.tables.commands import DeleteItem, PutItem
from trilith.tables.definitions import (
    ACTIVE,
    CREATING,
    DELETING,
    GlobalIndex,
    KeyAttribute,
    TableRecord,
)
from trilith.tables.division import TableDivision
from trilith.tables.entry_commands import FeedEntries, SweepGone
from trilith.tables.feeder import LATE_MS, Activity
from trilith.tables.item_codec import encode_item
from trilith.tables.layout import ABOVE_ALL, CHANGE, GLOBAL, GONE, TABLES_KEYSPACE
from trilith.tables.rules.global_indexes import FEED_AGE_MS_MAX, GONE_KEPT_MS
from trilith.tables.sizes import item_size
from trilith.tables.sources import item_key
from trilith.tables.values import Item

from .local_tables import LocalTables, item, record

RANK, COLOR = KeyAttribute("rank", "S"), KeyAttribute("color", "S")
PLACES = [bytes([slot]) for slot in range(1, 12)]
RANKS: list[Any] = [None, {"S": "a"}, {"S": "a\x00"}, {"S": "b"}, {"N": "1"}, {"S": ""}]
COLORS: list[Any] = [None, {"S": "red"}, {"S": "blue"}]

keys = st.tuples(st.sampled_from(["ann", "bob", "eve"]), st.integers(0, 1))
writes = st.one_of(
    st.tuples(st.just("put"), keys, st.sampled_from(RANKS), st.sampled_from(COLORS)),
    st.tuples(st.just("note"), keys, st.integers(0, 3), st.none()),
    st.tuples(st.just("delete"), keys, st.none(), st.none()),
)
events = st.tuples(
    st.sampled_from(["feed", "restart", "keep", "replay", "cut", "later", "unindex", "stale"]),
    st.integers(0, 9),
    st.booleans(),
    st.none(),
)
creations = st.tuples(st.just("index"), st.booleans(), st.booleans(), st.integers(0, 12))
histories = st.lists(st.one_of(writes, writes, writes, events, creations), max_size=60)


def index_of(*, sorted_by_color: bool, whole: bool, born: int, number: int) -> GlobalIndex:
    return GlobalIndex(
        f"by_rank{number}",
        bytes([200 + number]) * 16,
        RANK,
        COLOR if sorted_by_color else None,
        "ALL" if whole else "KEYS_ONLY",
        (),
        CREATING,
        0,
        born=born,
    )


class History(LocalTables):
    """Plays a history; `items` is what the table holds by its keys."""

    def __init__(self) -> None:
        super().__init__(cuts=PLACES[1::2])
        self.items: dict[tuple[str, int], Item] = {}
        self.meanwhile: list[Any] = []  # writes for the moments between the steps of a work
        self.old: Table | None = None  # as a gateway may still know it
        self.indexes = 0

    async def begin(self) -> None:
        await self.catalog.create(record())

    async def execute(self, keyspace: int, key: bytes, command: Any, **others: Any) -> Any:
        await self._interrupt(keyspace)
        return await super().execute(keyspace, key, command, **others)

    async def query(self, keyspace: int, key: bytes, query: Any, **others: Any) -> Any:
        await self._interrupt(keyspace)
        return await super().query(keyspace, key, query, **others)

    async def _interrupt(self, keyspace: int) -> None:
        if keyspace == TABLES_KEYSPACE and self.meanwhile:
            kind, where, rank, color = self.meanwhile.pop()
            self._write(self.old or await self._table(), kind, where, rank, color)

    async def _table(self) -> Table:
        return Table(await self.catalog.describe("people"))

    def _write(
        self, table: Table, kind: str, where: tuple[str, int], rank: Any, color: Any
    ) -> None:
        one = item(*where)
        if kind == "delete":
            command: Any = DeleteItem(item_key(table, one), table.plain_terms)
            self.items.pop(where, None)
        else:
            if kind == "put":
                values = {"rank": rank, "color": color}
                one |= {name: value for name, value in values.items() if value is not None}
            else:  # changes what no key of an index is
                one = {**self.items.get(where, one), "note": {"N": str(rank)}}
            encoded = encode_item(one)
            command = PutItem(item_key(table, one), table.plain_terms, encoded, item_size(one))
            self.items[where] = one
        self.run(TABLES_KEYSPACE, command.key, command)

    async def play(self, history: list[Any]) -> None:
        await self.begin()
        for position, (kind, first, second, third) in enumerate(history):
            if kind == "index":
                following = history[position + 1 : position + 1 + third]
                await self._make_index(
                    first, second, [one for one in following if one[0] in WRITES]
                )
            elif kind in WRITES:
                self._write(await self._table(), kind, first, second, third)
            else:
                await self._happen(kind, first, second)

    def cut(self, keyspace: int, cuts: list[bytes]) -> None:
        """As splits and merges do it."""
        carried = []
        for place in sorted({*cuts} - {*self._keyspaces[keyspace].starts}):
            start, end = self._keyspaces[keyspace].bounds(place)
            view = LocalView(self._keyspaces[keyspace].ahead, start, end)
            carried += TableDivision().carried(view, start, place)
        super().cut(keyspace, cuts)
        for family, key, value in carried:
            for state in (self._keyspaces[keyspace].committed, self._keyspaces[keyspace].ahead):
                state.put(family, key, value)

    async def _happen(self, kind: str, number: int, flag: bool) -> None:
        if kind == "feed":
            await self.feed()
        elif kind == "restart":
            self.feeders.clear()
        elif kind == "keep":
            for feeder in self.feeders.values():
                await feeder.note()
        elif kind == "replay":
            self._replay(number, reverse=flag)
        elif kind == "cut":
            self.cut(TABLES_KEYSPACE, PLACES[number % 2 :: 2 + number % 3])
            self.feeders.clear()
        elif kind == "stale" and self.old is not None:
            self._write(self.old, "put", ("ann", 0), RANKS[number % 4], COLORS[1 + flag])
        elif kind == "later":
            self.now_ms += [LATE_MS + 1000, GONE_KEPT_MS + 1000][flag]
            for start in self.starts():
                command = SweepGone(start, self.now_ms - GONE_KEPT_MS)
                self.run(TABLES_KEYSPACE, start, command)
        elif kind == "unindex":
            await self._change(lambda one: msgspec.structs.replace(one, status=DELETING))
            await self.works.finish_all(lambda: True)

    def starts(self) -> list[bytes]:
        return self.partition_starts(TABLES_KEYSPACE, b"", ABOVE_ALL)

    def _replay(self, number: int, *, reverse: bool) -> None:
        """What feeders sent before arrives again, from those that lead no more."""
        sent = [one for one in self.executed if isinstance(one, FeedEntries)][-20:]
        for one in sent[::-1] if reverse else sent[number:]:
            for change in one.changes:  # it may be in another partition now
                alone = FeedEntries(change.key, one.read_ms, [change])
                self.run(TABLES_KEYSPACE, change.key, alone)

    async def _change(self, change: Any) -> None:
        def changed(one: TableRecord) -> TableRecord:
            indexes = tuple(change(index) for index in one.global_indexes)
            return msgspec.structs.replace(one, global_indexes=indexes)

        await self.catalog.change("people", changed)

    async def _make_index(self, sorted_by_color: bool, whole: bool, meanwhile: list[Any]) -> None:
        """Writes of gateways that know nothing of the index come while it is made."""
        self.old = await self._table()
        self.indexes += 1

        def with_index(one: TableRecord) -> TableRecord:
            index = index_of(
                sorted_by_color=sorted_by_color,
                whole=whole,
                born=one.revision + 1,
                number=self.indexes,
            )
            return msgspec.structs.replace(one, global_indexes=(*one.global_indexes, index))

        await self.catalog.change("people", with_index)
        self.meanwhile = list(meanwhile)
        await self.works.finish_all(lambda: True)
        self.meanwhile.clear()

    async def check(self) -> None:
        """Every index holds what the items say, and nothing else."""
        await self.feed()
        self._replay(0, reverse=True)
        table = await self._table()
        for index in table.record.global_indexes:
            assert index.status == ACTIVE
            found = []
            for segment in range(3):
                page = await self.service.scan(
                    table,
                    index=index,
                    after=None,
                    segment=segment,
                    segments=3,
                    limit=1000,
                    consistent=True,
                )
                found += page.items
            assert in_order(found) == in_order(self._expected(index))
        held = {key[1:17] for key in self.records(GLOBAL, TABLES_KEYSPACE)}
        assert held <= {index.index_id for index in table.record.global_indexes}
        assert not self.records(GLOBAL, 3).keys() & self.records(GONE, 3).keys()

    def _expected(self, index: GlobalIndex) -> list[Item]:
        names = {"pk", "sk", "rank", *(["color"] if index.sort else [])}
        return [
            one if index.projection == "ALL" else {n: v for n, v in one.items() if n in names}
            for one in self.items.values()
            if one.get("rank", {}).get("S") and (index.sort is None or "color" in one)
        ]


WRITES = {"put", "note", "delete"}


def in_order(found: list[Item]) -> list[Item]:
    return sorted(found, key=lambda one: (one["pk"]["S"], int(one["sk"]["N"])))


@settings(max_examples=200, deadline=None)
@given(histories)
def test_an_index_is_what_a_dictionary_says_whatever_feeds_it(history: list[Any]) -> None:
    async def check() -> None:
        played = History()
        await played.play(history)
        await played.check()

    asyncio.run(check())


def run(scenario: Any) -> None:
    async def played() -> None:
        history = History()
        await history.begin()
        await scenario(history)
        await history.check()

    asyncio.run(played())


PUT_A = ("put", ("ann", 0), {"S": "a"}, {"S": "red"})
PUT_B = ("put", ("ann", 0), {"S": "b"}, {"S": "red"})
DELETE = ("delete", ("ann", 0), None, None)


async def write(history: History, step: Any) -> None:
    history._write(await history._table(), *step)


def test_a_feeder_that_caught_up_sees_the_next_change() -> None:
    async def scenario(history: History) -> None:
        await history._make_index(False, True, [])
        for step in (PUT_A, PUT_B, DELETE, PUT_A):
            await write(history, step)
            await history.feed()
            found = [one["rank"]["S"] for one in (await entries(history))]
            assert found == [one["rank"]["S"] for one in history.items.values()]

    run(scenario)


async def entries(history: History) -> list[Item]:
    table = await history._table()
    page = await history.service.scan(
        table,
        index=table.record.global_indexes[0],
        after=None,
        segment=0,
        segments=1,
        limit=100,
        consistent=True,
    )
    return page.items


def test_a_write_of_a_gateway_that_does_not_know_the_index_is_in_it() -> None:
    async def scenario(history: History) -> None:
        await write(history, PUT_A)
        stale = [PUT_B]

        async def gate(command: msgspec.Struct) -> None:
            if isinstance(command, FeedEntries) and stale:  # the item is read already
                assert history.old is not None
                assert history.old.plain_terms.feeds is None
                history._write(history.old, *stale.pop())

        history.gate = gate
        await history._make_index(False, True, [])
        assert not stale

    run(scenario)


def test_a_change_that_comes_after_the_traces_of_later_ones_are_swept_undoes_nothing() -> None:
    async def scenario(history: History) -> None:
        history.cut(TABLES_KEYSPACE, [])
        await history._make_index(False, True, [])
        await write(history, PUT_A)
        history.feeders.clear()
        history.cut(TABLES_KEYSPACE, PLACES)  # its change stays in the first partition
        await write(history, DELETE)
        for start in history.starts()[1:]:
            feeder = history.feeder(start)
            feeder.wake(Activity((), history.activity.rolls, is_settled=True))
            await feeder.catch_up()
            await feeder.note()
        await history._happen("later", 0, True)
        assert not history.records(GONE, TABLES_KEYSPACE)

    run(scenario)


def test_an_index_takes_no_change_from_before_it_was_made() -> None:
    async def scenario(history: History) -> None:
        await history._make_index(False, True, [])
        await write(history, PUT_A)  # recorded for the first index, and not fed
        await history._happen("unindex", 0, False)
        await write(history, PUT_B)
        await history._make_index(False, True, [])

    run(scenario)


def test_writes_are_recorded_no_more_when_the_last_index_is_gone() -> None:
    async def scenario(history: History) -> None:
        await history._make_index(False, True, [])
        await history._happen("unindex", 0, False)
        await history.feed()
        before = history.records(CHANGE, TABLES_KEYSPACE).keys()
        await write(history, PUT_A)
        assert history.records(CHANGE, TABLES_KEYSPACE).keys() == before

    run(scenario)


def test_what_was_read_long_ago_is_not_taken() -> None:
    async def scenario(history: History) -> None:
        await history._make_index(False, True, [])
        await write(history, PUT_A)
        await history.feed()
        (sent,) = (one for one in history.executed if isinstance(one, FeedEntries))
        await write(history, DELETE)
        await history.feed()
        await history._happen("later", 0, True)
        assert sent.read_ms < history.now_ms - FEED_AGE_MS_MAX
        assert history.run(TABLES_KEYSPACE, sent.key, sent).is_stale

    run(scenario)


def test_a_filling_that_broke_off_goes_on_where_it_was() -> None:
    async def scenario(history: History) -> None:
        for number in range(40):
            await write(history, ("put", (f"p{number}", 0), {"S": "a"}, None))
        broken = iter([False, False, True])

        async def gate(command: msgspec.Struct) -> None:
            if isinstance(command, FeedEntries) and next(broken, False):
                history.lose_answers_to = FeedEntries

        history.gate = gate
        await history._make_index(False, False, [])
        assert next(broken, None) is None

    run(scenario)


def test_a_half_of_a_partition_knows_what_the_whole_did() -> None:
    async def scenario(history: History) -> None:
        history.cut(TABLES_KEYSPACE, [])
        await history._make_index(False, True, [])
        assert history.old is not None
        assert history.old.plain_terms.feeds is None
        history.cut(TABLES_KEYSPACE, PLACES)
        history._write(history.old, *PUT_A)  # the first write there, and of an old gateway

    run(scenario)


def test_an_entry_of_a_dropped_index_is_not_taken_by_either_half() -> None:
    async def scenario(history: History) -> None:
        history.cut(TABLES_KEYSPACE, [])
        await history._make_index(False, True, [])
        for number in range(20):
            await write(history, ("put", (f"p{number}", 0), {"S": f"r{number}"}, None))
        await history.feed()
        sent = [one for one in history.executed if isinstance(one, FeedEntries)]
        changes = [change for one in sent for change in one.changes]
        await history._happen("unindex", 0, False)
        division = TableDivision()
        history.cut(TABLES_KEYSPACE, [division.boundary(one.key) or b"" for one in changes])
        for one in changes:
            later = msgspec.structs.replace(one, sequence=one.sequence + (1 << 40))
            history.run(TABLES_KEYSPACE, one.key, FeedEntries(one.key, sent[0].read_ms, [later]))
        assert history.records(GLOBAL, TABLES_KEYSPACE) == {}

    run(scenario)


def test_a_partition_is_split_where_no_partition_key_is_torn() -> None:
    division = TableDivision()
    key = item_key(Table(record()), item("ann", 1))
    boundary = division.boundary(key)
    assert boundary is not None
    assert key.startswith(boundary)
    assert boundary == division.boundary(item_key(Table(record()), item("ann", 7)))
    assert division.boundary(b"\x05" + bytes(16)) == b"\x05"
    assert division.boundary(b"") is None


def test_a_table_that_cannot_be_fed_keeps_no_other_waiting() -> None:
    async def scenario() -> None:
        history = History()
        await history.begin()
        await history._make_index(False, True, [])
        index = index_of(sorted_by_color=False, whole=True, born=0, number=50)
        other = msgspec.structs.replace(
            record(),
            name="others",
            table_id=b"\x07" * 16,
            global_indexes=(msgspec.structs.replace(index, status=ACTIVE),),
        )
        await history.catalog.create(other)
        await write(history, PUT_A)
        (broken,) = (key for key, raw in history.records(CHANGE, 3).items() if b"ann" in raw)
        value = bytearray(history.records(CHANGE, 3)[broken])
        value[-5] ^= 1  # what is sealed
        history._keyspaces[3].committed.values[CHANGE, broken] = bytes(value)
        history._write(Table(other), *PUT_B)
        with pytest.raises(Corruption):
            await history.feed()
        held = {key[1:17] for key in history.records(GLOBAL, TABLES_KEYSPACE)}
        assert held == {index.index_id}

    asyncio.run(scenario())
