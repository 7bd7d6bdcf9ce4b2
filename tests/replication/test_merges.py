"""Merging partitions again over real sockets, files and RocksDB."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from tests.replication.local_cluster import KEYSPACE, LocalCluster, LocalNode, eventually
from tests.replication.register_model import Append, Read, Value, Write

from trilith.cluster import membership
from trilith.cluster.cluster_map import ABILITIES, NodeRecord
from trilith.errors import ConditionalConflict, InvalidRequest, TrilithError
from trilith.replication import merging

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


async def _announce(node: LocalNode, abilities: tuple[str, ...]) -> None:
    """As the node's software of another version does when it starts."""
    found = await node.coordinator.get(key := membership.PREFIX + node.node_id)
    assert found is not None
    record = NodeRecord(node.node_id, node.zone, node.address, abilities=abilities)
    await node.coordinator.compare_and_swap(key, found.revision, msgspec.json.encode(record))


def test_nothing_is_merged_while_a_replica_is_on_a_node_of_a_version_that_knows_no_merges(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        cluster = LocalCluster(tmp_path)
        await cluster.start()
        child = await _split(cluster, b"\x20")
        leader = await _leader(cluster, child)
        older = next(node for node in cluster.nodes if node is not leader)
        await _announce(older, ())
        async with asyncio.timeout(30.0):
            while True:
                with pytest.raises(ConditionalConflict) as refused:
                    await leader.host.merging.merge(child)
                if "cannot merge partitions" in str(refused.value):
                    break
                await asyncio.sleep(0.02)  # the split is yet to be told
        assert older.node_id in str(refused.value)
        replica = leader.host.replicas[child]
        assert not replica.closing
        router = cluster.nodes[0].router
        assert (await router.execute(KEYSPACE, b"\x22", Append(b"\x22", b"x"))).value == b"x"
        await _announce(older, ABILITIES)
        await _merge(cluster, child)
        assert (await router.query(KEYSPACE, b"\x22", Read(b"\x22"))).value == b"x"
        await cluster.stop()

    asyncio.run(run())


def test_what_is_closed_is_not_absorbed_before_every_node_knows_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that started with an older version in the meantime."""
    monkeypatch.setattr(merging, "COMMIT_WAIT_S", 0.3)

    async def run() -> None:
        cluster = LocalCluster(tmp_path)
        await cluster.start()
        child = await _split(cluster, b"\x20")
        parent = cluster.nodes[0].router.partition_of(KEYSPACE, b"\x10")
        absorbing = await _leader(cluster, parent)
        older = next(node for node in cluster.nodes if node is not absorbing)
        leader = await _leader(cluster, child)
        if leader is absorbing:  # what it knows of the others is to be older than what B's knows
            other = next(n for n in cluster.nodes if n is not leader and n is not older)
            moved = leader.host.replicas[child]
            await leader.host._hand_overs.run(
                moved, other.node_id, leave=False, deadline=leader.runtime.clock.monotonic() + 5
            )
            await eventually(lambda: cluster.leader_of(child) is other)
            leader = other
        await _announce(older, ())
        await absorbing.membership.load()
        await _announce(older, ABILITIES)
        async with asyncio.timeout(30.0):
            while not leader.host.replicas[child].closing:
                with suppress(ConditionalConflict, TimeoutError):
                    await leader.host.merging.merge(child)
                await asyncio.sleep(0.02)
        await eventually(lambda: absorbing.host.replicas[child].range.closed > 0)
        absorbing.host.merging.absorb_closed()
        assert all(not node.host.replicas[parent].absorbs for node in cluster.nodes)
        assert all(not node.host.replicas[child].retired for node in cluster.nodes)
        await absorbing.membership.load()
        await eventually(lambda: all(child not in n.host.descriptors for n in cluster.nodes))
        router = cluster.nodes[0].router
        assert (await router.execute(KEYSPACE, b"\x22", Append(b"\x22", b"x"))).value == b"x"
        await cluster.stop()

    asyncio.run(run())
