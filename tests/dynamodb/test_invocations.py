"""Retries of AWS's SDKs, which name their calls: they count once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.dynamodb.local_app import PREFIX, LocalApp, Reply, signed_headers

from trilith.dynamodb.invocations import SPAN_MS, token_of
from trilith.replication.proposal import TOKEN_LIFETIME_MS, is_expired
from trilith.tables.commands import PutItem, UpdateItem

CALL = "0c3fd3c5-8c4e-4a0c-9d0e-3a7f6f9b2f11"
NOW_MS = 1_700_000_000_000
HITS: dict[str, Any] = {
    "TableName": "counters",
    "Key": {"id": {"S": "c"}},
    "UpdateExpression": "ADD hits :one",
    "ExpressionAttributeValues": {":one": {"N": "1"}},
    "ReturnValues": "UPDATED_NEW",
}


@pytest.fixture
def app() -> LocalApp:
    app = LocalApp()
    app.make_table("counters", "id")
    return app


def attempt(app: LocalApp, number: int, operation: str, call: str = CALL, **members: Any) -> Reply:
    body = json.dumps(members).encode()
    counted = f"ttl=20261126T180000Z; attempt={number}; max=5"
    sent = {"amz-sdk-invocation-id": call, "amz-sdk-request": counted}
    return app.send(body, {**signed_headers(PREFIX + operation, body), **sent})


def hits(reply: Reply) -> int:
    assert reply.status == 200, reply.body
    return int(reply.json()["Attributes"]["hits"]["N"])


def test_a_retry_of_an_update_whose_answer_was_lost_counts_once(app: LocalApp) -> None:
    app.tables.lose_answers_to = UpdateItem
    assert attempt(app, 1, "UpdateItem", **HITS).status == 500
    assert hits(attempt(app, 2, "UpdateItem", **HITS)) == 1
    assert hits(attempt(app, 3, "UpdateItem", **HITS)) == 1
    assert hits(attempt(app, 1, "UpdateItem", "another", **HITS)) == 2


def test_a_retry_of_what_was_not_applied_is_applied(app: LocalApp) -> None:
    assert hits(attempt(app, 2, "UpdateItem", **HITS)) == 1


def test_a_request_that_is_replayed_as_it_is_counts_each_time(app: LocalApp) -> None:
    assert [hits(attempt(app, 1, "UpdateItem", **HITS)) for _ in range(3)] == [1, 2, 3]


def test_another_request_under_the_name_of_a_call_is_no_retry_of_it(app: LocalApp) -> None:
    assert hits(attempt(app, 1, "UpdateItem", **HITS)) == 1
    by_two = {**HITS, "ExpressionAttributeValues": {":one": {"N": "2"}}}
    assert hits(attempt(app, 2, "UpdateItem", **by_two)) == 3


def test_a_condition_does_not_fail_by_what_its_own_call_has_written(app: LocalApp) -> None:
    put: dict[str, Any] = {
        "TableName": "counters",
        "Item": {"id": {"S": "lock"}},
        "ConditionExpression": "attribute_not_exists(id)",
    }
    app.tables.lose_answers_to = PutItem
    assert attempt(app, 1, "PutItem", **put).status == 500
    assert attempt(app, 2, "PutItem", **put).status == 200
    taken = attempt(app, 1, "PutItem", "another", **put)
    assert taken.error == "ConditionalCheckFailedException"


def test_a_batch_that_is_sent_again_does_not_undo_what_came_between(app: LocalApp) -> None:
    writes = [{"PutRequest": {"Item": {"id": {"S": name}}}} for name in ("ann", "bob")]
    request = {"RequestItems": {"counters": writes}}
    assert attempt(app, 1, "BatchWriteItem", **request).status == 200
    app.ok("DeleteItem", TableName="counters", Key={"id": {"S": "ann"}})
    assert attempt(app, 2, "BatchWriteItem", **request).status == 200
    assert app.ok("Scan", TableName="counters")["Count"] == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"amz-sdk-invocation-id": CALL.encode()},
        {b"amz-sdk-request": b"attempt=1; max=3"},
        {b"amz-sdk-invocation-id": b"x" * 65, b"amz-sdk-request": b"attempt=1"},
        {b"amz-sdk-invocation-id": b"", b"amz-sdk-request": b"attempt=1"},
        {b"amz-sdk-invocation-id": b"x", b"amz-sdk-request": b"attempt=-1; max=99999"},
        {b"amz-sdk-invocation-id": b"x", b"amz-sdk-request": b"attempt=1_0"},
    ],
)
def test_what_no_sdk_sends_names_no_call(headers: dict[bytes, bytes]) -> None:
    assert token_of(headers, b"{}", NOW_MS) is None


def test_a_token_lives_as_long_as_retries_may_be_known_by_it() -> None:
    headers = {b"amz-sdk-invocation-id": b"x", b"amz-sdk-request": b"attempt=1"}
    began_ms = NOW_MS - NOW_MS % SPAN_MS
    first, last = (token_of(headers, b"", began_ms + at) for at in (0, SPAN_MS - 1))
    assert first is not None
    assert first == last
    assert not is_expired(first.value, began_ms + SPAN_MS - 1)
    assert is_expired(first.value, began_ms + TOKEN_LIFETIME_MS)
