"""What requests consume: counted for every table, and bounded where capacity is provisioned.

A request is admitted before it runs and pays when its size is known (tables/throughput.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from trilith.tables.catalog import Table
from trilith.tables.service import TableService
from trilith.tables.throughput import Kind, Throughput
from trilith.tables.values import Item

TABLES_COUNTED_MAX = 1000  # further tables are counted together
_OTHERS = "(others)"


class Meter:
    """One gateway's meter."""

    def __init__(self, tables: TableService, throughput: Throughput) -> None:
        self._tables = tables
        self._throughput = throughput
        self._consumed: tuple[dict[str, float], dict[str, float]] = ({}, {})

    def admit(self, table: Table, kind: Kind, key: Item | None = None) -> None:
        """Raises ThroughputExceeded. `key`: whatever has the partition key; None: a Scan."""
        if table.rates is not None:
            partition = None if key is None else self._tables.partition_of(table, key)
            self._throughput.admit(table.table_id, kind, table.rates[kind], partition)

    def spend(self, table: Table, kind: Kind, units: float, key: Item | None = None) -> None:
        """What a request took of its table (and of its local indexes, which share with it)."""
        consumed = self._consumed[kind]
        name = table.name
        if name not in consumed and len(consumed) >= TABLES_COUNTED_MAX:
            name = _OTHERS
        consumed[name] = consumed.get(name, 0.0) + units
        if table.rates is not None:
            partition = None if key is None else self._tables.partition_of(table, key)
            self._throughput.spend(table.table_id, kind, table.rates[kind], units, partition)

    def consumed(self, kind: Kind) -> Mapping[tuple[str, ...], float]:
        """Units by (table name,), since the node started."""
        return {(name,): units for name, units in self._consumed[kind].items()}
