"""Partitions that split and merge by themselves, over real sockets, files and RocksDB."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from tests.replication.local_cluster import KEYSPACE, LocalCluster, LocalNode, eventually
from tests.replication.register_model import Anywhere, Read, Write

from trilith.config import Partitions
from trilith.errors import TrilithError
from trilith.node.partition_changes import PartitionChanges

NEVER = 1_000_000_000
KEYS = [bytes([n, 5]) for n in range(0, 250, 3)]
CUT = b"\x40\x01"
VALUE = bytes(4_000)


def changes_of(
    node: LocalNode, partitions: Partitions, processor_s: Callable[[], float]
) -> PartitionChanges:
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
        processor_s=processor_s,
    )


@asynccontextmanager
async def changing(
    tmp_path: Path, busy: Callable[[LocalNode], float] = lambda _: 0.0, **given: int
) -> AsyncIterator[LocalCluster]:
    """A cluster whose partitions have values and change by themselves as `given` says.

    `busy`: the share of a processor that each node takes, as it believes.
    """
    limits = {"commands_per_second_max": NEVER, "reads_per_second_max": NEVER, **given}
    cluster = LocalCluster(tmp_path)
    await cluster.start()
    for key in KEYS:
        await cluster.nodes[0].router.execute(KEYSPACE, key, Write(key, VALUE))
    partitions = Partitions(**limits)
    works = [
        asyncio.ensure_future(_forever(work()))
        for node in cluster.nodes
        for work in changes_of(node, partitions, partial(had_s, node, busy(node))).works()
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


def had_s(node: LocalNode, share: float) -> float:
    return node.runtime.clock.monotonic() * share


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


async def write_all(cluster: LocalCluster, until: Callable[[], bool]) -> None:
    """Write all keys side by side, again and again, until something is so."""
    router = cluster.nodes[0].router
    async with asyncio.timeout(60.0):
        while not until():
            await asyncio.gather(
                *(router.execute(KEYSPACE, key, Write(key, b"small")) for key in KEYS)
            )


LATER_S = 8.0  # longer than the load takes to rise, and than a partition must be hot


def test_a_busy_node_gives_half_of_its_busiest_partition_to_one_with_time(tmp_path: Path) -> None:
    async def story() -> None:
        limits = {"split_after_seconds": 1, "merge_after_seconds": 0}
        all_but_one = partial(busy_but_for, "az3")
        async with changing(tmp_path, all_but_one, **limits) as cluster:
            before, known = held(cluster), cluster.nodes[0].host.descriptors
            idle = cluster.nodes[2].node_id

            def is_given() -> bool:
                made = held(cluster) - before
                return any(known[one][0].preferred_leader == idle for one in made)

            await write_all(cluster, is_given)

    play(story)


def busy_but_for(zone: str, node: LocalNode) -> float:
    return 0.1 if node.zone == zone else 1.0


def test_a_busy_node_that_leads_the_fewest_partitions_gives_to_another(tmp_path: Path) -> None:
    async def story() -> None:
        limits = {"split_after_seconds": 1, "merge_after_seconds": 0}
        async with changing(tmp_path, partial(busy_only_in, "az3"), **limits) as cluster:
            before, known = held(cluster), cluster.nodes[0].host.descriptors
            led = Counter(d.preferred_leader for d, _ in known.values())
            assert min(led, key=led.__getitem__) == cluster.nodes[2].node_id
            await write_all(cluster, lambda: len(held(cluster)) > len(before))
            (made,) = held(cluster) - before
            idle = {node.node_id for node in cluster.nodes[:2]}
            assert known[made][0].preferred_leader in idle

    play(story)


def busy_only_in(zone: str, node: LocalNode) -> float:
    return 1.0 if node.zone == zone else 0.1


def test_a_busy_node_splits_nothing_while_a_zone_is_away(tmp_path: Path) -> None:
    async def story() -> None:
        limits = {"split_after_seconds": 1, "merge_after_seconds": 0}
        async with changing(tmp_path, partial(busy_only_in, "az1"), **limits) as cluster:
            before, first = held(cluster), cluster.nodes[0]
            await cluster.nodes[2].stop()
            gone = cluster.nodes.pop()
            clock = first.runtime.clock

            def is_dropped() -> bool:
                found = [first.host.descriptors[one][0] for one in before]
                return all(gone.node_id not in one.in_sync for one in found)

            async with asyncio.timeout(60.0):
                while not is_dropped():  # too slowly to be split for
                    await asyncio.gather(*(write_when_it_can(first, key) for key in KEYS))
                    await asyncio.sleep(1.0)
            until = clock.monotonic() + LATER_S
            await write_all(cluster, lambda: clock.monotonic() > until)
            assert held(cluster) == before

    play(story)


async def write_when_it_can(node: LocalNode, key: bytes) -> None:
    with suppress(TrilithError):
        await node.router.execute(KEYSPACE, key, Write(key, b"small"))


def test_nodes_that_are_all_busy_split_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        limits = {"split_after_seconds": 1, "merge_after_seconds": 0}
        async with changing(tmp_path, lambda _: 1.0, **limits) as cluster:
            before, clock = held(cluster), cluster.nodes[0].runtime.clock
            until = clock.monotonic() + LATER_S
            await write_all(cluster, lambda: clock.monotonic() > until)
            assert held(cluster) == before

    play(story)


def test_a_busy_node_splits_nothing_that_few_ask_for(tmp_path: Path) -> None:
    async def story() -> None:
        limits = {"split_after_seconds": 1, "merge_after_seconds": 0}
        async with changing(tmp_path, partial(busy_but_for, "az3"), **limits) as cluster:
            before, clock = held(cluster), cluster.nodes[0].runtime.clock
            until = clock.monotonic() + LATER_S
            while clock.monotonic() < until:
                await cluster.nodes[0].router.execute(KEYSPACE, CUT, Write(CUT, b"small"))
                await asyncio.sleep(0.1)
            assert held(cluster) == before

    play(story)


def test_partitions_of_a_busy_node_are_not_merged(tmp_path: Path) -> None:
    async def story() -> None:
        async with changing(tmp_path, lambda _: 0.5, merge_after_seconds=1) as cluster:
            child, clock = await split(cluster, CUT), cluster.nodes[0].runtime.clock
            until = clock.monotonic() + LATER_S
            await eventually(lambda: clock.monotonic() > until)
            assert child in held(cluster)

    play(story)
