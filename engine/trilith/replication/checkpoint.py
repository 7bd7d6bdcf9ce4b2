"""Flushing the ordered store so that journal segments can be dropped (DESIGN: storage).

The applied indexes are read before the flush starts: what they cover is durable when it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trilith.errors import TrilithError
from trilith.replication.replica import Replica
from trilith.runtime.workers import Workers
from trilith.storage.journal import Journal
from trilith.storage.ordered_store import OrderedStore

CHECK_INTERVAL_S = 1.0


class Checkpoints:
    """Flush and trim whenever so many bytes were journaled since the last time."""

    def __init__(
        self,
        *,
        journal: Journal,
        store: OrderedStore,
        workers: Workers,
        replicas: dict[int, Replica],
        interval_bytes: int,
        log: Callable[..., None],
        over: Callable[[], list[Replica]] = list,
        forget: Callable[[list[Replica]], None] = lambda _: None,
    ) -> None:
        """`over`: replicas that are of no use once the store is flushed; `forget` is told then."""
        self._journal = journal
        self._store = store
        self._workers = workers
        self._replicas = replicas
        self._interval_bytes = interval_bytes
        self._log = log
        self._over = over
        self._forget = forget

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            if (
                self._journal.bytes_since_trim >= self._interval_bytes
                or not self._journal.accepting
            ):
                try:
                    await self.once()
                except TrilithError as error:
                    self._log("checkpoint_failed", error=str(error))

    async def once(self) -> None:
        """Raises StorageFailure or DiskFull; the journal is then kept whole."""
        applied = {
            partition_id: replica.applied_index
            for partition_id, replica in self._replicas.items()
            if not replica.installing
        }
        over = self._over()
        await self._workers.run(self._store.flush)
        self._forget(over)
        self._journal.trim(applied)
