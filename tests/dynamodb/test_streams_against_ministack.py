"""Streams and time to live, generated, against what ministack answers.

Intended differences, so that none of these is compared:

* Event ids, sequence numbers and shards: ministack has one shard.
* ministack takes changes of settings that AWS refuses (turning on what is on, or off what is off).
* It names the attribute of a time to live that is off; AWS does not.
* It shows `StreamEnabled: false` for a stream that has ended; AWS shows no specification.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .local_app import LocalApp
from .ministack import Ministack, running_ministack

TABLE_COUNT = iter(range(1_000_000))
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
VIEWS = st.sampled_from(["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"])
KEY = st.fixed_dictionaries(
    {"pk": st.just({"S": "a"}), "sk": st.sampled_from("12").map(lambda n: {"N": n})}
)
VALUE = st.sampled_from([{"S": "x"}, {"N": "1"}, {"SS": ["a", "b"]}, {"M": {"k": {"BOOL": True}}}])
ITEM = st.builds(lambda key, value: {**key, "v": value}, KEY, VALUE)
WRITES = st.one_of(
    ITEM.map(lambda item: ("PutItem", {"Item": item})),
    KEY.map(lambda key: ("DeleteItem", {"Key": key})),
    st.tuples(KEY, VALUE).map(
        lambda pair: (
            "UpdateItem",
            {
                "Key": pair[0],
                "UpdateExpression": "SET v = :v",
                "ExpressionAttributeValues": {":v": pair[1]},
            },
        )
    ),
)


@pytest.fixture(scope="module")
def ministack() -> Iterator[Ministack]:
    with running_ministack() as running:
        yield running


def theirs(client: Any, operation: str, **members: Any) -> Any:
    """Its answer, or its error's name."""
    method = "".join("_" + c.lower() if c.isupper() else c for c in operation)[1:]
    try:
        return getattr(client, method)(**members)
    except ClientError as error:
        return error.response["Error"]["Code"]


def ours(app: LocalApp, operation: str, **members: Any) -> Any:
    reply = app.call(operation, **members)
    return reply.json() if reply.status == 200 else reply.error


def comparable(records: list[dict[str, Any]]) -> list[Any]:
    return [
        (
            one["eventName"],
            one["eventVersion"],
            one["eventSource"],
            one["dynamodb"]["Keys"],
            one["dynamodb"].get("NewImage"),
            one["dynamodb"].get("OldImage"),
            one["dynamodb"]["StreamViewType"],
            one.get("userIdentity"),
        )
        for one in records
    ]


def records(call: Any, arn: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for shard in call("DescribeStream", StreamArn=arn)["StreamDescription"]["Shards"]:
        at = call(
            "GetShardIterator",
            StreamArn=arn,
            ShardId=shard["ShardId"],
            ShardIteratorType="TRIM_HORIZON",
        )["ShardIterator"]
        found += call("GetRecords", ShardIterator=at)["Records"]
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(VIEWS, st.lists(WRITES, min_size=1, max_size=10))
def test_records_are_those_of_ministack(
    ministack: Ministack, view: str, writes: list[tuple[str, dict[str, Any]]]
) -> None:
    name = f"table-{next(TABLE_COUNT)}"
    spec = {"StreamEnabled": True, "StreamViewType": view}
    app = LocalApp()
    created = app.ok("CreateTable", TableName=name, StreamSpecification=spec, **KEYS)
    their_created = ministack.dynamodb.create_table(
        TableName=name, StreamSpecification=spec, **KEYS
    )
    for operation, members in writes:
        app.ok(operation, TableName=name, **members)
        theirs(ministack.dynamodb, operation, TableName=name, **members)
    our_records = records(app.ok, created["TableDescription"]["LatestStreamArn"])
    their_records = records(
        lambda o, **m: theirs(ministack.streams, o, **m),
        their_created["TableDescription"]["LatestStreamArn"],
    )
    assert comparable(our_records) == comparable(their_records)


SPECS = st.one_of(
    st.just({"StreamEnabled": False}),
    VIEWS.map(lambda view: {"StreamEnabled": True, "StreamViewType": view}),
)
TIMES = st.builds(
    lambda name, is_on: {"AttributeName": name, "Enabled": is_on},
    st.sampled_from(["at", "until"]),
    st.booleans(),
)
CHANGES = st.one_of(
    SPECS.map(lambda spec: ("UpdateTable", {"StreamSpecification": spec})),
    TIMES.map(lambda given_: ("UpdateTimeToLive", {"TimeToLiveSpecification": given_})),
    st.just(("DescribeTimeToLive", {})),
    st.just(("DescribeTable", {})),
)


def settings_in(answer: Any) -> Any:
    if isinstance(answer, str):
        return answer
    for name in ("TimeToLiveSpecification", "TimeToLiveDescription"):
        if name in answer:
            shown = dict(answer[name])
            if shown.get("TimeToLiveStatus") == "DISABLED":
                shown.pop("AttributeName", None)
            return shown
    spec = (answer.get("Table") or answer["TableDescription"]).get("StreamSpecification")
    return spec if spec and spec["StreamEnabled"] else None


class Settings:
    """What is on, so as to leave out changes that AWS refuses."""

    def __init__(self) -> None:
        self._streams = False
        self._attribute: str | None = None

    def takes(self, members: dict[str, Any]) -> bool:
        spec = members.get("StreamSpecification")
        if spec is not None:
            changes = spec["StreamEnabled"] != self._streams
            self._streams = spec["StreamEnabled"]
            return bool(changes)
        given_ = members.get("TimeToLiveSpecification")
        if given_ is not None:
            if self._attribute is None:
                changes = given_["Enabled"]
            else:
                changes = not given_["Enabled"] and given_["AttributeName"] == self._attribute
            if changes:
                self._attribute = given_["AttributeName"] if given_["Enabled"] else None
            return bool(changes)
        return True


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(CHANGES, min_size=1, max_size=8))
def test_settings_change_as_in_ministack(
    ministack: Ministack, changes: list[tuple[str, dict[str, Any]]]
) -> None:
    name = f"table-{next(TABLE_COUNT)}"
    app = LocalApp()
    app.ok("CreateTable", TableName=name, **KEYS)
    ministack.dynamodb.create_table(TableName=name, **KEYS)
    state = Settings()
    for operation, members in changes:
        if not state.takes(members):
            assert ours(app, operation, TableName=name, **members) == "ValidationException"
            continue
        mine = ours(app, operation, TableName=name, **members)
        other = theirs(ministack.dynamodb, operation, TableName=name, **members)
        assert settings_in(mine) == settings_in(other), (operation, members)
