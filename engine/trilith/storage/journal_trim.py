"""Which segments the journal may drop, and the removal of their files (Trim in Merging.tla)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from trilith.runtime.ports import Runtime
from trilith.storage.segment import Segment, segment_path


def droppable(
    segments: Iterable[Segment],
    *,
    before: int,
    applied_durable: Mapping[int, int],
    bytes_on_disk: int,
    retain_bytes: int,
    retired_to: int,
) -> list[Segment]:
    """The oldest segments, in order, up to the first that somebody needs.

    Needed: numbers from `before` on; those with an entry that is not flushed in the ordered store
    (`applied_durable`, by partition); and `retain_bytes` of the newest, for peers that catch up,
    but for those up to `retired_to`.
    """
    found: list[Segment] = []
    kept = bytes_on_disk
    for segment in segments:
        kept -= segment.end
        if segment.number >= before:
            break
        if kept < retain_bytes and segment.number > retired_to:
            break
        if any(
            index > applied_durable.get(partition, -1)
            for partition, index in segment.entry_index_max.items()
        ):
            break
        found.append(segment)
    return found


class SegmentRemoval:
    """Removes files of dropped segments in the background: oldest first, and never two at a time.

    A crash in between must not leave a hole, which recovery takes for entries that were lost.
    `on_removed` is called when nothing is left to remove; `on_error` ends the removals.
    """

    def __init__(
        self,
        runtime: Runtime,
        directory: str,
        *,
        on_removed: Callable[[], None],
        on_error: Callable[[OSError], None],
    ) -> None:
        self._runtime = runtime
        self._directory = directory
        self._on_removed = on_removed
        self._on_error = on_error
        self._numbers: deque[int] = deque()
        self._task: asyncio.Task[None] | None = None

    def remove(self, numbers: Iterable[int]) -> None:
        """In ascending order, from call to call too."""
        self._numbers.extend(numbers)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._remove())

    async def _remove(self) -> None:
        while self._numbers:
            path = segment_path(self._directory, self._numbers.popleft())
            try:
                await self._runtime.workers.run(self._runtime.disk.remove, path)
            except OSError as error:
                self._on_error(error)
                return
        self._on_removed()

    async def close(self) -> None:
        """Wait for the removals that were asked for."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
