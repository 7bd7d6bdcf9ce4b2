"""CreateTable's and UpdateTable's requests, checked and turned into a table's record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trilith.dynamodb.errors import validation
from trilith.dynamodb.operations.index_requests import (
    Attributes,
    attributes_of,
    global_indexes,
    key_schema,
    local_indexes,
    not_served,
    require_few_included,
)
from trilith.dynamodb.operations.stream_settings import first_streams
from trilith.dynamodb.operations.table_settings import (
    INVALID,
    changed_warm_throughput,
    checked_tags,
    require_change,
    table_class_of,
)
from trilith.tables.definitions import PAY_PER_REQUEST, PROVISIONED, Stream, TableRecord

# Members of CreateTable whose effect is not built: refused by name, never ignored.
_NOT_SERVED = (
    "SSESpecification",
    "ResourcePolicy",
    "OnDemandThroughput",
    "GlobalTableSourceArn",
    "GlobalTableSettingsReplicationMode",
    "VectorIndexes",
)
_NOT_ENCRYPTED = {"Enabled": False}  # with a key of the caller's


def new_record(
    document: dict[str, Any],
    new_id: Callable[[], bytes],
    now_ms: int,
    streams_before: tuple[Stream, ...] = (),
) -> TableRecord:
    """The record of a CreateTable request. Raises DynamoDBError.

    `streams_before`: those of deleted tables of its name.
    """
    name = document["TableName"]
    for member in _NOT_SERVED:
        if document.get(member) and document[member] != _NOT_ENCRYPTED:
            raise not_served(member)
    attributes = attributes_of(document)
    partition, sort = key_schema(document["KeySchema"], attributes)
    billing_mode, read_units, write_units = _billing(document, PROVISIONED)
    indexes = local_indexes(document, attributes, partition, sort)
    record = TableRecord(
        name=name,
        table_id=new_id(),
        created_ms=now_ms,
        attributes=tuple(attributes.values()),
        partition=partition,
        sort=sort,
        indexes=indexes,
        billing_mode=billing_mode,
        read_units=read_units,
        write_units=write_units,
        is_protected=document.get("DeletionProtectionEnabled", False),
        table_class=table_class_of(document) or "",
        tags=checked_tags(document),
        global_indexes=global_indexes(document, attributes, billing_mode, indexes, new_id, now_ms),
        streams=first_streams(document, now_ms, streams_before),
        warm=changed_warm_throughput(None, document, billing_mode, read_units, write_units),
    )
    _require_used(attributes, record)
    require_few_included(record)
    return record


def _billing(document: dict[str, Any], default: str) -> tuple[str, int, int]:
    mode = document.get("BillingMode", default)
    throughput = document.get("ProvisionedThroughput")
    if mode == PAY_PER_REQUEST:
        if throughput is not None:
            raise validation(
                f"{INVALID}Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when "
                "BillingMode is PAY_PER_REQUEST"
            )
        return mode, 0, 0
    if throughput is None:
        raise validation(
            f"{INVALID}ReadCapacityUnits and WriteCapacityUnits must both be specified when "
            "BillingMode is PROVISIONED"
        )
    return mode, throughput["ReadCapacityUnits"], throughput["WriteCapacityUnits"]


def _require_used(attributes: Attributes, record: TableRecord) -> None:
    used = record.names_of_keys()
    if len(used) != len(attributes):
        raise validation(
            f"{INVALID}Number of attributes in KeySchema does not exactly match number of "
            "attributes defined in AttributeDefinitions"
            if not record.indexes and not record.global_indexes
            else f"{INVALID}Some AttributeDefinitions are not used. AttributeDefinitions: "
            f"[{', '.join(attributes)}], keys used: [{', '.join(sorted(used))}]"
        )


def changed_billing(document: dict[str, Any], record: TableRecord) -> tuple[str, int, int]:
    """UpdateTable's billing: mode and units after it."""
    mode = document.get("BillingMode") or record.billing_mode
    if document.get("BillingMode") is None and document.get("ProvisionedThroughput") is None:
        return record.billing_mode, record.read_units, record.write_units
    if document.get("ProvisionedThroughput") is None:
        if mode == PAY_PER_REQUEST:
            return mode, 0, 0
        raise validation(
            f"{INVALID}ProvisionedThroughput must be specified when BillingMode is PROVISIONED"
        )
    billing = _billing(document, mode)
    if record.billing_mode == PROVISIONED:
        require_change("the table", (record.read_units, record.write_units), billing[1:])
    return billing
