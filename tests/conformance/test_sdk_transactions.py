"""Transactions through the Python SDK."""

from __future__ import annotations

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from trilith import errors
from trilith.client import Client

from .cluster import Cluster
from .sdk import connected_async


@pytest.fixture
def table(db: Client) -> Any:
    return db.create_table(f"sdk-{secrets.token_hex(6)}", ("id", "S"))


def _value(table: Any, name: str) -> Any:
    found = table.get({"id": name}, consistent=True)
    return None if found is None else found.get("v")


def test_items_are_written_together(db: Client, table: Any) -> None:
    table.put({"id": "old", "v": 1})
    table.put({"id": "counter", "v": 1})
    table.put({"id": "guard", "v": "there"})
    with db.transact() as transaction:
        transaction.put_item(table.name, {"id": "new", "v": {b"1", b"2"}})
        transaction.update_item(
            table.name, {"id": "counter"}, "ADD v :one", values={":one": 1}, condition="v = :one"
        )
        transaction.delete_item(table.name, {"id": "old"})
        transaction.check_item(table.name, {"id": "guard"}, "attribute_exists(id)")
    assert (_value(table, "new"), _value(table, "counter")) == ({b"1", b"2"}, 2)
    assert _value(table, "old") is None


def test_nothing_is_written_where_one_condition_fails(db: Client, table: Any) -> None:
    transaction = db.transact()
    transaction.put_item(table.name, {"id": "a", "v": 1})
    transaction.check_item(table.name, {"id": "b"}, "attribute_exists(id)")
    with pytest.raises(errors.TransactionCancelled) as raised:
        transaction.commit()
    assert raised.value.details["reasons"] == ["None", "ConditionalCheckFailed"]
    assert _value(table, "a") is None


def test_an_exception_in_the_block_commits_nothing(db: Client, table: Any) -> None:
    def fail() -> None:
        with db.transact() as transaction:
            transaction.put_item(table.name, {"id": "a", "v": 1})
            raise KeyError("mine")

    with pytest.raises(KeyError):
        fail()
    with db.transact():
        pass
    assert _value(table, "a") is None


def test_a_commit_that_is_sent_again_counts_once(db: Client, table: Any) -> None:
    transaction = db.transact()
    transaction.update_item(table.name, {"id": "c"}, "ADD v :one", values={":one": 1})
    for _ in range(3):
        transaction.commit()
    assert _value(table, "c") == 1


def test_transactions_that_meet_are_serialized(db: Client, table: Any) -> None:
    table.put({"id": "from", "v": 100})
    table.put({"id": "to", "v": 0})

    def move(_: int) -> None:
        with db.transact() as transaction:
            for name, amount in (("from", -1), ("to", 1)):
                transaction.update_item(table.name, {"id": name}, "ADD v :a", values={":a": amount})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(move, range(40)))
    assert (_value(table, "from"), _value(table, "to")) == (60, 40)


def test_mistakes_in_a_transaction_are_named(db: Client, table: Any) -> None:
    twice, nowhere, full = (db.transact() for _ in range(3))
    twice.put_item(table.name, {"id": "a"})
    twice.delete_item(table.name, {"id": "a"})
    with pytest.raises(errors.InvalidRequest, match="multiple operations"):
        twice.commit()
    nowhere.put_item("nobody-has-this", {"id": "a"})
    with pytest.raises(errors.TableNotFound):
        nowhere.commit()
    assert table.get({"id": "a"}, consistent=True) is None
    for number in range(100):
        full.put_item(table.name, {"id": str(number)})
    with pytest.raises(ValueError, match="100 parts"):
        full.put_item(table.name, {"id": "one more"})


def test_the_asynchronous_client_commits_too(cluster: Cluster, table: Any) -> None:
    async def run() -> None:
        async with await connected_async(cluster) as db, db.transact() as transaction:
            transaction.put_item(table.name, {"id": "a", "v": 1})

    asyncio.run(run())
    assert _value(table, "a") == 1
