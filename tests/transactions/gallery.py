"""Pictures and the rows that tell of them: objects and items in one world of several partitions."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from tests.objects.service_cluster import PLAIN, GivenBody, ServiceCluster
from tests.tables.local_tables import LocalTables
from tests.transactions.bank import ACCOUNTS, CUTS, account, key

from trilith.errors import ObjectNotFound
from trilith.objects.housekeeping import Housekeeping
from trilith.objects.keys import (
    INLINE,
    LOCK,
    OBJECT,
    OWNER_SIZE,
    PENDING,
    RELEASED,
    SEGMENT,
    bucket_range,
    stem_of,
)
from trilith.objects.records import OBJECT_RECORD, Kind
from trilith.objects.rules.fence import carry_over
from trilith.objects.service import ObjectService
from trilith.objects.transactions import ObjectTransactions, PutPart
from trilith.runtime.entropy import SystemEntropy
from trilith.tables.layout import LOCK as ITEM_LOCK
from trilith.tables.service import TableService, Wanted
from trilith.transactions.coordinator import Transactions
from trilith.transactions.layout import LEDGER
from trilith.transactions.recovery import PATIENCE_MS, Recovery
from trilith.transactions.sweeper import UNFINISHED_MS, Sweeper

BUCKET = "pictures"
INLINE_MAX = 8
SEGMENTS = 600  # bytes, and so chunks, of more than one segment
END_OF_TIME = 10**15


class Gateway(NamedTuple):
    together: ObjectTransactions
    objects: ObjectService
    rows: TableService
    transactions: Transactions


class Gallery:
    """A bucket whose objects lie in several partitions, beside a table."""

    def __init__(self, object_cuts: tuple[str, ...] = ("h", "p"), seed: int = 0) -> None:
        self.partitions = LocalTables(cuts=CUTS)
        self.cluster = ServiceCluster(inline=INLINE_MAX, chunk_size=1, partitions=self.partitions)
        self.random = random.Random(seed)
        self._cuts = object_cuts
        self._gateways: list[Gateway] = []
        self.bucket_id = b""

    async def open(self, objects: dict[str, bytes], rows: dict[str, int]) -> None:
        bucket = await self.cluster.service.create_bucket(BUCKET, owner="o", region="r")
        self.bucket_id = bucket.bucket_id
        for cut in self._cuts:
            self.split(cut)
        for name, data in objects.items():
            await self.put(name, data)
        for name, number in rows.items():
            await self.partitions.service.put_item(ACCOUNTS, account(name, number), 10, Wanted())

    def split(self, name: str) -> None:
        """Cut a partition of objects at a key."""
        cut = stem_of(self.bucket_id, name)
        self.partitions.split(cut, carry_over(self.partitions.view_of(cut), cut))

    async def put(self, name: str, data: bytes, **options: Any) -> None:
        body = GivenBody(data)
        await self.gateway().objects.put_object(BUCKET, name, body, PLAIN, **options)

    def gateway(self, partitions: Any = None) -> Gateway:
        found = partitions or self.partitions
        clock = self.partitions.lock_clock
        recovery = Recovery(found, clock)
        objects = ObjectService(
            found,
            self.cluster.pipeline,
            self.cluster.keys,
            SystemEntropy(),
            inline_size_bytes_max=INLINE_MAX,
            part_size_bytes_min=1,
            recovery=recovery,
        )
        transactions = Transactions(found, clock, SystemEntropy(), recovery)
        rows = TableService(found, self.partitions.keys, self.partitions.catalog, recovery)
        together = ObjectTransactions(objects, transactions)
        self._gateways.append(Gateway(together, objects, rows, transactions))
        return self._gateways[-1]

    async def close(self) -> None:
        """What gateways still do ends."""
        for gateway in self._gateways:
            await gateway.transactions.settlements.stop()

    async def read(self, name: str) -> bytes | None:
        """An object, read on its own, consistently."""
        service = self.gateway().objects
        try:
            reader = service.try_open_object(BUCKET, name)
            reader = reader or await service.open_object(BUCKET, name)
        except ObjectNotFound:
            return None
        return b"".join([run async for run in reader.stream(0, reader.info.size - 1)])

    async def row(self, name: str) -> int | None:
        read = await self.gateway().rows.get_item(ACCOUNTS, key(name), consistent=True)
        return None if read.item is None else int(read.item["n"]["N"])

    async def names(self) -> list[str]:
        page = await self.gateway().objects.list_objects(BUCKET)
        return [entry.key for entry in page.entries]

    def pass_time(self, ms: int = max(PATIENCE_MS, UNFINISHED_MS) + 1000) -> None:
        self.partitions.now_ms += ms

    async def sweep(self) -> None:
        recovery = Recovery(self.partitions, self.partitions.lock_clock)
        sweeper = Sweeper(self.partitions, self.partitions.lock_clock, recovery)
        routes = [(3, start) for start in (b"", *CUTS)]
        routes += [(2, start) for start in (b"", *self.object_starts())]
        await sweeper.sweep(routes)

    def object_starts(self) -> list[bytes]:
        return self.partitions.partition_starts(2, *bucket_range(self.bucket_id))[1:]

    def locks(self) -> list[bytes]:
        records = self.partitions.records
        return [*records(LOCK, 2), *records(ITEM_LOCK, 3)]

    def ledger(self) -> dict[bytes, bytes]:
        return self.partitions.records(LEDGER, 3)

    async def collect(self) -> None:
        """All that is abandoned or released."""
        housekeeping = Housekeeping(self.partitions)
        await housekeeping.abandon_stale(END_OF_TIME)
        while await housekeeping.collect_released(END_OF_TIME):
            pass

    def require_no_leftovers(self) -> None:
        """Every record belongs to an object that is there. To be asked after `collect`."""
        records = self.partitions.records
        inline, owners = set(), set()
        for name, raw in records(OBJECT, 2).items():
            if OBJECT_RECORD.kind(raw) == Kind.INLINE:
                inline.add(name)
            else:
                owners.add(name[:-8] + OBJECT_RECORD.decode(raw).version_id)
        assert set(records(INLINE, 2)) == inline
        assert {name[:-8] for name in records(SEGMENT, 2)} == owners
        assert all(len(owner) > OWNER_SIZE for owner in owners)
        assert not records(PENDING, 2)
        assert not records(RELEASED, 2)


def putting(name: str, data: bytes, **options: Any) -> PutPart:
    return PutPart(BUCKET, name, data, PLAIN, **options)
