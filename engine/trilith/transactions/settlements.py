"""What follows a decision: locked actions are performed or dropped, off the path of the answer.

A gateway gathers the keys of its decided transactions by partition. They ride along with the next
prepare or commit that goes to the partition, so that under load they cost no command of their own;
what finds no ride in GATHER_S is resolved by one command for many. When all keys of a committed
transaction are resolved, the ledger's record is removed the same way.

Nothing is lost with the gateway: the locks and the ledger's record say all, and others go on
(`sweeper.py`, `recovery.py`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from trilith.errors import OutcomeUnknown, TrilithError, Unavailable
from trilith.replication.state_machine import Partitions
from trilith.transactions import commands as c
from trilith.transactions.layout import LEDGER_KEYSPACE
from trilith.transactions.records import Participant

BATCH_MAX = 64  # keys a command; fewer than the sequences that a command has
GATHER_S = 0.02
RIDERS_MAX = 16  # keys a command of another transaction
WAITING_MAX = 20_000
ATTEMPTS_MAX = 4
_RETRY_S = 0.2


class Decided:
    """A transaction with keys to resolve; a committed one's ledger has a record to remove then.

    `gone`, of an aborted one: set when its locks are gone, or others have to remove them. `waiter`:
    of one that is over and had waited.
    """

    __slots__ = ("gone", "is_committed", "ledger", "left", "transaction", "waiter")

    def __init__(
        self, transaction: bytes, ledger: bytes, left: int, waiter: bytes, *, committed: bool
    ) -> None:
        self.transaction = transaction
        self.waiter = waiter
        self.ledger = ledger
        self.left = left
        self.is_committed = committed
        self.gone = None if committed else asyncio.Event()

    def count_down(self) -> bool:
        """One key less; whether it was the last."""
        self.left -= 1
        if self.left == 0 and self.gone is not None:
            self.gone.set()
        return self.left == 0


class Task:
    """A key to resolve, or (`key` is None) a ledger to close."""

    __slots__ = ("attempts", "decided", "key", "keyspace")

    def __init__(self, decided: Decided, keyspace: int, key: bytes | None) -> None:
        self.decided = decided
        self.keyspace = keyspace
        self.key = key
        self.attempts = 0

    @property
    def route(self) -> bytes:
        return self.decided.ledger if self.key is None else self.key


def settled_by(tasks: list[Task]) -> c.Settled:
    """Tasks of one partition as they travel."""
    if not tasks:
        return c.NOTHING_SETTLED
    return c.Settled(
        [
            c.Resolution(
                task.key, task.decided.transaction, task.decided.is_committed, task.decided.waiter
            )
            for task in tasks
            if task.key is not None
        ],
        [(t.decided.ledger, t.decided.transaction) for t in tasks if t.key is None],
    )


class Settlements:
    """One gateway's queue."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions
        self._queues: dict[tuple[int, int], deque[Task]] = {}
        self._workers: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._waiting = 0

    @property
    def is_full(self) -> bool:
        """Whether new transactions had better wait."""
        return self._waiting >= WAITING_MAX

    def add(
        self,
        transaction: bytes,
        ledger: bytes,
        participants: Sequence[Participant],
        *,
        committed: bool,
        waiter: bytes = b"",
    ) -> Decided:
        """See to it that the locks of a decided transaction go."""
        decided = Decided(transaction, ledger, len(participants), waiter, committed=committed)
        for keyspace, key in participants:
            self._enqueue(Task(decided, keyspace, key))
        return decided

    def _enqueue(self, task: Task) -> None:
        try:
            partition = self._partitions.partition_of(task.keyspace, task.route)
        except Unavailable:
            return  # the map is gone: the node stops
        where = (task.keyspace, partition)
        self._queues.setdefault(where, deque()).append(task)
        self._waiting += 1
        worker = self._workers.get(where)
        if worker is None or worker.done():
            loop = asyncio.get_running_loop()
            self._workers[where] = loop.create_task(self._work(where))

    async def _work(self, where: tuple[int, int]) -> None:
        queue = self._queues[where]
        await asyncio.sleep(GATHER_S)
        while queue:
            batch = [queue.popleft() for _ in range(min(len(queue), BATCH_MAX))]
            self._waiting -= len(batch)
            try:
                elsewhere = await self._resolve(where[0], batch)
            except (Unavailable, OutcomeUnknown):
                await asyncio.sleep(_RETRY_S)
                self._again(batch)
                continue
            except TrilithError:
                continue  # a defect, and logged: the sweeper meets it again
            missed = [task for task in batch if task.route in elsewhere]
            for task in batch:
                if task.route not in elsewhere:
                    self._done(task)
            if missed:  # the partition was split meanwhile
                self._again(missed)
            if queue:
                await asyncio.sleep(GATHER_S)

    async def _resolve(self, keyspace: int, batch: list[Task]) -> set[bytes]:
        route = batch[0].route
        done: c.Resolved = await self._partitions.execute(
            keyspace, route, c.Resolve(route, settled_by(batch))
        )
        return set(done.elsewhere)

    # --- rides -----------------------------------------------------------------------------------

    def board(self, where: tuple[int, int]) -> list[Task]:
        """Tasks that ride along with a command to a partition.

        See that each has `arrived`, or is `left_behind`.
        """
        queue = self._queues.get(where)
        if not queue:
            return []
        riders = [queue.popleft() for _ in range(min(len(queue), RIDERS_MAX))]
        self._waiting -= len(riders)
        return riders

    def arrived(self, riders: list[Task]) -> None:
        for task in riders:
            self._done(task)

    def left_behind(self, riders: list[Task]) -> None:
        self._again(riders)

    def _again(self, tasks: list[Task]) -> None:
        for task in tasks:
            task.attempts += 1
            if task.attempts < ATTEMPTS_MAX:
                self._enqueue(task)
            elif task.decided.gone is not None:
                task.decided.gone.set()

    def _done(self, task: Task) -> None:
        decided = task.decided
        if task.key is None:
            return
        if decided.count_down() and decided.is_committed:
            self._enqueue(Task(decided, LEDGER_KEYSPACE, None))

    async def drain(self) -> None:
        """Until nothing is left to do."""
        while workers := [one for one in self._workers.values() if not one.done()]:
            await asyncio.wait(workers)

    async def stop(self) -> None:
        """At once: others do the rest."""
        for worker in self._workers.values():
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)
