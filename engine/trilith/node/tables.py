"""What a node does for tables unasked, where it leads their partitions.

*Trimming*: changes that neither a stream nor an index needs any longer are forgotten. *Rolling*:
after a split or a merge the shards of the change logs are brought in line with the new ranges, so
that a reader of an idle table learns of it. *Forgetting*: what deleted tables left for the readers
of their streams goes after a day. *Expiring*: items whose time to live is over are deleted, at a
bounded rate. Global indexes: indexes.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from trilith.cluster.bootstrap import SYSTEM, TABLES
from trilith.cluster.router import Router
from trilith.config import Tables
from trilith.edge.metrics import Metrics
from trilith.errors import OutcomeUnknown, TableNotFound, Unavailable
from trilith.replication.host import ReplicaHost
from trilith.runtime.clock import Clock
from trilith.tables.catalog import Catalog
from trilith.tables.changes import ChangeLog
from trilith.tables.definitions import Feeds
from trilith.tables.ended import Ended
from trilith.tables.expirer import Expirer

ROLL_S = 1.0  # between looks for new ranges, which are in memory

_Range = tuple[bytes, bytes, int]  # start, end, and how often it was changed


class TableUpkeep:
    """One node's."""

    def __init__(
        self,
        host: ReplicaHost,
        router: Router,
        catalog: Catalog,
        clock: Clock,
        config: Tables,
        log: Callable[..., None],
    ) -> None:
        self._host = host
        self._catalog = catalog
        self._clock = clock
        self._retention_ms = config.stream_retention_seconds * 1000
        self._upkeep_interval_s = config.upkeep_interval_seconds
        self._ttl_interval_s = config.ttl_interval_seconds
        self._deletes_per_second_max = config.ttl_deletes_per_second_max
        self._event = log
        self._log = ChangeLog(router)
        self._ended = Ended(router)
        self.expirer = Expirer(router, catalog, clock)
        self._ranges: dict[int, _Range] = {}
        self._trimmed = self._forgotten = 0

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(ROLL_S, self._roll))
            group.create_task(self._every(self._upkeep_interval_s, self._trim))
            group.create_task(self._every(self._upkeep_interval_s, self._forget))
            group.create_task(self._every(self._ttl_interval_s, self._expire))

    async def _every(self, interval_s: float, work: Callable[[], Any]) -> None:
        while True:
            await asyncio.sleep(interval_s)
            try:
                await work()
            except (Unavailable, OutcomeUnknown) as error:  # the next look finds it again
                self._event("table_upkeep_waits", error=error.code, message=error.message)

    def _led(self) -> dict[int, _Range]:
        return {
            partition_id: (d.start_key, d.end_key, d.generation)
            for partition_id, replica in self._host.replicas.items()
            if replica.leader is not None and (d := replica.descriptor).keyspace == TABLES
        }

    async def _roll(self) -> None:
        led = self._led()
        for partition_id, (start, end, generation) in led.items():
            if self._ranges.get(partition_id) == (start, end, generation):
                continue
            for table_id in {one.table_id for one in await self._log.shards(start, end)}:
                try:
                    record = await self._catalog.by_id(table_id)
                except TableNotFound:
                    continue  # it is deleted: its shards have ended
                if record.deleting:
                    continue
                feeds = record.feeds() or Feeds(era=record.revision)
                await self._log.roll(start, table_id, feeds)
            self._ranges[partition_id] = (start, end, generation)
        self._ranges = {one: kept for one, kept in self._ranges.items() if one in led}

    async def _trim(self) -> None:
        before_ms = self._clock.wall_ms() - self._retention_ms
        for start, end, _ in self._led().values():
            places = {(one.start, one.table_id) for one in await self._log.shards(start, end)}
            for shard_start, table_id in sorted(places):
                self._trimmed += await self._log.trim(
                    shard_start, table_id, 0, streamed_before_ms=before_ms
                )

    async def _forget(self) -> None:
        """Where the definitions are led."""
        if any(
            replica.leader is not None and replica.descriptor.keyspace == SYSTEM
            for replica in self._host.replicas.values()
        ):
            before_ms = self._clock.wall_ms() - self._retention_ms
            self._forgotten += await self._ended.forget_old(before_ms)

    async def _expire(self) -> None:
        for start, _, _ in self._led().values():
            await self.expirer.expire(start, self._pace)

    async def _pace(self, items: int) -> None:
        await asyncio.sleep(items / self._deletes_per_second_max)

    def facts(self) -> dict[str, Any]:
        """For `trilith status`."""
        return {
            "items_expired": self.expirer.deleted,
            "changes_trimmed": self._trimmed,
            "deleted_tables_forgotten": self._forgotten,
        }

    def register(self, metrics: Metrics) -> None:
        """Progress, as metrics."""
        metrics.add_collector(
            "trilith_ttl_items_deleted",
            "Items that were deleted because their time to live was over.",
            "counter",
            lambda: float(self.expirer.deleted),
        )
        metrics.add_collector(
            "trilith_changes_trimmed",
            "Records of the change logs that streams and indexes no longer needed.",
            "counter",
            lambda: float(self._trimmed),
        )
