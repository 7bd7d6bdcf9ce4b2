"""Transactions of one node: what its gateway runs, and what its leaders finish for others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trilith.cluster.bootstrap import OBJECTS, TABLES
from trilith.cluster.router import Router
from trilith.edge.metrics import Metrics
from trilith.errors import TrilithError
from trilith.replication.host import ReplicaHost
from trilith.runtime.ports import Runtime
from trilith.tables.commands import SweepTraces
from trilith.tables.layout import TRACE_EPOCH_MS
from trilith.transactions.coordinator import Transactions
from trilith.transactions.recovery import Recovery
from trilith.transactions.sweeper import Sweeper

SWEEP_INTERVAL_S = 2.0
SWEEP_INTERVAL_S_MAX = 20.0
_SHARE = 100  # of the time, at most one part in so many is spent on looking for locks
_KEYSPACES = (OBJECTS, TABLES)


class TransactionStation:
    """`transactions` runs them; `recovery` is for whoever meets their locks."""

    def __init__(
        self, runtime: Runtime, host: ReplicaHost, router: Router, log: Callable[..., None]
    ) -> None:
        self._clock = runtime.clock
        self._host = host
        self._router = router
        self._traces_swept = 0
        self._log = log
        self.recovery = Recovery(router, runtime.clock)
        self.transactions = Transactions(router, runtime.clock, runtime.entropy, self.recovery)
        self._sweeper = Sweeper(router, runtime.clock, self.recovery)

    async def run(self) -> None:
        """Finish what coordinators left behind, until cancelled."""
        took_s = 0.0
        try:
            while True:
                pause_s = max(SWEEP_INTERVAL_S, _SHARE * took_s)
                await asyncio.sleep(min(pause_s, SWEEP_INTERVAL_S_MAX))
                began_s, took_s = self._clock.monotonic(), 0.0
                try:
                    await self._sweeper.sweep(self._led())
                    await self._sweep_traces()
                except TrilithError as error:  # its time went by with waiting, not with work
                    self._log("transactions_not_swept", error=error.code, message=error.message)
                else:
                    took_s = self._clock.monotonic() - began_s
        finally:
            await self.transactions.settlements.stop()

    async def _sweep_traces(self) -> None:
        """Once an epoch: a sweep that finds nothing writes nothing."""
        epoch = self._clock.wall_ms() // TRACE_EPOCH_MS
        if epoch == self._traces_swept:
            return
        for keyspace, start in self._led():
            if keyspace == TABLES:
                await self._router.execute(keyspace, start, SweepTraces(start))
        self._traces_swept = epoch

    def _led(self) -> list[tuple[int, bytes]]:
        return [
            (replica.descriptor.keyspace, replica.descriptor.start_key)
            for replica in self._host.replicas.values()
            if replica.leader is not None and replica.descriptor.keyspace in _KEYSPACES
        ]

    def register(self, metrics: Metrics) -> None:
        """Progress, as metrics."""
        sweeper = self._sweeper
        for name, text, read in (
            (
                "locks_recovered",
                "Locks of transactions whose coordinator was silent.",
                lambda: float(sweeper.locks_recovered),
            ),
            (
                "finished",
                "Committed transactions that others than their coordinator finished.",
                lambda: float(sweeper.transactions_finished),
            ),
        ):
            metrics.add_collector(f"trilith_transactions_{name}", text, "counter", read)
