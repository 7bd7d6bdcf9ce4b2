"""TransactWriteItems and TransactGetItems over HTTP bodies, against in-process tables."""

from __future__ import annotations

from typing import Any

import pytest
from tests.dynamodb.local_app import LocalApp

ONGOING = "Transaction is ongoing for the item"


@pytest.fixture
def app() -> LocalApp:
    app = LocalApp()
    for name in ("people", "places"):
        app.make_table(name)
    return app


def key(name: str) -> dict[str, Any]:
    return {"pk": {"S": name}}


def put(name: str, table: str = "people", **more: Any) -> dict[str, Any]:
    value = more.pop("v", "1")
    return {"Put": {"TableName": table, "Item": {**key(name), "v": {"S": value}}, **more}}


def update(name: str, expression: str = "ADD n :n", **more: Any) -> dict[str, Any]:
    values = {":n": {"N": "1"}}
    return {
        "Update": {
            "TableName": "people",
            "Key": key(name),
            "UpdateExpression": expression,
            "ExpressionAttributeValues": values,
            **more,
        }
    }


def check(name: str, condition: str, **more: Any) -> dict[str, Any]:
    request = {"TableName": "people", "Key": key(name), "ConditionExpression": condition, **more}
    return {"ConditionCheck": request}


def delete(name: str, **more: Any) -> dict[str, Any]:
    return {"Delete": {"TableName": "people", "Key": key(name), **more}}


def item(app: LocalApp, name: str, table: str = "people") -> Any:
    return app.ok("GetItem", TableName=table, Key=key(name)).get("Item")


def get(name: str, table: str = "people", **more: Any) -> dict[str, Any]:
    return {"Get": {"TableName": table, "Key": key(name), **more}}


def test_all_four_kinds_of_actions_happen_together(app: LocalApp) -> None:
    app.ok("PutItem", TableName="people", Item={**key("old"), "v": {"S": "x"}})
    app.ok("PutItem", TableName="people", Item={**key("there"), "v": {"S": "x"}})
    answer = app.ok(
        "TransactWriteItems",
        TransactItems=[
            put("new"),
            put("new", table="places"),
            update("count"),
            delete("old"),
            check("there", "attribute_exists(pk)"),
        ],
    )
    assert answer == {}
    assert item(app, "new") == {**key("new"), "v": {"S": "1"}}
    assert item(app, "new", "places") == {**key("new"), "v": {"S": "1"}}
    assert item(app, "count") == {**key("count"), "n": {"N": "1"}}
    assert item(app, "old") is None
    assert item(app, "there") == {**key("there"), "v": {"S": "x"}}


def test_one_failed_condition_cancels_all_with_a_reason_by_position(app: LocalApp) -> None:
    app.ok("PutItem", TableName="people", Item={**key("a"), "v": {"S": "x"}})
    reply = app.call(
        "TransactWriteItems",
        TransactItems=[
            put("b"),
            put("a", ConditionExpression="attribute_not_exists(pk)"),
            delete(
                "a2",
                ConditionExpression="attribute_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            ),
        ],
    )
    assert reply.status == 400
    body = reply.json()
    assert body["__type"] == "com.amazonaws.dynamodb.v20120810#TransactionCanceledException"
    assert (
        body["message"]
        == body["Message"]
        == (
            "Transaction cancelled, please refer cancellation reasons for specific reasons "
            "[None, ConditionalCheckFailed, ConditionalCheckFailed]"
        )
    )
    failed = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
    assert body["CancellationReasons"] == [{"Code": "None"}, failed, failed]
    assert item(app, "b") is None


def test_the_item_that_failed_a_condition_is_shown_when_asked_for(app: LocalApp) -> None:
    app.ok("PutItem", TableName="people", Item={**key("a"), "v": {"S": "x"}})
    reply = app.call(
        "TransactWriteItems",
        TransactItems=[
            put("b"),
            check("a", "attribute_not_exists(pk)", ReturnValuesOnConditionCheckFailure="ALL_OLD"),
        ],
    )
    reasons = reply.json()["CancellationReasons"]
    assert reasons[1]["Item"] == {**key("a"), "v": {"S": "x"}}


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (
            {"Put": {"TableName": "people", "Item": {"pk": {"N": "1"}}}},
            (
                "One or more parameter values were invalid: "
                "Type mismatch for key pk expected: S actual: N"
            ),
        ),
        (
            {"Delete": {"TableName": "people", "Key": {"pk": {"N": "1"}}}},
            "The provided key element does not match the schema",
        ),
        (
            update("a", "SET v = absent + :n"),
            "The provided expression refers to an attribute that does not exist in the item",
        ),
        (
            update("a", "SET v = :n", ExpressionAttributeValues={":n": {"S": "x" * 409_600}}),
            "Item size to update has exceeded the maximum allowed size",
        ),
    ],
)
def test_what_does_not_fit_the_table_or_the_item_cancels(
    app: LocalApp, action: dict[str, Any], message: str
) -> None:
    reply = app.call("TransactWriteItems", TransactItems=[put("b"), action])
    assert reply.error == "TransactionCanceledException"
    reasons = reply.json()["CancellationReasons"]
    assert reasons == [{"Code": "None"}, {"Code": "ValidationError", "Message": message}]
    assert item(app, "b") is None


def test_only_the_first_action_that_does_not_fit_its_table_is_told(app: LocalApp) -> None:
    wrong = {"Put": {"TableName": "people", "Item": {"pk": {"N": "1"}}}}
    other = {"Put": {"TableName": "people", "Item": {"pk": {"N": "2"}}}}
    reply = app.call("TransactWriteItems", TransactItems=[put("a"), wrong, other, put("b")])
    codes = [one["Code"] for one in reply.json()["CancellationReasons"]]
    assert codes == ["None", "ValidationError", "None", "None"]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (
            [put("a"), delete("a")],
            "Transaction request cannot include multiple operations on one item",
        ),
        ([{**put("a"), **delete("b")}], "TransactItems can only contain one of"),
        ([{}], "TransactItems can only contain one of"),
        ([put("")], "The AttributeValue for a key attribute cannot contain an empty string"),
        ([put("a", v="x" * 410_000)], "Item size has exceeded the maximum allowed size"),
        ([put(str(n), v="x" * 400_000) for n in range(11)], "size cannot exceed"),
        ([put(str(n)) for n in range(101)], "less than or equal to 100"),
        ([], "greater than or equal to 1"),
        ([put("a", ConditionExpression="nonsense(")], "Invalid ConditionExpression"),
    ],
)
def test_a_request_that_is_wrong_in_itself_is_a_validation_exception(
    app: LocalApp, items: list[Any], message: str
) -> None:
    reply = app.call("TransactWriteItems", TransactItems=items)
    assert reply.error == "ValidationException"
    assert message in reply.json()["message"]


@pytest.mark.parametrize("token", ["", "x" * 37])
def test_a_client_token_has_1_to_36_characters(app: LocalApp, token: str) -> None:
    reply = app.call("TransactWriteItems", TransactItems=[put("a")], ClientRequestToken=token)
    assert reply.error == "ValidationException"


def test_a_missing_table_is_told_as_such(app: LocalApp) -> None:
    reply = app.call("TransactWriteItems", TransactItems=[put("a"), put("a", table="nowhere")])
    assert reply.error == "ResourceNotFoundException"


def test_a_transaction_that_is_sent_again_is_applied_once(app: LocalApp) -> None:
    request = {
        "TransactItems": [
            update("a"),
            put("b", ConditionExpression="attribute_not_exists(pk)"),
            update("c"),
        ],
        "ClientRequestToken": "token-1",
        "ReturnConsumedCapacity": "TOTAL",
    }
    first = app.ok("TransactWriteItems", document=request)
    assert first["ConsumedCapacity"] == [
        {"TableName": "people", "CapacityUnits": 6.0, "WriteCapacityUnits": 6.0}
    ]
    again = app.ok("TransactWriteItems", document=request)
    assert again["ConsumedCapacity"] == [
        {"TableName": "people", "CapacityUnits": 6.0, "ReadCapacityUnits": 6.0}
    ]
    assert item(app, "a") == {**key("a"), "n": {"N": "1"}}
    other = {**request, "TransactItems": [update("a")]}
    reply = app.call("TransactWriteItems", document=other)
    assert reply.error == "IdempotentParameterMismatchException"
    assert item(app, "a") == {**key("a"), "n": {"N": "1"}}


def test_capacity_is_doubled_and_told_by_table(app: LocalApp) -> None:
    answer = app.ok(
        "TransactWriteItems",
        TransactItems=[put("a", v="x" * 1500), put("b"), put("a", table="places")],
        ReturnConsumedCapacity="INDEXES",
    )
    units = {one["TableName"]: one for one in answer["ConsumedCapacity"]}
    assert units["people"]["CapacityUnits"] == 6.0
    assert units["people"]["Table"] == {"CapacityUnits": 6.0, "WriteCapacityUnits": 6.0}
    assert units["places"]["WriteCapacityUnits"] == 2.0


def test_items_are_read_together_in_the_order_of_the_request(app: LocalApp) -> None:
    app.ok("TransactWriteItems", TransactItems=[put("a", v="1"), put("b", "places", v="2")])
    answer = app.ok(
        "TransactGetItems",
        TransactItems=[
            get("b", "places", ProjectionExpression="v"),
            get("missing"),
            get("a"),
            get("b"),
        ],
        ReturnConsumedCapacity="TOTAL",
    )
    assert answer["Responses"] == [
        {"Item": {"v": {"S": "2"}}},
        {},
        {"Item": {**key("a"), "v": {"S": "1"}}},
        {},
    ]
    units = {one["TableName"]: one["CapacityUnits"] for one in answer["ConsumedCapacity"]}
    assert units == {"people": 6.0, "places": 2.0}


def test_reading_one_item_twice_is_refused_and_a_wrong_key_cancels(app: LocalApp) -> None:
    reply = app.call("TransactGetItems", TransactItems=[get("a"), get("a")])
    assert reply.error == "ValidationException"
    wrong = {"Get": {"TableName": "people", "Key": {"pk": {"N": "1"}}}}
    reply = app.call("TransactGetItems", TransactItems=[get("a"), wrong])
    assert reply.error == "TransactionCanceledException"
    assert [one["Code"] for one in reply.json()["CancellationReasons"]] == [
        "None",
        "ValidationError",
    ]
