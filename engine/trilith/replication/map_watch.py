"""Following the descriptors in the coordinator: what is there at a start, and every change since.

A descriptor can be deleted, too (a split that a sole source never had: reclaiming.py). A deletion
is told with its revision, so that an older read of the same descriptor does not bring it back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from trilith.errors import CoordinatorUnavailable
from trilith.replication import descriptor as descriptors
from trilith.replication.coordinator import Coordinator
from trilith.replication.descriptor import Descriptor

WATCH_RETRY_S = 0.2


class MapWatch:
    """Tells of all descriptors and their changes, over and over the same if need be."""

    def __init__(
        self,
        coordinator: Coordinator,
        *,
        known: Mapping[int, tuple[Descriptor, int]],
        changed: Callable[[Descriptor, int], None],
        removed: Callable[[int, int], None],
        log: Callable[..., None],
    ) -> None:
        """`known`: what was told and is not removed; `removed(partition id, revision)`."""
        self._coordinator = coordinator
        self._known = known
        self._changed = changed
        self._removed = removed
        self._log = log

    async def load(self) -> int:
        """Read all; the revision that it is of. Raises CoordinatorUnavailable."""
        found, revision = await self._coordinator.list(descriptors.PREFIX)
        for versioned in found.values():
            self._changed(descriptors.decode(versioned.value), versioned.revision)
        for partition_id, (_, seen) in list(self._known.items()):
            if descriptors.key_of(partition_id) not in found and seen <= revision:
                self._removed(partition_id, revision)
        return revision

    async def follow(self, revision: int) -> None:
        """Until cancelled. A defect is told, and all is read anew: nobody else would tell this node
        who leads.
        """
        known: int | None = revision
        while True:
            try:
                if known is None:
                    known = await self.load()
                await self._follow_from(known)
            except CoordinatorUnavailable as error:
                if known is not None:  # else it was told when it broke
                    self._log("watch_broken", error=str(error))
            except Exception as error:  # noqa: BLE001 - logged
                self._log("background_failed", error=repr(error), traceback=True)
            known = None
            await asyncio.sleep(WATCH_RETRY_S)

    async def _follow_from(self, revision: int) -> None:
        async for changes in self._coordinator.watch(descriptors.PREFIX, revision):
            for change in changes:
                if change.value is not None:
                    self._changed(descriptors.decode(change.value), change.revision)
                else:
                    self._removed(descriptors.id_of(change.key), change.revision)
