"""Table definitions: created once, changed against what was read, deleted with their items."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from trilith.errors import OutcomeUnknown, TableAlreadyExists, TableNotFound
from trilith.tables.commands import DropItems
from trilith.tables.definitions import TableRecord
from trilith.tables.layout import INDEX, ITEM, TABLES_KEYSPACE
from trilith.tables.service import Wanted
from trilith.tables.sizes import item_size

from .local_tables import BY_RANK, LocalTables, item, record

CUTS = [bytes([slot]) for slot in (2, 4, 6, 8, 10)]


def mark(one: TableRecord) -> TableRecord:
    return msgspec.structs.replace(one, deleting=True)


def tag(name: str) -> Callable[[TableRecord], TableRecord]:
    return lambda one: msgspec.structs.replace(one, tags={**one.tags, name: "1"})


def test_a_table_is_created_once() -> None:
    async def check() -> None:
        catalog = LocalTables().catalog
        await catalog.create(record())
        with pytest.raises(TableAlreadyExists):
            await catalog.create(record())
        assert (await catalog.table("people")).record == record()
        with pytest.raises(TableNotFound):
            await catalog.table("others")

    asyncio.run(check())


def test_a_changed_definition_is_seen_by_the_next_request() -> None:
    async def check() -> None:
        partitions = LocalTables()
        catalog = partitions.catalog
        await catalog.create(record())
        before = catalog.try_table("people")
        assert before is catalog.try_table("people"), "decoded once"
        await catalog.change("people", lambda one: msgspec.structs.replace(one, is_protected=True))
        after = catalog.try_table("people")
        assert after is not None
        assert after.record.is_protected

    asyncio.run(check())


def test_two_changes_at_once_are_both_kept() -> None:
    async def check() -> None:
        catalog = LocalTables().catalog
        await catalog.create(record())

        await asyncio.gather(catalog.change("people", tag("a")), catalog.change("people", tag("b")))
        assert (await catalog.describe("people")).tags == {"a": "1", "b": "1"}

    asyncio.run(check())


async def filled(partitions: LocalTables) -> TableRecord:
    await partitions.catalog.create(record(indexes=(BY_RANK,)))
    people = await partitions.catalog.table("people")
    for number in range(40):
        one = item(f"p{number}", number, rank={"S": "r"})
        await partitions.service.put_item(people, one, item_size(one), Wanted())
    return await partitions.catalog.change("people", mark)


def test_all_of_many_changes_at_once_are_kept() -> None:
    """All but one who have read the same definition are turned away, and try again."""

    async def check() -> None:
        partitions = LocalTables()
        await partitions.catalog.create(record())

        async def gate(_: msgspec.Struct) -> None:
            await asyncio.sleep(0)

        partitions.gate = gate
        names = [str(number) for number in range(24)]
        await asyncio.gather(*(partitions.catalog.change("people", tag(one)) for one in names))
        assert sorted((await partitions.catalog.describe("people")).tags) == sorted(names)

    asyncio.run(check())


def test_a_deleted_table_leaves_nothing_behind() -> None:
    async def check() -> None:
        partitions = LocalTables(cuts=CUTS)
        marked = await filled(partitions)
        with pytest.raises(TableNotFound):
            await partitions.catalog.table("people")
        assert (await partitions.catalog.describe("people")).deleting
        await partitions.catalog.remove(marked)
        assert partitions.records(ITEM, TABLES_KEYSPACE) == {}
        assert partitions.records(INDEX, TABLES_KEYSPACE) == {}
        assert await partitions.catalog.list_names("", 10) == ([], False)

    asyncio.run(check())


def test_a_deletion_that_broke_off_is_finished_by_another_node() -> None:
    async def check() -> None:
        partitions = LocalTables(cuts=CUTS)
        marked = await filled(partitions)
        partitions.lose_answers_to = DropItems
        with pytest.raises(OutcomeUnknown):
            await partitions.catalog.remove(marked)
        await partitions.catalog.resume_deletions()
        assert partitions.records(ITEM, TABLES_KEYSPACE) == {}
        with pytest.raises(TableNotFound):
            await partitions.catalog.describe("people")

    asyncio.run(check())


def test_names_are_listed_in_pages() -> None:
    async def check() -> None:
        catalog = LocalTables().catalog
        names = [f"table{number}" for number in range(7)]
        for name in reversed(names):
            await catalog.create(msgspec.structs.replace(record(), name=name))
        first, more = await catalog.list_names("", 4)
        assert (first, more) == (names[:4], True)
        assert await catalog.list_names(first[-1], 4) == (names[4:], False)

    asyncio.run(check())
