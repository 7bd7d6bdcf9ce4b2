"""Transactions whose parts are objects and items in any order: reasons, tokens, names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.dynamodb.local_app import LocalApp
from tests.objects.service_cluster import ServiceCluster

from trilith.client.access import new_request_token
from trilith.client.transact_calls import TransactionParts
from trilith.client.values import item_message
from trilith.edge.grpc_call import Call
from trilith.edge.grpc_tables import TablesService
from trilith.edge.grpc_transactions import TransactionsService
from trilith.errors import (
    IdempotentParameterMismatch,
    InvalidRequest,
    TableNotFound,
    TransactionCancelled,
)
from trilith.iam.credentials import root_credential
from trilith.objects.transactions import ObjectTransactions
from trilith.runtime.clock import SystemClock
from trilith.wire.v1 import transactions_pb2 as wire

TABLE, BUCKET = "people", "photos"
CHECK = "attribute_exists(id)"


class World:
    """The service over in-process partitions, with a table and a bucket."""

    def __init__(self) -> None:
        self.app = LocalApp()
        tables = self.app.tables
        self.objects = ServiceCluster(partitions=tables, recovery=tables.recovery)
        self.service = TransactionsService(
            TablesService(self.app.context),
            ObjectTransactions(self.objects.service, tables.transactions),
        )
        self.app.make_table(TABLE, "id")
        asyncio.run(self.objects.service.create_bucket(BUCKET, owner="o", region="r"))

    def commit(self, parts: TransactionParts, token: bytes | None = None) -> None:
        request: Any = parts.call().request
        if token is not None:
            request.token = token
        identity = root_credential("a", "b").identity
        call = Call(None, SystemClock(), "Transact", "id", identity)  # type: ignore[arg-type]

        async def run() -> None:
            await self.service.transact(call, request)
            await self.app.tables.transactions.settlements.drain()

        asyncio.run(run())

    def reasons(self, parts: TransactionParts) -> list[str]:
        with pytest.raises(TransactionCancelled) as raised:
            self.commit(parts)
        reasons: list[str] = raised.value.details["reasons"]
        return reasons

    def keys(self) -> list[str]:
        page = asyncio.run(self.objects.service.list_objects(BUCKET))
        return [one.key for one in page.entries]

    def item(self, name: str) -> dict[str, Any] | None:
        found = self.app.ok("GetItem", TableName=TABLE, Key={"id": {"S": name}}).get("Item")
        return None if found is None else dict(found)


def test_reasons_come_in_the_order_of_the_parts() -> None:
    world = World()
    first = TransactionParts()
    first.put_object(BUCKET, "a", b"1")
    first.put_item(TABLE, {"id": "a"})
    world.commit(first)
    mixed = TransactionParts()
    mixed.put_object(BUCKET, "b", b"2")
    mixed.check_item(TABLE, {"id": "nobody"}, CHECK)
    mixed.delete_object(BUCKET, "a", if_match="of another")
    mixed.put_item(TABLE, {"id": "b"})
    mixed.copy_object(BUCKET, "a", BUCKET, "c")
    failed = "ConditionalCheckFailed"
    assert world.reasons(mixed) == ["None", failed, failed, "None", "None"]
    unfit = TransactionParts()
    unfit.put_object(BUCKET, "b", b"2")
    unfit.put_item(TABLE, {"id": 7})
    assert world.reasons(unfit) == ["None", "ValidationError"]
    missing = TransactionParts()
    missing.put_item(TABLE, {"id": "b"})
    missing.copy_object(BUCKET, "nowhere", BUCKET, "b")
    assert world.reasons(missing) == ["None", "ObjectNotFound"]
    assert world.keys() == ["a"]
    assert world.item("b") is None


def test_a_token_is_of_one_request_whatever_its_parts_are() -> None:
    world, token = World(), new_request_token()
    once = TransactionParts()
    once.update_item(TABLE, {"id": "n"}, "ADD n :one", values={":one": 1})
    once.put_object(BUCKET, "a", b"1", if_absent=True)
    for _ in range(3):
        world.commit(once, token)
    assert world.item("n") == {"id": {"S": "n"}, "n": {"N": "1"}}
    others = TransactionParts(), TransactionParts()
    others[0].put_object(BUCKET, "a", b"2")
    others[1].put_item(TABLE, {"id": "other"})
    for other in others:
        with pytest.raises(IdempotentParameterMismatch):
            world.commit(other, token)
    assert world.item("other") is None


def test_a_request_that_cannot_be_is_refused_before_anything_is_stored() -> None:
    world = World()
    nowhere = TransactionParts()
    nowhere.put_object(BUCKET, "a", bytes(500))
    nowhere.put_item("nobody-has-this", {"id": "a"})
    with pytest.raises(TableNotFound):
        world.commit(nowhere)
    both = wire.TransactPart()
    both.put_object.bucket, both.put_object.key = BUCKET, "a"
    both.put_object.conditions.if_match = "e"
    both.put_object.conditions.if_absent = True
    parts = TransactionParts()
    parts._add(both)
    with pytest.raises(InvalidRequest, match="exclude each other"):
        world.commit(parts)
    typed = wire.TransactPart()
    typed.put_item.table = TABLE
    typed.put_item.item.CopyFrom(item_message({"id": ""}))
    parts = TransactionParts()
    parts.put_object(BUCKET, "a", bytes(500))
    parts._add(typed)
    with pytest.raises(InvalidRequest, match="empty"):
        world.commit(parts)
    assert not world.objects.pipeline.stored
    assert world.keys() == []
