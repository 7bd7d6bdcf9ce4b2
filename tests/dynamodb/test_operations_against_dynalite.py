"""Whole operations, generated, against what dynalite answers.

Intended differences, so that none of these is generated or compared:

* Items with one index key come in the order of their sort keys; dynalite has an order of its own.
* A consistent Scan costs whole units, and a page of nothing the least unit; not so in dynalite.
* UPDATED_NEW of a REMOVE has no Attributes; dynalite answers an empty map.
* dynalite takes a projection of more than an index holds for one of nothing; we read the items.
* Select is not checked by dynalite, nor is ReturnValues of DeleteItem.
* Index keys may not be empty; dynalite lets them.
* Lists of enumerated values come in another order in messages, and a used table name is named.
* The answers of a Scan are compared as sets: tokens are of other hash functions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.dynamodb.dynalite import Dynalite, running_dynalite
from tests.dynamodb.local_app import LocalApp

KEYS: dict[str, Any] = {
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "N"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
TABLE_COUNT = iter(range(1_000_000))

NUMBERS = st.sampled_from(["0", "-1", "1", "1.0", "2", "10", "-10.5", "1e1"])
VALUES = st.one_of(
    NUMBERS.map(lambda n: {"N": n}), st.sampled_from(["a", "b"]).map(lambda s: {"S": s})
)
GOOD_KEYS = st.fixed_dictionaries(
    {
        "pk": st.sampled_from(["a", "b"]).map(lambda s: {"S": s}),
        "sk": NUMBERS.map(lambda n: {"N": n}),
    }
)
BAD_KEYS = st.sampled_from(
    [
        {"pk": {"S": "a"}},
        {"pk": {"N": "1"}, "sk": {"N": "1"}},
        {"pk": {"S": "a"}, "sk": {"S": "1"}},
        {"pk": {"S": "a"}, "sk": {"N": "1"}, "x": {"S": "z"}},
        {},
    ]
)
KEY = st.one_of(GOOD_KEYS, GOOD_KEYS, GOOD_KEYS, GOOD_KEYS, BAD_KEYS)
OTHERS = st.dictionaries(st.sampled_from(["x", "y"]), VALUES, max_size=2)
ITEM = st.builds(lambda key, others: {**others, **key}, KEY, OTHERS)
CONDITIONS = st.sampled_from(
    [
        {},
        {"ConditionExpression": "attribute_exists(pk)"},
        {"ConditionExpression": "attribute_not_exists(pk)"},
        {"ConditionExpression": "x = :c", "ExpressionAttributeValues": {":c": {"N": "1"}}},
        {"Expected": {"x": {"Exists": False}}},
    ]
)
CAPACITY = st.sampled_from([{}, {"ReturnConsumedCapacity": "TOTAL"}])
OLD = st.sampled_from([{}, {"ReturnValues": "ALL_OLD"}, {"ReturnValues": "ALL_NEW"}])
UPDATES = st.sampled_from(
    [
        {},
        {"UpdateExpression": "SET x = :v", "ExpressionAttributeValues": {":v": {"N": "7"}}},
        {"UpdateExpression": "ADD x :v", "ExpressionAttributeValues": {":v": {"N": "0.5"}}},
        {"UpdateExpression": "SET pk = :v", "ExpressionAttributeValues": {":v": {"S": "a"}}},
        {"UpdateExpression": "SET x = y"},
        {"AttributeUpdates": {"x": {"Action": "ADD", "Value": {"N": "3"}}}},
        {"AttributeUpdates": {"sk": {"Value": {"N": "3"}}}},
    ]
)
RETURNED = st.sampled_from(["NONE", "ALL_OLD", "ALL_NEW"]).map(lambda one: {"ReturnValues": one})
KEY_CONDITIONS = st.sampled_from(
    ["pk = :p", "pk = :p AND sk > :s", "pk = :p AND sk <= :s", "sk = :s", "pk = :p AND x = :s"]
)


def merged(*parts: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda found: {k: v for one in found for k, v in one.items()})


def of(name: str, strategy: Any) -> Any:
    return strategy.map(lambda value: {name: value})


def query_values(request: dict[str, Any]) -> dict[str, Any]:
    values = {":p": {"S": "a"}, ":s": {"N": "1"}}
    used = {key: one for key, one in values.items() if key in request["KeyConditionExpression"]}
    return {**request, "ExpressionAttributeValues": used}


REQUESTS = st.one_of(
    st.tuples(st.just("PutItem"), merged(of("Item", ITEM), OLD, CAPACITY)),
    st.tuples(st.just("PutItem"), merged(of("Item", ITEM), CONDITIONS)),
    st.tuples(st.just("GetItem"), merged(of("Key", KEY), CAPACITY)),
    st.tuples(st.just("DeleteItem"), merged(of("Key", KEY), CONDITIONS, CAPACITY)),
    st.tuples(st.just("UpdateItem"), merged(of("Key", KEY), UPDATES, RETURNED, CAPACITY)),
    st.tuples(
        st.just("Query"),
        merged(
            of("KeyConditionExpression", KEY_CONDITIONS),
            of("ScanIndexForward", st.booleans()),
            st.one_of(st.just({}), of("Limit", st.integers(0, 3))),
            st.one_of(st.just({}), st.just({}), of("ExclusiveStartKey", KEY)),
            CAPACITY,
        ).map(query_values),
    ),
    st.tuples(st.just("Scan"), st.just({})),
)


@pytest.fixture(scope="module")
def dynalite() -> Iterator[Dynalite]:
    with running_dynalite() as running:
        yield running


def comparable(operation: str, body: Any) -> Any:
    if body.get("ScannedCount") == 0:
        body = {name: value for name, value in body.items() if name != "ConsumedCapacity"}
    if operation == "Scan" and "Items" in body:
        return {**body, "Items": sorted(json.dumps(one, sort_keys=True) for one in body["Items"])}
    return body


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(REQUESTS, min_size=1, max_size=12))
def test_operations_answer_as_dynalite_does(
    dynalite: Dynalite, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    app = LocalApp()
    name = f"t{next(TABLE_COUNT):07}"
    assert dynalite.call("CreateTable", {"TableName": name, **KEYS})[0] == 200
    app.ok("CreateTable", TableName=name, **KEYS)
    while (
        dynalite.call("DescribeTable", {"TableName": name})[1]["Table"]["TableStatus"] != "ACTIVE"
    ):
        pass
    for operation, members in requests:
        request = {"TableName": name, **members}
        status, theirs = dynalite.call(operation, request)
        reply = app.call(operation, request)
        ours = reply.json() if reply.body else {}
        context = json.dumps([operation, request])
        assert (reply.status, comparable(operation, ours)) == (
            status,
            comparable(operation, theirs),
        ), context
