"""Writes of items that their caller sends again under one token: they count once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from tests.dynamodb.local_app import LocalApp
from tests.tables.local_tables import LocalTables, record, table

from trilith.edge.grpc_call import Call
from trilith.edge.grpc_tables import TablesService
from trilith.errors import OutcomeUnknown
from trilith.iam.credentials import root_credential
from trilith.replication.proposal import scoped_token
from trilith.runtime.clock import SystemClock
from trilith.tables.commands import UpdateItem
from trilith.tables.expressions.updates import Add, Update
from trilith.tables.layout import TABLES_KEYSPACE
from trilith.tables.service import CallerToken, Change, Wanted
from trilith.tables.sources import item_key
from trilith.wire.v1 import tables_pb2 as wire


def test_tokens_of_one_request_differ_by_command_and_key_and_keep_its_time() -> None:
    token = bytes(range(16))
    scoped = {
        scoped_token(token, command, key)
        for command in ("PutItem", "DeleteItem", "ACommandOfAVeryLongName")
        for key in (b"a", b"b", b"x" * 5000)
    }
    assert len(scoped) == 9
    assert {one[:6] for one in scoped} == {token[:6]}
    assert {len(one) for one in scoped} == {16}


def test_an_update_whose_answer_was_lost_counts_once() -> None:
    app = LocalApp()
    app.make_table("counters", "id")
    service = TablesService(app.context)
    identity = root_credential("a", "b").identity
    nobody: Any = None

    async def update(token: bytes) -> int:
        request = wire.UpdateItemRequest(table="counters", update="ADD hits :one")
        request.key.attributes["id"].string = "c"
        request.terms.token = token
        request.terms.returned = wire.RETURNED_ALL_NEW
        request.terms.placeholders.values[":one"].number = "1"
        call = Call(nobody, SystemClock(), "UpdateItem", "id", identity)
        answer = await service.update_item(call, request)
        return int(answer.attributes.attributes["hits"].number)

    async def scenario() -> None:
        token = app.tables.new_token()
        app.tables.lose_answers_to = UpdateItem
        with pytest.raises(OutcomeUnknown):
            await update(token)
        assert await update(token) == 1
        assert await update(app.tables.new_token()) == 2
        assert await update(token) == 1  # the first result

    asyncio.run(scenario())


def test_an_update_that_waits_for_a_transaction_is_not_applied_behind_its_callers_next_one() -> (
    None
):
    async def scenario() -> None:
        tables = LocalTables()
        await tables.catalog.create(record())
        people, key = table(), {"pk": {"S": "a"}, "sk": {"N": "1"}}
        token, logical = tables.new_token(), item_key(people, key)
        more = Update((Add(("hits",), {"N": "1"}),))
        is_turned_away, may_go_on = asyncio.Event(), asyncio.Event()

        async def hold(command: Any) -> None:
            if isinstance(command, UpdateItem) and command.waiter:
                is_turned_away.set()
                await may_go_on.wait()

        def attempt(*, is_new: bool) -> Coroutine[Any, Any, Change]:
            called = CallerToken(token, is_new=is_new)
            return tables.service.update_item(people, key, more, Wanted(new=True), called)

        tables.gate, waiter = hold, tables.recovery.new_waiter()
        await tables.recovery.reserve(TABLES_KEYSPACE, [logical], waiter)
        first = asyncio.ensure_future(attempt(is_new=True))
        await asyncio.wait_for(is_turned_away.wait(), 30)
        await tables.recovery.reserve(TABLES_KEYSPACE, [logical], waiter, is_over=True)
        done = await attempt(is_new=False)
        may_go_on.set()
        assert done.new == (await first).new == {**key, "hits": {"N": "1"}}

    asyncio.run(scenario())
