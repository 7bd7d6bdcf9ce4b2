"""An asyncio event loop on virtual time, in one thread, that knows which process a callback is of.

Time stands still while callbacks run and jumps to the next timer when none is ready. Order is
fixed: ready callbacks first in, first out; timers by time, then by age. A process that is paused
has its callbacks held back; one that died never runs again.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from heapq import heappop, heappush
from typing import Any


class Process:
    """What a callback can belong to: one run of one node's process.

    `paused_until`: its callbacks wait until then, as under SIGSTOP. `stall`: (clock readings until
    it strikes, seconds), a pause in the middle of a callback.
    """

    __slots__ = ("alive", "context", "held", "name", "paused_until", "stall", "tasks")

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.paused_until = 0.0
        self.held: deque[asyncio.Handle] = deque()
        self.stall: tuple[int, float] | None = None
        self.tasks: list[asyncio.Task[Any]] = []
        self.context = contextvars.Context()
        self.context.run(PROCESS.set, self)


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class SimTask(asyncio.Task[Any]):
    """Hashes by age, so that sets of tasks iterate in the same order in every run."""

    def __init__(self, work: Coroutine[Any, Any, Any], number: int, **options: Any) -> None:
        self.number = number  # first: asyncio puts the task into a set while it is made
        super().__init__(work, **options)

    def __hash__(self) -> int:
        return self.number


STEPS_MAX = 1_000_000  # of one run; the busiest correct ones take 150,000


class Livelock(RuntimeError):
    """So much has happened that it would never end."""


class Deadlock(RuntimeError):
    """Nothing is ready and no timer runs: nothing would ever happen again."""


class SimLoop(asyncio.BaseEventLoop):
    """`defects`: what callbacks raised that nobody caught."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.steps = 0
        self.defects: list[str] = []
        self._sequence = 0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._soon: deque[asyncio.Handle] = deque()
        self._tasks_made = 0
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]
        self.set_exception_handler(self._defect)

    def time(self) -> float:
        return self.now

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._soon.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._sequence += 1
        heappush(self._timers, (when, self._sequence, handle))
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
    ) -> SimTask:
        self._tasks_made += 1
        task = SimTask(work, self._tasks_made, loop=loop, **options)
        context = options.get("context")
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is not None:
            process.tasks.append(task)
        return task

    def pause(self, process: Process, until: float) -> None:
        process.paused_until = max(process.paused_until, until)
        self.call_at(until, self._resume, process, context=contextvars.Context())

    def _resume(self, process: Process) -> None:
        if process.paused_until <= self.now:
            self._soon.extend(process.held)
            process.held.clear()

    def _run_once(self) -> None:
        soon, timers = self._soon, self._timers
        if not soon:
            while timers and timers[0][2]._cancelled:
                heappop(timers)
            if not timers:
                raise Deadlock
            self.now = max(self.now, timers[0][0])
        if self.steps > STEPS_MAX:
            raise Livelock
        now = self.now
        while timers and timers[0][0] <= now:
            soon.append(heappop(timers)[2])
        for _ in range(len(soon)):
            handle = soon.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)
            if process is not None:
                if not process.alive:
                    continue
                if process.paused_until > now or process.held:
                    process.held.append(handle)
                    if process.paused_until <= now:
                        self._resume(process)
                    continue
            self.steps += 1
            handle._run()

    def _defect(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, ProcessExit):
            process = PROCESS.get()
            where = process.name if process else "-"
            self.defects.append(f"{where}: {context.get('message')}: {error!r}{traced(error)}")

    def discard(self, processes: list[Process]) -> None:
        """Let go of what died or never ended, quietly."""
        hook = sys.unraisablehook
        sys.unraisablehook = lambda _: None
        try:
            self.set_exception_handler(lambda *_: None)
            self._soon.clear()
            self._timers.clear()
            for process in processes:
                for task in process.tasks:
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                process.tasks.clear()
                process.held.clear()
            self.close()
            gc.collect()
        finally:
            sys.unraisablehook = hook

    def _write_to_self(self) -> None:
        pass


def traced(error: BaseException | None) -> str:
    """Where an error came from: the last frames of its traceback."""
    import traceback

    if error is None or error.__traceback__ is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return "".join(f"\n      {f.filename.rsplit('/', 2)[-1]}:{f.lineno} {f.line}" for f in frames)


class ProcessExit(Exception):
    """Raised where production code would call os._exit."""
