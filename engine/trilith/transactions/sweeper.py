"""Finishes what coordinators left behind, on the leader of each partition.

Old locks are looked into; committed transactions whose record is still in the ledger have their
participants resolved, and then their record is closed, not removed: their coordinator may be
alive, and ask. What need not be remembered any more is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable

from trilith.replication.state_machine import Partitions
from trilith.runtime.clock import Clock
from trilith.transactions import commands as c
from trilith.transactions.layout import KEYS_END, LEDGER_KEYSPACE
from trilith.transactions.recovery import PATIENCE_MS, Recovery

UNFINISHED_MS = 5000
PAGE = 100


class Sweeper:
    """Looks after the partitions that are named to it."""

    def __init__(self, partitions: Partitions, clock: Clock, recovery: Recovery) -> None:
        self._partitions = partitions
        self._clock = clock
        self._recovery = recovery
        self.locks_recovered = 0
        self.transactions_finished = 0

    async def sweep(self, routes: Iterable[tuple[int, bytes]]) -> None:
        """`routes`: keyspace and start of each partition. Raises what the partitions raise."""
        for keyspace, start in routes:
            await self._sweep_locks(keyspace, start)
            if keyspace == LEDGER_KEYSPACE:
                await self._sweep_ledger(start)

    async def _sweep_locks(self, keyspace: int, start: bytes) -> None:
        before_ms = self._clock.wall_ms() - PATIENCE_MS
        found: c.Locks = await self._partitions.query(
            keyspace, start, c.ListLocks(start, before_ms, PAGE), touched=(start, KEYS_END)
        )
        for lock in found.locks:
            await self._recovery.look_into(keyspace, lock)
            self.locks_recovered += 1

    async def _sweep_ledger(self, start: bytes) -> None:
        now_ms = self._clock.wall_ms()
        page: c.LedgerPage = await self._partitions.query(
            LEDGER_KEYSPACE,
            start,
            c.ListLedger(start, now_ms - UNFINISHED_MS, now_ms, PAGE),
            touched=(start, KEYS_END),
        )
        for one in page.unfinished:
            for keyspace, key in one.participants:
                resolution = c.Resolution(key, one.transaction, is_committed=True)
                await self._partitions.execute(
                    keyspace, key, c.Resolve(key, c.Settled([resolution]))
                )
            close = c.Close(one.ledger, one.transaction)
            await self._partitions.execute(LEDGER_KEYSPACE, one.ledger, close)
            self.transactions_finished += 1
        more = page.has_expired
        while more:
            swept: c.Swept = await self._partitions.execute(LEDGER_KEYSPACE, start, c.Expire(start))
            more = swept.more
