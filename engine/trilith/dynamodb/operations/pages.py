"""Query and Scan: pages of items, filtered and projected after they are counted."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from trilith.dynamodb import legacy
from trilith.dynamodb.context import Context
from trilith.dynamodb.errors import validation
from trilith.dynamodb.expressions.request import RequestExpressions
from trilith.dynamodb.operations.capacity import consumed, read_units
from trilith.dynamodb.operations.items import find_table
from trilith.dynamodb.operations.keys import start_key
from trilith.dynamodb.validation import (
    check_distinct_attributes,
    check_expression_members,
    check_segments,
)
from trilith.dynamodb.wire import encode
from trilith.tables.catalog import Table
from trilith.tables.definitions import ACTIVE, CREATING, GlobalIndex
from trilith.tables.expressions.conditions import Condition
from trilith.tables.expressions.key_conditions import (
    KeyCondition,
    KeyTerms,
    for_composite,
    for_schema,
)
from trilith.tables.expressions.operands import Attribute
from trilith.tables.expressions.projections import Projection
from trilith.tables.global_entries import held_names, key_values
from trilith.tables.paths import Path
from trilith.tables.service import ItemsPage
from trilith.tables.sources import Index
from trilith.tables.values import Item, Value

_INVALID = "One or more parameter values were invalid: "
_LIMIT_NONE = 1 << 31
_QUERY_EXPRESSIONS = ("ProjectionExpression", "FilterExpression", "KeyConditionExpression")
_QUERY_LEGACY = ("AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions")
_SCAN_EXPRESSIONS = ("ProjectionExpression", "FilterExpression")
_SCAN_LEGACY = ("AttributesToGet", "ScanFilter", "ConditionalOperator")


class _Reading:
    """What Query and Scan share of a request: filter, projection, index, what to count."""

    def __init__(self, document: dict[str, Any], filter_member: str) -> None:
        self.document = document
        self.key_terms: KeyTerms | None = None
        self.filter: Condition | None = None
        self.projection: Projection | None = None
        self._parse(filter_member)
        self.select = self._checked_select()

    def _parse(self, filter_member: str) -> None:
        document = self.document
        legacy.require_operator_has_conditions(document, filter_member)
        if filter_member in document:
            operator = document.get("ConditionalOperator")
            self.filter = legacy.condition_filter(document[filter_member], operator)
        if "AttributesToGet" in document:
            check_distinct_attributes(document["AttributesToGet"])
            self.projection = legacy.attributes_to_get(document["AttributesToGet"])
        if "KeyConditions" in document:
            self.key_terms = legacy.key_terms(document["KeyConditions"])
        expressions = RequestExpressions(document)
        if "ProjectionExpression" in document:
            self.projection = expressions.projection()
        if "FilterExpression" in document:
            self.filter = expressions.condition("FilterExpression")
        if "KeyConditionExpression" in document:
            self.key_terms = expressions.key_terms()
        expressions.require_all_used()

    def _checked_select(self) -> str:
        select: str | None = self.document.get("Select")
        if select is None:
            return "ALL" if self.projection is None else "SPECIFIC_ATTRIBUTES"
        if self.projection is not None and select != "SPECIFIC_ATTRIBUTES":
            member = (
                "AttributesToGet" if "AttributesToGet" in self.document else "ProjectionExpression"
            )
            raise validation(f"Cannot specify the {member} when choosing to get {_NAMED[select]}")
        if self.projection is None and select == "SPECIFIC_ATTRIBUTES":
            raise validation(
                "Must specify the AttributesToGet or ProjectionExpression when choosing to get "
                "SPECIFIC_ATTRIBUTES"
            )
        if select == "ALL_PROJECTED_ATTRIBUTES" and "IndexName" not in self.document:
            raise validation(
                "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName"
            )
        return select

    def index_of(self, table: Table) -> Index | None:
        """The index that is to be read. Raises DynamoDBError when it cannot be, or not so."""
        name = self.document.get("IndexName")
        if name is None:
            return None
        local = table.record.index(name)
        if local is not None:
            return local
        index = table.record.global_index(name)
        if index is None or index.status not in (ACTIVE, CREATING):
            raise validation(f"The table does not have the specified index: {name}")
        if self.is_consistent:
            raise validation("Consistent reads are not supported on global secondary indexes")
        if index.status == CREATING:
            raise validation(f"Cannot read from backfilling global secondary index: {name}")
        self._require_projected(table, index)
        return index

    def _require_projected(self, table: Table, index: GlobalIndex) -> None:
        """What a global index does not hold cannot be read through it."""
        if self.select == "ALL_ATTRIBUTES" and index.projection != "ALL":
            raise validation(
                f"{_INVALID}Select type ALL_ATTRIBUTES is not supported for global secondary index "
                f"{index.name} because its projection type is not ALL"
            )
        missing = self._names_not_held(table, index)
        if missing:
            raise validation(
                f"{_INVALID}Global secondary index {index.name} does not project "
                f"[{', '.join(missing)}]"
            )

    def _names_not_held(self, table: Table, index: Index) -> list[str]:
        """Attributes that are asked for by name and that an index's entries cannot hold."""
        if index.projection == "ALL" or self.projection is None:
            return []
        held = held_names(index, table.key_names)
        wanted = (*self.projection.names, *self.projection.trees)
        return [name for name in wanted if name not in held]

    def fetches(self, table: Table, index: Index | None) -> bool:
        """Whether attributes are wanted that a local index's entries do not hold."""
        if index is None or isinstance(index, GlobalIndex) or index.projection == "ALL":
            return False
        return self.select == "ALL_ATTRIBUTES" or bool(self._names_not_held(table, index))

    def refuse_filter_on(self, names: Collection[str], member: str) -> None:
        if self.filter is None:
            return
        for path in _paths_in(self.filter):
            if path[0] in names:
                raise validation(
                    f"{member} can only contain non-primary key attributes: "
                    f"Primary key attribute: {path[0]}"
                )

    def answer(self, table: Table, index: Index | None, page: ItemsPage) -> bytes:
        items = page.items
        scanned = len(items)
        if self.filter is not None:
            holds = self.filter.holds
            items = [item for item in items if holds(item)]
        answer: dict[str, Any] = {"Count": len(items), "ScannedCount": scanned}
        if self.select != "COUNT":
            if self.projection is not None:
                items = [self.projection.of(item) for item in items]
            answer["Items"] = items
        if page.last is not None:
            answer["LastEvaluatedKey"] = page.last
        mode = self.document.get("ReturnConsumedCapacity", "NONE")
        if mode != "NONE":
            units = self.units(page)
            if index is None:
                answer["ConsumedCapacity"] = consumed(mode, table, units)
            else:
                answer["ConsumedCapacity"] = consumed(mode, table, 0.0, {index.name: units})
        return encode(answer)

    def units(self, page: ItemsPage) -> float:
        """Of everything read, before the filter."""
        return read_units(page.size, consistent=self.is_consistent)

    @property
    def is_consistent(self) -> bool:
        return bool(self.document.get("ConsistentRead", False))

    @property
    def limit(self) -> int:
        return int(self.document.get("Limit", _LIMIT_NONE))


_NAMED = {
    "ALL_ATTRIBUTES": "ALL_ATTRIBUTES",
    "ALL_PROJECTED_ATTRIBUTES": "ALL_PROJECTED_ATTRIBUTES",
    "COUNT": "only the Count",
}


def _paths_in(node: Any) -> Iterator[Path]:
    """Every document path in a condition."""
    if isinstance(node, Attribute):
        yield node.path
    elif isinstance(node, msgspec.Struct):
        for field in node.__struct_fields__:
            value = getattr(node, field)
            if field == "path":
                yield value
            elif isinstance(value, msgspec.Struct):
                yield from _paths_in(value)
            elif isinstance(value, tuple):
                for one in value:
                    yield from _paths_in(one)


async def query(context: Context, document: dict[str, Any]) -> bytes:
    check_expression_members(document, _QUERY_EXPRESSIONS, _QUERY_LEGACY)
    reading = _Reading(document, "QueryFilter")
    if reading.key_terms is None:
        raise validation(
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in "
            "the request."
        )
    table = await find_table(context, document["TableName"], consistent=reading.is_consistent)
    index = reading.index_of(table)
    after = start_key(table, index, document)
    condition = _key_condition(reading.key_terms, table, index)
    member = "QueryFilter" if "QueryFilter" in document else "Filter Expression"
    reading.refuse_filter_on(_key_names(table, index), member)
    if after is not None:
        refusal = condition.refusal_of_start(*_key_values(table, index, after))
        if refusal is not None:
            raise validation(refusal)
    key = {table.partition_name: condition.partition} if index is None else None
    context.meter.admit_read(table, index, key)
    page = await context.tables.query(
        table,
        condition,
        index=index,
        after=after,
        reverse=not document.get("ScanIndexForward", True),
        limit=reading.limit,
        consistent=reading.is_consistent,
        fetch=reading.fetches(table, index),
    )
    context.meter.spend_read(table, index, reading.units(page), key)
    return reading.answer(table, index, page)


def _key_condition(terms: KeyTerms, table: Table, index: Index | None) -> KeyCondition:
    if isinstance(index, GlobalIndex):
        partition = [(key.name, key.kind) for key in index.partition_attributes()]
        sort = [(key.name, key.kind) for key in index.sort_attributes()]
        if len(partition) > 1 or len(sort) > 1:
            return for_composite(terms, partition, sort)
        return for_schema(terms, partition[0], sort[0] if sort else None)
    by, record = table.record.sort if index is None else index.sort, table.record
    return for_schema(
        terms,
        (record.partition.name, record.partition.kind),
        None if by is None else (by.name, by.kind),
    )


def _key_names(table: Table, index: Index | None) -> tuple[str, ...]:
    """Of the attributes that the condition is on, or may be on."""
    if isinstance(index, GlobalIndex):
        return tuple([key.name for key in index.key_attributes()])
    if index is not None:
        return (table.partition_name, index.sort.name)
    return table.key_names


def _key_values(table: Table, index: Index | None, key: Item) -> tuple[Value, Value | None]:
    """Partition and sort key, in what is read, of an ExclusiveStartKey."""
    if isinstance(index, GlobalIndex):
        return key_values(index, key)
    sort_name = table.sort_name if index is None else index.sort.name
    return key[table.partition_name], None if sort_name is None else key[sort_name]


async def scan(context: Context, document: dict[str, Any]) -> bytes:
    check_expression_members(document, _SCAN_EXPRESSIONS, _SCAN_LEGACY)
    check_segments(document)
    reading = _Reading(document, "ScanFilter")
    table = await find_table(context, document["TableName"], consistent=reading.is_consistent)
    index = reading.index_of(table)
    context.meter.admit_read(table, index)
    page = await context.tables.scan(
        table,
        index=index,
        after=start_key(table, index, document),
        segment=document.get("Segment", 0),
        segments=document.get("TotalSegments", 1),
        limit=reading.limit,
        consistent=reading.is_consistent,
        fetch=reading.fetches(table, index),
    )
    context.meter.spend_read(table, index, reading.units(page))
    return reading.answer(table, index, page)
