"""ConsumedCapacity, in AWS's arithmetic.

Source: AWS, "DynamoDB read and write operations: capacity unit consumption".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trilith.tables.catalog import Table

_READ_BYTES = 4096
_WRITE_BYTES = 1024


def read_units(size: int, *, consistent: bool) -> float:
    """Of one item, or of a page's sum; a missing item costs as a small one."""
    whole = max(1, -(-size // _READ_BYTES))
    return float(whole) if consistent else whole / 2


def write_units(old_size: int, new_size: int) -> float:
    return float(max(1, -(-max(old_size, new_size) // _WRITE_BYTES)))


def consumed_by_transaction(
    mode: str,
    member: str,
    table: Table,
    units: float,
    index_units: Mapping[str, float] | None = None,
) -> dict[str, Any] | None:
    """As `consumed`, with units of the kind `member` (ReadCapacityUnits, ...) told apart."""
    capacity = consumed(mode, table, units, index_units)
    if capacity is not None:
        parts = [capacity, *([capacity["Table"]] if "Table" in capacity else [])]
        for group in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
            parts += capacity.get(group, {}).values()
        for part in parts:
            part[member] = part["CapacityUnits"]
    return capacity


def consumed(
    mode: str, table: Table, units: float, index_units: Mapping[str, float] | None = None
) -> dict[str, Any] | None:
    """The ConsumedCapacity of a table; None when nobody asked (`mode` NONE)."""
    if mode == "NONE":
        return None
    indexes = index_units or {}
    capacity: dict[str, Any] = {
        "TableName": table.name,
        "CapacityUnits": units + sum(indexes.values()),
    }
    if mode == "INDEXES":
        capacity["Table"] = {"CapacityUnits": units}
        for name, spent in indexes.items():
            is_global = table.record.global_index(name) is not None
            member = "GlobalSecondaryIndexes" if is_global else "LocalSecondaryIndexes"
            capacity.setdefault(member, {})[name] = {"CapacityUnits": float(spent)}
    return capacity
