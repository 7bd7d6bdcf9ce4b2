"""Merging partitions again over real sockets, files and RocksDB."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.replication.local_cluster import KEYSPACE, LocalCluster, LocalNode, eventually
from tests.replication.register_model import Append, Read, Value, Write

from trilith.errors import ConditionalConflict, InvalidRequest, TrilithError

CUTS = (b"\x40\x01", b"\x30", b"\x60")


async def _leader(cluster: LocalCluster, partition_id: int) -> LocalNode:
    await eventually(lambda: cluster.leader_of(partition_id) is not None)
    leader = cluster.leader_of(partition_id)
    assert leader is not None
    return leader


async def _split(cluster: LocalCluster, key: bytes) -> int:
    parent = cluster.nodes[0].router.partition_of(KEYSPACE, key)
    leader = await _leader(cluster, parent)
    led = leader.host.replicas[parent].leader
    await eventually(lambda: led is not None and led.may_change_range())
    child = await leader.host.splitting.split(parent, key)
    await eventually(
        lambda: all(
            child in n.host.descriptors and n.host.descriptors[parent][0].end == key.hex()
            for n in cluster.nodes
        )
    )
    return child


async def _merge(cluster: LocalCluster, partition_id: int) -> int:
    """Attempts until nothing stands in its way."""
    async with asyncio.timeout(30.0):
        while True:
            leader = await _leader(cluster, partition_id)
            try:
                into = await leader.host.merging.merge(partition_id)
            except ConditionalConflict:
                await asyncio.sleep(0.02)
                continue
            await eventually(
                lambda: all(partition_id not in n.host.descriptors for n in cluster.nodes)
            )
            return into


def test_what_was_split_comes_together_again_under_load(tmp_path: Path) -> None:
    async def run() -> None:
        cluster = LocalCluster(tmp_path)
        await cluster.start()
        first = cluster.nodes[0].router
        keys = [bytes([n, 5]) for n in range(0, 250, 3)]
        for key in keys:
            await first.execute(KEYSPACE, key, Write(key, b"v" + key))
        before = {one.start for one, _ in cluster.nodes[0].host.descriptors.values()}
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
        for _ in range(2):
            children = [await _split(cluster, cut) for cut in CUTS]
            for child in (children[1], children[2], children[0]):
                await _merge(cluster, child)
        stop = True
        counts = await asyncio.gather(*loads)
        assert wrong == []
        assert min(counts) > 0
        after = {one.start for one, _ in cluster.nodes[0].host.descriptors.values()}
        assert after == before
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
        for key in keys:
            assert (await cluster.nodes[1].router.query(KEYSPACE, key, Read(key))).value
        await cluster.stop()

    asyncio.run(run())


def test_a_retry_finds_in_the_merged_partition_what_the_absorbed_one_answered(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        cluster = LocalCluster(tmp_path)
        await cluster.start()
        router = cluster.nodes[0].router
        child = await _split(cluster, b"\x20")
        token = router.new_token()
        command = Append(b"\x22", b"once")
        await router.execute(KEYSPACE, b"\x22", command, token=token)
        await _merge(cluster, child)
        again = await router.execute(KEYSPACE, b"\x22", command, token=token, repeated=True)
        assert again.value == b"once"
        assert (await router.query(KEYSPACE, b"\x22", Read(b"\x22"))).value == b"once"
        await cluster.stop()

    asyncio.run(run())


def test_a_first_partition_is_not_merged(tmp_path: Path) -> None:
    async def run() -> None:
        cluster = LocalCluster(tmp_path)
        await cluster.start()
        partition_id = cluster.nodes[0].router.partition_of(KEYSPACE, b"\xf0")
        leader = await _leader(cluster, partition_id)
        with pytest.raises(InvalidRequest):
            await leader.host.merging.merge(partition_id)
        other = next(n for n in cluster.nodes if n is not leader)
        with pytest.raises(TrilithError):
            await other.host.merging.merge(partition_id)
        await cluster.stop()

    asyncio.run(run())
