"""BatchGetItem and BatchWriteItem: many single operations, each on its own.

What cannot be done now comes back as unprocessed; a batch in which nothing was done fails. (Unless
transactions were in the way of all of it: there is no exception for that in a batch.) Answers name
a table as their request did, by its name or its ARN.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from trilith.dynamodb.attribute_values import SEVERAL, item_from_wire
from trilith.dynamodb.context import Context
from trilith.dynamodb.errors import validation
from trilith.dynamodb.operations.capacity import consumed, read_units, write_units
from trilith.dynamodb.operations.collections import collection_metrics, wants_metrics
from trilith.dynamodb.operations.items import (
    check_new_item,
    find_table,
    new_item_size,
    read_item,
    read_projection,
)
from trilith.dynamodb.operations.keys import require_key
from trilith.dynamodb.shapes import table_named
from trilith.dynamodb.wire import encode
from trilith.errors import (
    OutcomeUnknown,
    ThroughputExceeded,
    TransactionConflict,
    TrilithError,
    Unavailable,
)
from trilith.tables.catalog import Table
from trilith.tables.layout import stem_of
from trilith.tables.service import Change, Wanted
from trilith.tables.sources import item_key
from trilith.tables.throughput import Kind
from trilith.tables.values import Item

GET_KEYS_MAX = 100
WRITES_MAX = 25
ANSWER_BYTES_MAX = 16 << 20
_DUPLICATES = "Provided list of item keys contains duplicates"
_PLAIN = Wanted()
# What leaves one request of a batch to be sent again, and has no say in the others. Of a put or a
# deletion that includes an unknown outcome: doing it again settles it.
_Left = Unavailable | TransactionConflict | OutcomeUnknown
_LEFT = (Unavailable, TransactionConflict, OutcomeUnknown)


async def batch_get_item(context: Context, document: dict[str, Any]) -> bytes:
    requested: dict[str, dict[str, Any]] = document["RequestItems"]
    if sum(len(one["Keys"]) for one in requested.values()) > GET_KEYS_MAX:
        raise validation("Too many items requested for the BatchGetItem call")
    mode = document.get("ReturnConsumedCapacity", "NONE")
    plans = []
    for name, one in requested.items():
        projection = read_projection(one)
        keys = [item_from_wire(key) for key in one["Keys"]]
        # As they came: the service does not normalise the numbers of these.
        if any(key in one["Keys"][:position] for position, key in enumerate(one["Keys"])):
            raise validation(_DUPLICATES)
        plans.append((name, one, keys, projection))
    responses: dict[str, list[Item]] = {}
    unprocessed: dict[str, dict[str, Any]] = {}
    capacities = []
    total = processed = 0
    failure: TrilithError | None = None
    is_cut_short = False  # by a read that waited in vain: the others are not to wait in turn
    for name, one, keys, projection in plans:
        consistent = one.get("ConsistentRead", False)
        table = await find_table(context, table_named(name), consistent=consistent)
        for key in keys:
            require_key(table, key)
        found = responses.setdefault(name, [])
        units = 0.0
        for position, key in enumerate(keys):
            read = None
            if total <= ANSWER_BYTES_MAX and not is_cut_short:
                try:
                    context.meter.admit(table, Kind.READ, key)
                    read = await read_item(context, table, key, consistent=consistent)
                except _LEFT as error:
                    failure = error
                    is_cut_short = not isinstance(error, ThroughputExceeded)
            if read is None:
                unprocessed[name] = {**one, "Keys": one["Keys"][position:]}
                break
            item_units = read_units(read.size, consistent=consistent)
            context.meter.spend(table, Kind.READ, item_units, key)
            units += item_units
            processed += 1
            total += read.size
            if read.item is not None:
                found.append(read.item if projection is None else projection.of(read.item))
        capacities.append(consumed(mode, table, units))
    if failure is not None and not processed and not isinstance(failure, TransactionConflict):
        raise failure
    answer: dict[str, Any] = {"Responses": responses, "UnprocessedKeys": unprocessed}
    if mode != "NONE":
        answer["ConsumedCapacity"] = capacities
    return encode(answer)


class _Write:
    """One request of a BatchWriteItem: `item` to put, or `key` to delete."""

    __slots__ = ("item", "key", "size", "table", "wire")

    def __init__(self, wire: dict[str, Any]) -> None:
        if ("PutRequest" in wire) == ("DeleteRequest" in wire):
            raise validation(SEVERAL)
        self.wire = wire
        self.item: Item | None = None
        self.key: Item = {}
        self.size = 0
        self.table: Table
        if "PutRequest" in wire:
            self.item = item_from_wire(wire["PutRequest"]["Item"])
            self.size = new_item_size(self.item)
        else:
            self.key = item_from_wire(wire["DeleteRequest"]["Key"])

    def check(self, table: Table) -> bytes:
        """The logical key of the item, all checks against the schema done."""
        self.table = table
        if self.item is None:
            require_key(table, self.key)
            return item_key(table, self.key)
        check_new_item(table, self.item)
        return item_key(table, self.item)

    async def run(self, context: Context, ahead: defaultdict[bytes, float]) -> Change | _Left:
        """`ahead`: by table, the units of those of the batch that were admitted and have yet to
        pay, as far as they are known.
        """
        attributes = self.key if self.item is None else self.item
        table_id, least = self.table.table_id, write_units(0, self.size)
        try:
            context.meter.admit(self.table, Kind.WRITE, attributes, ahead=ahead[table_id])
            ahead[table_id] += least
            try:
                change = await self._write(context)
            finally:
                ahead[table_id] -= least
        except _LEFT as error:
            return error
        units = write_units(change.old_size, change.new_size)
        context.meter.spend(self.table, Kind.WRITE, units, attributes, change.index_units)
        return change

    async def _write(self, context: Context) -> Change:
        tables, token = context.tables, context.token
        if self.item is None:
            return await tables.delete_item(self.table, self.key, _PLAIN, token)
        return await tables.put_item(self.table, self.item, self.size, _PLAIN, token)


async def batch_write_item(context: Context, document: dict[str, Any]) -> bytes:
    requested: dict[str, list[dict[str, Any]]] = document["RequestItems"]
    if sum(len(writes) for writes in requested.values()) > WRITES_MAX:
        raise validation("Too many items requested for the BatchWriteItem call")
    mode = document.get("ReturnConsumedCapacity", "NONE")
    planned = [(name, _Write(wire)) for name, wires in requested.items() for wire in wires]
    keys: set[bytes] = set()
    for name, write in planned:
        key = write.check(await find_table(context, table_named(name)))
        if key in keys:
            raise validation(_DUPLICATES)
        keys.add(key)
    ahead: defaultdict[bytes, float] = defaultdict(float)
    changes = await asyncio.gather(*(write.run(context, ahead) for _, write in planned))
    if all(isinstance(change, _LEFT) for change in changes):
        failures = [one for one in changes if isinstance(one, Unavailable | OutcomeUnknown)]
        if failures:
            # Nobody may be told that nothing was done where that is not known.
            raise next((one for one in failures if isinstance(one, OutcomeUnknown)), failures[0])
    unprocessed: dict[str, list[dict[str, Any]]] = {}
    spent: dict[str, tuple[Table, float, dict[str, int]]] = {}
    for (name, write), change in zip(planned, changes, strict=True):
        if isinstance(change, _LEFT):
            unprocessed.setdefault(name, []).append(write.wire)
            continue
        table, units, indexes = spent.get(name, (write.table, 0.0, {}))
        for index, index_units in change.index_units.items():
            indexes[index] = indexes.get(index, 0) + index_units
        spent[name] = (table, units + write_units(change.old_size, change.new_size), indexes)
    answer: dict[str, Any] = {"UnprocessedItems": unprocessed}
    collections = await _collections(context, document, planned, changes)
    if collections:
        answer["ItemCollectionMetrics"] = collections
    if mode != "NONE":
        answer["ConsumedCapacity"] = [consumed(mode, *one) for one in spent.values()]
    return encode(answer)


async def _collections(
    context: Context,
    document: dict[str, Any],
    planned: list[tuple[str, _Write]],
    changes: list[Change | _Left],
) -> dict[str, list[dict[str, Any]]]:
    """By table, each collection that was written once."""
    found: dict[str, list[dict[str, Any]]] = {}
    seen = set()
    for (name, write), change in zip(planned, changes, strict=True):
        if isinstance(change, _LEFT) or not wants_metrics(document, write.table):
            continue
        attributes = write.key if write.item is None else write.item
        stem = stem_of(write.table.table_id, attributes[write.table.partition_name])
        if stem not in seen:
            seen.add(stem)
            metrics = await collection_metrics(context, write.table, attributes)
            found.setdefault(name, []).append(metrics)
    return found
