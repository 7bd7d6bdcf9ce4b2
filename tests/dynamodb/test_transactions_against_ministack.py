"""Generated transactions, against what ministack answers.

Intended differences, so that none of these is generated or compared:

* Messages of ValidationExceptions are compared elsewhere; here, only that both refuse.
* Two actions on one item are refused before a client token is looked at; in ministack, after.
* A client token stands for the actions only; in ministack for ReturnConsumedCapacity, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.dynamodb.local_app import LocalApp
from tests.dynamodb.ministack import Ministack, running_ministack

NAMES = ("a", "b", "c", "d")
TABLE_COUNT = iter(range(1_000_000))


@pytest.fixture(scope="module")
def ministack() -> Iterator[Ministack]:
    with running_ministack() as found:
        yield found


KEY = st.sampled_from(NAMES).map(lambda name: {"pk": {"S": name}})
WRONG_KEY = st.just({"pk": {"N": "1"}})
ANY_KEY = st.one_of(KEY, KEY, KEY, KEY, KEY, KEY, KEY, WRONG_KEY)
CONDITIONS = st.sampled_from(
    [
        {},
        {},
        {"ConditionExpression": "attribute_exists(pk)"},
        {"ConditionExpression": "attribute_not_exists(pk)"},
        {
            "ConditionExpression": "attribute_exists(n)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        },
    ]
)
CHECKS = CONDITIONS.filter(bool)


def put(key: dict[str, Any], condition: dict[str, Any], value: str) -> dict[str, Any]:
    return {"Put": {"Item": {**key, "v": {"S": value}}, **condition}}


def update(key: dict[str, Any], condition: dict[str, Any], expression: str) -> dict[str, Any]:
    values = {":n": {"N": "1"}} if ":n" in expression else None
    given = {"Key": key, "UpdateExpression": expression, **condition}
    return {"Update": given if values is None else {**given, "ExpressionAttributeValues": values}}


UPDATES = ["ADD n :n", "SET n = :n", "REMOVE v", "SET n = n + :n", "SET v = :n REMOVE n"]
ACTIONS = st.one_of(
    st.builds(put, ANY_KEY, CONDITIONS, st.sampled_from(["x", "y"])),
    st.builds(update, ANY_KEY, CONDITIONS, st.sampled_from(UPDATES)),
    st.builds(lambda key, given: {"Delete": {"Key": key, **given}}, ANY_KEY, CONDITIONS),
    st.builds(lambda key, given: {"ConditionCheck": {"Key": key, **given}}, ANY_KEY, CHECKS),
)
WRITES = st.fixed_dictionaries(
    {"TransactItems": st.lists(ACTIONS, min_size=1, max_size=4)},
    optional={
        "ReturnConsumedCapacity": st.sampled_from(["TOTAL", "NONE"]),
        "ClientRequestToken": st.sampled_from(["t1", "t2"]),
    },
)


def of_table(request: dict[str, Any], table: str) -> dict[str, Any]:
    """The request with the table's name in each action, and in the token."""
    items = [
        {kind: {**given, "TableName": table} for kind, given in action.items()}
        for action in request["TransactItems"]
    ]
    told = {**request, "TransactItems": items}
    keys = [
        repr((given.get("Key") or given["Item"])["pk"]) for one in items for given in one.values()
    ]
    if len(set(keys)) != len(keys):
        told.pop("ClientRequestToken", None)
    if "ClientRequestToken" in told:
        told["ClientRequestToken"] += table
        told["ReturnConsumedCapacity"] = "TOTAL"
    return told


def comparable(status: int, body: dict[str, Any]) -> Any:
    if status == 200:
        return status, body
    name = body["__type"].rpartition("#")[2]
    return status, name, body.get("CancellationReasons")


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(requests=st.lists(WRITES, min_size=1, max_size=6))
def test_transactions_answer_as_ministack_does(
    ministack: Ministack, requests: list[dict[str, Any]]
) -> None:
    app, table = LocalApp(), f"items-{next(TABLE_COUNT)}"
    schema = {
        "TableName": table,
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    app.ok("CreateTable", **schema)
    assert ministack.call("CreateTable", schema)[0] == 200
    gets = [{"Get": {"TableName": table, "Key": {"pk": {"S": name}}}} for name in NAMES]
    for request in requests:
        told = of_table(request, table)
        ours = app.call("TransactWriteItems", told)
        theirs = ministack.call("TransactWriteItems", told)
        assert comparable(ours.status, json.loads(ours.body)) == comparable(*theirs), told
        both = {"TransactItems": gets, "ReturnConsumedCapacity": "TOTAL"}
        ours = app.call("TransactGetItems", both)
        theirs = ministack.call("TransactGetItems", both)
        assert comparable(ours.status, json.loads(ours.body)) == comparable(*theirs), told
