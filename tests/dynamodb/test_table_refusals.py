"""What CreateTable, UpdateTable and tags refuse, in AWS's words."""

from __future__ import annotations

from typing import Any

import pytest

from .local_app import LocalApp

INVALID = "One or more parameter values were invalid: "
NEW = [{"AttributeName": "new", "AttributeType": "S"}]
ANY_OF_THEM = (
    "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, "
    "GlobalSecondaryIndexUpdates, SSESpecification, ReplicaUpdates, MultiAccountReplicaReady, "
    "ReplicaTransitRoleArn, MultiRegionConsistency, DeletionProtectionEnabled, "
    "OnDemandThroughput, WarmThroughput or TableClass is required"
)


def units(read: int = 2, write: int = 2) -> dict[str, Any]:
    return {"ProvisionedThroughput": {"ReadCapacityUnits": read, "WriteCapacityUnits": write}}


def index(name: str, key: str, **members: Any) -> dict[str, Any]:
    return {
        "IndexName": name,
        "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
        **members,
    }


def local_index(name: str, key: str) -> dict[str, Any]:
    schema = [("pk", "HASH"), (key, "RANGE")]
    return {
        "IndexName": name,
        "KeySchema": [{"AttributeName": one, "KeyType": kind} for one, kind in schema],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }


def definition(**members: Any) -> dict[str, Any]:
    return {
        "TableName": "people",
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "x")
        ],
        "LocalSecondaryIndexes": [local_index("local_x", "x")],
        **members,
    }


@pytest.fixture(scope="module")
def on_demand() -> LocalApp:
    app = LocalApp()
    app.ok(
        "CreateTable",
        **definition(
            BillingMode="PAY_PER_REQUEST",
            GlobalSecondaryIndexes=[index("by_x", "x")],
            DeletionProtectionEnabled=True,
        ),
    )
    return app


@pytest.fixture(scope="module")
def provisioned() -> LocalApp:
    app = LocalApp()
    app.ok(
        "CreateTable",
        **definition(**units(), GlobalSecondaryIndexes=[index("by_x", "x", **units())]),
    )
    return app


def message(app: LocalApp, operation: str, **members: Any) -> str:
    reply = app.call(operation, members)
    assert reply.status == 400
    text: str = reply.json()["message"]
    return text


def updated(app: LocalApp, *updates: Any, **members: Any) -> str:
    if updates:
        members["GlobalSecondaryIndexUpdates"] = list(updates)
    return message(app, "UpdateTable", TableName="people", **members)


def same(what: str) -> str:
    return (
        f"The provisioned throughput for the {what.removeprefix('the ')} will not change. The "
        "requested value equals the current value. Current ReadCapacityUnits provisioned for "
        f"{what}: 2. Requested ReadCapacityUnits: 2. Current WriteCapacityUnits provisioned for "
        f"{what}: 2. "
        "Requested WriteCapacityUnits: 2. Refer to the Amazon DynamoDB Developer Guide for current "
        "limits and how to request higher limits."
    )


def test_an_update_of_nothing_is_none(on_demand: LocalApp) -> None:
    assert updated(on_demand) == ANY_OF_THEM
    assert updated(on_demand, AttributeDefinitions=NEW) == ANY_OF_THEM
    assert message(on_demand, "UpdateTable", TableName="nobody") == ANY_OF_THEM
    assert updated(on_demand, GlobalSecondaryIndexUpdates=[]) == ANY_OF_THEM
    assert updated(on_demand, GlobalSecondaryIndexUpdates=[], DeletionProtectionEnabled=False) == (
        f"{INVALID}List of GlobalSecondaryIndexUpdates is empty"
    )


def test_throughput_that_stays_as_it_is_is_refused(provisioned: LocalApp) -> None:
    assert updated(provisioned, **units()) == same("the table")
    assert updated(provisioned, BillingMode="PROVISIONED", **units()) == same("the table")
    assert updated(provisioned, {"Update": {"IndexName": "by_x", **units()}}) == same("index by_x")
    assert updated(provisioned, BillingMode="PROVISIONED") == (
        f"{INVALID}ProvisionedThroughput must be specified when BillingMode is PROVISIONED"
    )


@pytest.mark.parametrize(
    ("members", "refusal"),
    [
        (units(3, 3), "You cannot create or delete index while updating table IOPS"),
        (
            {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}},
            "You cannot create or delete index while changing stream status",
        ),
        (
            {"DeletionProtectionEnabled": True},
            "DeletionProtection modification must be the only operation in the request",
        ),
        (
            {"TableClass": "STANDARD_INFREQUENT_ACCESS"},
            "TableClass modification must be the only operation in the request",
        ),
    ],
)
def test_an_index_is_made_or_unmade_by_itself(
    provisioned: LocalApp, members: dict[str, Any], refusal: str
) -> None:
    create = {"Create": index("by_new", "new", **units())}
    refused = updated(provisioned, create, AttributeDefinitions=NEW, **members)
    assert refused == f"{INVALID}{refusal}"
    delete = {"Delete": {"IndexName": "by_x"}}
    assert updated(provisioned, delete, **members) == f"{INVALID}{refusal}"


def test_a_new_index_needs_what_its_table_needs(on_demand: LocalApp, provisioned: LocalApp) -> None:
    create = {"Create": index("by_new", "new")}
    assert updated(on_demand, create) == (
        f"{INVALID}AttributeDefinitions is not specified for index: by_new"
    )
    assert updated(provisioned, create, AttributeDefinitions=NEW) == (
        f"{INVALID}Both ReadCapacityUnits and WriteCapacityUnits must be specified for index: "
        "by_new"
    )
    create = {"Create": index("by_new", "new", **units())}
    assert updated(on_demand, create, AttributeDefinitions=NEW) == (
        f"{INVALID}Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: "
        "by_new when BillingMode is PAY_PER_REQUEST"
    )


def test_a_local_index_stays_as_it_was_made(on_demand: LocalApp, provisioned: LocalApp) -> None:
    assert updated(on_demand, {"Delete": {"IndexName": "local_x"}}) == (
        "Cannot delete an index that is not a GlobalSecondaryIndex: local_x"
    )
    assert updated(provisioned, {"Update": {"IndexName": "local_x", **units(3, 3)}}) == (
        "Cannot update an index that is not a GlobalSecondaryIndex: local_x"
    )


def test_an_update_of_an_index_is_one_thing(on_demand: LocalApp) -> None:
    both = {"Update": {"IndexName": "by_x", **units()}, "Delete": {"IndexName": "by_x"}}
    assert updated(on_demand, both) == (
        f"{INVALID}Only one global secondary index action is allowed per "
        "GlobalSecondaryIndexUpdate object"
    )


def test_a_protected_table_is_not_deleted(on_demand: LocalApp) -> None:
    assert message(on_demand, "DeleteTable", TableName="people") == (
        "Resource cannot be deleted as it is currently protected against deletion. "
        "Disable deletion protection first."
    )


def projection(*names: str) -> dict[str, Any]:
    included = {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(names)}
    return {"GlobalSecondaryIndexes": [index("by_x", "x", Projection=included)]}


@pytest.mark.parametrize(
    ("members", "refusal"),
    [
        (
            {"AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}] * 2},
            "Attribute Name is duplicated: pk",
        ),
        (projection("a", "b", "a"), f"{INVALID}Duplicate element in NonKeyAttributes: a"),
        (
            {"Tags": [{"Key": "k", "Value": ""}] * 2},
            "Duplicate Tag Keys provided as input: Duplicate Tag Key found k",
        ),
        (
            {"Tags": [{"Key": "aws:k", "Value": ""}]},
            "Tag Key cannot be prefixed with aws:, Key: aws:k",
        ),
        ({"Tags": [{"Key": "k#", "Value": ""}]}, "The Tag Key provided is invalid, Key: k#"),
        ({"Tags": [{"Key": "k", "Value": "a,b"}]}, "The Tag Value provided is invalid, Value: a,b"),
        (
            {"Tags": [{"Key": str(number), "Value": ""} for number in range(51)]},
            "Number of Tags exceed the current limit for the provided ResourceArn",
        ),
        (
            {
                **units(),
                "BillingMode": "PROVISIONED",
                "WarmThroughput": {"WriteUnitsPerSecond": 1},
            },
            (
                f"{INVALID}Requested WriteUnitsPerSecond for WarmThroughput for table is lower "
                "than WriteCapacityUnits of ProvisionedThroughput"
            ),
        ),
    ],
)
def test_a_table_that_cannot_be_is_not_made(members: dict[str, Any], refusal: str) -> None:
    request = {**definition(BillingMode="PAY_PER_REQUEST"), **members}
    assert message(LocalApp(), "CreateTable", **request) == refusal


def test_no_tags_are_not_removed(on_demand: LocalApp) -> None:
    arn = on_demand.ok("DescribeTable", TableName="people")["Table"]["TableArn"]
    assert message(on_demand, "UntagResource", ResourceArn=arn, TagKeys=[]) == (
        "Atleast one Tag Key needs to be provided as Input."
    )
