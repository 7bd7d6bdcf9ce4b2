"""TransactWriteItems and TransactGetItems: up to 100 items together, across tables.

What is wrong with the request as such is a ValidationException; what is wrong with an action in
the light of its table or item cancels the transaction, with a reason for each action.

Source: AWS, "Amazon DynamoDB Transactions: How it works", and the API reference of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from blake3 import blake3

from trilith.dynamodb.attribute_values import item_from_wire
from trilith.dynamodb.context import Context
from trilith.dynamodb.errors import (
    CONDITION_FAILED,
    INDEX_THROUGHPUT_EXCEEDED,
    TRANSACTION_ONGOING,
    DynamoDBError,
    validation,
)
from trilith.dynamodb.operations.capacity import consumed_by_transaction, read_units, write_units
from trilith.dynamodb.operations.collections import collection_metrics, wants_metrics
from trilith.dynamodb.operations.items import (
    check_new_item,
    find_table,
    new_item_size,
    read_condition,
    read_item,
    read_projection,
    require_no_keys_updated,
    shows_failed,
    update_and_condition,
)
from trilith.dynamodb.operations.keys import require_filled_keys, require_key
from trilith.dynamodb.validation import check_expression_members
from trilith.dynamodb.wire import encode
from trilith.errors import InvalidRequest
from trilith.tables.catalog import Table
from trilith.tables.expressions.conditions import Condition
from trilith.tables.expressions.updates import Update
from trilith.tables.service import Wanted
from trilith.tables.sizes import item_size
from trilith.tables.throughput import Kind
from trilith.tables.transacting import (
    change_of,
    check_action,
    delete_action,
    put_action,
    update_action,
)
from trilith.tables.values import Item
from trilith.transactions.commands import CONDITION_FAILED as FAILED
from trilith.transactions.commands import CONFLICT, INVALID, THROTTLED, Verdict
from trilith.transactions.coordinator import Action, ClientToken

BYTES_MAX = 4 << 20
_KINDS = ("ConditionCheck", "Put", "Delete", "Update")
_ONE_KIND = "TransactItems can only contain one of Check, Put, Update or Delete"
_TWICE = "Transaction request cannot include multiple operations on one item"
_TOGETHER_TOO_LARGE = "Transaction payload size cannot exceed 4194304 bytes"
_encode_payload = msgspec.json.Encoder(order="deterministic").encode


class Reason(NamedTuple):
    """Why an action was not done; the code "None": it could have been."""

    code: str
    message: str = ""
    item: Item | None = None

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {"Code": self.code}
        if self.message:
            wire["Message"] = self.message
        if self.item is not None:
            wire["Item"] = self.item
        return wire


NO_REASON = Reason("None")


def cancelled(reasons: Sequence[Reason]) -> DynamoDBError:
    """What a transaction raises for which there are such reasons."""
    codes = ", ".join(reason.code for reason in reasons)
    message = (
        f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
    )
    return DynamoDBError(
        "TransactionCanceledException",
        message,
        Message=message,
        CancellationReasons=[reason.to_wire() for reason in reasons],
    )


class _Write:
    """One action of a TransactWriteItems, as far as it is understood without its table."""

    __slots__ = ("_condition", "_failed", "_kind", "_size", "_update", "item", "size", "table")

    def __init__(self, wire: dict[str, Any]) -> None:
        kinds = [kind for kind in _KINDS if kind in wire]
        if len(kinds) != 1:
            raise validation(_ONE_KIND)
        self._kind = kinds[0]
        request = wire[self._kind]
        self._update = Update()
        self._condition: Condition | None
        is_put, is_update = self._kind == "Put", self._kind == "Update"
        expressions = ("UpdateExpression", "ConditionExpression")
        check_expression_members(request, expressions if is_update else expressions[1:], ())
        self.item = item_from_wire(request["Item" if is_put else "Key"])
        if is_update:
            self._update, self._condition = update_and_condition(request)
        else:
            self._condition = read_condition(request)
        self._failed = shows_failed(request)
        self._size = new_item_size(self.item) if is_put else item_size(self.item)
        self.size = self._size
        values = request.get("ExpressionAttributeValues")
        if values is not None:
            self.size += item_size(item_from_wire(values))
        self.table: Table

    def check(self, table: Table, *, told: bool) -> Reason | None:
        """What of the table's schema it does not fit. Raises ValidationException.

        `told`: another action has a reason already, so this one has none.
        """
        self.table = table
        require_filled_keys(table, self.item)
        try:
            if self._kind == "Put":
                check_new_item(table, self.item)
            else:
                require_key(table, self.item)
                require_no_keys_updated(table, self._update)
        except (DynamoDBError, InvalidRequest) as error:
            return None if told else Reason(INVALID, error.message)
        return None

    def action(self) -> Action:
        wanted = Wanted(self._condition, failed=self._failed)
        table, item = self.table, self.item
        if self._kind == "Put":
            return put_action(table, item, self._size, wanted)
        if self._kind == "Update":
            return update_action(table, item, self._update, wanted)
        if self._kind == "Delete":
            return delete_action(table, item, wanted)
        return check_action(table, item, wanted)


def _require_distinct(named: Sequence[tuple[Table, Item]]) -> None:
    """Of all actions, also of those whose keys do not fit their table."""
    told = {
        (table.table_id, encode([item.get(name) for name in table.key_names]))
        for table, item in named
    }
    if len(told) != len(named):
        raise validation(_TWICE)


class ItemWrites:
    """The actions of a TransactWriteItems, which may go together with others.

    `unfit`: a reason for each action that does not fit its table, if any; None for the others.
    """

    def __init__(self, context: Context, writes: list[_Write], unfit: list[Reason | None]) -> None:
        self._context = context
        self._writes = writes
        self._actions: list[Action] = []
        self.unfit = unfit if any(unfit) else []

    @classmethod
    async def read(cls, context: Context, items: list[dict[str, Any]]) -> ItemWrites:
        """`items`: TransactItems. Raises ValidationException, ResourceNotFoundException."""
        writes = [_Write(wire) for wire in items]
        if sum(write.size for write in writes) > BYTES_MAX:
            raise validation(_TOGETHER_TOO_LARGE)
        names = [wire["TableName"] for one in items for wire in one.values()]
        unfit: list[Reason | None] = []
        for write, name in zip(writes, names, strict=True):
            # As with AWS, only the first of those that do not fit is told.
            unfit.append(write.check(await find_table(context, name), told=any(unfit)))
        _require_distinct([(write.table, write.item) for write in writes])
        return cls(context, writes, unfit)

    def admitted(self) -> list[Action]:
        """The actions, once their tables' throughput has room for them."""
        self._actions = [write.action() for write in self._writes]
        for write in self._writes:
            self._context.meter.admit(write.table, Kind.WRITE, write.item)
        return self._actions

    def reasons(self, verdicts: Sequence[Verdict]) -> list[Reason]:
        return [
            _reason(self._context, write.table, action, verdict)
            for write, action, verdict in zip(self._writes, self._actions, verdicts, strict=True)
        ]

    async def written(self, document: dict[str, Any], verdicts: list[Verdict]) -> bytes:
        """The answer to a committed transaction, whose capacity is spent."""
        return await _written(self._context, document, self._writes, verdicts)

    async def replayed(self, document: dict[str, Any]) -> bytes:
        """The answer where it was committed before."""
        return await _replayed(self._context, document, self._writes)


async def transact_write_items(context: Context, document: dict[str, Any]) -> bytes:
    writes = await ItemWrites.read(context, document["TransactItems"])
    client = _client_token(context, document)
    if writes.unfit:
        if client is not None:  # another request's token is told first
            await context.transactions.was_replayed(client)
        raise cancelled([reason or NO_REASON for reason in writes.unfit])
    ended = await context.transactions.execute(writes.admitted(), client)
    if not ended.is_committed:
        raise cancelled(writes.reasons(ended.verdicts))
    if ended.is_replay:
        return await writes.replayed(document)
    return await writes.written(document, ended.verdicts)


def _client_token(context: Context, document: dict[str, Any]) -> ClientToken | None:
    token = document.get("ClientRequestToken")
    if token is None:
        return None
    payload = blake3(_encode_payload(document["TransactItems"])).digest()[:16]
    return ClientToken(f"{context.account_id}/{token}".encode(), payload)


def _reason(context: Context, table: Table, action: Action, verdict: Verdict) -> Reason:
    if not verdict.code:
        return NO_REASON
    if verdict.code == CONFLICT:
        return Reason(CONFLICT, TRANSACTION_ONGOING)
    if verdict.code == FAILED:
        item = context.snapshots.failed_item(table, action.key, verdict)
        return Reason(FAILED, CONDITION_FAILED, item)
    if verdict.code == THROTTLED:
        return Reason(THROTTLED, INDEX_THROUGHPUT_EXCEEDED)
    return Reason(verdict.code, verdict.message)


async def _written(
    context: Context, document: dict[str, Any], writes: list[_Write], verdicts: list[Verdict]
) -> bytes:
    mode = document.get("ReturnConsumedCapacity", "NONE")
    spent: dict[str, tuple[Table, float, dict[str, float]]] = {}
    for write, verdict in zip(writes, verdicts, strict=True):
        change = change_of(write.table, verdict)
        units = 2 * write_units(change.old_size, change.new_size)
        by_index = {name: 2.0 * index for name, index in change.index_units.items()}
        context.meter.spend(write.table, Kind.WRITE, units, write.item, by_index)
        if mode != "NONE":
            table, total, indexes = spent.get(write.table.name, (write.table, 0.0, {}))
            for name, index_units in by_index.items():
                indexes[name] = indexes.get(name, 0.0) + index_units
            spent[table.name] = (table, total + units, indexes)
    answer: dict[str, Any] = {}
    if mode != "NONE":
        answer["ConsumedCapacity"] = [
            consumed_by_transaction(mode, "WriteCapacityUnits", *one) for one in spent.values()
        ]
    metrics: dict[str, list[Any]] = {}
    for write in writes:
        if wants_metrics(document, write.table):
            collection = await collection_metrics(context, write.table, write.item)
            found = metrics.setdefault(write.table.name, [])
            if collection not in found:
                found.append(collection)
    if metrics:
        answer["ItemCollectionMetrics"] = metrics
    return encode(answer)


async def _replayed(context: Context, document: dict[str, Any], writes: list[_Write]) -> bytes:
    """A transaction that was committed before costs as reading its items does."""
    mode = document.get("ReturnConsumedCapacity", "NONE")
    spent: dict[str, tuple[Table, float]] = {}
    for write in writes:
        table = write.table
        key = {name: write.item[name] for name in table.key_names}
        size = 0
        if mode != "NONE":
            size = (await read_item(context, table, key, consistent=True)).size
        units = 2 * read_units(size, consistent=True)
        context.meter.spend(table, Kind.READ, units, key)
        spent[table.name] = (table, spent.get(table.name, (table, 0.0))[1] + units)
    if mode == "NONE":
        return b"{}"
    capacities = [
        consumed_by_transaction(mode, "ReadCapacityUnits", *one) for one in spent.values()
    ]
    return encode({"ConsumedCapacity": capacities})


async def transact_get_items(context: Context, document: dict[str, Any]) -> bytes:
    requests = [one["Get"] for one in document["TransactItems"]]
    projections = [read_projection(request) for request in requests]
    keys = [item_from_wire(request["Key"]) for request in requests]
    tables = [await find_table(context, request["TableName"]) for request in requests]
    unfit = [_unfit_key(table, key) for table, key in zip(tables, keys, strict=True)]
    wanted = list(zip(tables, keys, strict=True))
    _require_distinct(wanted)
    if any(unfit):
        raise cancelled([reason or NO_REASON for reason in unfit])
    for table, key in wanted:
        context.meter.admit(table, Kind.READ, key)
    snapshot = await context.snapshots.read(wanted)
    if snapshot.conflicts:
        conflict = Reason(CONFLICT, TRANSACTION_ONGOING)
        raise cancelled(
            [conflict if at in snapshot.conflicts else NO_REASON for at in range(len(wanted))]
        )
    if sum(read.size for read in snapshot.reads) > BYTES_MAX:
        raise validation(_TOGETHER_TOO_LARGE)
    mode = document.get("ReturnConsumedCapacity", "NONE")
    spent: dict[str, tuple[Table, float]] = {}
    responses: list[dict[str, Any]] = []
    for (table, key), projection, read in zip(wanted, projections, snapshot.reads, strict=True):
        units = 2 * read_units(read.size, consistent=True)
        context.meter.spend(table, Kind.READ, units, key)
        spent[table.name] = (table, spent.get(table.name, (table, 0.0))[1] + units)
        if read.item is None:
            responses.append({})
        else:
            shown = read.item if projection is None else projection.of(read.item)
            responses.append({"Item": shown})
    answer: dict[str, Any] = {"Responses": responses}
    if mode != "NONE":
        answer["ConsumedCapacity"] = [
            consumed_by_transaction(mode, "ReadCapacityUnits", *one) for one in spent.values()
        ]
    return encode(answer)


def _unfit_key(table: Table, key: Item) -> Reason | None:
    require_filled_keys(table, key)
    try:
        require_key(table, key)
    except DynamoDBError as error:
        return Reason(INVALID, error.message)
    return None
