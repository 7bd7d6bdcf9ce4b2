"""Becoming leader: after the old one fell silent, after a restart, or because it was handed over.

An in-sync follower whose promise has run out and that hears nothing swaps the descriptor: epoch
plus one, itself as leader, the old leader out of the in-sync set (rule 5; Takeover in the model).
A restarted leader does the same for itself, without dropping anybody: nobody can have led in
between, or the swap would fail.

One whose journal had a torn end, or that took a snapshot, and was not yet shown by a leader
that its log is as long as it once was, asks the other in-sync replicas first (positions.py). While
none answers it does not lead, unless it is alone in the set; if a log goes on longer, its replica
is named leader, and we leave the in-sync set. (MayLead, Yield in the model.) If all others answer
that their logs are lost, nobody can ever tell more, and they cannot be filled before somebody
leads: a leader of record takes them out of the set and leads, as it would had they led, and
abdicated. That its own end was torn, not rotten, is what the design counts on: bytes rot on one
machine. One that takes over waits for the old leader, whose log may be whole.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trilith.errors import Unavailable
from trilith.replication.descriptor import NOT_KNOWN_MS, Descriptor
from trilith.replication.heartbeats import Heartbeats
from trilith.replication.leader import Leader
from trilith.replication.positions import Position, Positions, position_of
from trilith.replication.replica import Replica
from trilith.replication.swaps import Swaps
from trilith.runtime.clock import Clock

STAGGER_S = 0.15  # the n-th candidate waits n times this, so that swaps seldom collide


def is_only_filled(replica: Replica) -> bool:
    """Whether it was filled by a snapshot, perhaps while the coordinator did not answer and it
    still counted as in sync, and no leader has proven since that it has all: one that is lost may
    not have lived to give it all. As the sole source it says so itself, since the descriptor does
    not.
    """
    return not replica.proven and replica.ports.journal.filled


class Takeover:
    """Elections of one node's replicas."""

    def __init__(
        self,
        *,
        node_id: str,
        clock: Clock,
        heartbeats: Heartbeats,
        swaps: Swaps,
        positions: Positions,
        lease_s: float,
    ) -> None:
        self._node_id = node_id
        self._clock = clock
        self._heartbeats = heartbeats
        self._swaps = swaps
        self._positions = positions
        self._lease_s = lease_s

    def is_due(self, replica: Replica, now: float) -> bool:
        """Whether this replica may and should take over from its silent leader."""
        descriptor = replica.descriptor
        if replica.damaged or replica.leader is not None or not replica.log.accepting:
            return False
        if replica.awaited or replica.retired or replica.descriptor.absorbed_by:
            return False
        if descriptor.leader == self._node_id or self._node_id not in descriptor.in_sync:
            return False
        lease = self._heartbeats.lease_of(descriptor.leader)
        candidates = [n for n in descriptor.in_sync if n != descriptor.leader]
        patience_s = self._lease_s + STAGGER_S * candidates.index(self._node_id)
        if now < lease.promise_given_until or lease.silent_for(now) <= patience_s:
            return False
        others = [n for n in candidates if n != self._node_id]
        return not others or any(
            self._heartbeats.lease_of(n).silent_for(now) <= self._lease_s / 2 for n in others
        )  # else it is perhaps we who are cut off, and could commit nothing

    async def run(self, replica: Replica) -> None:
        """Try once. Raises CoordinatorUnavailable."""
        seen = await self._swaps.refresh(replica.partition_id)
        if seen is None or not self.is_due(replica, self._clock.monotonic()):
            return  # somebody else leads by now, or we are no longer in sync
        old, revision = seen
        others = [n for n in old.in_sync if n not in (self._node_id, old.leader)]
        if not replica.proven:
            found = await self._positions.of(replica.partition_id, others)
            longest = _longest(replica, found)
            if longest != self._node_id or not self.is_due(replica, self._clock.monotonic()):
                return  # left to who has it all, or to a time when we know
        wanted = msgspec.structs.replace(
            old,
            leader=self._node_id,
            epoch=old.epoch + 1,
            in_sync=[n for n in old.in_sync if n != old.leader],
            complete_until_ms=old.left(old.leader, self._clock.wall_ms()),
        )
        if await self._swaps.swap_from(wanted, revision):
            self.lead(replica, wanted, deposed=old)

    async def resume(self, replica: Replica) -> None:
        """This node is the leader of record and has restarted: lead on, in a new epoch.

        Resume in the model.
        """
        seen = await self._swaps.refresh(replica.partition_id)
        if seen is None or seen[0].leader != self._node_id or replica.leader is not None:
            return
        if seen[0].absorbed_by:
            return
        old, revision = seen
        others = [n for n in old.in_sync if n != self._node_id]
        longest: str | None = self._node_id
        lost: list[str] = []
        if not replica.proven and others:
            found = await self._positions.of(replica.partition_id, others)
            if len(found) == len(others) and all(p is None for p in found.values()):
                lost = others
            else:
                longest = _longest(replica, found)
        if longest is None:
            return  # nobody answers, so nobody could commit either
        if longest != self._node_id:
            await self._yield_to(longest, old, revision)
            return
        complete = {n: t for n, t in old.complete_until_ms.items() if n not in lost}
        if old.recovered and not others and is_only_filled(replica):
            complete[self._node_id] = NOT_KNOWN_MS
        wanted = msgspec.structs.replace(
            old,
            epoch=old.epoch + 1,
            in_sync=[n for n in old.in_sync if n not in lost],
            complete_until_ms=complete,
        )
        if await self._swaps.swap_from(wanted, revision):
            self.lead(replica, wanted, deposed=None)

    async def _yield_to(self, node: str, old: Descriptor, revision: int) -> None:
        wanted = msgspec.structs.replace(
            old,
            leader=node,
            epoch=old.epoch + 1,
            in_sync=[n for n in old.in_sync if n != self._node_id],
            complete_until_ms=old.lost(self._node_id),
        )
        await self._swaps.swap_from(wanted, revision)

    def accept(self, replica: Replica, descriptor: Descriptor) -> None:
        """Handed over to us: by one who may count what we had acknowledged before a restart.

        Unless proven we ask first, as after any restart: the next tick finds that we do not lead
        (Learn in the model).
        """
        if replica.proven:
            self.lead(replica, descriptor, deposed=None)

    def lead(self, replica: Replica, descriptor: Descriptor, *, deposed: Descriptor | None) -> None:
        """Start leading in the descriptor's epoch; `deposed`: what a takeover replaced.

        A leader before us may still hold its lease, by what we promised it: at the longest until
        `over`. The grants that it gave end a lease later; we neither shrink the set before, nor
        commit while somebody outside may hold one. A deposed leader whose start entry is in our
        log has led, and so holds no grant; one that never led may (Lead in the model).
        """
        if replica.leader is not None or descriptor.epoch < replica.epoch:
            return
        if descriptor.epoch < replica.descriptor.epoch:
            return  # an operator has named a sole source while the swap's answer was under way
        if replica.retired or descriptor.absorbed_by:
            return
        if replica.damaged or replica.awaited or self._node_id not in descriptor.in_sync:
            return  # abdicates with the next tick, unless it is merely awaited
        now = self._clock.monotonic()
        if descriptor.epoch > replica.epoch:
            try:
                replica.save_epoch(descriptor.epoch)
            except Unavailable as error:
                replica.ports.log("cannot_lead", partition=replica.partition_id, error=str(error))
                return
        over = now + self._lease_s
        outside = set(descriptor.replica_nodes()) - set(descriptor.in_sync)
        suspects = outside
        if deposed is not None and replica.log.last_epoch == deposed.epoch:
            # Renewed while the swap was under way, if at all.
            over = max(now, self._heartbeats.lease_of(deposed.leader).promise_given_until)
            suspects = outside - {deposed.leader}
        leader = self._begin(replica, descriptor, waits_until=over + self._lease_s)
        if suspects:
            leader.followers.block_commits_until(over + self._lease_s)
        elif outside:
            leader.followers.block_commits_until(over)
        self._start(replica, leader)

    def lead_first(self, replica: Replica, descriptor: Descriptor) -> None:
        """Lead a partition that this node has just created, by a split: nobody else can ever have
        held a lease of it, so there is nothing to wait for.
        """
        if replica.retired or replica.damaged or replica.awaited:
            return
        if self._node_id not in descriptor.in_sync:
            return  # as in `lead`
        if replica.leader is None and descriptor.epoch == replica.epoch:
            now = self._clock.monotonic()
            self._start(replica, self._begin(replica, descriptor, waits_until=now))

    def _begin(self, replica: Replica, descriptor: Descriptor, *, waits_until: float) -> Leader:
        replica.leader = leader = Leader(replica, waits_until=waits_until)
        replica.granted = False
        replica.proven = True
        replica.leader_node = self._node_id
        replica.ports.log(
            "leading",
            partition=replica.partition_id,
            epoch=descriptor.epoch,
            in_sync=descriptor.in_sync,
        )
        return leader

    def _start(self, replica: Replica, leader: Leader) -> None:
        try:
            leader.start()
        except Unavailable as error:  # a full disk: whoever finds us leaderless tries again
            replica.step_down(str(error))


def _longest(replica: Replica, found: Mapping[str, Position | None]) -> str | None:
    """The node of the replica and of those that were found whose log goes on longest; None: no
    other can tell, or our own is not all durable yet, and so may yet become shorter.
    """
    whole = {node: position for node, position in found.items() if position is not None}
    if not whole or replica.log.durable_index < replica.log.last_index:
        return None
    node = max(whole, key=whole.__getitem__)
    return node if whole[node] > position_of(replica) else replica.ports.node_id
