"""The change log on the real replication layer, whose partitions split and merge under writes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from random import Random

from tests.replication.local_cluster import TABLES, LocalCluster, eventually

from trilith.errors import ConditionalConflict
from trilith.runtime.entropy import SystemEntropy
from trilith.tables import layout
from trilith.tables.changes import ChangeLog
from trilith.tables.key_ring import ItemKeys
from trilith.tables.layout import ABOVE_ALL

from .local_tables import ROOT_KEY, TABLE_ID, item
from .test_changes import in_lineage_order, put
from .test_changes_over_splits import PEOPLE, TablesNode, shards_of


async def _starts(cluster: LocalCluster, cut: bytes, *, there: bool) -> None:
    await eventually(
        lambda: all(
            (cut in node.router.partition_starts(TABLES, b"", ABOVE_ALL)) is there
            for node in cluster.nodes
        )
    )


async def _split(cluster: LocalCluster, cut: bytes) -> None:
    parent = cluster.nodes[0].router.partition_of(TABLES, cut)
    await _attempt(cluster, parent, lambda node: node.host.splitting.split(parent, cut))
    await _starts(cluster, cut, there=True)


async def _merge(cluster: LocalCluster, cut: bytes) -> None:
    child = cluster.nodes[0].router.partition_of(TABLES, cut)
    await _attempt(cluster, child, lambda node: node.host.merging.merge(child))
    await _starts(cluster, cut, there=False)


async def _attempt(cluster: LocalCluster, partition_id: int, work) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(30.0):
        while True:
            await eventually(lambda: cluster.leader_of(partition_id) is not None)
            leader = cluster.leader_of(partition_id)
            try:
                await work(leader)
            except ConditionalConflict:
                await asyncio.sleep(0.02)
            else:
                return


def test_splits_and_merges_neither_lose_nor_repeat_nor_reorder_a_change(tmp_path: Path) -> None:
    """Of two kinds of items: some are written all the time, some only now and then, so that a
    partition may come together again before its shards were brought in line with the split.
    """

    async def run() -> None:
        cluster = LocalCluster(tmp_path, TablesNode)
        await cluster.start()
        random = Random(7)
        stop = False
        written: dict[str, int] = {}

        async def write(place: int, pk: str) -> None:
            router = cluster.nodes[place % 3].router
            while not stop:
                number = written.get(pk, 0) + 1
                command = put(item(pk, 1, n={"N": str(number)}))
                await router.execute(TABLES, command.key, command)
                written[pk] = number
                await asyncio.sleep(0.002 if place % 2 else random.uniform(0.01, 0.3))

        writers = [asyncio.create_task(write(*pair)) for pair in enumerate(PEOPLE)]
        await eventually(lambda: min(written.get(pk, 0) for pk in PEOPLE) > 3)
        cuts = [layout.stem_of(TABLE_ID, {"S": pk})[:25] for pk in PEOPLE[::6]]
        for number in range(10):
            cut = cuts[number % len(cuts)]
            await _split(cluster, cut)
            if number % 3:
                before = dict(written)
                await eventually(lambda b=before: sum(written[p] > b[p] for p in PEOPLE) > 12)
            await _merge(cluster, cut)
        await _split(cluster, cuts[0])
        stop = True
        await asyncio.gather(*writers)
        seen: dict[bytes, list[int]] = defaultdict(list)
        keys = ItemKeys(ROOT_KEY, SystemEntropy())
        log = ChangeLog(cluster.nodes[1].router)
        shards = await shards_of(cluster.nodes[1])
        assert sum(1 for shard in shards if shard.last) >= 4
        for shard in in_lineage_order(shards):
            after, is_whole = 0, False
            while not is_whole:
                page = await log.read(shard, after)
                for sequence, change in page.changes:
                    assert change.new is not None
                    new = keys.open_item(TABLE_ID, change.key, change.new)
                    seen[change.key].append(int(new["n"]["N"]))
                    after = sequence
                is_whole = page.is_whole
        for pk in PEOPLE:
            key = put(item(pk, 1)).key
            assert seen[key] == list(range(1, written[pk] + 1))
        await cluster.stop()

    asyncio.run(run())
