"""A cluster of a version without tables is given their partitions; what it has stays as it is."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from trilith.cluster import bootstrap
from trilith.cluster.cluster_map import NodeRecord
from trilith.cluster.embedded_coordinator import EmbeddedCoordinator
from trilith.replication import descriptor as descriptors
from trilith.replication.descriptor import Descriptor
from trilith.runtime.workers import ThreadWorkers

ZONES = ("az1", "az2", "az3")
NODES = [NodeRecord(f"node-{zone}", zone, "127.0.0.1:1") for zone in ZONES]


def test_an_older_cluster_is_given_the_partitions_of_tables(tmp_path: Path) -> None:
    async def check() -> list[Descriptor]:
        path = str(tmp_path / "coordinator.sqlite3")
        coordinator = await EmbeddedCoordinator.open(path, ThreadWorkers(1))
        older = [
            one
            for one in bootstrap.initial_layout(NODES, ZONES)
            if one.keyspace != bootstrap.TABLES
        ]
        for one in older:
            key = descriptors.key_of(one.partition_id)
            await coordinator.compare_and_swap(key, 0, descriptors.encode(one))
        before, _ = await coordinator.list(descriptors.PREFIX)
        await bootstrap.create_partitions(coordinator, NODES, ZONES)
        after, _ = await coordinator.list(descriptors.PREFIX)
        await coordinator.close()
        assert {key: after[key] for key in before} == before
        return [descriptors.decode(value.value) for value in after.values()]

    found = asyncio.run(check())
    tables = sorted(
        (one for one in found if one.keyspace == bootstrap.TABLES), key=lambda one: one.start_key
    )
    assert len(tables) == bootstrap.TABLE_PARTITIONS
    assert [one.end for one in tables] == [*(one.start for one in tables[1:]), ""]
    assert tables[0].start == ""
    assert {one.leader for one in tables} <= {node.node_id for node in NODES}
    # The leaders of all together go round: nobody leads much more than others.
    led = Counter(one.leader for one in found)
    assert max(led.values()) - min(led.values()) <= 1
