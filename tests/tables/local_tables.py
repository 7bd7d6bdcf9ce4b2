"""The models in one process: the twin of Partitions, with a table to work on."""

from __future__ import annotations

from typing import Any

from tests.objects.local_partitions import LocalPartitions, _Keyspace

from trilith.objects.model import ObjectsModel, SystemModel
from trilith.replication.joined_model import JoinedModel
from trilith.runtime.clock import SystemClock
from trilith.runtime.entropy import SystemEntropy
from trilith.tables.catalog import Catalog, Table
from trilith.tables.definitions import KeyAttribute, LocalIndex, TableRecord
from trilith.tables.feeder import Activity, Feeder
from trilith.tables.key_ring import ItemKeys
from trilith.tables.layout import ABOVE_ALL, SYSTEM_KEYSPACE, TABLE_AT_WORK, TABLES_KEYSPACE
from trilith.tables.model import DefinitionsModel, ItemsModel
from trilith.tables.service import TableService
from trilith.tables.transacting import Snapshots
from trilith.tables.works import TableWorks
from trilith.transactions.coordinator import Transactions
from trilith.transactions.recovery import Recovery

ROOT_KEY = bytes(range(32))
TABLE_ID = bytes(range(100, 116))
INDEX_LAG_S_MAX = 30
PARTITION = KeyAttribute("pk", "S")
SORT = KeyAttribute("sk", "N")
BY_RANK = LocalIndex(0, "by_rank", KeyAttribute("rank", "S"), "ALL")
BY_COLOR = LocalIndex(1, "by_color", KeyAttribute("color", "S"), "KEYS_ONLY")
INDEXES = (BY_RANK, BY_COLOR)


class PartitionsClock(SystemClock):
    """Wall clock: that of the partitions' leaders."""

    def __init__(self, partitions: LocalPartitions) -> None:
        super().__init__()
        self._partitions = partitions

    def wall_ms(self) -> int:
        return self._partitions.now_ms


class LocalTables(LocalPartitions):
    """Keyspaces 1 to 3; `cuts` are partition boundaries of keyspace 3."""

    def __init__(self, *, cuts: list[bytes] | None = None) -> None:
        super().__init__()
        self.keys = ItemKeys(ROOT_KEY, SystemEntropy())
        model = ItemsModel(self.keys)
        self.activity = model.activity
        self._keyspaces: Any = {
            1: _Keyspace(JoinedModel(SystemModel(), DefinitionsModel()), []),
            2: _Keyspace(ObjectsModel(), []),
            3: _Keyspace(model, cuts or []),
        }
        self.clock = LocalClock(self)
        self.catalog = Catalog(self, SystemEntropy())
        self.lock_clock = PartitionsClock(self)
        self.recovery = Recovery(self, self.lock_clock)
        self.transactions = Transactions(self, self.lock_clock, SystemEntropy(), self.recovery)
        self.snapshots = Snapshots(self, self.keys, self.recovery)
        self.service = TableService(self, self.keys, self.catalog, self.recovery)
        self.works = TableWorks(self, self.catalog, self.keys, self.clock)
        self.feeders: dict[bytes, Feeder] = {}

    def feeder(self, start: bytes) -> Feeder:
        """A new one for the partition that begins at `start`."""
        return Feeder(
            start, self, self.catalog, self.keys, self.clock, self.activity, INDEX_LAG_S_MAX
        )

    async def feed(self) -> None:
        """Bring all global indexes up to date."""
        for start in self.partition_starts(TABLES_KEYSPACE, b"", ABOVE_ALL):
            feeder = self.feeders.setdefault(start, self.feeder(start))
            feeder.wake(Activity(self.activity.changed, self.activity.rolls, is_settled=True))
            await feeder.catch_up()
        self.activity.changed.clear()

    async def settle(self) -> None:
        """Finish the works on tables and feed the indexes, where there is something to do."""
        if self.records(TABLE_AT_WORK, SYSTEM_KEYSPACE):
            await self.works.finish_all(lambda: True)
        if self.activity.changed:
            await self.feed()


class LocalClock:
    """The clock of the partitions."""

    def __init__(self, partitions: LocalPartitions) -> None:
        self._partitions = partitions

    def monotonic(self) -> float:
        return self._partitions.now_ms / 1000

    def wall_ms(self) -> int:
        return self._partitions.now_ms


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
