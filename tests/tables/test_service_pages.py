"""Queries and scans against a dictionary: every item once, in order, whatever the page size."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trilith.cluster import bootstrap
from trilith.tables import layout
from trilith.tables.definitions import LocalIndex
from trilith.tables.expressions.key_conditions import KeyCondition, KeyTerm, term_holds
from trilith.tables.expressions.updates import Remove, Update
from trilith.tables.service import Wanted
from trilith.tables.sizes import item_size

from .local_tables import BY_COLOR, BY_RANK, INDEXES, TABLE_ID, LocalTables, item, table

TABLE = table(indexes=INDEXES)
PLAIN = Wanted()
CUTS = [bytes([slot]) for slot in (2, 4, 6, 8, 10)]
NAMES = ["a", "a\x00", "ab", "b", "\u00e9", "zz"]
RANKS = [None, "a", "a\x00", "aa", "b", "\uffff"]

keys = st.tuples(st.sampled_from(NAMES), st.integers(-3, 3))
puts = st.tuples(st.just("put"), keys, st.sampled_from(RANKS), st.sampled_from([None, "red"]))
deletes = st.tuples(st.sampled_from(["delete", "unrank"]), keys, st.none(), st.none())
operations = st.lists(st.one_of(puts, puts, deletes), max_size=40)
terms = st.one_of(
    st.none(),
    st.builds(
        lambda operator, value: KeyTerm(operator, ({"N": str(value)},)),
        st.sampled_from(["=", "<", "<=", ">", ">="]),
        st.integers(-3, 3),
    ),
    st.builds(
        lambda low, high: KeyTerm("between", ({"N": str(low)}, {"N": str(high)})),
        st.integers(-3, 0),
        st.integers(0, 3),
    ),
)
rank_terms = st.one_of(
    st.none(),
    st.builds(
        lambda operator, value: KeyTerm(operator, ({"S": value},)),
        st.sampled_from(["=", "<", "<=", ">", ">=", "begins_with"]),
        st.sampled_from([rank for rank in RANKS if rank is not None]),
    ),
)

Model = dict[tuple[str, int], dict[str, Any]]


async def apply(partitions: LocalTables, steps: list[Any]) -> Model:
    model: Model = {}
    service = partitions.service
    for kind, (pk, sk), rank, color in steps:
        if kind == "put":
            others = {"rank": rank, "color": color}
            one = item(pk, sk, **{n: {"S": v} for n, v in others.items() if v is not None})
            await service.put_item(TABLE, one, item_size(one), PLAIN)
            model[pk, sk] = one
        elif kind == "delete":
            await service.delete_item(TABLE, item(pk, sk), PLAIN)
            model.pop((pk, sk), None)
        else:
            await service.update_item(TABLE, item(pk, sk), Update((Remove(("rank",)),)), PLAIN)
            if (pk, sk) in model:
                model[pk, sk] = {n: v for n, v in model[pk, sk].items() if n != "rank"}
    return model


async def all_of_query(
    partitions: LocalTables,
    condition: KeyCondition,
    *,
    index: LocalIndex | None,
    reverse: bool,
    limit: int,
    fetch: bool = False,
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = None
    while True:
        page = await partitions.service.query(
            TABLE,
            condition,
            index=index,
            after=after,
            reverse=reverse,
            limit=limit,
            consistent=True,
            fetch=fetch,
        )
        assert len(page.items) <= limit
        found += page.items
        after = page.last
        if after is None:
            return found


async def all_of_scan(
    partitions: LocalTables, *, index: LocalIndex | None, segments: int, limit: int
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for segment in range(segments):
        after, more = None, True
        while more:
            page = await partitions.service.scan(
                TABLE,
                index=index,
                after=after,
                segment=segment,
                segments=segments,
                limit=limit,
                consistent=True,
            )
            found += page.items
            after, more = page.last, page.last is not None
    return found


def in_order(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda one: (one["pk"]["S"], int(one["sk"]["N"])))


@settings(max_examples=60, deadline=None)
@given(operations, st.sampled_from(NAMES), terms, st.booleans(), st.integers(1, 7))
def test_a_query_of_the_table_is_what_a_sorted_dictionary_says(
    steps: list[Any], name: str, term: KeyTerm | None, reverse: bool, limit: int
) -> None:
    async def check() -> None:
        partitions = LocalTables(cuts=CUTS)
        model = await apply(partitions, steps)
        expected = [
            model[key]
            for key in sorted(model, reverse=reverse)
            if key[0] == name and (term is None or term_holds(term, model[key]["sk"]))
        ]
        condition = KeyCondition({"S": name}, term)
        found = await all_of_query(partitions, condition, index=None, reverse=reverse, limit=limit)
        assert found == expected

    asyncio.run(check())


@settings(max_examples=60, deadline=None)
@given(operations, st.sampled_from(NAMES), rank_terms, st.booleans(), st.integers(1, 7))
def test_a_query_of_an_index_is_what_a_sorted_dictionary_says(
    steps: list[Any], name: str, term: KeyTerm | None, reverse: bool, limit: int
) -> None:
    async def check() -> None:
        partitions = LocalTables(cuts=CUTS)
        model = await apply(partitions, steps)
        ranked = [
            one
            for one in model.values()
            if one["pk"]["S"] == name
            and "rank" in one
            and (term is None or term_holds(term, one["rank"]))
        ]
        ranked.sort(
            key=lambda one: (one["rank"]["S"].encode(), int(one["sk"]["N"])), reverse=reverse
        )
        condition = KeyCondition({"S": name}, term)
        found = await all_of_query(
            partitions, condition, index=BY_RANK, reverse=reverse, limit=limit
        )
        assert found == ranked

    asyncio.run(check())


@settings(max_examples=40, deadline=None)
@given(operations, st.integers(1, 9), st.integers(1, 5))
def test_the_segments_of_a_scan_hold_every_item_once(
    steps: list[Any], segments: int, limit: int
) -> None:
    async def check() -> None:
        partitions = LocalTables(cuts=CUTS)
        model = await apply(partitions, steps)
        found = await all_of_scan(partitions, index=None, segments=segments, limit=limit)
        assert in_order(found) == in_order(list(model.values()))
        colored = await all_of_scan(partitions, index=BY_COLOR, segments=segments, limit=limit)
        assert in_order(colored) == in_order(
            [
                {name: one[name] for name in ("pk", "sk", "color")}
                for one in model.values()
                if "color" in one
            ]
        )

    asyncio.run(check())


def test_an_index_without_an_attribute_can_fetch_whole_items() -> None:
    async def check() -> None:
        partitions = LocalTables()
        one = item("ann", 1, color={"S": "red"}, note={"S": "n"})
        await partitions.service.put_item(TABLE, one, item_size(one), PLAIN)
        condition = KeyCondition({"S": "ann"})
        found = await all_of_query(
            partitions, condition, index=BY_COLOR, reverse=False, limit=9, fetch=True
        )
        assert found == [one]

    asyncio.run(check())


def test_a_page_of_many_small_items_is_read_in_runs() -> None:
    async def check() -> None:
        partitions = LocalTables()
        for number in range(600):
            one = item("ann", number, color={"S": "red"}, note={"S": "n"})
            await partitions.service.put_item(TABLE, one, item_size(one), PLAIN)
        condition = KeyCondition({"S": "ann"})
        for reverse in (False, True):
            for index, fetch in ((None, False), (BY_COLOR, False), (BY_COLOR, True)):
                found = await all_of_query(
                    partitions, condition, index=index, reverse=reverse, limit=1000, fetch=fetch
                )
                numbers = [int(one["sk"]["N"]) for one in found]
                assert numbers == sorted(range(600), reverse=reverse)

    asyncio.run(check())


def test_a_page_ends_at_one_megabyte() -> None:
    async def check() -> None:
        partitions = LocalTables(cuts=CUTS)
        large = {"S": "x" * 300_000}
        for number in range(8):
            one = item("ann" if number < 5 else f"p{number}", number, text=large)
            await partitions.service.put_item(TABLE, one, item_size(one), PLAIN)
        condition = KeyCondition({"S": "ann"})
        page = await partitions.service.query(
            TABLE, condition, index=None, after=None, reverse=False, limit=100, consistent=True
        )
        assert len(page.items) == 3
        assert page.last == item("ann", 2)
        scanned = await partitions.service.scan(
            TABLE, index=None, after=None, segment=0, segments=1, limit=100, consistent=True
        )
        assert len(scanned.items) == 3
        assert scanned.last is not None
        assert len(await all_of_scan(partitions, index=None, segments=1, limit=100)) == 8

    asyncio.run(check())


def test_the_first_partitions_cut_the_hash_space_between_slots() -> None:
    assert layout.SLOTS == bootstrap.TABLE_SLOTS
    assert layout.TABLES_KEYSPACE == bootstrap.TABLES
    assert len(layout.slot_ranges(TABLE_ID)) == layout.SLOTS
