"""The Tables service: wire messages to DynamoDB's operations, and back.

The operations of dynamodb/ are what an item's semantics are: validation, expressions, capacity,
indexes. So both protocols answer alike, and this one only translates: a message becomes the
operation's document, its answer a message, its exception a domain error.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from trilith import errors
from trilith.dynamodb.context import Context
from trilith.dynamodb.errors import DynamoDBError
from trilith.dynamodb.routing import handler_of
from trilith.dynamodb.validation import validate
from trilith.edge.grpc_call import Call
from trilith.edge.grpc_table_descriptions import (
    creation_document,
    share_units,
    table_message,
    tags_document,
    update_document,
)
from trilith.edge.grpc_values import (
    Document,
    fill_given,
    fill_item,
    item_document,
    item_message,
    placeholders_document,
)
from trilith.errors import InvalidRequest, TrilithError
from trilith.tables.service import CallerToken
from trilith.wire.v1 import tables_pb2 as wire

_decode = msgspec.json.Decoder(dict[str, Any]).decode

_RETURNED = {
    wire.RETURNED_ALL_OLD: "ALL_OLD",
    wire.RETURNED_ALL_NEW: "ALL_NEW",
    wire.RETURNED_UPDATED_OLD: "UPDATED_OLD",
    wire.RETURNED_UPDATED_NEW: "UPDATED_NEW",
}
CONDITION_FAILED = "ConditionalCheckFailedException"
# What the operations raise in DynamoDB's own words. Others are mistakes of the request.
_DOMAIN: dict[str, type[TrilithError]] = {
    CONDITION_FAILED: errors.PreconditionFailed,
    "ResourceNotFoundException": errors.TableNotFound,
    "ResourceInUseException": errors.TableInUse,
    "LimitExceededException": errors.LimitExceeded,
    "UnknownOperationException": errors.NotServed,
    "AccessDeniedException": errors.AccessDenied,
    "ThrottlingException": errors.Overloaded,
    "ProvisionedThroughputExceededException": errors.ThroughputExceeded,
    "TransactionConflictException": errors.TransactionConflict,
    "TransactionInProgressException": errors.TransactionInProgress,
    "IdempotentParameterMismatchException": errors.IdempotentParameterMismatch,
    "ServiceUnavailableException": errors.Unavailable,
    "InternalServerError": errors.InternalError,
}


def domain_error(error: DynamoDBError) -> TrilithError:
    """The domain error behind one of DynamoDB's exceptions."""
    return _DOMAIN.get(error.name, InvalidRequest)(error.message)


class TablesService:
    """`context` is the one that DynamoDB's operations run in."""

    def __init__(self, context: Context) -> None:
        self.context = context

    async def run(self, operation: str, document: Document, token: bytes | None = None) -> Any:
        """The decoded answer of an operation. Raises DynamoDBError, TrilithError."""
        context = self.context
        if token is not None:
            context = replace(context, token=CallerToken(token))
        answer = await handler_of(operation)(context, validate(operation, document))
        return _decode(answer or b"{}")

    async def _ask(self, operation: str, document: Document, token: bytes | None = None) -> Any:
        try:
            return await self.run(operation, document, token)
        except DynamoDBError as error:
            raise domain_error(error) from None

    # --- tables ----------------------------------------------------------------------------------

    async def create_table(self, call: Call, request: wire.CreateTableRequest) -> wire.Table:
        call.resource = request.name
        try:
            answer = await self._ask("CreateTable", creation_document(request))
        except errors.TableInUse as error:
            raise errors.TableAlreadyExists(error.message) from None
        return table_message(answer["TableDescription"])

    async def describe_table(self, call: Call, request: wire.DescribeTableRequest) -> wire.Table:
        call.resource = request.name
        answer = await self._ask("DescribeTable", {"TableName": request.name})
        return table_message(answer["Table"])

    async def delete_table(self, call: Call, request: wire.DeleteTableRequest) -> wire.Table:
        call.resource = request.name
        described = await self._ask("DescribeTable", {"TableName": request.name})
        answer = await self._ask("DeleteTable", {"TableName": request.name})
        return table_message(described["Table"] | answer["TableDescription"])

    async def list_tables(
        self, _call: Call, request: wire.ListTablesRequest
    ) -> wire.ListTablesResponse:
        document: Document = {}
        if request.after:
            document["ExclusiveStartTableName"] = request.after
        if request.limit:
            document["Limit"] = request.limit
        answer = await self._ask("ListTables", document)
        return wire.ListTablesResponse(
            names=answer["TableNames"], next_after=answer.get("LastEvaluatedTableName", "")
        )

    async def update_table(self, call: Call, request: wire.UpdateTableRequest) -> wire.Table:
        call.resource = request.name
        document = update_document(request)
        if "ProvisionedThroughput" in document or request.HasField("add_index"):
            described = await self._ask("DescribeTable", {"TableName": request.name})
            share_units(document, described["Table"])
        answer = await self._ask("UpdateTable", document)
        return table_message(answer["TableDescription"])

    async def describe_time_to_live(
        self, call: Call, request: wire.DescribeTimeToLiveRequest
    ) -> wire.TimeToLive:
        call.resource = request.table
        answer = await self._ask("DescribeTimeToLive", {"TableName": request.table})
        found = answer["TimeToLiveDescription"]
        return wire.TimeToLive(
            attribute=found.get("AttributeName", ""), status=found["TimeToLiveStatus"]
        )

    async def update_time_to_live(
        self, call: Call, request: wire.UpdateTimeToLiveRequest
    ) -> wire.TimeToLive:
        described = wire.DescribeTimeToLiveRequest(table=request.table)
        attribute = request.attribute
        if not attribute:  # DynamoDB wants to be told which one no longer counts
            attribute = (await self.describe_time_to_live(call, described)).attribute
            if not attribute:
                raise InvalidRequest("TimeToLive is already disabled")
        given = {"AttributeName": attribute, "Enabled": bool(request.attribute)}
        document = {"TableName": request.table, "TimeToLiveSpecification": given}
        await self._ask("UpdateTimeToLive", document)
        return await self.describe_time_to_live(call, described)

    async def list_tags(self, call: Call, request: wire.ListTagsRequest) -> wire.ListTagsResponse:
        answer = await self._ask("ListTagsOfResource", self._resource(call, request.table))
        return wire.ListTagsResponse(tags={one["Key"]: one["Value"] for one in answer["Tags"]})

    async def tag_table(self, call: Call, request: wire.TagTableRequest) -> wire.TagTableResponse:
        document = self._resource(call, request.table) | {"Tags": tags_document(request.tags)}
        await self._ask("TagResource", document)
        return wire.TagTableResponse()

    async def untag_table(
        self, call: Call, request: wire.UntagTableRequest
    ) -> wire.UntagTableResponse:
        document = self._resource(call, request.table) | {"TagKeys": list(request.keys)}
        await self._ask("UntagResource", document)
        return wire.UntagTableResponse()

    def _resource(self, call: Call, table: str) -> Document:
        call.resource = table
        return {"ResourceArn": self.context.arn(table)}

    # --- items -----------------------------------------------------------------------------------

    async def get_item(self, call: Call, request: wire.GetItemRequest) -> wire.GetItemResponse:
        call.resource = request.table
        document = {"TableName": request.table, "Key": item_document(request.key)}
        answer = await self._ask("GetItem", document | reading_document(request))
        response = wire.GetItemResponse()
        fill_given(response.item, answer.get("Item"))
        return response

    async def put_item(self, call: Call, request: wire.PutItemRequest) -> wire.WriteItemResponse:
        document = {"TableName": request.table, "Item": item_document(request.item)}
        return await self._write(call, "PutItem", document, request.terms)

    async def update_item(
        self, call: Call, request: wire.UpdateItemRequest
    ) -> wire.WriteItemResponse:
        document = {"TableName": request.table, "Key": item_document(request.key)}
        if request.update:
            document["UpdateExpression"] = request.update
        return await self._write(call, "UpdateItem", document, request.terms)

    async def delete_item(
        self, call: Call, request: wire.DeleteItemRequest
    ) -> wire.WriteItemResponse:
        document = {"TableName": request.table, "Key": item_document(request.key)}
        return await self._write(call, "DeleteItem", document, request.terms)

    async def _write(
        self, call: Call, operation: str, document: Document, terms: wire.WriteTerms
    ) -> wire.WriteItemResponse:
        call.resource = document["TableName"]
        if terms.condition:
            document["ConditionExpression"] = terms.condition
        if terms.returned:
            document["ReturnValues"] = _RETURNED.get(terms.returned, "")
        if terms.return_failed:
            document["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        document |= placeholders_document(terms.placeholders)
        response = wire.WriteItemResponse()
        try:
            answer = await self.run(operation, document, call.token(terms.token))
        except DynamoDBError as error:
            if error.name != CONDITION_FAILED or not terms.return_failed:
                raise domain_error(error) from None
            # An item is too large for the metadata that errors travel in.
            response.refused = True
            fill_given(response.attributes, _engine_document(error.fields.get("Item")))
            return response
        fill_given(response.attributes, answer.get("Attributes"))
        return response

    async def batch_get_item(
        self, _call: Call, request: wire.BatchGetItemRequest
    ) -> wire.BatchGetItemResponse:
        requested: Document = {}
        for one in request.tables:
            if one.table in requested:
                raise InvalidRequest(f"the table {one.table!r} is named twice")
            keys = [item_document(key) for key in one.keys]
            requested[one.table] = {"Keys": keys} | reading_document(one)
        answer = await self._ask("BatchGetItem", {"RequestItems": requested})
        response = wire.BatchGetItemResponse()
        for table, items in answer["Responses"].items():
            found = response.tables.add(table=table)
            for item in items:
                fill_item(found.items.add(), item)
        for table, left in answer["UnprocessedKeys"].items():
            asked = next(one for one in request.tables if one.table == table)
            response.unprocessed.add(
                table=table,
                keys=[item_message(key) for key in left["Keys"]],
                consistent=asked.consistent,
                projection=asked.projection,
                placeholders=asked.placeholders,
            )
        return response

    async def batch_write_item(
        self, call: Call, request: wire.BatchWriteItemRequest
    ) -> wire.BatchWriteItemResponse:
        requested: dict[str, list[Document]] = {}
        for write in request.writes:
            kind = write.WhichOneof("write")
            if kind is None:
                raise InvalidRequest("a write of a batch puts or deletes")
            one: Document
            if kind == "put":
                one = {"PutRequest": {"Item": item_document(write.put)}}
            else:
                one = {"DeleteRequest": {"Key": item_document(write.delete_key)}}
            requested.setdefault(write.table, []).append(one)
        document = {"RequestItems": requested}
        answer = await self._ask("BatchWriteItem", document, call.token(request.token))
        response = wire.BatchWriteItemResponse()
        for table, left in answer["UnprocessedItems"].items():
            for one in left:
                if "PutRequest" in one:
                    fill_item(response.unprocessed.add(table=table).put, one["PutRequest"]["Item"])
                else:
                    key = item_message(one["DeleteRequest"]["Key"])
                    response.unprocessed.add(table=table, delete_key=key)
        return response

    # --- pages -----------------------------------------------------------------------------------

    async def query(self, call: Call, request: wire.QueryRequest) -> wire.PageResponse:
        document: Document = {"ScanIndexForward": not request.descending}
        if request.key_condition:
            document["KeyConditionExpression"] = request.key_condition
        return await self._page(call, "Query", document, request.terms)

    async def scan(self, call: Call, request: wire.ScanRequest) -> wire.PageResponse:
        document: Document = {}
        if request.segments:
            document = {"Segment": request.segment, "TotalSegments": request.segments}
        return await self._page(call, "Scan", document, request.terms)

    async def _page(
        self, call: Call, operation: str, document: Document, terms: wire.PageTerms
    ) -> wire.PageResponse:
        call.resource = document["TableName"] = terms.table
        if terms.index:
            document["IndexName"] = terms.index
        if terms.filter:
            document["FilterExpression"] = terms.filter
        if terms.limit:
            document["Limit"] = terms.limit
        if terms.HasField("start_key"):
            document["ExclusiveStartKey"] = item_document(terms.start_key)
        if terms.count_only:
            document["Select"] = "COUNT"
        answer = await self._ask(operation, document | reading_document(terms))
        response = wire.PageResponse(count=answer["Count"], scanned_count=answer["ScannedCount"])
        for item in answer.get("Items", ()):
            fill_item(response.items.add(), item)
        fill_given(response.last_key, answer.get("LastEvaluatedKey"))
        return response


def reading_document(request: Any) -> Document:
    """What all reads may ask for; those of a transaction are consistent."""
    document: Document = placeholders_document(request.placeholders)
    if getattr(request, "consistent", False):
        document["ConsistentRead"] = True
    if request.projection:
        document["ProjectionExpression"] = request.projection
    return document


def _engine_document(item: Any) -> Document | None:
    """An item of the engine in the shape that JSON has: binaries in base64."""
    return None if item is None else _decode(msgspec.json.encode(item))
