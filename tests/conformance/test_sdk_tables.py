"""The SDK on tables themselves: reads of a moment, changes of tables, time to live, tags."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from typing import Any

import pytest

from trilith import errors
from trilith.client import ON_DEMAND, Client, Get, Index

from .cluster import Cluster
from .processes import wait_until
from .sdk import connected_async


@pytest.fixture
def table(db: Client) -> Any:
    return db.create_table(f"sdk-{secrets.token_hex(6)}", ("id", "S"))


# --- reads of a moment ---------------------------------------------------------------------------


def test_items_of_several_tables_are_read_together_in_order(db: Client, table: Any) -> None:
    other = db.create_table(f"sdk-{secrets.token_hex(6)}", ("p", "S"), ("s", "N"))
    table.put({"id": "a", "n": 1, "more": "x"})
    other.put({"p": "b", "s": 2, "blob": b"\x00"})
    found = db.transact_get(
        [
            Get(other.name, {"p": "b", "s": 2}),
            Get(table.name, {"id": "nobody"}),
            Get(table.name, {"id": "a"}, projection="#n", names={"#n": "n"}),
        ]
    )
    assert found == [{"p": "b", "s": 2, "blob": b"\x00"}, None, {"n": 1}]


def test_no_read_sees_half_of_a_transaction(db: Client, table: Any) -> None:
    """Two items whose sum is always ten, moved between by a writer."""
    table.put({"id": "left", "n": 10})
    table.put({"id": "right", "n": 0})
    stop = threading.Event()
    moved: list[int] = []

    def move() -> None:
        while not stop.is_set():
            for sign in (-1, 1):
                with db.transact() as transaction:
                    for key, by in (("left", sign), ("right", -sign)):
                        values = {":by": by}
                        transaction.update_item(table.name, {"id": key}, "ADD n :by", values=values)
                moved.append(sign)

    writer = threading.Thread(target=move)
    writer.start()
    try:
        reads, until_s = 0, time.monotonic() + 60
        while (reads < 40 or len(moved) < 10) and time.monotonic() < until_s:
            try:
                both = db.transact_get([Get(table.name, {"id": one}) for one in ("left", "right")])
            except errors.TransactionConflict:
                continue
            assert sum(one["n"] for one in both if one) == 10
            reads += 1
    finally:
        stop.set()
        writer.join(60)
    assert reads >= 40
    assert len(moved) >= 10


def test_what_is_wrong_with_a_read_of_a_moment_is_said(db: Client, table: Any) -> None:
    key = {"id": "a"}
    with pytest.raises(errors.InvalidRequest, match="1 to 100"):
        db.transact_get([])
    with pytest.raises(errors.InvalidRequest, match="multiple operations on one item"):
        db.transact_get([Get(table.name, key), Get(table.name, key)])
    with pytest.raises(errors.TableNotFound):
        db.transact_get([Get("nobody-has-this", key)])
    with pytest.raises(errors.TransactionCancelled) as raised:
        db.transact_get([Get(table.name, key), Get(table.name, {"id": 7})])
    assert raised.value.details["reasons"] == ["None", "ValidationError"]


# --- changes of tables ---------------------------------------------------------------------------


def test_billing_changes_to_and_fro(table: Any) -> None:
    table.update_table(throughput=(5, 6))
    info = table.wait_active()
    assert (info.read_units, info.write_units) == (5, 6)
    table.update_table(throughput=(7, 8))
    info = table.wait_active()
    assert (info.read_units, info.write_units) == (7, 8)
    table.update_table(throughput=ON_DEMAND)
    info = table.wait_active()
    assert (info.read_units, info.write_units) == (0, 0)
    with pytest.raises(errors.InvalidRequest):
        table.update_table(throughput=(5, 0))
    with pytest.raises(errors.InvalidRequest, match="At least one of"):
        table.update_table()


def test_a_global_index_is_added_filled_and_removed(table: Any) -> None:
    table.batch_write({"id": str(n), "colour": "red" if n % 2 else "blue"} for n in range(20))
    by_colour = Index("by_colour", ("colour", "S"), ("id", "S"), "INCLUDE", ("size",))
    table.update_table(add_index=by_colour)
    described = table.wait_active().global_indexes
    assert [(one.name, one.projection, one.included) for one in described] == [
        ("by_colour", "INCLUDE", ("size",))
    ]
    found = table.query("colour = :c", values={":c": "red"}, index="by_colour")
    assert len(list(found)) == 10
    with pytest.raises(errors.InvalidRequest, match="an index which already exists"):
        table.update_table(add_index=by_colour)
    table.update_table(remove_index="by_colour")
    wait_until(
        lambda: table.describe().global_indexes == [], deadline_s=60, what="the index is gone"
    )
    with pytest.raises(errors.TableNotFound, match="by_colour"):
        table.update_table(remove_index="by_colour")


def test_keys_of_a_global_index_may_be_of_several_attributes(db: Client) -> None:
    index = Index(
        "by_place",
        ("country", "S"),
        ("year", "N"),
        more_partition=(("city", "S"),),
        more_sort=(("name", "S"),),
    )
    name = f"sdk-{secrets.token_hex(6)}"
    made = db.create_table(name, ("id", "S"), global_indexes=[index])
    (described,) = made.describe().global_indexes
    assert (described.more_partition, described.more_sort) == ((("city", "S"),), (("name", "S"),))
    made.batch_write(
        {"id": str(n), "country": "no", "city": "Oslo", "year": n % 3, "name": f"n{n}"}
        for n in range(9)
    )

    def found() -> list[str]:
        pages = made.query(
            "country = :c AND city = :t AND #y = :y AND #n > :n",
            names={"#y": "year", "#n": "name"},
            values={":c": "no", ":t": "Oslo", ":y": 1, ":n": "n1"},
            index="by_place",
        )
        return [item["id"] for item in pages]

    wait_until(lambda: found() == ["4", "7"], deadline_s=60, what="the index has its entries")


def test_indexes_of_a_provisioned_table_have_units_of_their_own(db: Client, table: Any) -> None:
    indexes = [
        Index("one", ("a", "S"), throughput=(2, 3)),
        Index("two", ("b", "S")),
    ]
    name = f"sdk-{secrets.token_hex(6)}"
    made = db.create_table(name, ("id", "S"), global_indexes=indexes, throughput=(4, 5))
    assert {one.name: one.throughput for one in made.describe().global_indexes} == {
        "one": (2, 3),
        "two": (4, 5),
    }
    made.update_table(index_throughput={"two": (6, 7)})
    assert made.describe().global_indexes[1].throughput == (6, 7)
    made.update_table(add_index=Index("three", ("c", "N"), throughput=(1, 1)))
    assert made.wait_active().global_indexes[2].throughput == (1, 1)
    with pytest.raises(errors.InvalidRequest, match="Neither ReadCapacityUnits nor"):
        table.update_table(add_index=Index("by_c", ("c", "N"), throughput=(1, 1)))


def test_indexes_that_are_given_no_units_have_their_tables(table: Any) -> None:
    table.update_table(add_index=Index("one", ("a", "S")))
    table.wait_active()
    table.update_table(throughput=(4, 5))
    info = table.wait_active()
    assert (info.read_units, info.write_units) == (4, 5)
    assert info.global_indexes[0].throughput == (4, 5)
    table.update_table(throughput=(6, 7))
    assert table.describe().global_indexes[0].throughput == (4, 5), "it has units of its own now"
    table.update_table(add_index=Index("two", ("b", "S")))
    assert table.wait_active().global_indexes[1].throughput == (6, 7)


def test_a_protected_table_is_not_deleted(db: Client, table: Any) -> None:
    info = table.update_table(deletion_protection=True)
    assert info.deletion_protection
    with pytest.raises(errors.InvalidRequest, match="protected against deletion"):
        db.delete_table(table.name)
    assert not table.update_table(deletion_protection=False).deletion_protection
    db.delete_table(table.name)
    with pytest.raises((errors.TableInUse, errors.TableNotFound)):
        table.update_table(deletion_protection=True)


def test_a_stream_is_begun_and_ended(table: Any) -> None:
    assert table.describe().stream is None
    info = table.update_table(stream="NEW_IMAGE")
    assert info.stream == "NEW_IMAGE"
    with pytest.raises(errors.InvalidRequest, match="already has an enabled stream"):
        table.update_table(stream="KEYS_ONLY")
    with pytest.raises(ValueError, match="a stream shows"):
        table.update_table(stream="EVERYTHING")
    ended = table.update_table(stream=None)
    assert ended.stream is None
    assert ended.stream_arn == info.stream_arn


def test_a_table_says_how_much_it_holds(table: Any) -> None:
    table.put({"id": "a", "text": "x" * 100})
    info = table.describe()
    assert info.item_count == 1
    assert info.size_bytes >= 100


# --- time to live, tags --------------------------------------------------------------------------


def test_items_expire_once_time_to_live_is_on(table: Any) -> None:
    assert table.time_to_live().attribute is None
    with pytest.raises(errors.InvalidRequest, match="already disabled"):
        table.update_time_to_live(None)
    table.put({"id": "old", "until": int(time.time()) - 60})
    table.put({"id": "new", "until": int(time.time()) + 3600})
    assert table.update_time_to_live("until").attribute == "until"

    def is_gone() -> bool:
        return table.get({"id": "old"}, consistent=True) is None

    wait_until(is_gone, deadline_s=90, what="the item has expired")
    assert table.get({"id": "new"}, consistent=True) is not None
    wait_until(
        lambda: table.time_to_live().status == "ENABLED", deadline_s=60, what="it is in force"
    )
    with pytest.raises(errors.InvalidRequest, match="different AttributeName"):
        table.update_time_to_live("other")
    ended = table.update_time_to_live(None)
    assert (ended.attribute, ended.status.startswith("DISABL")) == (None, True)


def test_tags_are_added_replaced_and_taken_away(table: Any) -> None:
    assert table.tags() == {}
    table.tag({"team": "a", "cost": "1"})
    table.tag({"cost": "2"})
    assert table.tags() == {"team": "a", "cost": "2"}
    table.untag(["team", "nobody"])
    assert table.tags() == {"cost": "2"}
    with pytest.raises(errors.InvalidRequest):
        table.tag({})
    with pytest.raises(errors.InvalidRequest, match="Number of Tags exceed"):
        table.tag({str(n): "" for n in range(50)})


def test_the_asynchronous_client_does_the_same(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with await connected_async(cluster) as db:
            table = await db.create_table(
                f"sdk-{secrets.token_hex(6)}", ("id", "S"), tags={"a": "b"}, stream="KEYS_ONLY"
            )
            await table.put({"id": "1"})
            assert await db.transact_get([Get(table.name, {"id": "1"})]) == [{"id": "1"}]
            assert await table.tags() == {"a": "b"}
            info = await table.update_table(throughput=(1, 2), deletion_protection=True)
            assert (info.read_units, info.deletion_protection) == (1, True)
            assert info.stream == "KEYS_ONLY"
            assert (await table.update_time_to_live("at")).attribute == "at"
            await table.update_table(deletion_protection=False)
            await db.delete_table(table.name)

    asyncio.run(scenario())
