"""ItemCollectionMetrics: how large the item collections are that a write touched.

Source: AWS, "Item collections: how to model one-to-many relationships" and the size limit of item
collections in tables with local indexes.
"""

from __future__ import annotations

from typing import Any

from trilith.dynamodb.context import Context
from trilith.tables import layout
from trilith.tables.catalog import Table
from trilith.tables.key_codec import successor
from trilith.tables.values import Item

_GIB = 1 << 30


def wants_metrics(document: dict[str, Any], table: Table) -> bool:
    """Only tables with local indexes have collections to speak of."""
    return document.get("ReturnItemCollectionMetrics") == "SIZE" and bool(table.record.indexes)


async def collection_metrics(context: Context, table: Table, item: Item) -> dict[str, Any]:
    """Of the collection that an item belongs to. The estimate is a whole range of gigabytes."""
    value = item[table.partition_name]
    stem = layout.stem_of(table.table_id, value)
    size = await context.usage.collection_size(table.record, stem, successor(stem))
    lower = size // _GIB
    return {
        "ItemCollectionKey": {table.partition_name: value},
        "SizeEstimateRangeGB": [float(lower), float(lower + 1)],
    }
