"""Room for the journal, reserved ahead: the segment being written and the one after it.

A full disk shows here, before any record depends on the room.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable

from trilith.runtime.disk import AppendFile
from trilith.runtime.ports import Runtime
from trilith.storage.segment import segment_path

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class SegmentReserve:
    """`files`: reserved segments by number. `full`: the last attempt found no room; it is repeated.

    `on_change` is called after each change of either; `on_error` with any other OSError.
    """

    def __init__(
        self,
        runtime: Runtime,
        directory: str,
        *,
        segment_bytes: int,
        free_bytes_min: int,
        retry_s: float,
        on_change: Callable[[], None],
        on_error: Callable[[OSError], None],
    ) -> None:
        self.files: dict[int, AppendFile] = {}
        self.full = False
        self._runtime = runtime
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._free_bytes_min = free_bytes_min
        self._retry_s = retry_s
        self._on_change = on_change
        self._on_error = on_error
        self._loop = asyncio.get_running_loop()
        self._tail = 0
        self._task: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._stopped = False

    def want(self, tail: int) -> asyncio.Task[None] | None:
        """See to it that segments `tail` and `tail + 1` are reserved; the task that does it."""
        self._tail = tail
        return self.try_now()

    def try_now(self) -> asyncio.Task[None] | None:
        if self._stopped:
            return None
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._reserve_missing())
        return self._task

    def release(self, number: int) -> None:
        """All of the segment is written and durable."""
        self.files.pop(number).close()

    def stop(self) -> None:
        self._stopped = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    async def close(self) -> None:
        self.stop()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        for file in self.files.values():
            file.close()
        self.files.clear()

    async def _reserve_missing(self) -> None:
        while not self._stopped:
            wanted = (self._tail, self._tail + 1)
            number = next((n for n in wanted if n not in self.files), None)
            if number is None:
                self.full = False
                self._on_change()
                return
            try:
                self.files[number] = await self._runtime.workers.run(self._reserve, number)
            except OSError as error:
                if error.errno in NO_ROOM:
                    self._found_full()
                else:
                    self._on_error(error)
                return
            self._on_change()

    def _found_full(self) -> None:
        self.full = True
        if not self._stopped:
            self._retry = self._loop.call_later(self._retry_s, self.try_now)
        self._on_change()

    def _reserve(self, number: int) -> AppendFile:
        """Blocking. Raises OSError(ENOSPC) when the disk has not enough room to spare."""
        size = self._segment_bytes
        if self._runtime.disk.free_bytes() < size + self._free_bytes_min:
            raise OSError(errno.ENOSPC, "too little room is left for a journal segment")
        path = segment_path(self._directory, number)
        return self._runtime.disk.open_append(path, at=0, preallocate_bytes=size)
