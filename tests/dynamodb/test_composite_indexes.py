"""Global indexes whose keys are of several attributes, as clients ask for them."""

from __future__ import annotations

from typing import Any

import pytest

from .local_app import LocalApp

KINDS = {"pk": "S", "h1": "S", "h2": "N", "r1": "S", "r2": "N"}
SCHEMA = (("h1", "HASH"), ("h2", "HASH"), ("r1", "RANGE"), ("r2", "RANGE"))
BY_ALL = "h1 = :h1 AND h2 = :h2"


def key_schema(*elements: tuple[str, str]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in elements]


def gsi(*elements: tuple[str, str], projection: str = "ALL") -> dict[str, Any]:
    return {
        "IndexName": "all",
        "KeySchema": key_schema(*elements),
        "Projection": {"ProjectionType": projection},
    }


def attributes(*names: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": name, "AttributeType": KINDS.get(name, "S")} for name in ("pk", *names)
    ]


def definition(*elements: tuple[str, str], projection: str = "ALL") -> dict[str, Any]:
    return {
        "TableName": "games",
        "KeySchema": key_schema(("pk", "HASH")),
        "AttributeDefinitions": attributes(*dict(elements)),
        "BillingMode": "PAY_PER_REQUEST",
        "GlobalSecondaryIndexes": [gsi(*elements, projection=projection)],
    }


@pytest.fixture
def app() -> LocalApp:
    app = LocalApp()
    app.ok("CreateTable", **definition(*SCHEMA))
    return app


def item(pk: str, h1: str, h2: int, r1: str, r2: int, **more: str) -> dict[str, Any]:
    values: dict[str, str | int] = {"pk": pk, "h1": h1, "h2": h2, "r1": r1, "r2": r2, **more}
    return {name: {KINDS.get(name, "S"): str(value)} for name, value in values.items()}


def put(app: LocalApp, *items: dict[str, Any]) -> None:
    for one in items:
        app.ok("PutItem", TableName="games", Item=one)


def read(app: LocalApp, condition: str = BY_ALL, **members: Any) -> Any:
    values = {":h1": "x", ":h2": 1, ":r1": "b", ":r2": 10, ":r3": 30}
    used = {
        key: {"N" if type(value) is int else "S": str(value)}
        for key, value in values.items()
        if key in condition + members.get("FilterExpression", "")
    }
    return app.call(
        "Query",
        TableName="games",
        IndexName="all",
        KeyConditionExpression=condition,
        ExpressionAttributeValues=used,
        **members,
    )


def keys(app: LocalApp, condition: str = BY_ALL, **members: Any) -> str:
    """The partition keys that are found, in order."""
    reply = read(app, condition, **members)
    assert reply.status == 200, reply.body
    return "".join(one["pk"]["S"] for one in reply.json()["Items"])


def message(app: LocalApp, operation: str, **members: Any) -> str:
    reply = app.call(operation, members)
    assert reply.error == "ValidationException"
    return str(reply.json()["message"])


FOUND = (
    item("1", "x", 1, "a", 5),
    item("2", "x", 1, "b", 10),
    item("3", "x", 1, "b", 20),
    item("4", "x", 1, "b", 100),
    item("5", "x", 1, "ba", 1),
    item("6", "x", 2, "b", 10),
    item("7", "x1", 1, "b", 10),
)


def test_the_index_is_described_as_it_was_made(app: LocalApp) -> None:
    (index,) = app.ok("DescribeTable", TableName="games")["Table"]["GlobalSecondaryIndexes"]
    assert index["KeySchema"] == key_schema(*SCHEMA)


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("", "12345"),
        (" AND r1 = :r1", "234"),
        (" AND r1 = :r1 AND r2 = :r2", "2"),
        (" AND r2 = :r2 AND r1 = :r1", "2"),
        (" AND r1 = :r1 AND r2 > :r2", "34"),
        (" AND r1 = :r1 AND r2 >= :r2", "234"),
        (" AND r1 = :r1 AND r2 < :r3", "23"),
        (" AND r1 = :r1 AND r2 <= :r2", "2"),
        (" AND r1 = :r1 AND r2 BETWEEN :r2 AND :r3", "23"),
        (" AND begins_with(r1, :r1)", "2345"),
        (" AND r1 > :r1", "5"),
        (" AND r1 < :r1", "1"),
    ],
)
def test_sort_keys_are_used_from_the_left(app: LocalApp, condition: str, found: str) -> None:
    put(app, *FOUND)
    assert keys(app, BY_ALL + condition) == found
    assert keys(app, BY_ALL + condition, ScanIndexForward=False) == found[::-1]


@pytest.mark.parametrize(
    ("condition", "part"),
    [
        ("h1 = :h1", "HASH key attribute"),
        ("h1 = :h1 AND h2 > :h2", "HASH key attribute"),
        (BY_ALL + " AND r2 = :r2", "RANGE key attributes"),
        (BY_ALL + " AND r1 > :r1 AND r2 = :r2", "RANGE key attributes"),
    ],
)
def test_a_condition_with_a_gap_is_refused(app: LocalApp, condition: str, part: str) -> None:
    reply = read(app, condition)
    assert reply.error == "ValidationException"
    assert part in reply.json()["message"]


def test_conditions_of_the_older_kind_are_read_too(app: LocalApp) -> None:
    put(app, *FOUND)
    conditions = {
        name: {"ComparisonOperator": "EQ", "AttributeValueList": [value]}
        for name, value in FOUND[1].items()
        if name in ("h1", "h2", "r1")
    }
    request = {"TableName": "games", "IndexName": "all", "KeyConditions": conditions}
    found = app.ok("Query", document=request)
    assert [one["pk"]["S"] for one in found["Items"]] == ["2", "3", "4"]
    del request["IndexName"]
    assert "length 1 or 2 only" in message(app, "Query", **request)


def test_pages_go_on_where_they_ended(app: LocalApp) -> None:
    put(app, *FOUND)
    found, start = "", {}
    for _ in range(6):
        page = read(app, BY_ALL, Limit=2, **start).json()
        found += "".join(one["pk"]["S"] for one in page["Items"])
        if "LastEvaluatedKey" not in page:
            break
        assert page["LastEvaluatedKey"].keys() == KINDS.keys()
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert found == "12345"
    partial = {name: value for name, value in FOUND[0].items() if name != "h2"}
    refused = read(app, BY_ALL, ExclusiveStartKey=partial)
    assert "starting key" in refused.json()["message"]
    outside = read(app, BY_ALL, ExclusiveStartKey=FOUND[5])
    assert "outside query boundaries" in outside.json()["message"]
    before = read(app, BY_ALL + " AND r1 = :r1", ExclusiveStartKey=FOUND[0])
    assert "range key predicate" in before.json()["message"]
    assert keys(app, BY_ALL + " AND r1 = :r1", ExclusiveStartKey=FOUND[1]) == "34"


def test_an_item_without_one_of_the_attributes_is_not_in_the_index(app: LocalApp) -> None:
    put(app, *FOUND[:3])
    for name in ("h1", "h2", "r1", "r2"):
        update = {"TableName": "games", "Key": {"pk": {"S": "2"}}}
        app.ok("UpdateItem", **update, UpdateExpression=f"REMOVE {name}")
        assert keys(app) == "13"
        app.ok(
            "UpdateItem",
            **update,
            UpdateExpression=f"SET {name} = :v",
            ExpressionAttributeValues={":v": FOUND[1][name]},
        )
        assert keys(app) == "123"
    put(app, item("2", "y", 1, "b", 10))
    assert keys(app) == "13"


def test_an_attribute_of_another_type_or_empty_is_refused(app: LocalApp) -> None:
    wrong = {**FOUND[0], "r2": {"S": "5"}}
    assert "Type mismatch for Index Key r2" in message(
        app, "PutItem", TableName="games", Item=wrong
    )
    empty = {**FOUND[0], "r1": {"S": ""}}
    assert "empty string" in message(app, "PutItem", TableName="games", Item=empty)


def test_the_attributes_of_a_key_are_bounded_together() -> None:
    app = LocalApp()
    schema = (("h1", "HASH"), ("g", "HASH"), ("r1", "RANGE"), ("q", "RANGE"))
    app.ok("CreateTable", **definition(*schema))

    def sized(h1: int, g: int, r1: int, q: int) -> dict[str, Any]:
        sizes = {"pk": 1, "h1": h1, "g": g, "r1": r1, "q": q}
        return {name: {"S": "x" * size} for name, size in sizes.items()}

    put(app, sized(1000, 1048, 1000, 24))
    large = message(app, "PutItem", TableName="games", Item=sized(1000, 1049, 1, 1))
    assert "hashkey has exceeded" in large
    large = message(app, "PutItem", TableName="games", Item=sized(1, 1, 1000, 25))
    assert "Aggregated size of all range keys" in large


def test_what_is_accepted_is_in_the_index_however_large_its_numbers_are(app: LocalApp) -> None:
    digits = int("1234567890" * 3)
    for most, name, refusal in ((2048, "h1", "hashkey"), (1024, "r1", "all range keys")):
        for size in range(most - 40, most + 1):
            values = {"h1": "x", "r1": "b", name: "x" * size}
            one = item(f"{name} {size}", values["h1"], digits, values["r1"], digits)
            reply = app.call("PutItem", TableName="games", Item=one)
            assert reply.status == 200 or refusal in reply.json()["message"], reply.body
        assert reply.status == 400, "a number has a size, too"
    stored = app.ok("Scan", TableName="games", IndexName="all")["Items"]
    assert len(stored) == app.ok("Scan", TableName="games")["Count"] > 0


def test_an_update_is_held_against_the_attributes_that_it_leaves(app: LocalApp) -> None:
    put(app, item("1", "x", 1, "b" * 1000, 1))
    longer = {
        "TableName": "games",
        "Key": {"pk": {"S": "1"}},
        "UpdateExpression": "SET r2 = :r2, h1 = :h1",
        "ExpressionAttributeValues": {":r2": {"N": "1" * 38}, ":h1": {"S": "x"}},
    }
    app.ok("UpdateItem", **longer)
    assert keys(app) == "1"
    put(app, item("1", "x", 1, "b" * 1020, 1))
    assert "Aggregated size of all range keys" in message(app, "UpdateItem", **longer)
    assert keys(app) == "1"


def test_filters_cannot_name_a_key_of_the_index(app: LocalApp) -> None:
    for name in ("h2", "r1"):
        reply = read(app, BY_ALL, FilterExpression=f"attribute_exists({name})")
        assert "Filter Expression can only contain non-primary key" in reply.json()["message"]
    put(app, *FOUND)
    assert keys(app, BY_ALL, FilterExpression="pk <> :r1") == "12345"


def test_an_index_of_keys_only_holds_all_of_them() -> None:
    app = LocalApp()
    app.ok("CreateTable", **definition(*SCHEMA, projection="KEYS_ONLY"))
    put(app, item("1", "x", 1, "a", 5, note="more"))
    scanned = app.ok("Scan", TableName="games", IndexName="all")["Items"]
    assert scanned == [item("1", "x", 1, "a", 5)]


def test_an_index_is_made_and_filled_online_and_its_attributes_are_free_afterwards() -> None:
    app = LocalApp()
    members = definition(*SCHEMA)
    index = members.pop("GlobalSecondaryIndexes")[0]
    app.ok("CreateTable", **{**members, "AttributeDefinitions": attributes()})
    put(app, *FOUND, {"pk": {"S": "8"}, "h1": {"S": "x"}, "h2": {"S": "no number"}})
    app.ok(
        "UpdateTable",
        TableName="games",
        AttributeDefinitions=attributes(*dict(SCHEMA)),
        GlobalSecondaryIndexUpdates=[{"Create": index}],
    )
    assert keys(app) == "12345"
    gone = [{"Delete": {"IndexName": "all"}}]
    app.ok("UpdateTable", TableName="games", GlobalSecondaryIndexUpdates=gone)
    assert "does not have the specified index" in read(app).json()["message"]
    put(app, {"pk": {"S": "9"}, "h1": {"N": "1"}})


@pytest.mark.parametrize(
    ("elements", "part"),
    [
        ([(f"h{n}", "HASH") for n in range(5)], "allowed number of HASH key attributes"),
        (
            [("h", "HASH"), *((f"r{n}", "RANGE") for n in range(5))],
            "allowed number of RANGE key attributes",
        ),
        (
            [("a", "HASH"), ("b", "RANGE"), ("c", "HASH")],
            "All HASH key attributes must precede RANGE",
        ),
        ([("a", "RANGE"), ("b", "RANGE")], "first KeySchemaElement is not a HASH"),
        ([("a", "HASH"), ("a", "HASH")], "same name"),
        ([("a", "HASH"), ("b", "HASH"), ("a", "RANGE")], "same name"),
    ],
)
def test_a_key_schema_that_is_none_is_refused(elements: list[tuple[str, str]], part: str) -> None:
    assert part in message(LocalApp(), "CreateTable", **definition(*elements))


def test_only_global_indexes_have_keys_of_several_attributes() -> None:
    members = definition(*SCHEMA)
    three = key_schema(("pk", "HASH"), ("h1", "RANGE"), ("r1", "RANGE"))
    refused = message(LocalApp(), "CreateTable", **{**members, "KeySchema": three})
    assert refused == (
        "1 validation error detected: Value '[KeySchemaElement(attributeName=pk, keyType=HASH), "
        "KeySchemaElement(attributeName=h1, keyType=RANGE), "
        "KeySchemaElement(attributeName=r1, keyType=RANGE)]' at 'keySchema' failed to satisfy "
        "constraint: Member must have length less than or equal to 2"
    )
    local = {**members, "KeySchema": three[:2]}
    local["LocalSecondaryIndexes"] = [{**gsi(), "IndexName": "own", "KeySchema": three}]
    refused = message(LocalApp(), "CreateTable", **local)
    assert "at 'localSecondaryIndexes.1.member.keySchema' failed" in refused


def test_eight_attributes_are_the_most() -> None:
    app = LocalApp()
    names = [(f"h{n}", "HASH") for n in range(4)] + [(f"s{n}", "RANGE") for n in range(4)]
    app.ok("CreateTable", **definition(*names))
    whole = {name: {KINDS.get(name, "S"): "1"} for name in ("pk", *dict(names))}
    put(app, whole)
    condition = " AND ".join(f"{name} = :{name}" for name, _ in names)
    found = app.ok(
        "Query",
        TableName="games",
        IndexName="all",
        KeyConditionExpression=condition,
        ExpressionAttributeValues={f":{name}": whole[name] for name, _ in names},
    )
    assert found["Items"] == [whole]
