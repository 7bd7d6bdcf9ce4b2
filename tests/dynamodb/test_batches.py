"""Batches of which a part cannot be done, and tables that are named by their ARNs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.dynamodb.local_app import LocalApp

from trilith.errors import NotInSync, TransactionConflict, TrilithError
from trilith.tables.commands import PutItem

ARN = "arn:aws:dynamodb:us-east-1:000000000001:table/people"


@pytest.fixture
def app() -> LocalApp:
    app = LocalApp()
    for name in ("people", "places"):
        app.make_table(name, "id")
    return app


def puts(*names: str) -> list[dict[str, Any]]:
    return [{"PutRequest": {"Item": {"id": {"S": name}}}} for name in names]


def keys(*names: str) -> dict[str, Any]:
    return {"Keys": [{"id": {"S": name}} for name in names]}


def refuse(app: LocalApp, failure: TrilithError, *names: str) -> None:
    """Answer every put of these with a failure."""

    async def gate(command: msgspec.Struct) -> None:
        if isinstance(command, PutItem) and any(name.encode() in command.key for name in names):
            raise failure

    app.tables.gate = gate


def test_a_table_is_named_by_its_arn_in_batches_too(app: LocalApp) -> None:
    answer = app.ok("BatchWriteItem", RequestItems={ARN: puts("ann"), "places": puts("bob")})
    assert answer["UnprocessedItems"] == {}
    answer = app.ok("BatchGetItem", RequestItems={ARN: keys("ann"), "places": keys("bob")})
    assert answer["Responses"] == {ARN: [{"id": {"S": "ann"}}], "places": [{"id": {"S": "bob"}}]}
    refuse(app, NotInSync(), "cid")
    answer = app.ok("BatchWriteItem", RequestItems={ARN: puts("cid", "dan")})
    assert answer["UnprocessedItems"] == {ARN: puts("cid")}, "by the name that its sender knows"


@pytest.mark.parametrize("arn", [ARN.replace("0001:", "0002:"), ARN + "/index/by_age", "arn:x"])
def test_what_is_no_arn_of_a_table_here_is_refused_in_batches(app: LocalApp, arn: str) -> None:
    assert (
        app.call("BatchWriteItem", RequestItems={arn: puts("ann")}).error == "ValidationException"
    )
    assert app.call("BatchGetItem", RequestItems={arn: keys("ann")}).error == "ValidationException"


def test_a_write_in_the_way_of_a_transaction_comes_back(app: LocalApp) -> None:
    refuse(app, TransactionConflict(), "ann")
    answer = app.ok("BatchWriteItem", RequestItems={"people": puts("ann", "bob")})
    assert answer["UnprocessedItems"] == {"people": puts("ann")}
    refuse(app, TransactionConflict(), "cid")
    answer = app.ok("BatchWriteItem", RequestItems={"people": puts("cid")})
    assert answer["UnprocessedItems"] == {"people": puts("cid")}, "no exception says this"


def test_a_write_of_unknown_outcome_comes_back_and_hides_no_other(app: LocalApp) -> None:
    app.tables.lose_answers_to = PutItem
    request = {"people": puts("ann", "bob", "cid")}
    left = app.ok("BatchWriteItem", RequestItems=request)["UnprocessedItems"]
    assert len(left["people"]) == 1
    assert app.ok("BatchWriteItem", RequestItems=left)["UnprocessedItems"] == {}
    assert app.ok("Scan", TableName="people", ConsistentRead=True)["Count"] == 3


def test_that_nothing_was_done_is_not_said_where_nobody_knows(app: LocalApp) -> None:
    app.tables.lose_answers_to = PutItem
    reply = app.call("BatchWriteItem", RequestItems={"people": puts("ann")})
    assert (reply.status, reply.error) == (500, "InternalServerError")
    refuse(app, NotInSync(), "bob", "cid")
    reply = app.call("BatchWriteItem", RequestItems={"people": puts("bob", "cid")})
    assert (reply.status, reply.error) == (503, "ServiceUnavailableException")


def test_keys_that_cannot_be_read_consistently_now_come_back(app: LocalApp) -> None:
    app.ok("BatchWriteItem", RequestItems={"people": puts("ann", "bob"), "places": puts("cid")})
    app.tables.is_cut_off = True
    consistent = {**keys("cid"), "ConsistentRead": True}
    both = {"people": keys("ann", "bob")}
    answer = app.ok("BatchGetItem", RequestItems=both)
    assert len(answer["Responses"]["people"]) == 2
    reply = app.call("BatchGetItem", RequestItems={"places": consistent})
    assert (reply.status, reply.error) == (503, "ServiceUnavailableException")


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("GetItem", {"Key": {"id": {"S": "ann"}}}),
        ("Scan", {}),
        (
            "Query",
            {
                "KeyConditionExpression": "id = :a",
                "ExpressionAttributeValues": {":a": {"S": "ann"}},
            },
        ),
    ],
)
def test_eventual_reads_go_on_where_nobody_can_tell_what_is_current(
    app: LocalApp, operation: str, members: dict[str, Any]
) -> None:
    app.ok("BatchWriteItem", RequestItems={"people": puts("ann")})
    app.tables.is_cut_off = True
    for _ in range(2):
        answer = app.ok(operation, TableName="people", **members)
        assert answer.get("Item") == {"id": {"S": "ann"}} or answer["Count"] == 1
    reply = app.call(operation, TableName="people", ConsistentRead=True, **members)
    assert (reply.status, reply.error) == (503, "ServiceUnavailableException")
    reply = app.call("PutItem", TableName="people", Item={"id": {"S": "bob"}})
    assert (reply.status, reply.error) == (503, "ServiceUnavailableException")
    app.tables.is_cut_off = False
    assert app.ok(operation, TableName="people", ConsistentRead=True, **members)
