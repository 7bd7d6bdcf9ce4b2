"""Tags, table classes and warm throughput: what is remembered, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from .local_app import LocalApp

KEYS: dict[str, Any] = {
    "TableName": "people",
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "x")
    ],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "by_x",
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "x", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}


def gsi(**members: Any) -> dict[str, Any]:
    schema = [{"AttributeName": "x", "KeyType": "HASH"}]
    return {
        "IndexName": "of_x",
        "KeySchema": schema,
        "Projection": {"ProjectionType": "ALL"},
        **members,
    }


def created(**members: Any) -> LocalApp:
    app = LocalApp()
    app.ok("CreateTable", **{**KEYS, **members})
    return app


def described(app: LocalApp) -> Any:
    return app.ok("DescribeTable", TableName="people")["Table"]


def message(app: LocalApp, operation: str, **members: Any) -> str:
    reply = app.call(operation, members)
    assert reply.error == "ValidationException"
    return str(reply.json()["message"])


def warm(read: int, write: int) -> dict[str, int]:
    return {"ReadUnitsPerSecond": read, "WriteUnitsPerSecond": write}


def test_a_table_is_as_warm_as_it_was_asked_to_be() -> None:
    index = gsi(WarmThroughput=warm(12_000, 8000))
    app = created(WarmThroughput=warm(15_000, 5000), GlobalSecondaryIndexes=[index])
    table = described(app)
    assert table["WarmThroughput"] == {**warm(15_000, 5000), "Status": "ACTIVE"}
    (shown,) = table["GlobalSecondaryIndexes"]
    assert shown["WarmThroughput"] == {**warm(12_000, 8000), "Status": "ACTIVE"}
    app.ok("UpdateTable", TableName="people", WarmThroughput={"ReadUnitsPerSecond": 20_000})
    assert described(app)["WarmThroughput"] == {**warm(20_000, 5000), "Status": "ACTIVE"}
    update = {"IndexName": "of_x", "WarmThroughput": warm(13_000, 9000)}
    app.ok("UpdateTable", TableName="people", GlobalSecondaryIndexUpdates=[{"Update": update}])
    (shown,) = described(app)["GlobalSecondaryIndexes"]
    assert shown["WarmThroughput"] == {**warm(13_000, 9000), "Status": "ACTIVE"}


def test_what_nobody_asked_to_be_warm_is_as_warm_as_it_serves() -> None:
    units = {"ReadCapacityUnits": 7, "WriteCapacityUnits": 3}
    assert described(created())["WarmThroughput"] == {**warm(12_000, 4000), "Status": "ACTIVE"}
    app = created(BillingMode="PROVISIONED", ProvisionedThroughput=units)
    assert described(app)["WarmThroughput"] == {**warm(7, 3), "Status": "ACTIVE"}


@pytest.mark.parametrize(
    ("given", "member"),
    [
        (warm(11_999, 4000), "ReadUnitsPerSecond"),
        (warm(12_000, 3999), "WriteUnitsPerSecond"),
        ({"WriteUnitsPerSecond": 1}, "WriteUnitsPerSecond"),
    ],
)
def test_warm_throughput_cannot_be_lowered(given: dict[str, int], member: str) -> None:
    text = message(LocalApp(), "CreateTable", **KEYS, WarmThroughput=given)
    assert member in text
    assert text.endswith(
        "for WarmThroughput for table is lower than initial throughput for OnDemand"
    )
    app = created(WarmThroughput=warm(24_000, 8000))
    lower = message(app, "UpdateTable", TableName="people", WarmThroughput=warm(24_000, 7999))
    assert lower == (
        "One or more parameter values were invalid: Requested WriteUnitsPerSecond for "
        "WarmThroughput for table is lower than current WarmThroughput, decreasing WarmThroughput "
        "is not supported"
    )
    assert described(app)["WarmThroughput"]["WriteUnitsPerSecond"] == 8000


def test_a_table_class_is_told_once_it_was_given() -> None:
    assert "TableClassSummary" not in described(created())
    app = created(TableClass="STANDARD")
    assert described(app)["TableClassSummary"] == {"TableClass": "STANDARD"}
    app.ok("UpdateTable", TableName="people", TableClass="STANDARD_INFREQUENT_ACCESS")
    summary = described(app)["TableClassSummary"]
    assert summary["TableClass"] == "STANDARD_INFREQUENT_ACCESS"
    assert summary["LastUpdateDateTime"] >= described(app)["CreationDateTime"]
    assert "valid table-class value" in message(
        app, "UpdateTable", TableName="people", TableClass="standard"
    )


@pytest.mark.parametrize("member", ["OnDemandThroughput", "VectorIndexes", "ResourcePolicy"])
def test_settings_that_are_not_served_are_refused_by_name(member: str) -> None:
    value: Any = {"MaxReadRequestUnits": 5} if member == "OnDemandThroughput" else "{}"
    assert f"{member} is not supported" in message(
        LocalApp(), "CreateTable", **KEYS | {member: value}
    )


def test_a_deleted_table_tells_nothing_of_its_schema() -> None:
    deleted = created().ok("DeleteTable", TableName="people")["TableDescription"]
    assert deleted["TableStatus"] == "DELETING"
    assert {"TableArn", "TableId", "BillingModeSummary", "ItemCount"} <= deleted.keys()
    told = {"KeySchema", "AttributeDefinitions", "CreationDateTime", "LocalSecondaryIndexes"}
    assert not told & deleted.keys()


@pytest.mark.parametrize(
    "tag", [("hi!", "a"), ("a", "d%g"), ('"a"', "b"), ("", "a"), ("a" * 129, "")]
)
def test_a_tag_of_other_characters_or_lengths_is_refused(tag: tuple[str, str]) -> None:
    app = created()
    tags = [{"Key": tag[0], "Value": tag[1]}]
    message(app, "TagResource", ResourceArn=described(app)["TableArn"], Tags=tags)
    message(LocalApp(), "CreateTable", **KEYS, Tags=tags)


def test_tags_may_be_in_any_script_and_without_a_value() -> None:
    app = created()
    arn = described(app)["TableArn"]
    tags = [{"Key": "\u05d0" * 128, "Value": "\u0466 7 +-=._:/@"}, {"Key": " ", "Value": ""}]
    app.ok("TagResource", ResourceArn=arn, Tags=tags)
    assert app.ok("ListTagsOfResource", ResourceArn=arn)["Tags"] == tags


def test_more_than_fifty_tags_are_too_many() -> None:
    tags = [{"Key": str(number), "Value": ""} for number in range(51)]
    app = created(Tags=tags[:50])
    text = message(app, "TagResource", ResourceArn=described(app)["TableArn"], Tags=tags[50:])
    assert text == "Number of Tags exceed the current limit for the provided ResourceArn"


def test_only_tables_have_tags() -> None:
    app = created()
    arn = described(app)["LocalSecondaryIndexes"][0]["IndexArn"]
    assert "only table or stream is accepted" in message(app, "ListTagsOfResource", ResourceArn=arn)
    assert "must start with 'arn:'" in message(app, "ListTagsOfResource", ResourceArn="people")


def test_an_attribute_keeps_its_type_as_long_as_it_is_a_key() -> None:
    app = created()
    text = message(
        app,
        "UpdateTable",
        TableName="people",
        AttributeDefinitions=[{"AttributeName": "x", "AttributeType": "N"}],
        GlobalSecondaryIndexUpdates=[{"Create": gsi()}],
    )
    assert "Attributes cannot be redefined" in text
    assert "key{x:S:HASH}" in text


LONG_NAME = "n" * 65_536


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("PutItem", {"Item": {"pk": {"S": "a"}, "sk": {"S": "b"}, LONG_NAME: {"N": "1"}}}),
        ("GetItem", {"ProjectionExpression": "#n", "ExpressionAttributeNames": {"#n": LONG_NAME}}),
        ("GetItem", {"AttributesToGet": [LONG_NAME]}),
        (
            "UpdateItem",
            {"AttributeUpdates": {LONG_NAME: {"Action": "PUT", "Value": {"N": "1"}}}},
        ),
    ],
)
def test_the_name_of_an_attribute_is_shorter_than_64_kibibytes(
    operation: str, members: dict[str, Any]
) -> None:
    app = created()
    if operation != "PutItem":
        members = {"Key": {"pk": {"S": "a"}, "sk": {"S": "b"}}, **members}
    text = message(app, operation, TableName="people", **members)
    assert "Attribute name is too large" in text
    longest = {"pk": {"S": "a"}, "sk": {"S": "b"}, LONG_NAME[1:]: {"N": "1"}}
    app.ok("PutItem", TableName="people", Item=longest)
