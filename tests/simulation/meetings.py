"""Faults that seldom meet by chance, brought together on purpose.

Each is a general schedule around one partition's leader: what a network, a coordinator and an
operator can do at the same time. The protections that they try each time are those that the model
(tests/model) has mutants of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.node import SimNode

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
        self.faults.cluster.coordinator.cut.update(node.node_id for node in nodes)

    def show_coordinator(self, *nodes: SimNode) -> None:
        self.faults.cluster.coordinator.cut.difference_update(node.node_id for node in nodes)

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
    the coordinator, and of the new leader. Then the old leader hears the new one again."""
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
        cast.heal(both(old, new))
        await asyncio.sleep(cast.random.uniform(0.3, 1.2))
    finally:
        cast.heal([*both(old, new), *both(other, new)])
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
