"""A node with an empty disk copies what its zone should have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.chunks.local_zones import KIB, LocalCluster, LocalNode, random_bytes, run_on, upload
from tests.storage.memory_ordered_store import MemoryOrderedStore
from tests.storage.recorded_disk import RecordedDisk

from trilith.chunks import rebuild as rebuild_module
from trilith.chunks.rebuild import MARK, Rebuild
from trilith.chunks.repair import RepairWorker
from trilith.chunks.types import StoredChunk
from trilith.errors import NotLeader

from .test_repair import LocalQueue


class GivenReferences:
    def __init__(self, stored: list[StoredChunk]) -> None:
        self._stored = stored
        self.unavailable = 0

    async def pages(self) -> AsyncIterator[bytes]:
        if self.unavailable:
            self.unavailable -= 1
            raise NotLeader
        for at in range(0, len(self._stored), 3):
            yield b"".join(chunk.ref.chunk_id for chunk in self._stored[at : at + 3])


def rebuild_of(node: LocalNode, references: GivenReferences) -> Rebuild:
    worker = RepairWorker(
        LocalQueue([]), node.service, node.placement, node.zone, bytes_per_second_max=1 << 40
    )
    return Rebuild(
        node.runtime,
        node.store,
        references,
        worker,
        node.placement,
        node_id=node.node_id,
        zone=node.zone,
        grace_s=0.0,
        log=lambda *_, **__: None,
    )


async def replace_disk(node: LocalNode) -> None:
    await node.store.close()
    node.disk, node.index = RecordedDisk(record=False), MemoryOrderedStore()
    await node.open()


def test_an_empty_disk_gets_every_chunk_of_its_zone_and_a_mark() -> None:
    async def body(cluster: LocalCluster) -> None:
        stored = await upload(cluster.gateway, [random_bytes(200 * KIB)])
        node = cluster.nodes["n31"]
        await replace_disk(node)
        references = GivenReferences(stored)
        references.unavailable = 1
        rebuild = rebuild_of(node, references)
        async with asyncio.timeout(20):
            await rebuild.run()
        assert all(node.store.contains(chunk.ref.chunk_id) for chunk in stored)
        assert rebuild.progress.done
        again = rebuild_of(node, GivenReferences([]))
        await again.run()
        assert (again.progress.done, again.progress.passes) == (True, 0)

    run_on(LocalCluster(), body)


def test_it_is_not_done_while_the_only_copies_are_out_of_reach() -> None:
    async def body(cluster: LocalCluster) -> None:
        stored = await upload(cluster.gateway, [random_bytes(50 * KIB)])
        node = cluster.nodes["n31"]
        await replace_disk(node)
        cluster.network.isolate("n31")
        rebuild = rebuild_of(node, GivenReferences(stored))
        running = asyncio.ensure_future(rebuild.run())
        while not rebuild.progress.missing:
            await asyncio.sleep(0)
        assert not rebuild.progress.done
        cluster.network.isolate("n31", up=True)
        async with asyncio.timeout(20):
            await running
        assert node.disk.exists(MARK)
        assert rebuild.progress.without_good_copy == 0

    run_on(LocalCluster(), body)


def test_a_chunk_that_nobody_has_is_counted_and_does_not_keep_the_node_out() -> None:
    async def body(cluster: LocalCluster) -> None:
        stored = await upload(cluster.gateway, [random_bytes(50 * KIB)])
        lost = stored[0].ref.chunk_id
        node = cluster.nodes["n31"]
        await replace_disk(node)
        for other in ("n11", "n21"):
            store = cluster.nodes[other].store
            store.remove([lost], untouched_since=store.mark_time())
        rebuild = rebuild_of(node, GivenReferences(stored))
        async with asyncio.timeout(20):
            await rebuild.run()
        assert rebuild.progress.without_good_copy == 1
        assert sum(node.store.contains(c.ref.chunk_id) for c in stored) == len(stored) - 1

    run_on(LocalCluster(), body)


def test_a_disk_without_room_for_the_mark_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild_module, "RETRY_S", 0.0)

    async def body(cluster: LocalCluster) -> None:
        stored = await upload(cluster.gateway, [random_bytes(20 * KIB)])
        node = cluster.nodes["n31"]
        rebuild = rebuild_of(node, GivenReferences(stored))
        node.disk.capacity_bytes = 0
        running = asyncio.ensure_future(rebuild.run())
        while not rebuild.progress.looked_at:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not running.done()
        node.disk.capacity_bytes = None
        async with asyncio.timeout(20):
            await running
        assert node.disk.exists(MARK)

    run_on(LocalCluster(), body)


def test_a_node_whose_extents_had_damaged_records_looks_for_what_they_held() -> None:
    async def body(cluster: LocalCluster) -> None:
        stored = await upload(cluster.gateway, [random_bytes(20 * KIB)])
        node = cluster.nodes["n31"]
        await rebuild_of(node, GivenReferences(stored)).run()
        await node.store.close()
        path = next(path for path in node.disk._files if path.endswith(".ext"))
        node.disk.flip(path, 300)
        node.index = MemoryOrderedStore()  # the index was not flushed: extents are scanned
        await node.open()
        assert node.store.damaged_bytes
        lost = [c for c in stored if not node.store.contains(c.ref.chunk_id)]
        assert lost
        async with asyncio.timeout(20):
            await rebuild_of(node, GivenReferences(stored)).run()
        assert all(node.store.contains(chunk.ref.chunk_id) for chunk in stored)

    run_on(LocalCluster(), body)
