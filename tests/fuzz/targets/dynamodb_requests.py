"""The whole DynamoDB protocol over local twins of the partitions, in two ways.

`dynamodb_requests` takes requests as a person would write them, one after another:

    PutItem {"TableName": "things", "Item": {"p": {"S": "a"}, "s": {"N": "1"}}}
    GetItem {"TableName": "things", "Key": {"p": {"S": "a"}, "s": {"N": "1"}}}

`dynamodb_shapes` builds each from botocore's model of its operation, and breaks it here and there.
Whatever is asked, the answer is one of AWS's: never a defect of ours, never half of an answer, and
the item that was there before is there afterwards unless something took it.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from botocore import session
from botocore.model import ListShape, MapShape, Shape, StructureShape
from tests.dynamodb.local_app import LocalApp, Reply
from tests.fuzz.target import Choices, target

from trilith.dynamodb.routing import SERVED, SERVED_OF_STREAMS

TABLE: dict[str, Any] = {
    "TableName": "things",
    "KeySchema": [
        {"AttributeName": "p", "KeyType": "HASH"},
        {"AttributeName": "s", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "p", "AttributeType": "S"},
        {"AttributeName": "s", "AttributeType": "N"},
        {"AttributeName": "g", "AttributeType": "B"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
    "LocalSecondaryIndexes": [
        {
            "IndexName": "local",
            "KeySchema": [
                {"AttributeName": "p", "KeyType": "HASH"},
                {"AttributeName": "g", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "global",
            "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["v"]},
        }
    ],
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
}
KEY = {"p": {"S": "a"}, "s": {"N": "1"}}
ITEM = {**KEY, "g": {"B": "AAE="}, "v": {"L": [{"N": "1"}, {"M": {"m": {"NULL": True}}}]}}
ARN = "arn:aws:dynamodb:us-east-1:000000000001:table/things"
REQUESTS_MAX = 4
DEPTH_MAX = 6
OPERATIONS = (*SERVED, *SERVED_OF_STREAMS)
NEVER = (500, 502, 503)

_MODELS = [session.get_session().get_service_model(n) for n in ("dynamodb", "dynamodbstreams")]
_INPUTS: dict[str, StructureShape] = {
    name: model.operation_model(name).input_shape
    for model in _MODELS
    for name in model.operation_names
    if name in OPERATIONS
}
# What gets a document past the first checks.
STRINGS = (
    "things",
    "global",
    "local",
    "p",
    "s",
    "g",
    "v",
    "a",
    "1",
    "-0.5e1",
    "AAE=",
    "#n",
    ":v",
    ARN,
    "p = :v",
    "SET v[0] = :v REMOVE #n ADD s :v DELETE v :v",
    "SET #n = if_not_exists(v, :v) + :v",
    "attribute_exists(p) AND size(v) > :v OR NOT v IN (:v, :v)",
    "v[1].m, #n",
    "ALL_OLD",
    "UPDATED_NEW",
    "EQ",
    "BETWEEN",
    "AND",
    "TOTAL",
    "SIZE",
    "TRIM_HORIZON",
    "",
    "x" * 300,
)
INTEGERS = (0, 1, 2, 5, -1, 100, 1001, 1 << 31, 1 << 63, 1 << 70)
ODD = (None, True, [], {}, "", 1.5, [None], {"S": "a"}, {"N": "1", "S": "a"}, [[]], "\ud800")


class _Defects(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record)


DEFECTS = _Defects()
logging.getLogger("trilith").addHandler(DEFECTS)


def _document(shape: Shape, choices: Choices, depth: int) -> Any:
    if choices.integer(0, 31) == 31:
        return choices.pick(ODD)
    if isinstance(shape, StructureShape):
        return _structure(shape, choices, depth)
    if isinstance(shape, ListShape):
        count = choices.integer(0, 2) if depth < DEPTH_MAX else 0
        return [_document(shape.member, choices, depth + 1) for _ in range(count)]
    if isinstance(shape, MapShape):
        count = choices.integer(0, 2) if depth < DEPTH_MAX else 0
        return {
            choices.pick(STRINGS): _document(shape.value, choices, depth + 1) for _ in range(count)
        }
    if shape.type_name == "boolean":
        return choices.flag()
    if shape.type_name in ("integer", "long"):
        return choices.pick(INTEGERS)
    enum = getattr(shape, "enum", None)
    return choices.pick(tuple(enum)) if enum and choices.flag() else choices.pick(STRINGS)


def _structure(shape: StructureShape, choices: Choices, depth: int) -> Any:
    if shape.name == "AttributeValue":  # one kind, nearly always
        names = [choices.pick(tuple(shape.members))]
    elif depth == 0 and "TableName" in shape.members and choices.integer(0, 7):
        names = [n for n in shape.members if n == "TableName" or not choices.integer(0, 3)]
    else:
        names = [n for n in shape.members if n in shape.required_members or choices.flag()]
    if depth >= DEPTH_MAX:
        names = [name for name in names if name in shape.required_members][:1]
    document = {name: _document(shape.members[name], choices, depth + 1) for name in names}
    if depth == 0 and "TableName" in document and choices.integer(0, 7):
        document["TableName"] = "things"
    if "Key" in document and choices.integer(0, 3):
        document["Key"] = KEY
    return document


def judge(operation: str, asked: object, reply: Reply) -> None:
    if DEFECTS.found:
        record = DEFECTS.found.pop()
        DEFECTS.found.clear()
        error = (record.exc_info or (None, None))[1]
        raise AssertionError(f"{operation} {asked!r}: {record.getMessage()}") from error
    assert reply.status not in NEVER, (operation, asked, reply.body)
    answer = reply.json() if reply.body else {}
    if reply.status != 200:
        assert answer["__type"].count("#") == 1, answer
        assert "message" in {name.lower() for name in answer}, (operation, asked, answer)


def begin() -> LocalApp:
    DEFECTS.found.clear()  # of whoever else runs in this process
    app = LocalApp()
    app.ok("CreateTable", **TABLE)
    app.ok("PutItem", TableName="things", Item=ITEM)
    return app


def _still_there(app: LocalApp, changed: bool) -> None:
    reply = app.call("GetItem", TableName="things", Key=KEY, ConsistentRead=True)
    judge("GetItem", KEY, reply)
    if not changed:
        assert reply.json()["Item"] == ITEM, reply.body


def _changes(operation: str) -> bool:
    return operation.startswith(("Put", "Update", "Delete", "BatchWrite", "TransactWrite"))


@target(words=(*(f"\n{name} ".encode() for name in OPERATIONS), b'{"TableName":"things",'))
def dynamodb_requests(data: bytes) -> None:
    app, changed = begin(), False
    for line in data.split(b"\n")[:REQUESTS_MAX]:
        name, _, body = line.partition(b" ")
        operation = name.decode("latin-1")
        if operation not in OPERATIONS:
            continue
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = body.decode("latin-1")
        reply = app.call(operation, document)
        judge(operation, document, reply)
        changed = changed or (reply.status == 200 and _changes(operation))
    _still_there(app, changed)


@target()
def dynamodb_shapes(data: bytes) -> None:
    choices, app, changed = Choices(data), begin(), False
    for _ in range(REQUESTS_MAX):
        if not choices:
            break
        operation = choices.pick(OPERATIONS)
        document = _document(_INPUTS[operation], choices, 0)
        reply = app.call(operation, document)
        judge(operation, document, reply)
        changed = changed or (reply.status == 200 and _changes(operation))
    _still_there(app, changed)
