"""Planned transfers of leadership: before a clean stop, and back to who is to lead (rule 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from trilith.replication.descriptor import Descriptor
from trilith.replication.followers import State
from trilith.replication.leader import Leader
from trilith.replication.replica import Replica
from trilith.replication.swaps import Swaps
from trilith.runtime.clock import Clock

TRANSFER_SETTLE_S = 5.0  # leadership returns to the preferred node after so long in sync
HAND_OVER_SWAP_S = 0.3  # a hand-over takes no commands for at most so long


class HandOvers:
    """One node's."""

    def __init__(
        self,
        *,
        node_id: str,
        clock: Clock,
        swaps: Swaps,
        busy: set[int],
        hears: Callable[[str], bool],
    ) -> None:
        """`busy`: partitions with an election or a hand-over under way; `hears`: whether a node
        could lead, for all we know.
        """
        self._node_id = node_id
        self._clock = clock
        self._swaps = swaps
        self._busy = busy
        self._hears = hears
        self._last_transfer_at = clock.monotonic()

    async def run(self, replica: Replica, node: str, *, leave: bool, deadline: float) -> None:
        """Stop taking commands, let what is logged commit, swap (HandOver in the model)."""
        leader = replica.leader
        if leader is None or replica.partition_id in self._busy:
            return
        self._busy.add(replica.partition_id)
        try:
            leader.refuse_new()
            while not leader.drained() and self._clock.monotonic() < deadline:
                await asyncio.sleep(0.005)
            # What we drained may have been committed without the node: it may have been dropped.
            follows = (
                leader.followers.progress[node].state is State.STREAM
                and node in replica.descriptor.in_sync
                and self._hears(node)
            )
            if replica.leader is not leader or not leader.drained() or not follows:
                leader.accept_new()
                return
            in_sync = [n for n in replica.descriptor.in_sync if n != self._node_id or not leave]
            wanted = msgspec.structs.replace(
                replica.descriptor, leader=node, epoch=replica.epoch + 1, in_sync=in_sync
            )
            if not await self._swap_or_lead_on(leader, wanted):
                leader.accept_new()
        finally:
            self._busy.discard(replica.partition_id)

    async def _swap_or_lead_on(self, leader: Leader, wanted: Descriptor) -> bool:
        """A planned swap must not cost more than a moment, however slow the coordinator (P4).

        Meanwhile commands are taken again: should the swap have happened all the same, nothing of
        this epoch commits without the new leader, who is in sync and stops to acknowledge it.
        """
        loop = asyncio.get_running_loop()
        impatience = loop.call_later(HAND_OVER_SWAP_S, leader.accept_new)
        try:
            return await self._swaps.swap(leader.replica, wanted)
        finally:
            impatience.cancel()

    def due(self, replicas: Iterable[Replica], now: float) -> tuple[Replica, str] | None:
        """A partition that is to go back to its preferred leader, and that node; one at a time."""
        if now - self._last_transfer_at < TRANSFER_SETTLE_S:
            return None
        for replica in replicas:
            descriptor = replica.descriptor
            wanted = descriptor.preferred_leader
            if (
                replica.leader is not None
                and wanted not in ("", self._node_id)
                and len(descriptor.in_sync) == len(descriptor.replicas)
                and wanted in descriptor.in_sync
                and self._hears(wanted)
                and replica.leader.lease_holds(now)
                and now >= replica.leader.waits_until + TRANSFER_SETTLE_S
            ):
                self._last_transfer_at = now
                return replica, wanted
        return None
