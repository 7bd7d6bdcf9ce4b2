"""Transactions of both clients: the parts of one that writes, the gets of one that reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trilith.client import object_calls
from trilith.client.access import new_request_token
from trilith.client.rpc import Call, rpc_of
from trilith.client.table_calls import Condition, Found, Names, found_item
from trilith.client.values import Item, item_message, placeholders
from trilith.errors import EntityTooLarge
from trilith.wire.v1 import tables_pb2
from trilith.wire.v1 import transactions_pb2 as wire

PARTS_MAX = 100
BODIES_BYTES_MAX = 4 << 20
_TRANSACT = rpc_of(wire.DESCRIPTOR, "Transactions", "Transact")
_TRANSACT_GET = rpc_of(wire.DESCRIPTOR, "Transactions", "TransactGetItems")


@dataclass(frozen=True, slots=True)
class Get:
    """An item that is read together with others. `names` are what `#name` in the projection is."""

    table: str
    key: Item
    projection: str | None = None
    names: Names = None


def transact_get(gets: Iterable[Get]) -> Call[list[Found]]:
    request = wire.TransactGetItemsRequest()
    for get in gets:
        request.gets.add(
            table=get.table,
            key=item_message(get.key),
            projection=get.projection or "",
            placeholders=placeholders(get.names, None),
        )

    def parse(answer: wire.TransactGetItemsResponse) -> list[Found]:
        return [found_item(one) for one in answer.found]

    return Call(_TRANSACT_GET, request, parse, repeatable=True)


class TransactionParts:
    """What a transaction is to do: at most 100 parts, each on an item or object of its own.

    A part's `condition` must hold, or nothing of the transaction is done. Nothing is sent before
    the transaction is committed.
    """

    def __init__(self) -> None:
        self._parts: list[wire.TransactPart] = []
        self._token = new_request_token()
        self._bodies_bytes = 0

    def __len__(self) -> int:
        return len(self._parts)

    def _add(self, part: wire.TransactPart) -> None:
        if len(self._parts) == PARTS_MAX:
            raise ValueError(f"a transaction has at most {PARTS_MAX} parts")
        self._parts.append(part)

    def put_item(
        self,
        table: str,
        item: Item,
        *,
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Item | None = None,
    ) -> None:
        request = tables_pb2.PutItemRequest(
            table=table,
            item=item_message(item),
            terms=Condition(condition, names, values).terms(token=b""),
        )
        self._add(wire.TransactPart(put_item=request))

    def update_item(
        self,
        table: str,
        key: Item,
        update: str,
        *,
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Item | None = None,
    ) -> None:
        request = tables_pb2.UpdateItemRequest(
            table=table,
            key=item_message(key),
            update=update,
            terms=Condition(condition, names, values).terms(token=b""),
        )
        self._add(wire.TransactPart(update_item=request))

    def delete_item(
        self,
        table: str,
        key: Item,
        *,
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Item | None = None,
    ) -> None:
        request = tables_pb2.DeleteItemRequest(
            table=table,
            key=item_message(key),
            terms=Condition(condition, names, values).terms(token=b""),
        )
        self._add(wire.TransactPart(delete_item=request))

    def check_item(
        self,
        table: str,
        key: Item,
        condition: str,
        *,
        names: Mapping[str, str] | None = None,
        values: Item | None = None,
    ) -> None:
        """Changes nothing."""
        check = wire.ConditionCheck(
            table=table,
            key=item_message(key),
            terms=Condition(condition, names, values).terms(token=b""),
        )
        self._add(wire.TransactPart(check_item=check))

    def put_object(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> None:
        """A small object: the bodies of a transaction have at most BODIES_BYTES_MAX together.

        A larger one is put under another key before, and copied in here. Raises EntityTooLarge.
        """
        bodies_bytes = self._bodies_bytes + len(data)
        if bodies_bytes > BODIES_BYTES_MAX:
            raise EntityTooLarge(
                f"the bodies in a transaction have at most {BODIES_BYTES_MAX} bytes together: put "
                "a larger object under another key before, and copy it in the transaction",
                size=bodies_bytes,
            )
        part = wire.PutWholeObject(
            bucket=bucket,
            key=key,
            metadata=object_calls.metadata_message(content_type, metadata, None),
            conditions=object_calls.conditions(if_match, if_absent),
            body=data,
        )
        self._add(wire.TransactPart(put_object=part))
        self._bodies_bytes = bodies_bytes

    def copy_object(
        self,
        source_bucket: str,
        source_key: str,
        bucket: str,
        key: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> None:
        """Of any size: its bytes are not moved. Keeps its metadata unless some is given.

        `if_match` and `if_absent` are about what is under `key` before.
        """
        part = wire.CopyWholeObject(
            source_bucket=source_bucket,
            source_key=source_key,
            bucket=bucket,
            key=key,
            metadata=object_calls.metadata_message(content_type, metadata, None),
            conditions=object_calls.conditions(if_match, if_absent),
        )
        self._add(wire.TransactPart(copy_object=part))

    def delete_object(self, bucket: str, key: str, *, if_match: str | None = None) -> None:
        part = wire.DeleteWholeObject(
            bucket=bucket, key=key, conditions=object_calls.conditions(if_match, False)
        )
        self._add(wire.TransactPart(delete_object=part))

    def call(self) -> Call[None]:
        """The commit; made again it is applied once."""
        request = wire.TransactRequest(parts=self._parts, token=self._token)
        return Call(_TRANSACT, request, lambda _: None, repeatable=True)
