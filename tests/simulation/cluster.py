"""A simulated cluster: its machines, network, coordinator, and the record of what happened."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Callable
from contextvars import Context
from random import Random
from typing import Any

from tests.simulation.coordinator import SimCoordinator
from tests.simulation.current_reads import stale_readers
from tests.simulation.loop import SimLoop
from tests.simulation.network import SimNetwork
from tests.simulation.node import ENTRY_BYTES_MAX, NodePlan, SimNode

from trilith.replication import descriptor as descriptors
from trilith.replication import leader
from trilith.replication.descriptor import Descriptor
from trilith.replication.replica import Replica

ZONES = ("az1", "az2", "az3")
TRACE_LINES_KEPT = 4000
DEFECTS_MAX = 20


class SimCluster:
    """`wall_shifts_ms`: how wrong wall clocks may be set, in either direction.

    `digest` sums up every delivered frame, swap, event and call: equal digests, equal runs.
    """

    wall_shifts_ms: tuple[int, ...] = (-3_600_000, -5_000, 0, 5_000, 700_000, 7_200_000)

    def __init__(self, seed: int, plans: list[NodePlan], *, keep_trace: bool = False) -> None:
        self.seed = seed
        self._entry_bytes_max, leader.ENTRY_BYTES_MAX = leader.ENTRY_BYTES_MAX, ENTRY_BYTES_MAX
        self.loop = SimLoop()
        self.unowned = Context()
        self.digest = 0
        self.defects: list[str] = []
        self.lines: deque[str] = deque(maxlen=None if keep_trace else TRACE_LINES_KEPT)
        self.network = SimNetwork(self.loop, Random(f"{seed}/network"), self.trace)
        self.coordinator = SimCoordinator(self.loop, Random(f"{seed}/coordinator"), self.trace)
        self.coordinator.on_change = self.changed
        self.nodes = [
            SimNode(self, f"n{number + 1}", ZONES[number % 3], plan)
            for number, plan in enumerate(plans)
        ]
        self.addresses = {node.node_id: node.address for node in self.nodes}

    def trace(self, line: str) -> None:
        line = f"{self.loop.now:.6f} {line}"
        self.digest = zlib.crc32(line.encode(), self.digest)
        self.lines.append(line)

    def changed(self, key: str, before: bytes | None, after: bytes | None) -> None:
        """A key of the coordinator has another value."""
        del before
        if key.startswith(descriptors.PREFIX) and after is not None:
            descriptor = descriptors.decode(after)
            if descriptor.leader not in descriptor.in_sync:
                self.defects.append(f"the leader is not in sync: {descriptor}")

    def committed(self, leader: Replica) -> None:
        """A partition's leader is about to acknowledge what it has just committed."""
        if len(self.defects) < DEFECTS_MAX:
            self.defects += stale_readers(self.nodes, leader)

    def create_partitions(self, keyspaces: dict[int, list[bytes]]) -> None:
        """Cut each keyspace at these keys; replicas on the first node of each zone."""
        members = {zone: node.node_id for zone, node in zip(ZONES, self.nodes, strict=False)}
        number = 0
        for keyspace, cuts in keyspaces.items():
            for start, end in zip([b"", *cuts], [*cuts, b""], strict=True):
                leader = list(members.values())[number % len(members)]
                number += 1
                created = Descriptor(
                    partition_id=number,
                    keyspace=keyspace,
                    start=start.hex(),
                    end=end.hex(),
                    replicas=members,
                    leader=leader,
                    epoch=1,
                    in_sync=list(members.values()),
                    preferred_leader=leader,
                )
                self.coordinator.swap(descriptors.key_of(number), 0, descriptors.encode(created))

    async def compose_more(self, node: SimNode) -> None:
        """What stands on replication, when a workload needs it."""

    async def ready_to_join(self, node: SimNode, partition_id: int, other: str) -> bool:
        return True

    def descriptors(self) -> list[Descriptor]:
        """Of all partitions that have not been absorbed."""
        found, _ = self.coordinator.list(descriptors.PREFIX)
        all_of_them = [descriptors.decode(v.value) for v in found.values()]
        return [one for one in all_of_them if not one.absorbed_by]

    def node(self, node_id: str) -> SimNode:
        return next(node for node in self.nodes if node.node_id == node_id)

    def replica(self, node_id: str, partition_id: int) -> Replica | None:
        node = self.node(node_id)
        return node.host.replicas.get(partition_id) if node.booted else None

    async def until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Whether a condition comes within so much virtual time."""
        deadline = self.loop.now + within_s
        while not condition():
            if self.loop.now >= deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    def run(self, work: Any) -> Any:
        """Run a coroutine that belongs to no process, to its end."""
        return self.loop.run_until_complete(work)

    def discard(self) -> None:
        leader.ENTRY_BYTES_MAX = self._entry_bytes_max
        processes = [process for node in self.nodes for process, _ in node.past]
        processes += [node.process for node in self.nodes if node.process is not None]
        for node in self.nodes:
            node.__dict__.clear()  # coroutines that never ended end here, quietly
        self.loop.discard(processes)
