"""The table models in one process: the twin of Partitions, with a table to work on."""

from __future__ import annotations

from typing import Any

from tests.objects.local_partitions import LocalPartitions, _Keyspace

from trilith.runtime.entropy import SystemEntropy
from trilith.tables.catalog import Catalog, Table
from trilith.tables.definitions import KeyAttribute, LocalIndex, TableRecord
from trilith.tables.key_ring import ItemKeys
from trilith.tables.model import DefinitionsModel, ItemsModel
from trilith.tables.service import TableService

ROOT_KEY = bytes(range(32))
TABLE_ID = bytes(range(100, 116))
PARTITION = KeyAttribute("pk", "S")
SORT = KeyAttribute("sk", "N")
BY_RANK = LocalIndex(0, "by_rank", KeyAttribute("rank", "S"), "ALL")
BY_COLOR = LocalIndex(1, "by_color", KeyAttribute("color", "S"), "KEYS_ONLY")
INDEXES = (BY_RANK, BY_COLOR)


class LocalTables(LocalPartitions):
    """Keyspaces 1 and 3; `cuts` are partition boundaries of keyspace 3."""

    def __init__(self, *, cuts: list[bytes] | None = None) -> None:
        super().__init__()
        self.keys = ItemKeys(ROOT_KEY, SystemEntropy())
        self._keyspaces: Any = {
            1: _Keyspace(DefinitionsModel(), []),
            3: _Keyspace(ItemsModel(self.keys), cuts or []),
        }
        self.catalog = Catalog(self, SystemEntropy())
        self.service = TableService(self, self.keys, self.catalog)


def record(
    *, indexes: tuple[LocalIndex, ...] = (), sort: KeyAttribute | None = SORT
) -> TableRecord:
    keys = (PARTITION,) if sort is None else (PARTITION, sort)
    attributes = (*keys, *(index.sort for index in indexes))
    return TableRecord("people", TABLE_ID, 0, attributes, PARTITION, sort, indexes)


def table(**given: Any) -> Table:
    return Table(record(**given))


def item(pk: str, sk: int, **others: Any) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"N": str(sk)}, **others}
