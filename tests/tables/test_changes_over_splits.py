"""The change log on the real replication layer, whose partitions split under the writes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.replication.local_cluster import TABLES, LocalCluster, LocalNode, eventually

from trilith.runtime.entropy import SystemEntropy
from trilith.tables import layout
from trilith.tables.changes import ChangeLog, Shard
from trilith.tables.key_ring import ItemKeys
from trilith.tables.layout import ABOVE_ALL
from trilith.tables.model import ItemsModel

from .local_tables import ROOT_KEY, TABLE_ID, item
from .test_changes import STREAMED, in_lineage_order, put


class TablesNode(LocalNode):
    def model_of(self, keyspace: int) -> Any:
        if keyspace == TABLES:
            return ItemsModel(ItemKeys(ROOT_KEY, SystemEntropy()))
        return super().model_of(keyspace)


PEOPLE = [f"p{number}" for number in range(24)]


async def shards_of(node: LocalNode) -> list[Shard]:
    starts = node.router.partition_starts(TABLES, b"", ABOVE_ALL)
    log = ChangeLog(node.router)
    for start in starts:
        await log.roll(start, TABLE_ID, STREAMED)
    ends = [*starts[1:], b""]
    return [
        shard
        for start, end in zip(starts, ends, strict=True)
        for shard in await log.shards(start, end, TABLE_ID)
    ]


def test_a_real_split_neither_loses_nor_repeats_nor_reorders_a_change(tmp_path: Path) -> None:
    async def run() -> None:
        cluster = LocalCluster(tmp_path, TablesNode)
        await cluster.start()
        stop = False
        written: dict[str, int] = {}

        async def write(place: int, pk: str) -> None:
            router = cluster.nodes[place % 3].router
            while not stop:
                number = written.get(pk, 0) + 1
                command = put(item(pk, 1, n={"N": str(number)}))
                await router.execute(TABLES, command.key, command)
                written[pk] = number
                await asyncio.sleep(0.002)

        writers = [asyncio.create_task(write(*pair)) for pair in enumerate(PEOPLE)]
        await eventually(lambda: min(written.get(pk, 0) for pk in PEOPLE) > 3)
        first = cluster.nodes[0].router
        for pk in PEOPLE[::6]:
            cut = layout.stem_of(TABLE_ID, {"S": pk})
            parent = first._find(TABLES, cut)
            await eventually(lambda p=parent: cluster.leader_of(p) is not None)
            leader = cluster.leader_of(parent)
            assert leader is not None
            await leader.host.splitting.split(parent, cut)
            await eventually(
                lambda c=cut: all(
                    c in node.router.partition_starts(TABLES, b"", ABOVE_ALL)
                    for node in cluster.nodes
                )
            )
            before = dict(written)
            await eventually(lambda b=before: all(written[pk] > b[pk] for pk in PEOPLE))
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
