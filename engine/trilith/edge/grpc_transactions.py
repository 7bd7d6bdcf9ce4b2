"""The Transactions service: wire messages to DynamoDB's TransactWriteItems.

Parts on objects are refused by name until the object model takes part in transactions.
"""

from __future__ import annotations

from typing import Any

from trilith import errors
from trilith.dynamodb.errors import DynamoDBError
from trilith.edge.grpc_call import Call
from trilith.edge.grpc_tables import TablesService, domain_error
from trilith.edge.grpc_values import Document, item_document, placeholders_document
from trilith.errors import InvalidRequest, NotServed, TransactionCancelled, TrilithError
from trilith.wire.v1 import tables_pb2
from trilith.wire.v1 import transactions_pb2 as wire

PARTS_MAX = 100
CANCELLED = "TransactionCanceledException"
_CONFLICT = "TransactionConflict"
_DONE = "None"
_KINDS = {
    "put_item": "Put",
    "update_item": "Update",
    "delete_item": "Delete",
    "check_item": "ConditionCheck",
}


class TransactionsService:
    """`tables` runs DynamoDB's operations."""

    def __init__(self, tables: TablesService) -> None:
        self._tables = tables

    async def transact(self, call: Call, request: wire.TransactRequest) -> wire.TransactResponse:
        if not 1 <= len(request.parts) <= PARTS_MAX:
            raise InvalidRequest(f"a transaction has 1 to {PARTS_MAX} parts")
        document: Document = {"TransactItems": [_part(part) for part in request.parts]}
        token = call.token(request.token)
        if token is not None:
            document["ClientRequestToken"] = token.hex()
        try:
            await self._tables.run("TransactWriteItems", document)
        except DynamoDBError as error:
            if error.name == CANCELLED:
                raise _cancelled(error) from None
            raise domain_error(error) from None
        return wire.TransactResponse()


def _part(part: wire.TransactPart) -> Document:
    kind = part.WhichOneof("part")
    if kind is None:
        raise InvalidRequest("a part of a transaction has exactly one kind")
    if kind not in _KINDS:
        raise NotServed(f"{kind} in a transaction is not served in this version")
    request: Any = getattr(part, kind)
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
    document |= placeholders_document(terms.placeholders)
    return {_KINDS[kind]: document}


def _cancelled(error: DynamoDBError) -> TrilithError:
    """Nothing was done; a conflict alone is worth another attempt."""
    reasons = error.fields.get("CancellationReasons") or []
    codes = [reason["Code"] for reason in reasons]
    said = next((one["Message"] for one in reasons if one.get("Message")), error.message)
    if set(codes) <= {_DONE, _CONFLICT}:
        return errors.TransactionConflict(said)
    return TransactionCancelled(said, reasons=codes)
