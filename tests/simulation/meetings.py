"""Faults that seldom meet by chance, brought together on purpose.

Each is a general schedule around one partition's leader: what a network, a coordinator and an
operator can do at the same time. The protections that they try each time are those that the model
(tests/model) has mutants of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.node import SimNode

from trilith.errors import TrilithError
from trilith.replication.descriptor import Descriptor

if TYPE_CHECKING:
    from tests.simulation.faults import Faults

Pairs = Iterable[tuple[SimNode, SimNode]]
DEADLINE_S = 5.0


class Cast:
    """A healthy partition's leader and its two followers, in an order drawn from the seed."""

    def __init__(self, faults: Faults, partition_id: int, nodes: list[SimNode]) -> None:
        self.faults = faults
        self.partition_id = partition_id
        self.leader, self.next, self.other = nodes
        self.random: Random = faults.random

    @classmethod
    def of(cls, faults: Faults) -> Cast | None:
        """None: no partition is led, with all of its zones in sync."""
        cluster = faults.cluster
        able = []
        for descriptor in cluster.descriptors():
            nodes = [cluster.node(n) for n in descriptor.replica_nodes()]
            led = cluster.replica(descriptor.leader, descriptor.partition_id)
            if (
                len(nodes) == len(descriptor.in_sync) == 3
                and all(node.booted for node in nodes)
                and led is not None
                and led.leader is not None
            ):
                nodes.sort(key=lambda node, first=descriptor.leader: node.node_id != first)
                able.append((descriptor.partition_id, nodes))
        if not able:
            return None
        partition_id, nodes = faults.random.choice(able)
        followers = nodes[1:]
        faults.random.shuffle(followers)
        return cls(faults, partition_id, [nodes[0], *followers])

    def cut(self, pairs: Pairs) -> None:
        for source, target in pairs:
            self.faults.cluster.network.cut(source.node_id, target.node_id)

    def heal(self, pairs: Pairs) -> None:
        for source, target in pairs:
            self.faults.cluster.network.heal(source.node_id, target.node_id)

    def hide_coordinator(self, *nodes: SimNode) -> None:
        """Nothing reaches it any more, and nothing comes back that was on its way."""
        names = [node.node_id for node in nodes]
        self.faults.cluster.coordinator.cut.update(names)
        self.faults.cluster.coordinator.deaf.update(names)

    def show_coordinator(self, *nodes: SimNode) -> None:
        names = [node.node_id for node in nodes]
        self.faults.cluster.coordinator.cut.difference_update(names)
        self.faults.cluster.coordinator.deaf.difference_update(names)

    def hand_over(self) -> None:
        """A planned transfer to the next one, as a drain makes it."""
        node = self.leader
        replica = self.faults.cluster.replica(node.node_id, self.partition_id)
        if replica is not None and replica.leader is not None:
            deadline = node.clock.monotonic() + DEADLINE_S
            node.spawn(
                node.host._hand_overs.run(
                    replica, self.next.node_id, leave=False, deadline=deadline
                )
            )

    async def swapped(self, within_s: float) -> None:
        """Until the coordinator names another leader."""

        def named() -> bool:
            return any(
                d.partition_id == self.partition_id and d.leader != self.leader.node_id
                for d in self.faults.cluster.descriptors()
            )

        deadline = self.faults.cluster.loop.now + within_s
        while not named() and self.faults.cluster.loop.now < deadline:
            await asyncio.sleep(0.0005)


def both(one: SimNode, other: SimNode) -> list[tuple[SimNode, SimNode]]:
    return [(one, other), (other, one)]


async def unheard_hand_over(faults: Faults) -> None:
    """A leader hands over and never learns of it, nor does the other follower: both lose sight of
    the coordinator, and of the new leader. Then the old leader hears the new one again, and at
    times can no longer tell the follower."""
    cast = Cast.of(faults)
    if cast is None:
        return
    old, new, other = cast.leader, cast.next, cast.other
    faults.note(f"unheard hand-over {old.node_id}>{new.node_id}, {other.node_id}")
    cast.hand_over()
    await cast.swapped(0.5)
    cast.hide_coordinator(old, other)
    cast.cut([*both(old, new), *both(other, new)])
    try:
        await asyncio.sleep(cast.random.uniform(0.9, 1.6))
        if cast.random.random() < 0.5:
            cast.cut(both(old, other))
        cast.heal(both(old, new))
        await asyncio.sleep(cast.random.uniform(0.3, 1.2))
    finally:
        cast.heal([*both(old, new), *both(other, new), *both(old, other)])
        cast.show_coordinator(old, other)


async def hand_over_behind_a_cut(faults: Faults) -> None:
    """A follower is cut from its leader and dropped; the leadership moves meanwhile, to one whose
    link with that follower is slow."""
    cast = Cast.of(faults)
    if cast is None:
        return
    old, new, other = cast.leader, cast.next, cast.other
    faults.note(f"hand-over behind a cut {old.node_id}>{new.node_id}, {other.node_id}")
    network = faults.cluster.network
    links = [network.link(a.node_id, b.node_id) for a, b in both(new, other)]
    cast.cut(both(old, other))
    for link in links:
        link.delay_s, link.jitter_s = cast.random.uniform(0.05, 0.15), 0.01
    try:
        await asyncio.sleep(cast.random.uniform(0.6, 1.0))
        cast.hand_over()
        await asyncio.sleep(cast.random.uniform(0.5, 1.5))
    finally:
        cast.heal(both(old, other))
        for link in links:
            link.delay_s, link.jitter_s = 0.0003, 0.0004


async def parted_follower(faults: Faults) -> None:
    """A follower and its leader hear nothing of each other, and the leader no coordinator; the
    other follower hears both."""
    cast = Cast.of(faults)
    if cast is None:
        return
    faults.note(f"parted follower {cast.leader.node_id}|{cast.next.node_id}")
    cast.hide_coordinator(cast.leader)
    cast.cut(both(cast.leader, cast.next))
    try:
        await asyncio.sleep(cast.random.uniform(0.5, 1.5))
    finally:
        cast.heal(both(cast.leader, cast.next))
        cast.show_coordinator(cast.leader)


def _neighbours(faults: Faults) -> tuple[Descriptor, Descriptor] | None:
    """Two halves of a split, whole and led: a partition, and the one to its right."""
    cluster, able = faults.cluster, []
    for descriptor in cluster.descriptors():
        led = cluster.replica(descriptor.leader, descriptor.partition_id)
        nodes = [cluster.node(n) for n in descriptor.in_sync]
        if led is not None and led.leader is not None and all(node.booted for node in nodes):
            able.append(descriptor)
    pairs = [
        (left, right)
        for left in able
        for right in able
        if right.parent
        and right.start
        and (left.keyspace, left.end) == (right.keyspace, right.start)
        and len(left.in_sync) == len(right.in_sync) == 3
        and left.replicas == right.replicas
    ]
    return faults.random.choice(pairs) if pairs else None


async def merge_behind_a_cut(faults: Faults) -> None:
    """Two neighbours that different nodes lead are merged, while the third node hears only the
    leader of the one that goes, and that late."""
    cluster, random = faults.cluster, faults.random
    pair = _neighbours(faults)
    if pair is None:
        return
    left, right = pair
    absorbs = cluster.node(left.leader)
    others = [n for n in left.replica_nodes() if n != left.leader]
    closes = cluster.node(right.leader if right.leader != left.leader else random.choice(others))
    third = cluster.node(next(n for n in others if n != closes.node_id))
    faults.note(f"merge behind a cut {closes.node_id}>{absorbs.node_id}, {third.node_id}")
    if right.leader != closes.node_id:
        nodes = [cluster.node(right.leader), closes, third]
        cast = Cast(faults, right.partition_id, nodes)
        cast.hand_over()
        await cast.swapped(0.5)
        await asyncio.sleep(random.uniform(0.05, 0.3))
    cast = Cast(faults, right.partition_id, [closes, absorbs, third])
    late = cluster.network.link(closes.node_id, third.node_id)
    cast.cut(both(absorbs, third))
    cast.hide_coordinator(third)
    late.delay_s = random.uniform(0.1, 0.2)
    try:
        if closes.booted:
            closes.spawn(_merged(closes, right.partition_id))
        await asyncio.sleep(random.uniform(1.2, 2.0))
    finally:
        cast.heal(both(absorbs, third))
        cast.show_coordinator(third)
        late.delay_s = 0.0003


async def _merged(node: SimNode, partition_id: int) -> None:
    with suppress(TrilithError, TimeoutError):
        await node.host.merging.merge(partition_id)
