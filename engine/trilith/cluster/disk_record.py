"""Which disk each node is known to have, and what a node must do that comes back without it.

A node whose disk is gone must leave every in-sync set before it takes part again: it would
otherwise be trusted for entries that it no longer has.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import msgspec

from trilith.errors import DataDirectoryUnusable, RevisionConflict
from trilith.replication import descriptor as descriptors
from trilith.replication.coordinator import Coordinator
from trilith.replication.descriptor import Descriptor

PREFIX = "disks/"
GIVEN_UP_PREFIX = "disks_given_up/"  # disk id -> node id


async def give_up(coordinator: Coordinator, node_id: str) -> None:
    """What is on this node's disk no longer counts: the node does not start with it again.

    Raises CoordinatorUnavailable.
    """
    found = await coordinator.get(PREFIX + node_id)
    if found is None:
        return
    key = GIVEN_UP_PREFIX + found.value.decode()
    if await coordinator.get(key) is None:
        with suppress(RevisionConflict):
            await coordinator.compare_and_swap(key, 0, node_id.encode())


async def confirm_disk(
    coordinator: Coordinator, node_id: str, disk_id: str, log: Callable[..., None]
) -> None:
    """Returns when this node may take part with this disk. Raises CoordinatorUnavailable.

    Raises DataDirectoryUnusable when the lost disk was the only one in sync: an operator decides;
    and for a disk that an operator has given up.
    """
    key = PREFIX + node_id
    if await coordinator.get(GIVEN_UP_PREFIX + disk_id) is not None:
        raise DataDirectoryUnusable(
            f"the data of node {node_id} was given up by `trilith recover`, and the cluster goes "
            "on without it: empty this node's directory, or move it away, and start again"
        )
    while True:
        found = await coordinator.get(key)
        if found is not None and found.value == disk_id.encode():
            return
        if found is not None:
            log("disk_replaced", node=node_id)
            await _leave_in_sync_sets(coordinator, node_id)
        try:
            await coordinator.compare_and_swap(
                key, found.revision if found else 0, disk_id.encode()
            )
        except RevisionConflict:
            continue
        return


async def _leave_in_sync_sets(coordinator: Coordinator, node_id: str) -> None:
    partitions, _ = await coordinator.list(descriptors.PREFIX)
    for key in partitions:
        while True:
            found = await coordinator.get(key)
            if found is None:
                break
            descriptor = descriptors.decode(found.value)
            if node_id not in descriptor.in_sync and node_id not in descriptor.complete_until_ms:
                break
            wanted = _without(descriptor, node_id)
            try:
                await coordinator.compare_and_swap(key, found.revision, descriptors.encode(wanted))
            except RevisionConflict:
                continue
            break


def _without(descriptor: Descriptor, node_id: str) -> Descriptor:
    complete = {n: until for n, until in descriptor.complete_until_ms.items() if n != node_id}
    descriptor = msgspec.structs.replace(descriptor, complete_until_ms=complete)
    others = [node for node in descriptor.in_sync if node != node_id]
    if not others:
        raise DataDirectoryUnusable(
            f"node {node_id} lost its disk, and was the only one with partition "
            f"{descriptor.partition_id}: put the disk back, or recover from another zone"
        )
    if descriptor.leader != node_id:
        return msgspec.structs.replace(descriptor, in_sync=others)
    return msgspec.structs.replace(
        descriptor, in_sync=others, leader=others[0], epoch=descriptor.epoch + 1
    )
