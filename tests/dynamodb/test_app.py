"""The wire: what is refused, and that every answer, good or bad, has DynamoDB's form."""

from __future__ import annotations

import gzip
import re
from typing import Any

import pytest

from .local_app import HOST, PREFIX, LocalApp, signed_headers

KEYS = {
    "TableName": "people",
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
ANN = {"pk": {"S": "ann"}, "sk": {"N": "1"}}


@pytest.fixture
def app() -> LocalApp:
    return LocalApp()


@pytest.fixture
def people(app: LocalApp) -> LocalApp:
    app.ok("CreateTable", **KEYS)
    return app


def test_a_health_check_names_the_host(app: LocalApp) -> None:
    reply = app.send(b"", {"Host": HOST}, method="GET")
    assert (reply.status, reply.body.strip()) == (200, f"healthy: {HOST}".encode())


def test_only_the_root_is_healthy(app: LocalApp) -> None:
    reply = app.send(b"", {"Host": HOST}, method="GET", path="/health")
    assert (reply.status, reply.error) == (404, "UnknownOperationException")


def test_a_page_of_another_origin_may_call(people: LocalApp) -> None:
    asked = {
        "Host": HOST,
        "Origin": "http://example.org",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,x-amz-target",
    }
    reply = people.send(b"", asked, method="OPTIONS")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["access-control-allow-headers"] == "authorization,x-amz-target"
    assert reply.headers["access-control-allow-methods"] == "POST"
    del asked["Access-Control-Request-Method"]
    for method in ("OPTIONS", "GET", "POST"):
        reply = people.send(b"", asked, method=method)
        assert reply.headers["access-control-expose-headers"]
        assert ("access-control-max-age" in reply.headers) == (method == "OPTIONS")
    refused = people.send(b"{}", {"Host": HOST, "Origin": "http://example.org"})
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (400, "*")
    assert people.send(b"", {"Host": HOST}, method="OPTIONS").status == 400


def test_a_table_is_found_by_its_arn(people: LocalApp) -> None:
    arn = people.ok("DescribeTable", TableName="people")["Table"]["TableArn"]
    people.ok("PutItem", TableName=arn, Item=ANN)
    assert people.ok("GetItem", TableName=arn, Key=ANN)["Item"] == ANN
    assert people.ok("DescribeTable", TableName=arn)["Table"]["TableName"] == "people"
    put = {"Put": {"TableName": arn, "Item": ANN}}
    people.ok("TransactWriteItems", TransactItems=[put])
    others = arn.replace(arn.split(":")[4], "123456789012")
    assert people.call("GetItem", TableName=others, Key=ANN).error == "ValidationException"


def test_a_table_without_keys_is_refused(app: LocalApp) -> None:
    reply = app.call("CreateTable", TableName="people")
    assert (reply.status, reply.error) == (400, "ValidationException")
    for member in ("attributeDefinitions", "keySchema"):
        assert f"Value null at '{member}' failed to satisfy" in reply.json()["message"]


def test_every_answer_has_an_id_of_its_own(app: LocalApp) -> None:
    ids = [app.call("ListTables").headers["x-amzn-requestid"] for _ in range(3)]
    ids.append(app.call("NoSuchOperation").headers["x-amzn-requestid"])
    assert len(set(ids)) == 4
    assert all(re.fullmatch("[A-Z0-9]{52}", one) for one in ids)


def test_requests_are_recorded_with_their_operation_and_error(people: LocalApp) -> None:
    people.call("GetItem", TableName="nobody", Key=ANN)
    found = people.records[-1]
    assert (found.operation, found.status) == ("GetItem", 400)
    assert (found.error_code, found.bucket) == ("ResourceNotFoundException", "nobody")
    assert found.bytes_in > 0


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"Authorization": ""}, "MissingAuthenticationTokenException"),
        ({"Authorization": "AWS4-HMAC-SHA256 Credential=x"}, "IncompleteSignatureException"),
        ({"Authorization": "Basic eA=="}, "IncompleteSignatureException"),
        ({"X-Amz-Date": "yesterday"}, "IncompleteSignatureException"),
        ({"X-Amz-Target": PREFIX + "DeleteTable"}, "InvalidSignatureException"),
        ({"X-Amz-Date": "20200101T000000Z"}, "InvalidSignatureException"),
        ({"X-Amz-Security-Token": "stolen"}, "UnrecognizedClientException"),
    ],
)
def test_a_request_that_is_not_signed_as_it_is_is_refused(
    app: LocalApp, change: dict[str, str], error: str
) -> None:
    headers = {**signed_headers(PREFIX + "ListTables", b"{}"), **change}
    reply = app.send(b"{}", headers)
    assert (reply.status, reply.error) == (400, error)


def test_the_parts_of_an_authorization_may_stand_apart_in_any_way(app: LocalApp) -> None:
    headers = signed_headers(PREFIX + "ListTables", b"{}")
    scheme, *parts = headers["Authorization"].replace(",", " ").split()
    for separator in (",", " ", " , "):
        headers["Authorization"] = f"{scheme} {separator.join(parts)}"
        assert app.send(b"{}", headers).status == 200


@pytest.mark.parametrize(
    ("date", "message"),
    [("20170101T010101Z", "Signature expired"), ("30200101T010101Z", "Signature not yet current")],
)
def test_the_time_is_looked_at_before_the_scope(app: LocalApp, date: str, message: str) -> None:
    claims = "Credential=somebody/2/3/4/aws4_request SignedHeaders=x-amz-date;host Signature=123"
    headers = signed_headers(PREFIX + "ListTables", b"{}")
    headers |= {"Authorization": f"AWS4-HMAC-SHA256 {claims}", "X-Amz-Date": date}
    reply = app.send(b"{}", headers)
    assert reply.error == "InvalidSignatureException"
    assert message in reply.json()["message"]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"access": "AKIDOTHER"}, "UnrecognizedClientException"),
        ({"secret": "wrong"}, "InvalidSignatureException"),
        ({"region": "eu-west-1"}, "InvalidSignatureException"),
    ],
)
def test_a_stranger_is_refused(app: LocalApp, given: dict[str, str], error: str) -> None:
    reply = app.send(b"{}", signed_headers(PREFIX + "ListTables", b"{}", **given))
    assert reply.error == error


def test_a_body_that_was_changed_on_the_way_is_refused(app: LocalApp) -> None:
    headers = signed_headers(PREFIX + "ListTables", b'{"Limit": 1}')
    assert app.send(b'{"Limit": 2}', headers).error == "InvalidSignatureException"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"nul",
        b'"text"',
        b"\xff\xfe",
        b'{"TableName": 5}',
        b'{"TableName": "people", "Key": {"pk": "ann"}}',
        b'{"TableName": "people", "Key": {"pk": {"S": 5}}}',
        b'{"TableName": "people", "Key": {"pk": {"B": "not base64!"}}}',
        b'{"TableName": "people", "Key": {"pk": ' + b'{"L": [' * 100_000,
        b'{"TableName": "people", "Key": {"pk": ' + b'{"L": [' * 2000 + b"]}" * 2000 + b"}}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
)
def test_a_malformed_body_is_the_callers_mistake(people: LocalApp, body: bytes) -> None:
    reply = people.send(body, signed_headers(PREFIX + "GetItem", body))
    assert reply.status == 400
    assert reply.error in ("SerializationException", "ValidationException")


def test_a_body_beyond_16_megabytes_is_refused_compressed_or_not(app: LocalApp) -> None:
    body = b" " * ((16 << 20) + 1)
    assert app.send(body, signed_headers(PREFIX + "ListTables", body)).status == 413
    small = gzip.compress(body)
    headers = {**signed_headers(PREFIX + "ListTables", small), "Content-Encoding": "gzip"}
    assert app.send(small, headers).status == 413


def test_a_body_may_come_in_pieces(people: LocalApp) -> None:
    body = b'{"TableName": "people"}'
    headers = signed_headers(PREFIX + "DescribeTable", body)
    assert people.send(body, headers, piece=5).status == 200


@pytest.mark.parametrize("target", ["", "ListTables", "DynamoDB_20111205.ListTables", PREFIX + "X"])
def test_an_unknown_target_is_refused(app: LocalApp, target: str) -> None:
    reply = app.send(b"{}", signed_headers(target, b"{}"))
    assert (reply.status, reply.error) == (400, "UnknownOperationException")


def test_tables_that_do_not_exist_are_named_only_by_table_operations(app: LocalApp) -> None:
    described = app.call("DescribeTable", TableName="nobody")
    assert described.json()["message"] == "Requested resource not found: Table: nobody not found"
    read = app.call("GetItem", TableName="nobody", Key=ANN)
    assert read.json() == {
        "__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
        "message": "Requested resource not found",
    }


def refused_create(**members: Any) -> tuple[str, str]:
    reply = LocalApp().call("CreateTable", **{**KEYS, **members})
    return reply.error, reply.json()["message"]


@pytest.mark.parametrize(
    "members",
    [
        {"GlobalSecondaryIndexes": []},
        {"SSESpecification": {"Enabled": True}},
        {"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}},
        {"BillingMode": "PROVISIONED"},
        {"AttributeDefinitions": [*KEYS["AttributeDefinitions"],  # type: ignore[misc]
                                  {"AttributeName": "x", "AttributeType": "S"}]},
        {"AttributeDefinitions": KEYS["AttributeDefinitions"][:1]},  # type: ignore[index]
        {"KeySchema": [{"AttributeName": "pk", "KeyType": "RANGE"}]},
        {"TableName": "no"},
        {"TableName": "what?"},
        {"LocalSecondaryIndexes": []},
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_as_asked_is_not_created(members: dict[str, Any]) -> None:
    error, message = refused_create(**members)
    assert error == "ValidationException"
    assert message


def test_what_is_not_served_is_refused_by_its_name() -> None:
    given = {"GlobalTableSourceArn": "arn:aws:dynamodb:us-east-1:1:table/people"}
    assert "GlobalTableSourceArn" in refused_create(**given)[1]
    reply = LocalApp().call("ExecuteTransaction", TransactStatements=[])
    assert reply.error == "UnknownOperationException"
    assert "ExecuteTransaction" in reply.json()["message"]


def test_a_table_lives_from_creating_to_gone(people: LocalApp) -> None:
    assert people.call("CreateTable", **KEYS).error == "ResourceInUseException"
    arn = people.ok("DescribeTable", TableName="people")["Table"]["TableArn"]
    people.ok("TagResource", ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}])
    people.ok("UntagResource", ResourceArn=arn, TagKeys=["b"])
    assert people.ok("ListTagsOfResource", ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "1"}]
    people.ok("UpdateTable", TableName="people", DeletionProtectionEnabled=True)
    assert people.call("DeleteTable", TableName="people").error == "ValidationException"
    people.ok("UpdateTable", TableName="people", DeletionProtectionEnabled=False)
    deleted = people.ok("DeleteTable", TableName="people")["TableDescription"]
    assert deleted["TableStatus"] == "DELETING"
    assert people.ok("ListTables") == {"TableNames": []}


def test_the_units_of_an_item_are_counted_as_aws_counts_them(people: LocalApp) -> None:
    item = {**ANN, "text": {"S": "x" * 5000}}
    written = people.ok("PutItem", TableName="people", Item=item, ReturnConsumedCapacity="TOTAL")
    assert written["ConsumedCapacity"] == {"TableName": "people", "CapacityUnits": 5.0}
    for consistent, units in ((True, 2.0), (False, 1.0)):
        read = people.ok(
            "GetItem",
            TableName="people",
            Key=ANN,
            ConsistentRead=consistent,
            ReturnConsumedCapacity="TOTAL",
        )
        assert read["ConsumedCapacity"]["CapacityUnits"] == units
    missing = {"pk": {"S": "bob"}, "sk": {"N": "1"}}
    read = people.ok("GetItem", TableName="people", Key=missing, ReturnConsumedCapacity="INDEXES")
    assert read["ConsumedCapacity"] == {
        "TableName": "people",
        "CapacityUnits": 0.5,
        "Table": {"CapacityUnits": 0.5},
    }


def test_the_limit_of_an_item_is_409600_bytes(people: LocalApp) -> None:
    fixed = len("pk" + "ann" + "sk" + "v") + 2
    for length, error in ((409_600 - fixed, ""), (409_601 - fixed, "ValidationException")):
        item = {**ANN, "v": {"S": "x" * length}}
        assert people.call("PutItem", TableName="people", Item=item).error == error


def test_a_batch_with_a_key_twice_is_refused_whole(people: LocalApp) -> None:
    put = {"PutRequest": {"Item": ANN}}
    same = {"DeleteRequest": {"Key": {"pk": {"S": "ann"}, "sk": {"N": "1.0"}}}}
    reply = people.call("BatchWriteItem", RequestItems={"people": [put, same]})
    assert reply.json()["message"] == "Provided list of item keys contains duplicates"
    assert people.ok("GetItem", TableName="people", Key=ANN) == {}


def test_a_key_attribute_cannot_be_updated(people: LocalApp) -> None:
    reply = people.call(
        "UpdateItem",
        TableName="people",
        Key=ANN,
        UpdateExpression="SET sk = :v",
        ExpressionAttributeValues={":v": {"N": "2"}},
    )
    assert reply.error == "ValidationException"
    assert "This attribute is part of the key" in reply.json()["message"]


def test_a_scan_goes_on_only_in_the_segment_where_it_was(people: LocalApp) -> None:
    people.ok("PutItem", TableName="people", Item=ANN)
    scan = {"TableName": "people", "TotalSegments": 1000, "ExclusiveStartKey": ANN}
    replies = [people.call("Scan", **scan, Segment=segment) for segment in range(0, 1000, 100)]
    assert sum(reply.status == 200 for reply in replies) <= 1
    refused = next(reply for reply in replies if reply.status != 200)
    assert "Please use ExclusiveStartKey with correct Segment" in refused.json()["message"]
    people.ok("Scan", TableName="people", ExclusiveStartKey=ANN)
