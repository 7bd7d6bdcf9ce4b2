"""The Transactions service: wire messages to DynamoDB's TransactWriteItems, and objects beside it.

A transaction of items alone is DynamoDB's operation. With objects, their parts and the actions on
items are executed together; what is wrong with one of them cancels all.
"""

from __future__ import annotations

from typing import Any

from blake3 import blake3

from trilith import errors
from trilith.dynamodb.errors import DynamoDBError
from trilith.dynamodb.operations.transactions import NO_REASON, ItemWrites, Reason, cancelled
from trilith.dynamodb.validation import validate
from trilith.edge.grpc_call import Call
from trilith.edge.grpc_objects import conditions_of, metadata_of, named
from trilith.edge.grpc_tables import TablesService, domain_error, reading_document
from trilith.edge.grpc_values import Document, fill_given, item_document, placeholders_document
from trilith.errors import InvalidRequest, TransactionCancelled, TrilithError
from trilith.objects.digests import DEFAULT_ALGORITHM
from trilith.objects.transactions import (
    CopyPart,
    DeletePart,
    ObjectTransactions,
    Part,
    PutPart,
)
from trilith.transactions.commands import CONFLICT, Verdict
from trilith.transactions.coordinator import ClientToken
from trilith.wire.v1 import tables_pb2
from trilith.wire.v1 import transactions_pb2 as wire

PARTS_MAX = 100
CANCELLED = "TransactionCanceledException"
_DONE = NO_REASON.code
_KINDS = {
    "put_item": "Put",
    "update_item": "Update",
    "delete_item": "Delete",
    "check_item": "ConditionCheck",
}


class TransactionsService:
    """`tables` runs DynamoDB's operations."""

    def __init__(self, tables: TablesService, objects: ObjectTransactions) -> None:
        self._tables = tables
        self._objects = objects

    async def transact(self, call: Call, request: wire.TransactRequest) -> wire.TransactResponse:
        if not 1 <= len(request.parts) <= PARTS_MAX:
            raise InvalidRequest(f"a transaction has 1 to {PARTS_MAX} parts")
        parts = [_part(call, part) for part in request.parts]
        token = call.token(request.token)
        try:
            if all(isinstance(part, dict) for part in parts):
                document: Document = {"TransactItems": parts}
                if token is not None:
                    document["ClientRequestToken"] = token.hex()
                await self._tables.run("TransactWriteItems", document)
            else:
                client = None if token is None else self._client_token(request, token)
                await self._together(parts, client)
        except DynamoDBError as error:
            raise _refused(error) from None
        return wire.TransactResponse()

    async def transact_get_items(
        self, _call: Call, request: wire.TransactGetItemsRequest
    ) -> wire.TransactGetItemsResponse:
        if not 1 <= len(request.gets) <= PARTS_MAX:
            raise InvalidRequest(f"a transaction reads 1 to {PARTS_MAX} items")
        gets = [
            {"TableName": get.table, "Key": item_document(get.key)} | reading_document(get)
            for get in request.gets
        ]
        try:
            answer = await self._tables.run(
                "TransactGetItems", {"TransactItems": [{"Get": get} for get in gets]}
            )
        except DynamoDBError as error:
            raise _refused(error) from None
        response = wire.TransactGetItemsResponse()
        for one in answer["Responses"]:
            fill_given(response.found.add().item, one.get("Item"))
        return response

    def _client_token(self, request: wire.TransactRequest, token: bytes) -> ClientToken:
        """Of the same space as tokens of transactions on items alone."""
        said = wire.TransactRequest(parts=request.parts).SerializeToString(deterministic=True)
        name = f"{self._tables.context.account_id}/{token.hex()}"
        return ClientToken(name.encode(), blake3(said).digest()[:16])

    async def _together(self, parts: list[Document | Part], client: ClientToken | None) -> None:
        """Raises DynamoDBError, TrilithError."""
        items = [part for part in parts if isinstance(part, dict)]
        objects = [part for part in parts if not isinstance(part, dict)]
        document: Document = {"TransactItems": items}
        if items:
            document = validate("TransactWriteItems", document)
        context = self._tables.context
        writes = await ItemWrites.read(context, document["TransactItems"])
        if writes.unfit:
            if client is not None:
                await context.transactions.was_replayed(client)
            found = [reason or NO_REASON for reason in writes.unfit]
            raise cancelled(_in_order(parts, found, [NO_REASON] * len(objects)))
        ended = await self._objects.execute(objects, writes.admitted(), client)
        if not ended.is_committed:
            reasons = writes.reasons(ended.beside)
            raise cancelled(_in_order(parts, reasons, [_reason(one) for one in ended.parts]))
        if ended.is_replay:
            await writes.replayed(document)
        else:
            await writes.written(document, ended.beside)


def _in_order(
    parts: list[Document | Part], of_items: list[Reason], of_objects: list[Reason]
) -> list[Reason]:
    """A reason for each part."""
    items, objects = iter(of_items), iter(of_objects)
    return [next(items) if isinstance(part, dict) else next(objects) for part in parts]


def _reason(verdict: Verdict) -> Reason:
    return Reason(verdict.code, verdict.message) if verdict.code else NO_REASON


def _part(call: Call, part: wire.TransactPart) -> Document | Part:
    """An element of TransactItems, or a part on an object. Raises InvalidRequest."""
    kind = part.WhichOneof("part")
    if kind is None:
        raise InvalidRequest("a part of a transaction has exactly one kind")
    request: Any = getattr(part, kind)
    if kind in _KINDS:
        return {_KINDS[kind]: _item_document(kind, request)}
    source = ("", "")
    if kind == "copy_object":
        source = named(call, request.source_bucket, request.source_key)
    bucket, key = named(call, request.bucket, request.key)
    conditions = conditions_of(request.conditions)
    if kind == "delete_object":
        return DeletePart(bucket, key, conditions)
    if kind == "put_object":
        metadata = metadata_of(request.metadata)
        return PutPart(bucket, key, request.body, metadata, conditions, DEFAULT_ALGORITHM)
    given = metadata_of(request.metadata) if request.HasField("metadata") else None
    return CopyPart(*source, bucket, key, given, conditions)


def _item_document(kind: str, request: Any) -> Document:
    terms: tables_pb2.WriteTerms = request.terms
    document: Document = {"TableName": request.table}
    if kind == "put_item":
        document["Item"] = item_document(request.item)
    else:
        document["Key"] = item_document(request.key)
    if kind == "update_item":
        document["UpdateExpression"] = request.update
    if terms.condition or kind == "check_item":
        document["ConditionExpression"] = terms.condition
    return document | placeholders_document(terms.placeholders)


def _refused(error: DynamoDBError) -> TrilithError:
    """A cancelled transaction has done nothing; a conflict alone is worth another attempt."""
    if error.name != CANCELLED:
        return domain_error(error)
    reasons = error.fields.get("CancellationReasons") or []
    codes = [reason["Code"] for reason in reasons]
    said = next((one["Message"] for one in reasons if one.get("Message")), error.message)
    if set(codes) <= {_DONE, CONFLICT}:
        return errors.TransactionConflict(said)
    return TransactionCancelled(said, reasons=codes)
