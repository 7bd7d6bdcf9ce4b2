"""Repair brings a zone what it missed and heals what was damaged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from tests.chunks.local_zones import KIB, LocalCluster, LocalNode, random_bytes, run_on, upload

from trilith.chunks.repair import BATCH_ENTRIES, RepairWorker
from trilith.chunks.types import StoredChunk
from trilith.errors import Corruption, NotLeader, WrongRange


class LocalQueue:
    """Implements `RepairQueue` in memory."""

    def __init__(self, stored: Sequence[StoredChunk]) -> None:
        missing = [(zone, c.ref.chunk_id) for c in stored for zone in c.missed_zones]
        self.entries = dict(enumerate(missing))
        self.unavailable = 0

    async def list_missing(self, zone: str, limit: int) -> list[tuple[int, bytes]]:
        if self.unavailable:
            self.unavailable -= 1
            raise NotLeader
        found = [(token, entry[1]) for token, entry in self.entries.items() if entry[0] == zone]
        return found[:limit]

    async def give_up(self, token: int, is_lost: Callable[[], Awaitable[bool]]) -> bool:
        if not await is_lost():
            return False
        self.entries.pop(token, None)
        return True

    async def complete(self, tokens: Sequence[int]) -> None:
        for token in tokens:
            self.entries.pop(token, None)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


@asynccontextmanager
async def repairing(
    node: LocalNode, queue: LocalQueue, rate: int = 1 << 30
) -> AsyncIterator[RepairWorker]:
    worker = RepairWorker(queue, node.service, node.placement, node.zone, bytes_per_second_max=rate)
    node.service.on_damaged = worker.heal_soon
    running = asyncio.ensure_future(worker.run())
    try:
        yield worker
    finally:
        running.cancel()
        await asyncio.wait((running,))


async def upload_without_az3(cluster: LocalCluster, size: int) -> list[StoredChunk]:
    nodes = [node for node in cluster.nodes.values() if node.zone == "az3"]
    for node in nodes:
        cluster.network.isolate(node.node_id)
    stored = await upload(cluster.gateway, [random_bytes(size)])
    for node in nodes:
        cluster.network.isolate(node.node_id, up=True)
    assert {chunk.missed_zones for chunk in stored} == {("az3",)}
    return stored


def test_a_zone_that_was_away_gets_what_it_missed() -> None:
    async def body(cluster: LocalCluster) -> None:
        stored = await upload_without_az3(cluster, 500 * KIB)
        queue = LocalQueue(stored)
        async with repairing(cluster.nodes["n31"], queue) as worker:
            await until(lambda: not queue.entries)
        for chunk in stored:
            assert cluster.zones_with(chunk.ref.chunk_id) == {"az1", "az2", "az3"}
        assert worker.progress.done == len(stored)
        assert worker.progress.bytes_copied == 500 * KIB + 16 * len(stored)
        assert worker.progress.pending == 0

    run_on(LocalCluster(), body)


def test_each_node_of_a_zone_repairs_its_own_chunks() -> None:
    async def body(cluster: LocalCluster) -> None:
        stored = await upload_without_az3(cluster, 800 * KIB)
        queue = LocalQueue(stored)
        async with repairing(cluster.nodes["n31"], queue), repairing(cluster.nodes["n32"], queue):
            await until(lambda: not queue.entries)
        for chunk in stored:
            owner = cluster.nodes["n11"].placement.owners(chunk.ref.chunk_id)["az3"]
            assert cluster.nodes[owner].store.contains(chunk.ref.chunk_id)

    run_on(LocalCluster(nodes_per_zone=2), body)


def test_what_cannot_be_copied_stays_queued_until_its_zone_is_back() -> None:
    async def body(cluster: LocalCluster) -> None:
        stored = await upload_without_az3(cluster, 50 * KIB)
        queue = LocalQueue(stored)
        cluster.network.isolate("n31")
        async with repairing(cluster.nodes["n31"], queue) as worker:
            await until(lambda: worker.progress.failed >= len(stored))
            assert len(queue.entries) == len(stored)
            assert worker.progress.pending == len(stored)
            cluster.network.isolate("n31", up=True)
            worker.look_now()
            await until(lambda: not queue.entries)

    run_on(LocalCluster(), body)


def test_an_unavailable_queue_is_asked_again() -> None:
    async def body(cluster: LocalCluster) -> None:
        queue = LocalQueue(await upload_without_az3(cluster, 20 * KIB))
        queue.unavailable = 1
        async with repairing(cluster.nodes["n31"], queue) as worker:
            await until(lambda: not queue.unavailable)
            worker.look_now()
            await until(lambda: not queue.entries)

    run_on(LocalCluster(), body)


def test_a_log_that_cannot_be_read_either_ends_no_repair() -> None:
    async def body(cluster: LocalCluster) -> None:
        queue = LocalQueue(await upload_without_az3(cluster, 20 * KIB))
        queue.unavailable = 1
        asked = 0

        async def unreadable() -> list[bytes]:
            nonlocal asked
            asked += 1
            raise WrongRange

        async with repairing(cluster.nodes["n31"], queue) as worker:
            worker.owed = unreadable
            await until(lambda: asked > 0)
            worker.look_now()
            await until(lambda: not queue.entries)

    run_on(LocalCluster(), body)


def test_what_is_owed_and_cannot_be_had_is_pending_while_the_queue_cannot_be_read() -> None:
    """Else it would be tried again every second, all of it."""

    async def body(cluster: LocalCluster) -> None:
        stored = await upload_without_az3(cluster, 20 * KIB)
        queue = LocalQueue(stored)
        queue.unavailable = 1000
        for node_id in ("n11", "n21"):
            cluster.network.isolate(node_id)

        async def owed() -> list[bytes]:
            return [chunk.ref.chunk_id for chunk in stored]

        async with repairing(cluster.nodes["n31"], queue) as worker:
            worker.owed = owed
            await until(lambda: worker.progress.pending == len(stored))

    run_on(LocalCluster(), body)


def test_an_entry_behind_many_that_cannot_be_had_now_is_repaired() -> None:
    """Those in front wait for another zone; the last one's chunk is here, by another upload."""

    async def body(cluster: LocalCluster) -> None:
        stored = await upload_without_az3(cluster, 1300 * KIB)
        assert len(stored) > BATCH_ENTRIES
        node, last = cluster.nodes["n31"], stored[-1]
        sealed = cluster.nodes["n11"].store.read(last.ref.chunk_id)
        await node.store.store(last.ref.chunk_id, sealed)
        for other in ("n11", "n21"):
            cluster.network.isolate(other)
        queue = LocalQueue(stored)
        async with repairing(node, queue) as worker:
            while len(stored) - 1 in queue.entries:
                failed = worker.progress.failed
                worker.look_now()
                await until(lambda failed=failed: worker.progress.failed > failed)
            assert len(queue.entries) == len(stored) - 1

    run_on(LocalCluster(), body)


def test_a_damaged_copy_is_replaced_after_it_was_read() -> None:
    async def body(cluster: LocalCluster) -> None:
        (chunk,) = await upload(cluster.gateway, [random_bytes(KIB)])
        node = cluster.nodes["n11"]
        good = node.store.read(chunk.ref.chunk_id)
        node.flip(chunk.ref.chunk_id)
        async with repairing(node, LocalQueue([])) as worker:
            node.pipeline.reader.on_damaged = lambda chunk_id, zone: worker.heal_soon(chunk_id)
            await cluster.gateway.read(chunk.ref)
            await until(lambda: worker.progress.done == 1)
        assert node.store.read(chunk.ref.chunk_id) == good

    run_on(LocalCluster(), body)


def test_a_copy_found_damaged_by_another_node_is_healed_where_it_lies() -> None:
    async def body(cluster: LocalCluster) -> None:
        (chunk,) = await upload(cluster.gateway, [random_bytes(KIB)])
        for node_id in ("n11", "n21"):
            cluster.nodes[node_id].flip(chunk.ref.chunk_id)
        damaged = cluster.nodes["n21"]
        async with repairing(damaged, LocalQueue([])) as worker:
            await cluster.gateway.read(chunk.ref)
            await until(lambda: worker.progress.done == 1)
        assert damaged.store.read(chunk.ref.chunk_id)

    run_on(LocalCluster(), body)


def test_a_chunk_without_a_good_copy_leaves_the_queue_and_is_tried_again() -> None:
    """In the queue it would keep its zone out of every in-sync set for good."""

    async def body(cluster: LocalCluster) -> None:
        stored = await upload_without_az3(cluster, KIB)
        chunk_id = stored[0].ref.chunk_id
        good = cluster.nodes["n21"].store.read(chunk_id)
        for node_id in ("n11", "n21"):
            cluster.nodes[node_id].flip(chunk_id)
        queue = LocalQueue(stored)
        lost: list[bytes] = []
        counts: set[int] = set()
        async with repairing(cluster.nodes["n31"], queue) as worker:

            def note(chunk_id: bytes) -> None:
                lost.append(chunk_id)
                counts.add(worker.progress.without_good_copy)

            worker.on_lost = note
            await until(lambda: not queue.entries)
            assert chunk_id in lost
            worker.look_now()
            await until(lambda: (worker.progress.queued, worker.progress.pending) == (0, 1))
            await cluster.nodes["n21"].store.store(chunk_id, good, replace=True)
            worker.look_now()
            await until(lambda: cluster.nodes["n31"].store.contains(chunk_id))
            assert counts == {1}

    run_on(LocalCluster(), body)


def test_an_entry_is_kept_while_a_zone_that_may_have_its_chunk_is_away() -> None:
    async def body(cluster: LocalCluster) -> None:
        stored = await upload_without_az3(cluster, KIB)
        cluster.nodes["n11"].flip(stored[0].ref.chunk_id)
        cluster.network.isolate("n21")
        queue = LocalQueue(stored)
        async with repairing(cluster.nodes["n31"], queue) as worker:
            for _ in range(3):
                failed = worker.progress.failed
                worker.look_now()
                await until(lambda failed=failed: worker.progress.failed > failed)
            assert len(queue.entries) == 1
            cluster.network.isolate("n21", up=True)
            worker.look_now()
            await until(lambda: not queue.entries)
        assert cluster.nodes["n31"].store.contains(stored[0].ref.chunk_id)

    run_on(LocalCluster(), body)


def test_nodes_that_all_lack_a_good_copy_do_not_keep_each_other_busy() -> None:
    async def body(cluster: LocalCluster) -> None:
        (chunk,) = await upload(cluster.gateway, [random_bytes(KIB)])
        for node in cluster.nodes.values():
            node.flip(chunk.ref.chunk_id)
        nodes = cluster.nodes
        lost: list[bytes] = []
        async with (
            repairing(nodes["n11"], LocalQueue([])) as first,
            repairing(nodes["n21"], LocalQueue([])) as second,
            repairing(nodes["n31"], LocalQueue([])) as third,
        ):
            first.on_lost = lost.append
            with pytest.raises(Corruption):
                await cluster.gateway.read(chunk.ref)
            await until(lambda: bool(lost) and third.progress.failed > 0)
            for _ in range(200):
                await asyncio.sleep(0)
            assert set(lost) == {chunk.ref.chunk_id}
            # Each tries when it learns of the damage, and then again after a pause.
            assert sum(w.progress.failed for w in (first, second, third)) <= 6

    run_on(LocalCluster(), body)


def test_nodes_asked_for_a_chunk_that_nobody_has_or_needs_do_not_keep_each_other_busy() -> None:
    async def body(cluster: LocalCluster) -> None:
        (chunk,) = await upload(cluster.gateway, [random_bytes(KIB)])
        nodes, loop = cluster.nodes, asyncio.get_running_loop()
        for node in nodes.values():
            node.store.remove([chunk.ref.chunk_id], untouched_since=1 << 62)
        async with (
            repairing(nodes["n11"], LocalQueue([])) as first,
            repairing(nodes["n21"], LocalQueue([])) as second,
            repairing(nodes["n31"], LocalQueue([])) as third,
        ):
            workers = (first, second, third)
            for worker in workers:  # each looks at all references, and finds none
                worker.on_lost = lambda c, w=worker: loop.call_soon(w.dismiss, c)
            first.heal_soon(chunk.ref.chunk_id)
            await until(lambda: all(w.progress.failed > 0 for w in workers))
            for _ in range(500):
                await asyncio.sleep(0)
            assert sum(w.progress.failed for w in workers) <= 6

    run_on(LocalCluster(), body)


def test_an_upload_of_the_same_bytes_replaces_copies_that_are_known_to_be_bad() -> None:
    async def body(cluster: LocalCluster) -> None:
        content = random_bytes(KIB)
        (chunk,) = await upload(cluster.gateway, [content])
        for node in cluster.nodes.values():
            node.flip(chunk.ref.chunk_id)
        damaged, whole = {chunk.ref.chunk_id}, list[bytes]()
        for node in cluster.nodes.values():
            node.service.is_damaged = damaged.__contains__
            node.service.on_replaced = whole.append
        (again,) = await upload(cluster.gateway, [content])
        assert again.ref.chunk_id == chunk.ref.chunk_id
        assert whole == [chunk.ref.chunk_id] * 3
        for node in cluster.nodes.values():
            assert node.store.read(chunk.ref.chunk_id)

    run_on(LocalCluster(), body)


def test_chunks_that_cannot_be_healed_do_not_keep_others_from_it() -> None:
    async def body(cluster: LocalCluster) -> None:
        stored = await upload(cluster.gateway, [random_bytes(80 * 16 * KIB)])
        assert len(stored) > BATCH_ENTRIES
        node = cluster.nodes["n11"]
        *hopeless, last = [chunk.ref.chunk_id for chunk in stored]
        for chunk_id in hopeless:
            for each in cluster.nodes.values():
                each.flip(chunk_id)
        node.flip(last)
        async with repairing(node, LocalQueue([])) as worker:
            for chunk_id in (*hopeless, last):
                worker.heal_soon(chunk_id)
            await until(lambda: not worker.is_damaged(last))
        assert node.store.read(last)

    run_on(LocalCluster(), body)
