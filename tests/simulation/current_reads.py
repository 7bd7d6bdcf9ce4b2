"""Whoever may answer reads has everything that was acknowledged: looked at in the moment it is.

ReadsAreCurrent and SurvivorKnows in the model. A client sees a stale read only if it happens to ask
such a replica while it may answer, often for a few hundredths of a second; this judge sees all of
them, by the replicas' own clocks.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.simulation.node import SimNode

from trilith.replication.replica import Replica


def stale_readers(nodes: Iterable[SimNode], leader: Replica) -> list[str]:
    """Of the partition whose leader has just committed: who may answer and lacks that entry."""
    number, index = leader.partition_id, leader.commit_index
    epoch = leader.log.epoch_at(index)
    found = []
    for node in nodes:
        replica = node.host.replicas.get(number) if node.booted else None
        if replica is None or replica is leader or replica.retired:
            continue
        if not replica.can_read(node.clock.monotonic()):
            continue
        last = replica.log.last_index
        if last < index or replica.log.epoch_at(index) != epoch:
            found.append(
                f"{node.node_id} may answer reads of partition {number}, and lacks entry {index} of"
                f" epoch {epoch}: its log ends at {last}, its leader is {replica.leader_node}"
            )
    return found
