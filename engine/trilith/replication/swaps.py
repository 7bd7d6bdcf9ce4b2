"""Changing descriptors in the coordinator, and learning how they changed.

After CoordinatorUnavailable the outcome of a swap is unknown; it is settled by reading, for as
long as it takes, and until then its caller stays on the stricter side of both (Swap and Learn in
the model). So a swap that was given up must not take effect after a read that came later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from trilith.errors import CoordinatorUnavailable, RevisionConflict
from trilith.replication import descriptor as descriptors
from trilith.replication.coordinator import Coordinator
from trilith.replication.descriptor import Descriptor
from trilith.replication.replica import Replica

RETRY_S = 0.1


class Swaps:
    """`changed(descriptor, revision)` is told of every newer descriptor that is seen."""

    def __init__(
        self, coordinator: Coordinator, changed: Callable[[Descriptor, int], None]
    ) -> None:
        self._coordinator = coordinator
        self._changed = changed

    async def refresh(self, partition_id: int) -> tuple[Descriptor, int] | None:
        """Read a descriptor anew. Raises CoordinatorUnavailable."""
        versioned = await self._coordinator.get(descriptors.key_of(partition_id))
        if versioned is None:
            return None
        descriptor = descriptors.decode(versioned.value)
        self._changed(descriptor, versioned.revision)
        return descriptor, versioned.revision

    async def swap(self, replica: Replica, wanted: Descriptor) -> bool:
        """Replace the descriptor that `replica` knows; whether `wanted` is now in force."""
        return await self.swap_from(wanted, replica.revision)

    async def swap_from(self, wanted: Descriptor, expected_revision: int) -> bool:
        key = descriptors.key_of(wanted.partition_id)
        try:
            revision = await self._coordinator.compare_and_swap(
                key, expected_revision, descriptors.encode(wanted)
            )
        except RevisionConflict:
            await self._settle(wanted)
            return False
        except CoordinatorUnavailable:
            return await self._settle(wanted)
        self._changed(wanted, revision)
        return True

    async def _settle(self, wanted: Descriptor) -> bool:
        """Read until an answer comes; whether the swap had taken effect."""
        while True:
            try:
                seen = await self.refresh(wanted.partition_id)
            except CoordinatorUnavailable:
                await asyncio.sleep(RETRY_S)
                continue
            return seen is not None and msgspec.structs.asdict(seen[0]) == msgspec.structs.asdict(
                wanted
            )
