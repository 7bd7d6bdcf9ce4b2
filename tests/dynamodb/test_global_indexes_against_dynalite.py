"""Queries and scans of a global index, generated, against what dynalite answers.

Intended differences, beside those of test_operations_against_dynalite.py, so that none of these is
generated or compared:

* Items with one index key come in the order of the table's keys; dynalite has an order of its own.
* Attributes that an index does not hold cannot be asked for; dynalite leaves them out.
* UpdateItem with a wrong type for an index's key is refused as PutItem is, and by any update.
* A consistent Scan of an index is refused as a Query is; dynalite lets it.
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

NAMES = {"pk": "S", "group": "S", "score": "N"}
ATTRIBUTES = [{"AttributeName": name, "AttributeType": kind} for name, kind in NAMES.items()]
PROJECTIONS = st.sampled_from(
    [
        {"ProjectionType": "ALL"},
        {"ProjectionType": "KEYS_ONLY"},
        {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["note"]},
    ]
)
TABLE_COUNT = iter(range(1_000_000))

PK = st.sampled_from(["a", "b", "c"]).map(lambda one: {"S": one})
GROUP = st.sampled_from(["a", "b"]).map(lambda one: {"S": one})
SCORE = st.sampled_from(["0", "-1", "2.50", "1e1"]).map(lambda one: {"N": one})
WRONG = st.sampled_from([{"BOOL": True}, {"B": "YQ=="}])
ITEM = st.fixed_dictionaries(
    {"pk": PK},
    optional={
        "group": st.one_of(GROUP, GROUP, GROUP, WRONG),
        "score": st.one_of(SCORE, SCORE, SCORE, WRONG),
        "note": st.just({"S": "n"}),
        "more": st.just({"N": "7"}),
    },
)
KEY = st.fixed_dictionaries({"pk": PK})
STARTS = st.sampled_from(
    [
        {},
        {},
        {"ExclusiveStartKey": {"pk": {"S": "a"}}},
        {"ExclusiveStartKey": {"pk": {"S": "a"}, "group": {"S": "b"}, "score": {"N": "1"}}},
        {"ExclusiveStartKey": {"pk": {"S": "a"}, "group": {"N": "1"}, "score": {"N": "1"}}},
    ]
)
READS = st.sampled_from(
    [
        {},
        {},
        {"ConsistentRead": True},
        {"Select": "COUNT"},
        {"IndexName": "by_none"},
        {"FilterExpression": "score > :s", "ExpressionAttributeValues": {":s": {"N": "1"}}},
        {"FilterExpression": "more = :s", "ExpressionAttributeValues": {":s": {"N": "7"}}},
    ]
)
CONDITIONS = st.sampled_from(["#g = :g", "#g = :g AND score >= :s", "score = :s", "pk = :g"])


def query(condition: str, read: dict[str, Any], start: dict[str, Any], forward: Any) -> Any:
    known = {":g": {"S": "a"}, ":s": {"N": "0"}}
    values = {name: value for name, value in known.items() if name in condition}
    read = {n: v for n, v in read.items() if "Filter" not in n and "Values" not in n}
    request = {
        "IndexName": "by_group",
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": values,
        "ScanIndexForward": forward,
        **start,
        **read,
    }
    if "#g" in condition:
        request["ExpressionAttributeNames"] = {"#g": "group"}
    return request


REQUESTS = st.one_of(
    st.tuples(st.just("PutItem"), ITEM.map(lambda one: {"Item": one})),
    st.tuples(st.just("PutItem"), ITEM.map(lambda one: {"Item": one})),
    st.tuples(st.just("DeleteItem"), KEY.map(lambda one: {"Key": one})),
    st.tuples(
        st.just("UpdateItem"),
        st.builds(
            lambda key, score: {
                "Key": key,
                "UpdateExpression": "SET score = :v REMOVE note",
                "ExpressionAttributeValues": {":v": score},
            },
            KEY,
            SCORE,
        ),
    ),
    st.tuples(st.just("Query"), st.builds(query, CONDITIONS, READS, STARTS, st.booleans())),
    st.tuples(
        st.just("Scan"),
        READS.filter(lambda read: "ConsistentRead" not in read).map(
            lambda read: {"IndexName": "by_group", **read}
        ),
    ),
)


@pytest.fixture(scope="module")
def dynalite() -> Iterator[Dynalite]:
    with running_dynalite() as running:
        yield running


def comparable(body: Any) -> Any:
    if "Items" not in body:
        return body
    return {**body, "Items": sorted(json.dumps(one, sort_keys=True) for one in body["Items"])}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(PROJECTIONS, st.lists(REQUESTS, min_size=1, max_size=14))
def test_an_index_answers_as_dynalite_does(
    dynalite: Dynalite, projection: dict[str, Any], requests: list[tuple[str, dict[str, Any]]]
) -> None:
    app = LocalApp()
    name = f"g{next(TABLE_COUNT):07}"
    definition = {
        "TableName": name,
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": ATTRIBUTES,
        "BillingMode": "PAY_PER_REQUEST",
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "by_group",
                "KeySchema": [
                    {"AttributeName": "group", "KeyType": "HASH"},
                    {"AttributeName": "score", "KeyType": "RANGE"},
                ],
                "Projection": projection,
            }
        ],
    }
    assert dynalite.call("CreateTable", definition)[0] == 200
    app.ok("CreateTable", **definition)
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
        answers = (reply.status, comparable(ours)), (status, comparable(theirs))
        assert answers[0] == answers[1], context
