"""Who is in sync: dropping a silent, stalled or full follower, adding one that is level (rule 3).

The set changes only by compare-and-swap on the descriptor. While the outcome of a swap is unknown
the leader requires the stricter of both sets: a follower being dropped is still waited for, one
being added is waited for already (Shrink and Expand in the model; Drop and Join in Merging.tla).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import msgspec

from trilith.replication.descriptor import IN_SYNC_MIN, Descriptor
from trilith.replication.followers import Progress, State
from trilith.replication.leader import Leader
from trilith.replication.replica import Replica

REJOIN_DELAY_S = 0.5  # doubles with every drop, up to the maximum: a grey zone must not flap
REJOIN_DELAY_S_MAX = 30.0
DROPS_FORGOTTEN_S = 60.0
JOIN_LAG_ENTRIES_MAX = 256  # a commit starts to wait for a follower that is this close

Swap = Callable[[Replica, Descriptor], Awaitable[bool]]
ReadyToJoin = Callable[[int, str], Awaitable[bool]]


class InSyncSet:
    """Decides for one node's led partitions. One swap at a time for each partition."""

    def __init__(
        self,
        *,
        swap: Swap,
        ready_to_join: ReadyToJoin,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        follower_timeout_s: float,
        stall_timeout_s: float,
    ) -> None:
        """`ready_to_join(partition id, node)`.

        Whether the node has its zone's chunks (repair queue empty).
        """
        self._swap = swap
        self._ready_to_join = ready_to_join
        self._spawn = spawn
        self._follower_timeout_s = follower_timeout_s
        self._stall_timeout_s = stall_timeout_s
        self._busy: set[int] = set()

    def check(self, leader: Leader, now: float) -> None:
        """Called every tick for each led partition that is not in perfect health."""
        replica = leader.replica
        if replica.partition_id in self._busy:
            return
        in_sync = replica.descriptor.in_sync
        for progress in leader.followers.progress.values():
            if progress.node in in_sync:
                can_go_on = len(in_sync) > IN_SYNC_MIN or progress.is_lost  # it cannot, as it is
                if can_go_on and self._must_drop(leader, progress, now):
                    self._start(leader, partial(self._drop, leader, progress))
                    return
            elif progress.joining and (
                progress.state is not State.STREAM or self._stalls(progress, now)
            ):
                progress.joining = False  # gone again, and no swap is in flight
                leader.advance()
            elif self._may_join(leader, progress, now):
                self._start(leader, partial(self._add, leader, progress))
                return

    def _start(self, leader: Leader, work: Callable[[], Awaitable[None]]) -> None:
        partition_id = leader.replica.partition_id
        self._busy.add(partition_id)

        async def run() -> None:
            try:
                await work()
            finally:
                self._busy.discard(partition_id)

        self._spawn(run())

    def _must_drop(self, leader: Leader, progress: Progress, now: float) -> bool:
        if now < leader.waits_until:
            return False
        replica = leader.replica
        # It acknowledges as long as it can: nothing has to wait for it yet.
        full = replica.log.accepting and replica.ports.lease_of(progress.node).full
        if not full and not self._fails(leader, progress, now):
            return False
        lost = progress.state is State.SNAPSHOT
        return lost or self._hears_another(leader, progress, now)

    def _fails(self, leader: Leader, progress: Progress, now: float) -> bool:
        """Whether commits wait in vain for a follower."""
        lease = leader.replica.ports.lease_of(progress.node)
        silent = min(lease.silent_for(now), now - leader.started_at) > self._follower_timeout_s
        stalled = self._stalls(progress, now)
        lost = progress.state is State.SNAPSHOT
        since = progress.probing_since
        mute = (
            progress.state is State.PROBE
            and since is not None
            and now - since > self._stall_timeout_s
        )
        return silent or stalled or lost or mute

    def _hears_another(self, leader: Leader, progress: Progress, now: float) -> bool:
        """Whether another in-sync follower is well: else it is perhaps we who are cut off, and the
        set would be left with nobody who can go on. Half the time-out: links are not cut all at
        one moment.
        """
        replica = leader.replica
        apart = (progress.node, replica.ports.node_id)
        return any(
            replica.ports.lease_of(node).silent_for(now) <= self._follower_timeout_s / 2
            for node in replica.descriptor.in_sync
            if node not in apart
        )

    def _stands_still(self, leader: Leader, now: float) -> bool:
        """Whether nothing can be committed with those who are in the set."""
        in_sync = leader.replica.descriptor.in_sync
        others = [p for p in leader.followers.progress.values() if p.node in in_sync]
        return len(in_sync) <= IN_SYNC_MIN and all(self._fails(leader, p, now) for p in others)

    def _stalls(self, progress: Progress, now: float) -> bool:
        """Whether what was sent has not been acknowledged for too long."""
        return bool(progress.unacked) and now - progress.unacked_since > self._stall_timeout_s

    def _may_join(self, leader: Leader, progress: Progress, now: float) -> bool:
        if progress.state is not State.STREAM:
            return False
        if self._stalls(progress, now):
            return False  # commits would wait for it
        lease = leader.replica.ports.lease_of(progress.node)
        if lease.silent_for(now) > self._follower_timeout_s:
            return False  # its last word was that it has everything, but that was long ago
        if lease.full:
            return False
        delay_s = min(REJOIN_DELAY_S * 2**progress.drops, REJOIN_DELAY_S_MAX)
        if self._stands_still(leader, now):
            delay_s = 0.0  # however often it was dropped: nothing is committed without it
        well_since = max(progress.up_since, progress.dropped_at)
        lag = leader.replica.log.last_index - progress.match_index
        return now - well_since >= delay_s and lag <= JOIN_LAG_ENTRIES_MAX

    async def _drop(self, leader: Leader, progress: Progress) -> None:
        """Revoke its grant, take it out of the set, and let the commit wait until the grant
        is over.
        """
        replica = leader.replica
        if replica.leader is not leader:
            return  # deposed since the tick: the descriptor that we know now is another leader's
        now = replica.ports.clock.monotonic()
        stable = now - progress.dropped_at > DROPS_FORGOTTEN_S
        progress.drops = 1 if stable else progress.drops + 1
        progress.dropped_at = now
        progress.dropping = True  # before the revocation: the next tick must not grant again
        leader.followers.revoke(progress)
        remaining = [n for n in replica.descriptor.in_sync if n != progress.node]
        replica.ports.log(
            "in_sync_drop", partition=replica.partition_id, node=progress.node, in_sync=remaining
        )
        if progress.state is State.SNAPSHOT:  # its log is damaged
            left = replica.descriptor.lost(progress.node)
        else:
            left = replica.descriptor.left(progress.node, replica.ports.clock.wall_ms())
        descriptor = msgspec.structs.replace(
            replica.descriptor, in_sync=remaining, complete_until_ms=left
        )
        try:
            if await self._swap(replica, descriptor):
                leader.advance()
        finally:
            progress.dropping = False

    async def _add(self, leader: Leader, progress: Progress) -> None:
        replica = leader.replica
        if not await self._ready_to_join(replica.partition_id, progress.node):
            return
        if not replica.is_published:
            return  # it was asked for what is left of the range; the child is still to inherit us
        if replica.leader is not leader or progress.state is not State.STREAM:
            return
        progress.joining = True  # from here on no commit goes past it
        # What was inherited may have been acknowledged before, without a word of it to us.
        if progress.match_index < max(leader.start_index, replica.commit_index):
            return  # it is waited for now, and close: the next tick finds it level
        members = [*replica.descriptor.in_sync, progress.node]
        complete = {
            n: t for n, t in replica.descriptor.complete_until_ms.items() if n not in members
        }
        descriptor = msgspec.structs.replace(
            replica.descriptor, in_sync=members, complete_until_ms=complete, recovered=False
        )
        if await self._swap(replica, descriptor):
            progress.joining = False
            replica.ports.log(
                "in_sync_join", partition=replica.partition_id, node=progress.node, in_sync=members
            )
            leader.followers.update_grant(progress)
            leader.advance()
