"""What to do about a lock of somebody else's transaction: find out what became of it.

A coordinator that lives resolves its locks within milliseconds. One that is silent for
PATIENCE_MS is taken for dead: its transaction is aborted, unless it is committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import TypeVar

from trilith.errors import (
    ConditionalConflict,
    OutcomeUnknown,
    TransactionConflict,
    Unavailable,
)
from trilith.replication.state_machine import Partitions
from trilith.runtime.clock import Clock
from trilith.transactions import commands as c
from trilith.transactions.layout import LEDGER_KEYSPACE
from trilith.transactions.stage import lock_behind

PATIENCE_MS = 2000
RESERVE_DEADLINE_S = 0.5
CONFLICT_S_MAX = 3.0  # an ordinary write outlasts a coordinator that has just died
_DELAY_S_MIN = 0.005
_DELAY_S_MAX = 0.1
_TOGETHER_MAX = 32
_READS_MAX = 10

T = TypeVar("T")


class Fate(Enum):
    """What became of a transaction whose lock was met. Unless PENDING, the lock is gone."""

    COMMITTED = 1
    ABORTED = 2
    PENDING = 3


class Recovery:
    """One gateway's way around locks."""

    def __init__(self, partitions: Partitions, clock: Clock) -> None:
        self._partitions = partitions
        self._clock = clock

    def new_waiter(self) -> bytes:
        """For one that was turned away: it is older than all that begin to wait later."""
        return self._clock.wall_ms().to_bytes(8, "big") + self._partitions.new_token()

    async def look_into(self, keyspace: int, lock: c.LockHead) -> Fate:
        """Resolve a lock if its transaction is decided, or should have been by now."""
        if not lock.ledger:
            return Fate.PENDING  # a reservation: its time is over soon
        standing: c.Standing = await self._partitions.query(
            LEDGER_KEYSPACE, lock.ledger, c.AskLedger(lock.ledger, lock.transaction)
        )
        if not standing.is_committed:
            if self._clock.wall_ms() - lock.created_ms < PATIENCE_MS:
                return Fate.PENDING
            standing = await self._partitions.execute(
                LEDGER_KEYSPACE, lock.ledger, c.Settle(lock.ledger, lock.transaction)
            )
        resolution = c.Resolution(lock.key, lock.transaction, standing.is_committed)
        await self._partitions.execute(
            keyspace, lock.key, c.Resolve(lock.key, c.Settled([resolution]))
        )
        return Fate.COMMITTED if standing.is_committed else Fate.ABORTED

    async def reserve(
        self, keyspace: int, keys: Sequence[bytes], waiter: bytes, *, is_over: bool = False
    ) -> None:
        """Ask those who come later to keep away from keys for a moment, or no longer to.

        A partition that does not answer is passed by: nothing depends on it.
        """
        groups: dict[int, list[bytes]] = {}
        for key in keys:
            groups.setdefault(self._partitions.partition_of(keyspace, key), []).append(key)
        requests = [
            self._partitions.execute(
                keyspace,
                group[0],
                c.Reserve(group[0], group, waiter, is_over),
                deadline_s=RESERVE_DEADLINE_S,
            )
            for group in groups.values()
        ]
        for answer in await asyncio.gather(*requests, return_exceptions=True):
            if isinstance(answer, BaseException) and not isinstance(
                answer, Unavailable | OutcomeUnknown
            ):
                raise answer

    async def around_locks(self, keyspace: int, write: Callable[[bytes], Awaitable[T]]) -> T:
        """The result of an ordinary write, which is told its name as a waiter, after the
        transactions that are in its way.

        Raises TransactionConflict when the item stays locked.
        """
        deadline = self._clock.monotonic() + CONFLICT_S_MAX
        delay_s, waiter = _DELAY_S_MIN, self.new_waiter()
        while True:
            try:
                return await write(waiter)
            except TransactionConflict as error:
                lock = lock_behind(error)
                if lock is None or self._clock.monotonic() >= deadline:
                    raise TransactionConflict from None
            if await self.look_into(keyspace, lock) is Fate.PENDING:
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, _DELAY_S_MAX)

    async def look_into_all(self, keyspace: int, locks: Sequence[c.LockHead]) -> list[Fate]:
        fates: list[Fate] = []
        for at in range(0, len(locks), _TOGETHER_MAX):
            some = locks[at : at + _TOGETHER_MAX]
            fates += await asyncio.gather(*(self.look_into(keyspace, lock) for lock in some))
        return fates

    async def behind_locks(
        self,
        keyspace: int,
        answer: T,
        locks_of: Callable[[T], Sequence[c.LockHead]],
        ask_again: Callable[[], Awaitable[T]],
        was_read: Callable[[T, c.LockHead], bool],
    ) -> T:
        """The answer of a consistent read that met locks, with all that was committed before it.

        What a lock hides is old if its transaction was committed before the read began. So each
        lock is looked into, and the read done again: a lock that is still there was undecided when
        it was looked into, and one that is new on a key that was read before was not there when
        the read began. `was_read`: whether the first answer would have told of a lock.
        """
        first, seen = answer, set[tuple[bytes, bytes]]()
        for _ in range(_READS_MAX):
            fresh = [
                lock
                for lock in locks_of(answer)
                if (lock.key, lock.transaction) not in seen
                and (not seen or not was_read(first, lock))
            ]
            if not fresh:
                return answer
            await self.look_into_all(keyspace, fresh)
            seen.update((lock.key, lock.transaction) for lock in fresh)
            answer = await ask_again()
        raise ConditionalConflict("transactions kept getting in between")
