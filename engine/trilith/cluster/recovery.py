"""Two zones are gone for good: make the third the sole source (DESIGN: replication, rule 9).

Only descriptors change. The survivor then leads every partition in a new epoch, applies the whole
of its durable log (the commit index may have reached it one message late), and answers reads; it
refuses writes until another zone is in sync again. A replica that was in sync has everything that
was ever acknowledged. One that was not is complete until it left the set, which its descriptor
knows; what was acknowledged later is lost with the other zones.
"""

from __future__ import annotations

import msgspec

from trilith.errors import InvalidRequest, RevisionConflict
from trilith.replication import descriptor as descriptors
from trilith.replication.coordinator import Coordinator
from trilith.replication.descriptor import Descriptor


class Verdict(msgspec.Struct, frozen=True):
    """What the survivor has of one partition. `complete_until_ms` None: everything, if `complete`;
    else it is not known."""

    partition_id: int
    node: str
    complete: bool
    complete_until_ms: int | None = None


def assess(descriptor: Descriptor, zone: str) -> Verdict:
    """Raises InvalidRequest when the zone has no replica of the partition."""
    node = descriptor.replicas.get(zone)
    if node is None:
        raise InvalidRequest(
            f"zone {zone} has no replica of partition {descriptor.partition_id}: it cannot be the "
            "source"
        )
    return Verdict(
        descriptor.partition_id,
        node,
        node in descriptor.in_sync,
        descriptor.complete_until_ms.get(node),
    )


async def assess_all(coordinator: Coordinator, zone: str) -> list[Verdict]:
    """By partition id. Changes nothing. Raises CoordinatorUnavailable, InvalidRequest."""
    found, _ = await coordinator.list(descriptors.PREFIX)
    return [assess(descriptors.decode(versioned.value), zone) for versioned in found.values()]


async def make_sole_source(coordinator: Coordinator, zone: str) -> list[Verdict]:
    """Change every descriptor. To be called only when no node of another zone runs, or will before
    its directory was emptied, unless all verdicts are `complete`. Repeatable after a failure."""
    found, _ = await coordinator.list(descriptors.PREFIX)
    verdicts = []
    for key in found:
        while True:
            versioned = await coordinator.get(key)
            if versioned is None:
                break
            descriptor = descriptors.decode(versioned.value)
            verdict = assess(descriptor, zone)
            wanted = msgspec.structs.replace(
                descriptor,
                leader=verdict.node,
                epoch=descriptor.epoch + 1,
                in_sync=[verdict.node],
                recovered=True,
            )
            try:
                await coordinator.compare_and_swap(
                    key, versioned.revision, descriptors.encode(wanted)
                )
            except RevisionConflict:
                continue
            verdicts.append(verdict)
            break
    return verdicts
