"""Bounds on the bytes that uploads hold, shared fairly.

Two budgets, in this order: a *gathering* upload holds room for the bytes it collects; a *sealed*
chunk holds room until it is durable. Nobody waits for the first while holding the second, and the
second is given back without the caller's doing: so neither can deadlock, and memory is bounded at
any number of uploads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol


class ByteBudget:
    """At most `limit_bytes` are out at any time; waiters are served first come, first served."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.on_wait: Callable[[], None] | None = None

    @property
    def waiting(self) -> int:
        """How many acquisitions are queued."""
        return len(self._waiters)

    def try_acquire(self, size: int) -> bool:
        """Take `size` bytes if they are free and nobody waits."""
        if self._waiters or self.used_bytes + size > self.limit_bytes:
            return False
        self._take(size)
        return True

    async def acquire(self, size: int) -> None:
        """Take `size` bytes, after everybody who asked before. Cancelling takes nothing."""
        if size > self.limit_bytes:
            raise ValueError(f"{size} bytes exceed the budget of {self.limit_bytes}")
        if self.try_acquire(size):
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (size, granted)
        self._waiters.append(waiter)
        if self.on_wait is not None:
            self.on_wait()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.release(size)
            else:
                self._waiters.remove(waiter)
                self._grant()  # the one behind may want less
            raise

    def release(self, size: int) -> None:
        self.used_bytes -= size
        assert self.used_bytes >= 0, self.used_bytes
        self._grant()

    def _take(self, size: int) -> None:
        self.used_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)

    def _grant(self) -> None:
        while self._waiters:
            size, granted = self._waiters[0]
            if granted.cancelled():
                return  # its task removes it, then grants on
            if self.used_bytes + size > self.limit_bytes:
                return
            self._waiters.popleft()
            self._take(size)
            granted.set_result(None)


class Gatherer(Protocol):
    """Who holds room for gathering."""

    def give_way(self) -> None:
        """Others wait and the turn is over: store what is gathered, give the room back soon."""
        ...


class GatherBudget:
    """Room for gathering, in turns. Holders of one budget never wait for more of the same.

    A turn lasts as long as nobody waits. Otherwise it ends after `turn_s`: a slow client then gets
    a chunk boundary that its content did not ask for, and cannot keep the others waiting.
    """

    def __init__(self, limit_bytes: int, turn_s: float) -> None:
        self.bytes = ByteBudget(limit_bytes)
        self.bytes.on_wait = self._watch
        self._turn_s = turn_s
        self._turns: dict[Gatherer, float] = {}  # holder -> end of its turn; the oldest first
        self._timer: asyncio.TimerHandle | None = None

    async def begin(self, holder: Gatherer, size: int) -> None:
        await self.bytes.acquire(size)
        self.enter(holder)

    def enter(self, holder: Gatherer) -> None:
        """The turn of a holder that has acquired its bytes begins."""
        self._turns[holder] = asyncio.get_running_loop().time() + self._turn_s

    def end(self, holder: Gatherer, size: int) -> None:
        del self._turns[holder]
        self.bytes.release(size)

    def _watch(self) -> None:
        """Somebody waits: look again when the oldest turn ends."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            soonest = min(self._turns.values(), default=loop.time())
            wait_s = max(soonest - loop.time(), self._turn_s / 16)
            self._timer = loop.call_later(wait_s, self._turn_over)

    def _turn_over(self) -> None:
        self._timer = None
        if not self.bytes.waiting:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        for holder, ends in self._turns.items():
            if ends <= now:
                self._turns[holder] = now + self._turn_s
                holder.give_way()
                break
        self._watch()
