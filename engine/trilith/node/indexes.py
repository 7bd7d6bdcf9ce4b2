"""What a node does for global indexes: feeds them where it leads, makes and unmakes them.

Each partition of tables that is led here has a feeder, which is woken by commits. The leader of the
definitions does the works on tables. Nothing runs while nothing is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from trilith.cluster.bootstrap import SYSTEM, TABLES
from trilith.cluster.router import Router
from trilith.edge.metrics import Metrics
from trilith.errors import OutcomeUnknown, TrilithError, Unavailable
from trilith.replication.host import ReplicaHost
from trilith.replication.leader import Leader
from trilith.replication.replica import Replica
from trilith.runtime.clock import Clock
from trilith.tables.catalog import Catalog
from trilith.tables.changes import ChangeActivity
from trilith.tables.entry_commands import SweepGone, Swept
from trilith.tables.feeder import Activity, Feeder
from trilith.tables.key_ring import ItemKeys
from trilith.tables.layout import TABLES_KEYSPACE
from trilith.tables.rules.global_indexes import GONE_KEPT_MS
from trilith.tables.works import TableWorks

SWEEP_S = 60.0
WORKS_RETRY_S = 5.0

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class _Running(NamedTuple):
    """A feeder, and the leadership and range that it is for."""

    leader: Leader
    start: bytes
    feeder: Feeder


class IndexStation:
    """One node's. `activity`: of the model of its items; `spawn` runs its tasks."""

    def __init__(
        self,
        *,
        host: ReplicaHost,
        router: Router,
        catalog: Catalog,
        keys: ItemKeys,
        clock: Clock,
        activity: ChangeActivity,
        lag_s_max: float,
        spawn: Spawn,
        log: Callable[..., None],
    ) -> None:
        self._host = host
        self._router = router
        self._catalog = catalog
        self._keys = keys
        self._clock = clock
        self._activity = activity
        self._lag_s_max = lag_s_max
        self._spawn = spawn
        self._log = log
        self._running: dict[int, _Running] = {}
        self._fed_before = 0  # by feeders that are none any more
        self._works = TableWorks(router, catalog, keys, clock)
        self._work_leader: Leader | None = None
        self._work_waits = asyncio.Event()
        host.on_commit = self._committed

    # feeding

    def _committed(self, partition_id: int) -> None:
        """On the path of every write: quick where no index has to do with it."""
        replica = self._host.replicas.get(partition_id)
        if replica is None or replica.leader is None:
            return
        keyspace = replica.descriptor.keyspace
        if keyspace == TABLES:
            self._tell(partition_id, replica, replica.leader)
        elif keyspace == SYSTEM:
            self._work_waits.set()
            if self._work_leader is not replica.leader:
                self._work_leader = replica.leader
                self._spawn(self._work(replica, replica.leader))

    def _tell(self, partition_id: int, replica: Replica, leader: Leader) -> None:
        running = self._running.get(partition_id)
        start = replica.descriptor.start_key
        if running is None or running.leader is not leader or running.start != start:
            running = self._start(partition_id, replica, leader, start)
        activity, feeder = self._activity, running.feeder
        if not activity.changed and feeder.listed == activity.rolls:
            return
        is_settled = replica.commit_index == replica.log.last_index
        changed = [place for place in activity.changed if replica.covers(place[0])]
        if is_settled:
            activity.changed.difference_update(changed)
        if changed or feeder.listed != activity.rolls:
            feeder.wake(Activity(changed, activity.rolls, is_settled))

    def _start(self, partition_id: int, replica: Replica, leader: Leader, start: bytes) -> _Running:
        """Also ends the one before, which finds that it is not the current one any more."""
        before = self._running.get(partition_id)
        feeder = Feeder(
            start,
            self._router,
            self._catalog,
            self._keys,
            self._clock,
            self._activity,
            self._lag_s_max,
        )
        running = self._running[partition_id] = _Running(leader, start, feeder)
        if before is not None:
            self._fed_before += before.feeder.fed
            before.feeder.wake(Activity((), self._activity.rolls, is_settled=False))
        self._spawn(
            feeder.run(
                lambda: self._running.get(partition_id) is running and replica.leader is leader,
                self._log,
            )
        )
        return running

    async def sweep(self) -> None:
        """Forget entries that were taken out long ago, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self._forget_feeders()
            before_ms = self._clock.wall_ms() - GONE_KEPT_MS
            for replica in list(self._host.replicas.values()):
                if replica.leader is None or replica.descriptor.keyspace != TABLES:
                    continue
                try:
                    await self._sweep_one(replica.descriptor.start_key, before_ms)
                except (Unavailable, OutcomeUnknown):
                    continue  # the next round, or the next leader, does it

    def _forget_feeders(self) -> None:
        """Of partitions that their neighbours have absorbed."""
        for partition_id in self._running.keys() - self._host.replicas.keys():
            feeder = self._running.pop(partition_id).feeder
            self._fed_before += feeder.fed
            feeder.wake(Activity((), self._activity.rolls, is_settled=False))

    async def _sweep_one(self, start: bytes, before_ms: int) -> None:
        at = start
        while True:
            command = SweepGone(at, before_ms)
            swept: Swept = await self._router.execute(TABLES_KEYSPACE, at, command)
            if not swept.next:
                return
            at = swept.next

    # works

    async def _work(self, replica: Replica, leader: Leader) -> None:
        def is_ours() -> bool:
            return replica.leader is leader

        while is_ours():
            self._work_waits.clear()
            try:
                await self._works.finish_all(is_ours)
            except TrilithError as error:
                self._log("table_works_failed", error=str(error), code=error.code)
                await asyncio.sleep(WORKS_RETRY_S)
                continue
            await self._work_waits.wait()

    # views

    def _led(self) -> dict[int, Feeder]:
        return {
            partition_id: running.feeder
            for partition_id, running in self._running.items()
            if (replica := self._host.replicas.get(partition_id)) is not None
            and replica.leader is running.leader
        }

    def facts(self) -> dict[str, Any]:
        """How far behind the indexes are, in seconds, by partition; those that are not are left
        out.
        """
        lags = {str(one): round(feeder.lag_s(), 3) for one, feeder in self._led().items()}
        return {
            "lag_seconds": {one: lag for one, lag in lags.items() if lag},
            "writes_refused": self._activity.refused,
            "entries_fed": self._entries_fed(),
            "items_filled": self._works.filled,
        }

    def _entries_fed(self) -> int:
        return self._fed_before + sum(one.feeder.fed for one in self._running.values())

    def register(self, metrics: Metrics) -> None:
        """Gauges and counters."""
        metrics.add_collector(
            "trilith_index_lag_seconds",
            "Age of the oldest change that global indexes do not have, by the partition it is in.",
            "gauge",
            lambda: {(str(one),): feeder.lag_s() for one, feeder in self._led().items()},
            ("partition",),
        )
        metrics.add_collector(
            "trilith_index_lag_records",
            "Changes that were read for global indexes and are not in them yet.",
            "gauge",
            lambda: {(str(one),): float(feeder.unfed) for one, feeder in self._led().items()},
            ("partition",),
        )
        metrics.add_collector(
            "trilith_index_writes_refused",
            "Writes that were refused because global indexes were too far behind.",
            "counter",
            lambda: float(self._activity.refused),
        )
        metrics.add_collector(
            "trilith_index_entries_fed",
            "Entries of global indexes that were put or taken out.",
            "counter",
            lambda: float(self._entries_fed()),
        )
        metrics.add_collector(
            "trilith_index_items_filled",
            "Items that were read to fill new global indexes.",
            "counter",
            lambda: float(self._works.filled),
        )
