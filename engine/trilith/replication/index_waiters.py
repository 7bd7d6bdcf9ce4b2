"""Who waits until a replica has applied an entry."""

from __future__ import annotations

import asyncio

from trilith.errors import TrilithError


class IndexWaiters:
    """Of one replica. Their callers bound the time."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    async def wait(self, index: int) -> None:
        """Returns when `wake` says so; raises what `fail` says."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((index, future))
        await future

    def wake(self, applied_index: int) -> None:
        """Everything up to the index is applied."""
        if not self._waiting:
            return
        waiting = []
        for index, future in self._waiting:
            if index > applied_index:
                waiting.append((index, future))
            elif not future.done():
                future.set_result(None)
        self._waiting = waiting

    def fail(self, error: TrilithError) -> None:
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if not future.done():
                future.set_exception(error)
