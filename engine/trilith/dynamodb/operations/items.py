"""Operations on single items: get, put, update, delete."""

from __future__ import annotations

from typing import Any

from trilith.dynamodb import legacy
from trilith.dynamodb.attribute_values import (
    NAME_BYTES_MAX,
    item_from_wire,
    require_short_name,
)
from trilith.dynamodb.context import Context
from trilith.dynamodb.errors import CONDITION_FAILED, DynamoDBError, validation
from trilith.dynamodb.expressions.request import RequestExpressions
from trilith.dynamodb.operations.capacity import consumed, read_units, write_units
from trilith.dynamodb.operations.collections import collection_metrics, wants_metrics
from trilith.dynamodb.operations.keys import require_item_keys, require_key
from trilith.dynamodb.validation import check_distinct_attributes, check_expression_members
from trilith.dynamodb.wire import encode
from trilith.tables.catalog import Table
from trilith.tables.expressions.conditions import Condition
from trilith.tables.expressions.projections import Projection
from trilith.tables.expressions.updates import Update
from trilith.tables.rules.indexes import require_index_keys
from trilith.tables.service import Change, Read, Wanted
from trilith.tables.sizes import ITEM_BYTES_MAX, item_size
from trilith.tables.throughput import Kind
from trilith.tables.values import Item

_INVALID = "One or more parameter values were invalid: "
_READ_EXPRESSIONS = ("ProjectionExpression",)
_WRITE_EXPRESSIONS = ("ConditionExpression",)
_UPDATE_EXPRESSIONS = ("UpdateExpression", "ConditionExpression")
_EXPECTED = ("Expected", "ConditionalOperator")
_UPDATES = ("AttributeUpdates", *_EXPECTED)


async def find_table(context: Context, name: str, *, consistent: bool = True) -> Table:
    """Raises TableNotFound. Not `consistent`: for a read that may be of a moment ago, too."""
    table = context.catalog.try_table(name)
    if table is not None:
        return table
    return await context.catalog.table(name, consistent=consistent)


async def get_item(context: Context, document: dict[str, Any]) -> bytes:
    projection = read_projection(document)
    key = item_from_wire(document["Key"])
    consistent = document.get("ConsistentRead", False)
    table = await find_table(context, document["TableName"], consistent=consistent)
    require_key(table, key)
    context.meter.admit(table, Kind.READ, key)
    read = await read_item(context, table, key, consistent=consistent)
    units = read_units(read.size, consistent=consistent)
    context.meter.spend(table, Kind.READ, units, key)
    mode = document.get("ReturnConsumedCapacity")
    if mode is None and projection is None:
        return b"{}" if read.item is None else b'{"Item":%b}' % encode(read.item)
    answer: dict[str, Any] = {}
    if read.item is not None:
        answer["Item"] = read.item if projection is None else projection.of(read.item)
    return _with_capacity(answer, mode, table, units)


async def read_item(context: Context, table: Table, key: Item, *, consistent: bool) -> Read:
    """A local consistent read serves both kinds; only where there is none do they differ."""
    read = context.tables.try_get_item(table, key)
    if read is not None:
        return read
    return await context.tables.get_item(table, key, consistent=consistent)


def read_projection(document: dict[str, Any]) -> Projection | None:
    """What of an item is wanted; None: all. Raises DynamoDBError."""
    if "ProjectionExpression" not in document and "AttributesToGet" not in document:
        if "ExpressionAttributeNames" in document:
            check_expression_members(document, _READ_EXPRESSIONS, ("AttributesToGet",))
        return None
    check_expression_members(document, _READ_EXPRESSIONS, ("AttributesToGet",))
    names = document.get("AttributesToGet")
    if names is not None:
        check_distinct_attributes(names)
        return legacy.attributes_to_get(names)
    expressions = RequestExpressions(document)
    projection = expressions.projection()
    expressions.require_all_used()
    return projection


async def put_item(context: Context, document: dict[str, Any]) -> bytes:
    check_expression_members(document, _WRITE_EXPRESSIONS, _EXPECTED)
    show_old = _old_only(document)
    item = item_from_wire(document["Item"])
    condition = read_condition(document)
    size = new_item_size(item)
    table = await find_table(context, document["TableName"])
    check_new_item(table, item)
    wanted = Wanted(condition, old=show_old, failed=shows_failed(document))
    context.meter.admit(table, Kind.WRITE, item)
    change = await context.tables.put_item(table, item, size, wanted, context.token)
    return await _written(context, document, table, item, change, change.old)


def new_item_size(item: Item) -> int:
    """Of an item that is to be put. Raises DynamoDBError when it, or a name in it, is too large."""
    size = item_size(item)
    if size > NAME_BYTES_MAX:
        if size > ITEM_BYTES_MAX:
            raise validation("Item size has exceeded the maximum allowed size")
        for name in item:
            require_short_name(name)
    return size


def check_new_item(table: Table, item: Item) -> None:
    """The keys of an item that is to be put. Raises DynamoDBError."""
    require_item_keys(table, item)
    if table.record.indexes or table.record.global_indexes:
        require_index_keys(table.record.global_indexes, item)
        require_index_keys(table.record.indexes, item)


async def delete_item(context: Context, document: dict[str, Any]) -> bytes:
    check_expression_members(document, _WRITE_EXPRESSIONS, _EXPECTED)
    show_old = _old_only(document)
    key = item_from_wire(document["Key"])
    condition = read_condition(document)
    table = await find_table(context, document["TableName"])
    require_key(table, key)
    wanted = Wanted(condition, old=show_old, failed=shows_failed(document))
    context.meter.admit(table, Kind.WRITE, key)
    change = await context.tables.delete_item(table, key, wanted, context.token)
    return await _written(context, document, table, key, change, change.old)


async def update_item(context: Context, document: dict[str, Any]) -> bytes:
    check_expression_members(document, _UPDATE_EXPRESSIONS, _UPDATES)
    key = item_from_wire(document["Key"])
    update, condition = update_and_condition(document)
    table = await find_table(context, document["TableName"])
    require_key(table, key)
    require_no_keys_updated(table, update)
    returned = document.get("ReturnValues", "NONE")
    wanted = Wanted(
        condition,
        old=returned in ("ALL_OLD", "UPDATED_OLD"),
        new=returned in ("ALL_NEW", "UPDATED_NEW"),
        failed=shows_failed(document),
    )
    context.meter.admit(table, Kind.WRITE, key)
    change = await context.tables.update_item(table, key, update, wanted, context.token)
    shown = change.old if change.new is None else change.new
    if returned in ("UPDATED_OLD", "UPDATED_NEW"):
        shown = update.touched(shown)
    return await _written(context, document, table, key, change, shown)


def require_no_keys_updated(table: Table, update: Update) -> None:
    """Raises ValidationException when an update changes a key attribute."""
    for name in (path[0] for path in update.paths()):
        if name in table.key_kinds:
            raise validation(
                f"{_INVALID}Cannot update attribute {name}. This attribute is part of the key"
            )


def update_and_condition(document: dict[str, Any]) -> tuple[Update, Condition | None]:
    if "UpdateExpression" not in document and "ConditionExpression" not in document:
        wire = document.get("AttributeUpdates")
        update = Update() if wire is None else legacy.attribute_updates(wire)
        return update, read_condition(document)
    expressions = RequestExpressions(document)
    found = expressions.update()
    condition = expressions.condition()
    expressions.require_all_used()
    return found or Update(), condition


def read_condition(document: dict[str, Any]) -> Condition | None:
    if "Expected" in document or "ConditionalOperator" in document:
        legacy.require_operator_has_conditions(document, "Expected")
        return legacy.expected(document["Expected"], document.get("ConditionalOperator"))
    if "ConditionExpression" not in document:
        return None
    expressions = RequestExpressions(document)
    condition = expressions.condition()
    expressions.require_all_used()
    return condition


def _old_only(document: dict[str, Any]) -> bool:
    """ReturnValues of PutItem and DeleteItem."""
    found = document.get("ReturnValues", "NONE")
    if found not in ("NONE", "ALL_OLD"):
        raise validation("ReturnValues can only be ALL_OLD or NONE")
    return bool(found == "ALL_OLD")


def shows_failed(document: dict[str, Any]) -> bool:
    return document.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"


async def _written(
    context: Context,
    document: dict[str, Any],
    table: Table,
    key: Item,
    change: Change,
    shown: Item | None,
) -> bytes:
    """The answer to a write, or ConditionalCheckFailedException, which costs as much."""
    units = write_units(change.old_size, change.new_size)
    context.meter.spend(table, Kind.WRITE, units, key, change.index_units)
    if change.refused:
        raise DynamoDBError("ConditionalCheckFailedException", CONDITION_FAILED, Item=change.old)
    mode = document.get("ReturnConsumedCapacity")
    wants_collection = wants_metrics(document, table)
    if mode is None and not shown and not wants_collection:
        return b"{}"
    answer: dict[str, Any] = {}
    if shown:
        answer["Attributes"] = shown
    if wants_collection:
        answer["ItemCollectionMetrics"] = await collection_metrics(context, table, key)
    return _with_capacity(answer, mode, table, units, change.index_units)


def _with_capacity(
    answer: dict[str, Any],
    mode: str | None,
    table: Table,
    units: float,
    index_units: dict[str, int] | None = None,
) -> bytes:
    capacity = consumed(mode or "NONE", table, units, index_units)
    if capacity is not None:
        answer["ConsumedCapacity"] = capacity
    return encode(answer)
