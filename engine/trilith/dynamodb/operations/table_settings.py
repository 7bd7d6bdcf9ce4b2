"""Settings of tables that change nothing in how they serve: tags, table class, warm throughput.

Messages are the service's, where they are known.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import msgspec

from trilith.dynamodb.errors import validation
from trilith.tables.definitions import PAY_PER_REQUEST, TableRecord, Warm

INVALID = "One or more parameter values were invalid: "
TAGS_MAX = 50
WARM_READ_UNITS_MIN, WARM_WRITE_UNITS_MIN = 12_000, 4_000  # what a table on demand starts with
_TABLE_CLASSES = ("STANDARD", "STANDARD_INFREQUENT_ACCESS")
_TAG_PUNCTUATION = frozenset("_.:/=+-@")
_TAG_CATEGORIES = frozenset("LNZ")  # Unicode's letters, numbers and separators
_UNITS_OF = {
    "ReadUnitsPerSecond": "ReadCapacityUnits",
    "WriteUnitsPerSecond": "WriteCapacityUnits",
}
_WARM_MEMBERS = tuple(_UNITS_OF)


def checked_tags(document: dict[str, Any]) -> dict[str, str]:
    """`Tags` as a mapping. Raises DynamoDBError."""
    tags: dict[str, str] = {}
    for one in document.get("Tags", ()):
        key, value = one["Key"], one["Value"]
        if key in tags:
            raise validation(f"Duplicate Tag Keys provided as input: Duplicate Tag Key found {key}")
        if key.startswith("aws:"):
            raise validation(f"Tag Key cannot be prefixed with aws:, Key: {key}")
        for member, text in (("Key", key), ("Value", value)):
            if not all(_may_tag(character) for character in text):
                raise validation(f"The Tag {member} provided is invalid, {member}: {text}")
        tags[key] = value
    return with_tags({}, tags)


def _may_tag(character: str) -> bool:
    return character in _TAG_PUNCTUATION or unicodedata.category(character)[0] in _TAG_CATEGORIES


def with_tags(tags: dict[str, str], new: dict[str, str]) -> dict[str, str]:
    """A table's tags with new ones. Raises DynamoDBError when they are too many."""
    merged = {**tags, **new}
    if len(merged) > TAGS_MAX:
        raise validation("Number of Tags exceed the current limit for the provided ResourceArn")
    return merged


def table_class_of(document: dict[str, Any]) -> str | None:
    """The TableClass that is asked for. Raises DynamoDBError."""
    given: str | None = document.get("TableClass")
    if given is not None and given not in _TABLE_CLASSES:
        raise validation(
            "Invalid table-class parameter provided. Please try again with a valid table-class "
            f"value: [{', '.join(_TABLE_CLASSES)}]."
        )
    return given


def with_table_class(record: TableRecord, document: dict[str, Any], now_ms: int) -> TableRecord:
    given = table_class_of(document)
    if given is None:
        return record
    return msgspec.structs.replace(record, table_class=given, table_class_changed_ms=now_ms)


def changed_warm_throughput(
    before: Warm | None,
    document: dict[str, Any],
    billing_mode: str,
    read_units: int,
    write_units: int,
    what: str = "table",
) -> Warm:
    """`before` with WarmThroughput, which may only raise it. Raises DynamoDBError.

    `before`: None for what is new. `what`: "table", or "index" and its name.
    """
    is_new, before = before is None, before or Warm()
    given = document.get("WarmThroughput")
    if given is None:
        return before
    current = warm_of(before, billing_mode, read_units, write_units)
    for member in _WARM_MEMBERS:
        if given.get(member, current[member]) < current[member]:
            than = "current WarmThroughput, decreasing WarmThroughput is not supported"
            if is_new and billing_mode == PAY_PER_REQUEST:
                than = "initial throughput for OnDemand"
            elif is_new:
                than = f"{_UNITS_OF[member]} of ProvisionedThroughput"
            raise validation(
                f"{INVALID}Requested {member} for WarmThroughput for {what} is lower than {than}"
            )
    return Warm(
        given.get(_WARM_MEMBERS[0], before.read_units),
        given.get(_WARM_MEMBERS[1], before.write_units),
    )


def require_change(what: str, before: tuple[int, int], after: tuple[int, int]) -> None:
    """Provisioned throughput that stays as it is is refused, as AWS does. Raises DynamoDBError."""
    if before == after:
        named = what.removeprefix("the ")
        shown = " ".join(
            f"Current {member} provisioned for {what}: {units}. Requested {member}: {units}."
            for member, units in zip(_UNITS_OF.values(), after, strict=True)
        )
        raise validation(
            f"The provisioned throughput for the {named} will not change. The requested value "
            f"equals the current value. {shown} Refer to the Amazon DynamoDB Developer Guide for "
            "current limits and how to request higher limits."
        )


def warm_of(warm: Warm, billing_mode: str, read_units: int, write_units: int) -> dict[str, int]:
    """What a table or index is warm for: at least what it serves anyway."""
    if billing_mode == PAY_PER_REQUEST:
        read_units, write_units = WARM_READ_UNITS_MIN, WARM_WRITE_UNITS_MIN
    return {
        _WARM_MEMBERS[0]: max(warm.read_units, read_units),
        _WARM_MEMBERS[1]: max(warm.write_units, write_units),
    }


def warm_description(
    warm: Warm, billing_mode: str, read_units: int, write_units: int
) -> dict[str, Any]:
    return {**warm_of(warm, billing_mode, read_units, write_units), "Status": "ACTIVE"}
