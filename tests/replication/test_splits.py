"""Splitting partitions over real sockets, files and RocksDB."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.replication.local_cluster import KEYSPACE, LocalCluster, eventually
from tests.replication.register_model import Append, Pairs, Read, Scan, Value, Write

from trilith.errors import WrongRange


async def _scan(cluster: LocalCluster, node: int) -> list[tuple[bytes, bytes]]:
    """Everything, as a model's service does it."""
    router, start, pairs = cluster.nodes[node].router, b"", []
    while True:
        parts = router.partition_starts(KEYSPACE, start, b"")
        end = parts[1] if len(parts) > 1 else b""
        try:
            found: Pairs = await router.query(
                KEYSPACE, start, Scan(start, end), touched=(start, end), until=end
            )
        except WrongRange:
            continue
        pairs += found.pairs
        if not end:
            return pairs
        start = end


def test_a_split_loses_nothing_and_is_seen_by_every_node(tmp_path: Path) -> None:
    async def run() -> None:
        cluster = LocalCluster(tmp_path)
        await cluster.start()
        first = cluster.nodes[0].router
        keys = [bytes([n, 5]) for n in range(0, 250, 3)]
        for key in keys:
            await first.execute(KEYSPACE, key, Write(key, b"v" + key))
        stop = False
        wrong: list[object] = []

        async def load(number: int) -> int:
            router, count = cluster.nodes[number % 3].router, 0
            key = bytes([20 + 13 * number, 7])
            while not stop:
                count += 1
                grown: Value = await router.execute(KEYSPACE, key, Append(key, b"x"))
                seen: Value = await router.query(KEYSPACE, key, Read(key))
                if grown.value != b"x" * count or seen.value != grown.value:
                    wrong.append((key, count, grown, seen))
            return count

        loads = [asyncio.create_task(load(n)) for n in range(9)]
        for cut in (b"\x10", b"\x40\x01", b"\x30", b"\x81"):
            parent = first._find(KEYSPACE, cut)
            await eventually(lambda p=parent: cluster.leader_of(p) is not None)
            leader = cluster.leader_of(parent)
            assert leader is not None
            child = await leader.host.splitting.split(parent, cut)
            await eventually(
                lambda c=child: all(
                    c in n.host.descriptors and n.host.descriptors[c][0].epoch > 0
                    for n in cluster.nodes
                )
            )
            await eventually(
                lambda p=parent, c=cut: all(
                    n.host.descriptors[p][0].end == c.hex() for n in cluster.nodes
                )
            )
            pairs = await _scan(cluster, 1)
            assert [p for p in pairs if p[0] in keys] == [(k, b"v" + k) for k in keys]
        stop = True
        counts = await asyncio.gather(*loads)
        assert wrong == []
        assert min(counts) > 0
        for node in cluster.nodes:
            await node.stop()
        for node in cluster.nodes:  # at once, from the journal
            await node.listen()
        addresses = {n.node_id: n.address for n in cluster.nodes}
        for node in cluster.nodes:
            await node.start(addresses)
        for number, count in enumerate(counts):
            key = bytes([20 + 13 * number, 7])
            seen = await cluster.nodes[2].router.query(KEYSPACE, key, Read(key))
            assert seen.value == b"x" * count
        await cluster.stop()

    asyncio.run(run())
