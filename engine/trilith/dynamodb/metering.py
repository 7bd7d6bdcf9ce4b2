"""What requests consume: counted for every table, and bounded where capacity is provisioned.

A request is admitted before it runs and pays when its size is known (tables/throughput.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from trilith.tables.catalog import Table
from trilith.tables.definitions import GlobalIndex
from trilith.tables.service import TableService
from trilith.tables.sources import Index
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

    def admit(
        self, table: Table, kind: Kind, key: Item | None = None, *, ahead: float = 0.0
    ) -> None:
        """Raises ThroughputExceeded. `key`: whatever has the partition key; None: a Scan. `ahead`:
        units of what was admitted before in the same batch.

        A write is refused too while one of the table's global indexes could not keep up with it.
        """
        if table.rates is None:
            return
        slot = None if key is None else self._tables.slot_of(table, key)
        self._throughput.admit(table.table_id, kind, table.rates[kind], slot, ahead=ahead)
        if kind is Kind.WRITE:
            for index in table.record.global_indexes:
                self._throughput.admit(index.index_id, kind, _rate(index, kind))

    def admit_read(self, table: Table, index: Index | None, key: Item | None = None) -> None:
        """Of a Query or Scan: a global index has units of its own."""
        if not isinstance(index, GlobalIndex):
            self.admit(table, Kind.READ, key)
        elif table.rates is not None:
            self._throughput.admit(index.index_id, Kind.READ, _rate(index, Kind.READ))

    def spend(
        self,
        table: Table,
        kind: Kind,
        units: float,
        key: Item | None = None,
        index_units: Mapping[str, float] | None = None,
    ) -> None:
        """What a request took of its table, and of its indexes by name.

        Local ones share with the table.
        """
        for name, of_index in (index_units or {}).items():
            index = table.record.global_index(name)
            if index is None:
                units += of_index
            else:
                self._spend_of_index(table, index, kind, of_index)
        self._count(table, kind, units)
        if table.rates is not None:
            slot = None if key is None else self._tables.slot_of(table, key)
            self._throughput.spend(table.table_id, kind, table.rates[kind], units, slot)

    def spend_read(
        self, table: Table, index: Index | None, units: float, key: Item | None = None
    ) -> None:
        """Of a Query or Scan."""
        if isinstance(index, GlobalIndex):
            self._spend_of_index(table, index, Kind.READ, units)
        else:
            self.spend(table, Kind.READ, units, key)

    def _spend_of_index(self, table: Table, index: GlobalIndex, kind: Kind, units: float) -> None:
        self._count(table, kind, units)
        if table.rates is not None:
            self._throughput.spend(index.index_id, kind, _rate(index, kind), units)

    def _count(self, table: Table, kind: Kind, units: float) -> None:
        consumed = self._consumed[kind]
        name = table.name
        if name not in consumed and len(consumed) >= TABLES_COUNTED_MAX:
            name = _OTHERS
        consumed[name] = consumed.get(name, 0.0) + units

    def consumed(self, kind: Kind) -> Mapping[tuple[str, ...], float]:
        """Units by (table name,), since the node started."""
        return {(name,): units for name, units in self._consumed[kind].items()}


def _rate(index: GlobalIndex, kind: Kind) -> float:
    """Provisioned units a second."""
    return float(index.read_units if kind is Kind.READ else index.write_units)
