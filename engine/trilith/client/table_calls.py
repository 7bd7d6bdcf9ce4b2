"""Requests of the Tables service about items, for both clients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trilith.client import types
from trilith.client.access import new_request_token
from trilith.client.rpc import Call, Rpc, rpc_of
from trilith.client.values import Item, fill_item, item_message, item_of, placeholders
from trilith.errors import PreconditionFailed
from trilith.wire.v1 import tables_pb2 as wire

Names = Mapping[str, str] | None
Found = dict[str, Any] | None

BATCH_WRITES_MAX = 25
BATCH_KEYS_MAX = 100
BATCH_BYTES_MAX = 4 << 20  # a message holds 6 MiB
_RETURNED = {
    "NONE": wire.RETURNED_NONE,
    "ALL_OLD": wire.RETURNED_ALL_OLD,
    "ALL_NEW": wire.RETURNED_ALL_NEW,
    "UPDATED_OLD": wire.RETURNED_UPDATED_OLD,
    "UPDATED_NEW": wire.RETURNED_UPDATED_NEW,
}


def _rpc(name: str) -> Rpc:
    return rpc_of(wire.DESCRIPTOR, "Tables", name)


_GET = _rpc("GetItem")
_PUT = _rpc("PutItem")
_UPDATE = _rpc("UpdateItem")
_DELETE = _rpc("DeleteItem")
_BATCH_GET = _rpc("BatchGetItem")
_BATCH_WRITE = _rpc("BatchWriteItem")
_QUERY = _rpc("Query")
_SCAN = _rpc("Scan")


@dataclass(frozen=True, slots=True)
class Condition:
    """What a write depends on: an expression, and what its placeholders stand for."""

    expression: str | None = None
    names: Names = None
    values: Item | None = None

    def terms(
        self, returning: str = "NONE", *, return_failed: bool = False, token: bytes | None = None
    ) -> wire.WriteTerms:
        """Raises ValueError."""
        if returning not in _RETURNED:
            raise ValueError(f"returning is one of {', '.join(_RETURNED)}, not {returning!r}")
        return wire.WriteTerms(
            condition=self.expression or "",
            placeholders=placeholders(self.names, self.values),
            returned=_RETURNED[returning],
            return_failed=return_failed,
            token=new_request_token() if token is None else token,
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """What Query and Scan share."""

    index: str | None = None
    filter: str | None = None
    projection: str | None = None
    names: Names = None
    values: Item | None = None
    limit: int = 0
    start_key: Item | None = None
    consistent: bool = False
    count_only: bool = False

    def after(self, last_key: Item) -> Reading:
        """The same from the next page on."""
        return replace(self, start_key=last_key)

    def terms(self, table: str) -> wire.PageTerms:
        start = self.start_key
        return wire.PageTerms(
            table=table,
            index=self.index or "",
            filter=self.filter or "",
            projection=self.projection or "",
            placeholders=placeholders(self.names, self.values),
            limit=self.limit,
            start_key=None if start is None else item_message(start),
            consistent=self.consistent,
            count_only=self.count_only,
        )


# --- items ---------------------------------------------------------------------------------------


def get_item(
    table: str, key: Item, *, consistent: bool, projection: str | None, names: Names
) -> Call[Found]:
    request = wire.GetItemRequest(
        table=table,
        key=item_message(key),
        consistent=consistent,
        projection=projection or "",
        placeholders=placeholders(names, None),
    )
    return Call(_GET, request, found_item, repeatable=True)


def found_item(answer: wire.GetItemResponse) -> Found:
    """None where there is none of the key."""
    return item_of(answer.item) if answer.HasField("item") else None


def _written(answer: wire.WriteItemResponse) -> Found:
    attributes = item_of(answer.attributes) if answer.HasField("attributes") else None
    if answer.refused:
        raise PreconditionFailed("The conditional request failed", item=attributes)
    return attributes


def put_item(table: str, item: Item, terms: wire.WriteTerms) -> Call[Found]:
    request = wire.PutItemRequest(table=table, terms=terms)
    request.item.SetInParent()
    fill_item(request.item, item)
    return Call(_PUT, request, _written, repeatable=True)


def update_item(table: str, key: Item, update: str | None, terms: wire.WriteTerms) -> Call[Found]:
    request = wire.UpdateItemRequest(
        table=table, key=item_message(key), update=update or "", terms=terms
    )
    return Call(_UPDATE, request, _written, repeatable=True)


def delete_item(table: str, key: Item, terms: wire.WriteTerms) -> Call[Found]:
    request = wire.DeleteItemRequest(table=table, key=item_message(key), terms=terms)
    return Call(_DELETE, request, _written, repeatable=True)


# --- batches -------------------------------------------------------------------------------------


def writes_of(
    table: str, puts: Iterable[Item], deletes: Iterable[Item]
) -> list[list[wire.BatchWrite]]:
    """The writes in batches that the service takes."""
    writes = []
    for item in puts:
        write = wire.BatchWrite(table=table)
        write.put.SetInParent()
        fill_item(write.put, item)
        writes.append(write)
    writes += [wire.BatchWrite(table=table, delete_key=item_message(key)) for key in deletes]
    batches: list[list[wire.BatchWrite]] = []
    room = 0
    for write in writes:
        size = write.ByteSize()
        if not batches or len(batches[-1]) == BATCH_WRITES_MAX or size > room:
            batches.append([])
            room = BATCH_BYTES_MAX
        batches[-1].append(write)
        room -= size
    return batches


def batch_write(writes: Sequence[wire.BatchWrite]) -> Call[list[wire.BatchWrite]]:
    """Answers with what was not done."""
    request = wire.BatchWriteItemRequest(writes=writes, token=new_request_token())
    return Call(_BATCH_WRITE, request, lambda a: list(a.unprocessed), repeatable=True)


def keys_of(
    table: str, keys: Iterable[Item], *, consistent: bool, projection: str | None, names: Names
) -> list[wire.KeysOfTable]:
    messages = [item_message(key) for key in keys]
    return [
        wire.KeysOfTable(
            table=table,
            keys=messages[at : at + BATCH_KEYS_MAX],
            consistent=consistent,
            projection=projection or "",
            placeholders=placeholders(names, None),
        )
        for at in range(0, len(messages), BATCH_KEYS_MAX)
    ]


def batch_get(
    keys: wire.KeysOfTable,
) -> Call[tuple[list[dict[str, Any]], wire.KeysOfTable | None]]:
    """Items, and the keys that were left out."""

    def parse(
        answer: wire.BatchGetItemResponse,
    ) -> tuple[list[dict[str, Any]], wire.KeysOfTable | None]:
        items = [item_of(item) for table in answer.tables for item in table.items]
        return items, answer.unprocessed[0] if answer.unprocessed else None

    return Call(_BATCH_GET, wire.BatchGetItemRequest(tables=[keys]), parse, repeatable=True)


# --- pages ---------------------------------------------------------------------------------------


def _page(answer: wire.PageResponse) -> types.ItemPage:
    return types.ItemPage(
        [item_of(item) for item in answer.items],
        item_of(answer.last_key) if answer.HasField("last_key") else None,
        answer.count,
        answer.scanned_count,
    )


def query(
    table: str, key_condition: str, reading: Reading, *, descending: bool
) -> Call[types.ItemPage]:
    request = wire.QueryRequest(
        terms=reading.terms(table), key_condition=key_condition, descending=descending
    )
    return Call(_QUERY, request, _page, repeatable=True)


def scan(table: str, reading: Reading, segment: tuple[int, int] | None) -> Call[types.ItemPage]:
    number, total = segment or (0, 0)
    request = wire.ScanRequest(terms=reading.terms(table), segment=number, segments=total)
    return Call(_SCAN, request, _page, repeatable=True)
