"""Two zones are gone for good: make the third the sole source (DESIGN: replication, rule 9;
Recover in the model).

Only descriptors change here. The survivor then leads every partition in a new epoch, applies the
whole of its durable log (the commit index may have reached it one message late), and answers reads;
it refuses writes until another zone is in sync again. A replica that was in sync has all that
was ever acknowledged. One that was not is complete until it left the set, which its descriptor
knows; what was acknowledged later is lost with the other zones. Splits that it never had are undone
by the survivor itself, which alone can see them (replication/reclaiming.py). So is told by itself,
when it begins to lead, that a descriptor calls complete what is not: a replica that was damaged, or
that a snapshot filled which its leader did not live to complete (takeover.py). Therefore ask again
once it leads, and `give_up_others` then.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trilith.cluster.disk_record import give_up
from trilith.errors import InvalidRequest, RevisionConflict
from trilith.replication import descriptor as descriptors
from trilith.replication.coordinator import Coordinator
from trilith.replication.descriptor import NOT_KNOWN_MS, Descriptor


class Verdict(msgspec.Struct, frozen=True):
    """What the survivor has of one partition. `complete_until_ms` None: everything, if `complete`;
    else it is not known."""

    partition_id: int
    node: str
    complete: bool
    complete_until_ms: int | None = None


def assess(
    descriptor: Descriptor, zone: str, known: Mapping[int, Descriptor] | None = None
) -> Verdict:
    """Raises InvalidRequest when the zone has no replica of the partition.

    `known`: all descriptors. A partition that was absorbed is written to as a part of another: who
    has all of that one has all, and who has not lacks as much of either.
    """
    node = descriptor.replicas.get(zone)
    if node is None:
        raise InvalidRequest(
            f"zone {zone} has no replica of partition {descriptor.partition_id}: it cannot be the "
            "source"
        )
    until = descriptor.complete_until_ms.get(node)
    complete = node in descriptor.in_sync and not (descriptor.recovered and until is not None)
    owner = (known or {}).get(descriptor.absorbed_by)
    if owner is not None:
        whole = assess(owner, zone, known)
        if not whole.complete:
            both = (whole.complete_until_ms, whole.complete_until_ms if complete else until)
            until = min(one or NOT_KNOWN_MS for one in both)
        complete = whole.complete
    return Verdict(descriptor.partition_id, node, complete, None if complete else until or None)


async def assess_all(coordinator: Coordinator, zone: str) -> list[Verdict]:
    """By partition id. Changes nothing. Raises CoordinatorUnavailable, InvalidRequest."""
    known = await _known(coordinator)
    return [assess(d, zone, known) for d in known.values() if not d.absorbed_by]


async def _known(coordinator: Coordinator) -> dict[int, Descriptor]:
    found, _ = await coordinator.list(descriptors.PREFIX)
    read = (descriptors.decode(versioned.value) for versioned in found.values())
    return {descriptor.partition_id: descriptor for descriptor in read}


async def make_sole_source(coordinator: Coordinator, zone: str) -> list[Verdict]:
    """Change every descriptor. To be called only when no node of another zone runs.

    Unless all verdicts are `complete`, such a node does not start again before its directory was
    emptied. Repeatable after a failure. Raises CoordinatorUnavailable, InvalidRequest.
    """
    await give_up_others(coordinator, zone)
    verdicts: dict[str, Verdict] = {}
    while True:
        found, _ = await coordinator.list(descriptors.PREFIX)
        new = [key for key in found if key not in verdicts]
        if not new:
            return [verdicts[key] for key in sorted(verdicts)]
        for key in new:  # and what the survivor's own log splits off meanwhile, by the next round
            verdict = await _make_sole(coordinator, key, zone)
            if verdict is not None:
                verdicts[key] = verdict


async def give_up_others(coordinator: Coordinator, zone: str) -> None:
    """Unless the zone is known to have everything, no node of another starts again before its
    directory was emptied. Raises CoordinatorUnavailable, InvalidRequest.
    """
    for node in await _others_to_give_up(coordinator, zone):
        await give_up(coordinator, node)


async def _others_to_give_up(coordinator: Coordinator, zone: str) -> list[str]:
    """The nodes that know more of some partition than the zone that is to be the source."""
    known = await _known(coordinator)
    held = known.values()
    if all(assess(descriptor, zone, known).complete for descriptor in held):
        return []
    return sorted({n for d in held for place, n in d.replicas.items() if place != zone})


async def _make_sole(coordinator: Coordinator, key: str, zone: str) -> Verdict | None:
    """None: there is no such partition any more."""
    while True:
        versioned = await coordinator.get(key)
        if versioned is None:
            return None
        descriptor = descriptors.decode(versioned.value)
        known = await _known(coordinator) if descriptor.absorbed_by else None
        verdict = assess(descriptor, zone, known)
        complete = {
            node: until
            for node, until in descriptor.complete_until_ms.items()
            if node != verdict.node
        }
        if not verdict.complete:
            complete[verdict.node] = verdict.complete_until_ms or NOT_KNOWN_MS
        wanted = msgspec.structs.replace(
            descriptor,
            leader=verdict.node,
            epoch=descriptor.epoch + 1,
            in_sync=[verdict.node],
            complete_until_ms=complete,
            recovered=True,
            absorbed_by=0,  # as far as the survivor's own logs say
        )
        try:
            await coordinator.compare_and_swap(key, versioned.revision, descriptors.encode(wanted))
        except RevisionConflict:
            continue
        return verdict
