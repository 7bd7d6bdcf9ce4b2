"""Partitions that split and merge by themselves, over real sockets, files and RocksDB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.replication.local_cluster import KEYSPACE, LocalCluster, LocalNode, eventually
from tests.replication.register_model import Anywhere, Read, Write

from trilith.config import Partitions
from trilith.node.partition_changes import PartitionChanges

NEVER = 1_000_000_000
KEYS = [bytes([n, 5]) for n in range(0, 250, 3)]
CUT = b"\x40\x01"
VALUE = bytes(4_000)


def changes_of(node: LocalNode, partitions: Partitions) -> PartitionChanges:
    return PartitionChanges(
        host=node.host,
        hub=node.hub,
        divisions={KEYSPACE: Anywhere()},
        partitions=partitions,
        clock=node.runtime.clock,
        store=node.store,
        store_bytes=lambda: NEVER,  # so that sizes are always looked at
        workers=node.workers,
        log=node._log,
    )


@asynccontextmanager
async def changing(tmp_path: Path, **given: int) -> AsyncIterator[LocalCluster]:
    """A cluster whose partitions have values and change by themselves as `given` says."""
    limits = {"commands_per_second_max": NEVER, "reads_per_second_max": NEVER, **given}
    cluster = LocalCluster(tmp_path)
    await cluster.start()
    for key in KEYS:
        await cluster.nodes[0].router.execute(KEYSPACE, key, Write(key, VALUE))
    partitions = Partitions(**limits)
    works = [
        asyncio.ensure_future(_forever(work()))
        for node in cluster.nodes
        for work in changes_of(node, partitions).works()
    ]
    try:
        yield cluster
        assert not any(work.done() and work.exception() for work in works)
    finally:
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        await cluster.stop()


async def _forever(work: Any) -> None:
    await work


def held(cluster: LocalCluster) -> set[int]:
    """The partitions of the keyspace, as all nodes know them."""
    known = [
        {one for one, (d, _) in node.host.descriptors.items() if d.keyspace == KEYSPACE}
        for node in cluster.nodes
    ]
    return set.intersection(*known)


def said(cluster: LocalCluster, event: str) -> list[dict[str, Any]]:
    return [facts for node in cluster.nodes for name, facts in node.events if name == event]


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


async def read_at(node: LocalNode, until: Callable[[], bool], *, within_s: float = 60.0) -> None:
    """Read all keys at one node, again and again, until something is so."""
    async with asyncio.timeout(within_s):
        while not until():
            for key in KEYS:
                found = await node.router.query(KEYSPACE, key, Read(key))
                assert found.value == VALUE


async def split(cluster: LocalCluster, key: bytes) -> int:
    parent = cluster.nodes[0].router.partition_of(KEYSPACE, key)
    await eventually(lambda: cluster.leader_of(parent) is not None)
    leader = cluster.leader_of(parent)
    assert leader is not None
    led = leader.host.replicas[parent].leader
    await eventually(lambda: led is not None and led.may_change_range())
    child = await leader.host.splitting.split(parent, key)
    await eventually(lambda: child in held(cluster))
    return child


def test_a_partition_is_split_that_only_its_followers_are_read_of(tmp_path: Path) -> None:
    async def story() -> None:
        limits = {"reads_per_second_max": 20, "split_after_seconds": 1, "merge_after_seconds": 0}
        async with changing(tmp_path, **limits) as cluster:
            before = held(cluster)
            await read_of_followers(cluster, lambda: len(held(cluster)) > len(before))
            assert said(cluster, "split_partition")

    play(story)


async def read_of_followers(cluster: LocalCluster, until: Callable[[], bool]) -> None:
    """Read each key where its partition is not led."""
    async with asyncio.timeout(60.0):
        while not until():
            for key in KEYS:
                partition = cluster.nodes[0].router.partition_of(KEYSPACE, key)
                leader = cluster.leader_of(partition)
                node = next(one for one in cluster.nodes if one is not leader)
                found = await node.router.query(KEYSPACE, key, Read(key))
                assert found.value == VALUE


def test_reads_below_the_limit_split_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with changing(tmp_path, split_after_seconds=1, merge_after_seconds=0) as cluster:
            before, rounds = held(cluster), 0

            def enough() -> bool:
                nonlocal rounds
                rounds += 1
                return rounds > 20

            await read_at(cluster.nodes[1], enough)
            assert held(cluster) == before

    play(story)


def test_partitions_that_are_read_are_not_merged_until_they_are_calm(tmp_path: Path) -> None:
    async def story() -> None:
        async with changing(
            tmp_path, reads_per_second_max=100, split_after_seconds=NEVER, merge_after_seconds=2
        ) as cluster:
            child = await split(cluster, CUT)
            clock = cluster.nodes[0].runtime.clock
            until = clock.monotonic() + 5.0
            await read_of_followers(cluster, lambda: clock.monotonic() > until)
            assert child in held(cluster)
            assert not said(cluster, "merged_partition")
            await eventually(lambda: child not in held(cluster))

    play(story)


def test_partitions_that_are_large_together_are_not_merged_until_they_are_small(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        pair = [key for key in KEYS if 256 // 6 <= key[0] < 2 * 256 // 6]  # of one partition
        async with changing(
            tmp_path,
            # The log keeps each answer, too, for retries: twice the values are held, and a merge
            # may make half of this.
            split_bytes=len(VALUE) * len(pair) * 3,
            measure_interval_seconds=1,
            merge_after_seconds=1,
        ) as cluster:
            child = await split(cluster, CUT)
            await eventually(lambda: bool(said(cluster, "too_large_to_merge")))
            assert child in held(cluster)
            assert not said(cluster, "merged_partition")
            for key in pair:
                await cluster.nodes[0].router.execute(KEYSPACE, key, Write(key, b"small"))
            await eventually(lambda: child not in held(cluster))
            assert [one["partition"] for one in said(cluster, "merged_partition")] == [child]

    play(story)
