"""The coordinator in a simulation: linearizable, in memory, and not always there.

Requests and answers travel: a node's request can be lost before it is applied, and its answer
after. What is applied is applied once, at one moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextvars import Context
from random import Random
from typing import Any

from tests.simulation.loop import PROCESS, Process, SimLoop

from trilith.errors import CoordinatorUnavailable, RevisionConflict, TrilithError
from trilith.replication.coordinator import Change, Changes, Versioned

REQUEST_TIMEOUT_S = 1.0


class SimCoordinator:
    """The service. Faults: `down`; `slowness`; `lose_answers`, the share of answers that get lost;
    `cut`, the nodes that cannot reach it; `deaf`, those whose answers get lost; `unordered`: a
    request can overtake an earlier one that its sender gave up, as over two connections."""

    def __init__(self, loop: SimLoop, random: Random, trace: Callable[[str], None]) -> None:
        self.loop = loop
        self.random = random
        self.revision = 0
        self.values: dict[str, Versioned] = {}
        self.changes: list[Change] = []
        self.moments: list[float] = []  # of the changes
        self.on_change: Callable[[str, bytes | None, bytes | None], None] = lambda *_: None
        self.down = False
        self.slowness = 1.0
        self.lose_answers = 0.0
        self.unordered = False
        self.cut: set[str] = set()
        self.deaf: set[str] = set()
        self._trace = trace
        self._watches: list[_Watch] = []
        self.unowned = Context()

    def port(self, process: Process, machine: str) -> CoordinatorPort:
        return CoordinatorPort(self, process, machine)

    def reachable(self, machine: str) -> bool:
        return not self.down and machine not in self.cut

    def transit_s(self) -> float:
        return self.random.uniform(0.0005, 0.004) * self.slowness

    def break_watches(self) -> None:
        """It restarted: every stream ends."""
        for watch in list(self._watches):
            watch.break_off()

    # operations, at one moment each

    def get(self, key: str) -> Versioned | None:
        return self.values.get(key)

    def list(self, prefix: str) -> tuple[dict[str, Versioned], int]:
        found = {k: v for k, v in sorted(self.values.items()) if k.startswith(prefix)}
        return found, self.revision

    def swap(self, key: str, expected_revision: int, value: bytes | None) -> int:
        found = self.values.get(key)
        if (found.revision if found else 0) != expected_revision:
            raise RevisionConflict(f"{key} is not at revision {expected_revision}")
        self.revision += 1
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = Versioned(value, self.revision)
        change = Change(key, value, self.revision)
        self.changes.append(change)
        self.moments.append(self.loop.now)
        self._trace(f"coordinator {key} {value!r}")
        self.on_change(key, found.value if found else None, value)
        for watch in self._watches:
            watch.notify()
        return self.revision


class _Watch(AsyncIterator[Changes]):
    """One stream of changes to one node. Ends when its node has no way to the coordinator."""

    def __init__(self, service: SimCoordinator, port: CoordinatorPort, prefix: str, after: int):
        self._service = service
        self._port = port
        self._prefix = prefix
        self._position = after
        self._wake = asyncio.Event()
        self._broken = False
        self._scheduled = False
        service._watches.append(self)
        self.notify()

    def notify(self) -> None:
        """There may be something to send; it travels, and travels late when the way is cut."""
        if not self._scheduled and self._port.process.alive:
            self._scheduled = True
            self._service.loop.call_later(
                self._service.transit_s(), self._arrive, context=self._port.process.context
            )

    def _arrive(self) -> None:
        if self._service.reachable(self._port.machine):
            self._scheduled = False
            self._wake.set()
        else:
            self._service.loop.call_later(0.1, self._arrive, context=self._port.process.context)

    def break_off(self) -> None:
        self._broken = True
        if self in self._service._watches:
            self._service._watches.remove(self)
        self._service.loop.call_later(
            self._service.transit_s(), self._wake.set, context=self._port.process.context
        )

    async def __anext__(self) -> Changes:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._broken:
                raise CoordinatorUnavailable("the watch broke")
            found = [
                change
                for change in self._service.changes
                if change.revision > self._position and change.key.startswith(self._prefix)
            ]
            if found:
                self._position = found[-1].revision
                return found


class CoordinatorPort:
    """Implements `replication.coordinator.Coordinator` for one process."""

    def __init__(self, service: SimCoordinator, process: Process, machine: str) -> None:
        self._service = service
        self.process = process
        self.machine = machine
        self._last_arrival = 0.0  # requests of one node arrive in order, unless `unordered`

    async def get(self, key: str) -> Versioned | None:
        found: Versioned | None = await self._ask(self._service.get, key)
        return found

    async def list(self, prefix: str) -> tuple[dict[str, Versioned], int]:
        found: tuple[dict[str, Versioned], int] = await self._ask(self._service.list, prefix)
        return found

    async def compare_and_swap(self, key: str, expected_revision: int, value: bytes | None) -> int:
        revision: int = await self._ask(self._service.swap, key, expected_revision, value)
        return revision

    def watch(self, prefix: str, after_revision: int) -> AsyncIterator[Changes]:
        return _Watch(self._service, self, prefix, after_revision)

    async def close(self) -> None:
        pass

    async def _ask(self, operation: Callable[..., Any], *arguments: Any) -> Any:
        """A request's way there and back. Whatever gets lost is reported after a time-out."""
        service, loop = self._service, self._service.loop
        future: asyncio.Future[Any] = loop.create_future()
        context = self.process.context

        def answer(result: Any, error: TrilithError | None) -> None:
            if self.machine not in service.deaf:
                settle(result, error)

        def settle(result: Any, error: TrilithError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def arrive() -> None:
            if not service.reachable(self.machine):
                return
            result, error = None, None
            try:
                result = operation(*arguments)
            except TrilithError as refused:
                error = refused
            lost = service.random.random() < service.lose_answers
            if not lost:
                when = loop.now + service.transit_s()
                loop.call_at(when, answer, result, error, context=context)

        assert PROCESS.get() is self.process
        sent_at = max(loop.now, self.process.paused_until)
        arrival = sent_at + service.transit_s()
        if not service.unordered:
            arrival = self._last_arrival = max(arrival, self._last_arrival)
        loop.call_at(arrival, arrive, context=service.unowned)
        unavailable = CoordinatorUnavailable("no answer from the coordinator")
        patience_s = max(REQUEST_TIMEOUT_S, 0.01 * service.slowness)
        timer = loop.call_at(sent_at + patience_s, settle, None, unavailable, context=context)
        try:
            return await future
        finally:
            timer.cancel()
