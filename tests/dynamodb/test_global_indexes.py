"""Global indexes as clients ask for them: definitions, reads, refusals, capacity."""

from __future__ import annotations

from typing import Any

import pytest

from .local_app import LocalApp

PK, GROUP, SCORE = (
    {"AttributeName": name, "AttributeType": kind}
    for name, kind in (("pk", "S"), ("group", "S"), ("score", "N"))
)
INVALID = "One or more parameter values were invalid: "
Q = {"ExpressionAttributeNames": {"#g": "group"}, "ExpressionAttributeValues": {":g": {"S": "a"}}}
BY_GROUP = {"KeyConditionExpression": "#g = :g", **Q}


def gsi(name: str = "by_group", *keys: str, **members: Any) -> dict[str, Any]:
    schema = [
        {"AttributeName": key, "KeyType": kind}
        for key, kind in zip(keys or ("group",), ("HASH", "RANGE"), strict=False)
    ]
    projection = {"ProjectionType": "ALL"}
    return {"IndexName": name, "KeySchema": schema, "Projection": projection, **members}


def definition(**members: Any) -> dict[str, Any]:
    return {
        "TableName": "people",
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [PK, GROUP],
        "BillingMode": "PAY_PER_REQUEST",
        "GlobalSecondaryIndexes": [gsi()],
        **members,
    }


UNITS = {"ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}}


@pytest.fixture
def app() -> LocalApp:
    app = LocalApp()
    app.ok("CreateTable", **definition())
    return app


def put(app: LocalApp, pk: str, **attributes: Any) -> Any:
    return app.call("PutItem", TableName="people", Item={"pk": {"S": pk}, **attributes})


def query(app: LocalApp, **members: Any) -> Any:
    request = {"TableName": "people", "IndexName": "by_group", **BY_GROUP, **members}
    return app.call("Query", request)


def described(app: LocalApp) -> dict[str, Any]:
    found = app.ok("DescribeTable", TableName="people")["Table"]
    return {one["IndexName"]: one for one in found.get("GlobalSecondaryIndexes", [])}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"GlobalSecondaryIndexes": []}, "List of GlobalSecondaryIndexes is empty"),
        ({"GlobalSecondaryIndexes": [gsi(), gsi()]}, "Duplicate index name: by_group"),
        (
            {"GlobalSecondaryIndexes": [gsi("by_score", "score")]},
            (
                "Some index key attributes are not defined in AttributeDefinitions. Keys: [score], "
                "AttributeDefinitions: [pk, group]"
            ),
        ),
        (
            {"GlobalSecondaryIndexes": [gsi(**UNITS)]},
            (
                "ProvisionedThroughput should not be specified for index: by_group when "
                "BillingMode is PAY_PER_REQUEST"
            ),
        ),
        (
            {"BillingMode": "PROVISIONED", **UNITS},
            "ProvisionedThroughput is not specified for index: by_group",
        ),
        (
            {"GlobalSecondaryIndexes": [gsi(Projection={"ProjectionType": "INCLUDE"})]},
            "ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
        ),
        (
            {"GlobalSecondaryIndexes": [gsi(Projection={})]},
            "Unknown ProjectionType: null",
        ),
        (
            {
                "GlobalSecondaryIndexes": [
                    gsi(Projection={"ProjectionType": "ALL", "NonKeyAttributes": ["x"]})
                ]
            },
            "ProjectionType is ALL, but NonKeyAttributes is specified",
        ),
        (
            {"AttributeDefinitions": [PK, GROUP, SCORE]},
            (
                "Some AttributeDefinitions are not used. AttributeDefinitions: [pk, group, score], "
                "keys used: [group, pk]"
            ),
        ),
        (
            {"GlobalSecondaryIndexes": [gsi(f"by_group{n}") for n in range(21)]},
            "GlobalSecondaryIndex count exceeds the per-table limit of 20",
        ),
        (
            {
                "GlobalSecondaryIndexes": [
                    gsi(
                        f"by_group{n}",
                        Projection={
                            "ProjectionType": "INCLUDE",
                            "NonKeyAttributes": [f"a{one}" for one in range(20)],
                        },
                    )
                    for n in range(6)
                ]
            },
            "Number of NonKeyAttributes across all indexes exceeds the limit of 100: 120",
        ),
    ],
)
def test_a_table_with_a_wrong_global_index_is_refused(
    members: dict[str, Any], message: str
) -> None:
    app = LocalApp()
    reply = app.call("CreateTable", definition(**members))
    assert (reply.error, reply.json()["message"]) == ("ValidationException", INVALID + message)
    assert app.ok("ListTables")["TableNames"] == []


def test_an_index_of_a_new_table_is_active_and_described() -> None:
    app = LocalApp()
    projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["note"]}
    members = definition(
        AttributeDefinitions=[PK, GROUP, SCORE],
        BillingMode="PROVISIONED",
        **UNITS,
        GlobalSecondaryIndexes=[gsi("by_group", "group", "score", Projection=projection, **UNITS)],
    )
    created = app.ok("CreateTable", **members)["TableDescription"]["GlobalSecondaryIndexes"][0]
    assert created["IndexStatus"] == "CREATING"
    app.ok(
        "PutItem",
        TableName="people",
        Item={"pk": {"S": "ann"}, "group": {"S": "a"}, "score": {"N": "1"}},
    )
    assert described(app)["by_group"] == {
        "IndexName": "by_group",
        "KeySchema": [
            {"AttributeName": "group", "KeyType": "HASH"},
            {"AttributeName": "score", "KeyType": "RANGE"},
        ],
        "Projection": projection,
        "IndexStatus": "ACTIVE",
        "ProvisionedThroughput": {
            "NumberOfDecreasesToday": 0,
            "ReadCapacityUnits": 5,
            "WriteCapacityUnits": 5,
        },
        "IndexSizeBytes": 18,
        "ItemCount": 1,
        "IndexArn": "arn:aws:dynamodb:us-east-1:000000000001:table/people/index/by_group",
        "WarmThroughput": {
            "ReadUnitsPerSecond": 5,
            "WriteUnitsPerSecond": 5,
            "Status": "ACTIVE",
        },
    }


@pytest.mark.parametrize("write", ["PutItem", "UpdateItem", "BatchWriteItem"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"N": "1"},
            f"{INVALID}Type mismatch for Index Key group Expected: S Actual: N IndexName: by_group",
        ),
        ({"S": ""}, "cannot contain an empty string value."),
        ({"S": "x" * 2049}, "Size of hashkey has exceeded the maximum size limit of2048 bytes"),
    ],
)
def test_a_value_that_cannot_be_the_key_of_an_index_is_refused_by_every_write(
    app: LocalApp, write: str, value: dict[str, Any], message: str
) -> None:
    item = {"pk": {"S": "ann"}, "group": value}
    requests: dict[str, dict[str, Any]] = {
        "PutItem": {"TableName": "people", "Item": item},
        "BatchWriteItem": {"RequestItems": {"people": [{"PutRequest": {"Item": item}}]}},
        "UpdateItem": {
            "TableName": "people",
            "Key": {"pk": {"S": "ann"}},
            "UpdateExpression": "SET #g = :g",
            "ExpressionAttributeNames": {"#g": "group"},
            "ExpressionAttributeValues": {":g": value},
        },
    }
    reply = app.call(write, requests[write])
    assert reply.error == "ValidationException"
    assert message in reply.json()["message"]
    assert app.ok("Scan", TableName="people")["Count"] == 0


def test_an_item_without_the_key_is_not_in_the_index(app: LocalApp) -> None:
    put(app, "ann", group={"S": "a"})
    put(app, "bob")
    assert app.ok("Scan", TableName="people", IndexName="by_group")["Items"] == [
        {"pk": {"S": "ann"}, "group": {"S": "a"}}
    ]


def test_pages_of_an_index_go_on_behind_both_keys(app: LocalApp) -> None:
    for number in range(7):
        put(app, f"p{number}", group={"S": "a"})
    found: list[str] = []
    members: dict[str, Any] = {}
    while True:
        page = query(app, Limit=3, **members).json()
        found += [one["pk"]["S"] for one in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        assert page["LastEvaluatedKey"].keys() == {"pk", "group"}
        members["ExclusiveStartKey"] = page["LastEvaluatedKey"]
    assert found == [f"p{number}" for number in range(7)]
    backwards = query(app, ScanIndexForward=False).json()["Items"]
    assert [one["pk"]["S"] for one in backwards] == found[::-1]
    segments = [
        app.ok("Scan", TableName="people", IndexName="by_group", Segment=n, TotalSegments=4)
        for n in range(4)
    ]
    assert sum(one["Count"] for one in segments) == 7
    other = {"pk": {"S": "p1"}, "group": {"S": "b"}}
    assert query(app, ExclusiveStartKey=other).json()["message"] == (
        "The provided starting key is outside query boundaries based on provided conditions"
    )
    lacking = {"pk": {"S": "p1"}}
    assert query(app, ExclusiveStartKey=lacking).json()["message"] == (
        "The provided starting key is invalid"
    )


def test_what_an_index_cannot_do_is_refused() -> None:
    app = LocalApp()
    keys_only = gsi("by_group", Projection={"ProjectionType": "KEYS_ONLY"})
    app.ok("CreateTable", **definition(GlobalSecondaryIndexes=[keys_only]))
    put(app, "ann", group={"S": "a"}, note={"S": "n"})
    refused = {
        "Consistent reads are not supported on global secondary indexes": {"ConsistentRead": True},
        f"{INVALID}Select type ALL_ATTRIBUTES is not supported for global secondary index "
        "by_group because its projection type is not ALL": {"Select": "ALL_ATTRIBUTES"},
        f"{INVALID}Global secondary index by_group does not project [note]": {
            "ProjectionExpression": "pk, note"
        },
        "The table does not have the specified index: by_none": {"IndexName": "by_none"},
        "Filter Expression can only contain non-primary key attributes: Primary key attribute: "
        "group": {"FilterExpression": "#g = :g"},
    }
    for message, members in refused.items():
        reply = query(app, **members)
        assert (reply.error, reply.json()["message"]) == ("ValidationException", message)
    assert query(app).json()["Items"] == [{"pk": {"S": "ann"}, "group": {"S": "a"}}]
    assert query(app, Select="COUNT").json()["Count"] == 1


def test_writes_pay_for_each_index_that_they_change(app: LocalApp) -> None:
    def spent(operation: str, **members: Any) -> Any:
        answer = app.ok(operation, TableName="people", ReturnConsumedCapacity="INDEXES", **members)
        return answer["ConsumedCapacity"]

    def put_with(**attributes: Any) -> Any:
        return spent("PutItem", Item={"pk": {"S": "ann"}, **attributes})

    assert put_with() == {
        "TableName": "people",
        "CapacityUnits": 1.0,
        "Table": {"CapacityUnits": 1.0},
    }
    of_index = [
        put_with(group={"S": "a"}),
        put_with(group={"S": "a"}, note={"S": "n" * 1500}),
        put_with(group={"S": "b"}, note={"S": "n" * 1500}),
        put_with(group={"S": "b"}, note={"S": "n" * 1500}),
        spent("DeleteItem", Key={"pk": {"S": "ann"}}),
    ]
    units = [one.get("GlobalSecondaryIndexes", {}).get("by_group") for one in of_index]
    assert [one and one["CapacityUnits"] for one in units] == [1.0, 2.0, 4.0, None, 2.0]
    put(app, "ann", group={"S": "a"})
    read = query(app, ReturnConsumedCapacity="INDEXES").json()["ConsumedCapacity"]
    assert read["GlobalSecondaryIndexes"] == {"by_group": {"CapacityUnits": 0.5}}


def update(app: LocalApp, *updates: dict[str, Any], **members: Any) -> Any:
    request = {"TableName": "people", "GlobalSecondaryIndexUpdates": list(updates), **members}
    return app.call("UpdateTable", request)


def test_an_index_is_added_and_removed(app: LocalApp) -> None:
    put(app, "ann", group={"S": "a"}, score={"N": "1"})
    put(app, "bob", group={"S": "a"}, score={"S": "one"})
    create = {"Create": gsi("by_score", "score", "pk")}
    added = update(app, create, AttributeDefinitions=[PK, SCORE]).json()["TableDescription"]
    new = added["GlobalSecondaryIndexes"][1]
    assert (new["IndexStatus"], new["Backfilling"]) == ("CREATING", True)
    assert described(app)["by_score"]["IndexStatus"] == "ACTIVE"
    assert "Backfilling" not in described(app)["by_score"]
    found = app.ok("Scan", TableName="people", IndexName="by_score")["Items"]
    assert [one["pk"]["S"] for one in found] == ["ann"]
    removed = update(app, {"Delete": {"IndexName": "by_group"}}).json()["TableDescription"]
    assert removed["GlobalSecondaryIndexes"][0]["IndexStatus"] == "DELETING"
    assert described(app).keys() == {"by_score"}
    table = app.ok("DescribeTable", TableName="people")["Table"]
    assert [one["AttributeName"] for one in table["AttributeDefinitions"]] == ["pk", "score"]
    app.ok("DeleteTable", TableName="people")
    assert app.tables.records(0x03, 3) == {}


@pytest.mark.parametrize(
    ("updates", "error", "message"),
    [
        (
            [{"Create": gsi("by_a")}, {"Delete": {"IndexName": "by_group"}}],
            "LimitExceededException",
            (
                "Subscriber limit exceeded: Only 1 online index can be created or deleted "
                "simultaneously per table"
            ),
        ),
        ([{}], "ValidationException", "One of GlobalSecondaryIndexUpdate.Update"),
        (
            [{"Delete": {"IndexName": "by_a"}}, {"Delete": {"IndexName": "by_a"}}],
            "ValidationException",
            (
                "Only one global secondary index update per index is allowed simultaneously. "
                "Index: by_a"
            ),
        ),
        (
            [{"Delete": {"IndexName": "by_a"}}],
            "ResourceNotFoundException",
            "Requested resource not found: Index by_a for table ",
        ),
        (
            [{"Create": gsi()}],
            "ValidationException",
            "Attempting to create an index which already exists",
        ),
        (
            [{"Create": gsi("by_other", "other")}],
            "ValidationException",
            "Some index key attributes are not defined in AttributeDefinitions",
        ),
        (
            [{"Update": {"IndexName": "by_group", **UNITS}}],
            "ValidationException",
            "The only Updates for index: by_group when TableThroughputMode is PAY_PER_REQUEST",
        ),
    ],
)
def test_a_wrong_change_of_indexes_is_refused(
    app: LocalApp, updates: list[dict[str, Any]], error: str, message: str
) -> None:
    reply = update(app, *updates, AttributeDefinitions=[PK, GROUP])
    assert reply.error == error
    assert message in reply.json()["message"]
    assert described(app).keys() == {"by_group"}


def test_an_index_that_is_being_filled_cannot_be_read_and_is_the_only_one(app: LocalApp) -> None:
    async def nothing() -> None:
        pass

    app.tables.settle = nothing  # type: ignore[method-assign]  # the works stand still
    assert update(app, {"Create": gsi("by_two")}, AttributeDefinitions=[GROUP]).status == 200
    assert described(app)["by_two"]["IndexStatus"] == "CREATING"
    assert query(app, IndexName="by_two").json()["message"] == (
        "Cannot read from backfilling global secondary index: by_two"
    )
    reply = update(app, {"Create": gsi("by_three")}, AttributeDefinitions=[GROUP])
    assert reply.error == "LimitExceededException"
    assert update(app, {"Delete": {"IndexName": "by_two"}}).status == 200
    assert described(app)["by_two"]["IndexStatus"] == "DELETING"
    assert query(app, IndexName="by_two").json()["message"] == (
        "The table does not have the specified index: by_two"
    )
    assert update(app, {"Delete": {"IndexName": "by_two"}}).error == "ResourceInUseException"


def test_indexes_follow_the_billing_of_their_table(app: LocalApp) -> None:
    members = {"TableName": "people", "BillingMode": "PROVISIONED", **UNITS}
    reply = app.call("UpdateTable", members)
    assert reply.json()["message"] == (
        f"{INVALID}ProvisionedThroughput must be specified for index: by_group"
    )
    changed = {"Update": {"IndexName": "by_group", **UNITS}}
    app.ok("UpdateTable", **members, GlobalSecondaryIndexUpdates=[changed])
    units = described(app)["by_group"]["ProvisionedThroughput"]
    assert (units["ReadCapacityUnits"], units["WriteCapacityUnits"]) == (5, 5)
    app.ok("UpdateTable", TableName="people", BillingMode="PAY_PER_REQUEST")
    assert described(app)["by_group"]["ProvisionedThroughput"]["ReadCapacityUnits"] == 0


def test_writes_are_throttled_when_an_index_cannot_keep_up() -> None:
    app = LocalApp()
    tight = {"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}
    wide = {"ProvisionedThroughput": {"ReadCapacityUnits": 900, "WriteCapacityUnits": 900}}
    members = definition(BillingMode="PROVISIONED", **wide, GlobalSecondaryIndexes=[gsi(**tight)])
    app.ok("CreateTable", **members)
    assert put(app, "ann", group={"S": "a"}, note={"S": "n" * 310_000}).status == 200
    assert put(app, "bob", group={"S": "a"}).error == "ProvisionedThroughputExceededException"
